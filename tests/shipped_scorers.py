"""The registry as it is shipped, whatever plug-ins other tests have loaded; put back afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ood_bench.registry import ESTIMATORS, PLUGIN_PREFIX, SCORERS, load_all


@contextmanager
def shipped_scorers() -> Iterator[None]:
    """Inside, plug-ins loaded before are unknown; those loaded inside are unknown after."""
    load_all()
    kept = [(registry, dict(registry.entries), dict(registry.aliases)) for registry in (SCORERS, ESTIMATORS)]
    modules = {name: module for name, module in sys.modules.items() if name.startswith(PLUGIN_PREFIX)}
    for registry, entries, aliases in kept:
        registry.entries = {name: entry for name, entry in entries.items() if entry.origin == "ours"}
        registry.aliases = {alias: name for alias, name in aliases.items() if name in registry.entries}
    for name in modules:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.startswith(PLUGIN_PREFIX)]:
            del sys.modules[name]
        sys.modules.update(modules)
        for registry, entries, aliases in kept:
            registry.entries, registry.aliases = entries, aliases
