"""Which scorers, rectifiers and estimators there are: each registers itself by name where it is defined.

A duplicate name raises and names both; a file that does not import raises; an unknown name says what is near.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import ood_bench.scorers
from ood_bench.canonical import sha256_of_file
from ood_bench.errors import RequestError
from ood_bench.naming import NAME, unknown
from ood_bench.parameters import Parameter, parameters_of
from ood_bench.types import LOGITS, REMEDIES

Kind: TypeAlias = Literal["scorer", "rectifier", "estimator"]
Precision: TypeAlias = Literal["float32", "float64"]
C = TypeVar("C", bound=type)

ENTRY_POINTS = "ood_bench.scorers"
PLUGIN_PREFIX = "ood_bench_plugin_"
# What a `fit` may ask for by the name of its argument.
FIT_ARGUMENTS = frozenset({"head", "info", "train", "val"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered method: what it is called, where it comes from, what it needs and what it assumes."""

    name: str
    kind: Kind
    cls: type
    version: int
    paper: str
    family: str
    needs: tuple[str, ...]
    assumes: tuple[str, ...]
    aliases: tuple[str, ...]
    precision: Precision
    origin: Literal["ours", "plugin", "external"]
    source: str
    plugin_sha256: str | None = None
    release: str | None = None  # of the package whose code an adapter runs; part of every key

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return parameters_of(self.cls)

    @property
    def summary(self) -> str:
        """First line of the class's docstring."""
        return (self.cls.__doc__ or "").strip().partition("\n")[0]


@dataclass
class Registry:
    """Names of one kind of thing (scorers with rectifiers, or estimators), and what they stand for."""

    what: str
    entries: dict[str, Entry] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Register; RequestError names both places where a name or alias is taken already."""
        for name in (entry.name, *entry.aliases):
            taken = self.entries.get(self.aliases.get(name, name))
            if taken is not None:
                raise RequestError(
                    f"two {self.what}s want the name {name!r}: {taken.cls.__qualname__} in {taken.source} "
                    f"and {entry.cls.__qualname__} in {entry.source}; rename one of them"
                )
        self.entries[entry.name] = entry
        self.aliases.update(dict.fromkeys(entry.aliases, entry.name))

    def get(self, name: str) -> Entry:
        """The entry of a name, alias or `source:name`; RequestError with near matches and the list otherwise."""
        source, colon, foreign = name.partition(":")
        if colon:
            return _foreign(source, foreign)
        entry = self.entries.get(self.aliases.get(name, name))
        if entry is None:
            raise unknown(self.what, name, self.entries)
        return entry

    def names(self) -> list[str]:
        return sorted(self.entries)


# Other packages whose own code can be run: source -> the adapter, imported when one of its names is asked for.
SOURCES = {"pytorch-ood": "ood_bench.adapters.pytorch_ood", "openood": "ood_bench.adapters.openood"}


@cache
def _foreign(source: str, name: str) -> Entry:
    """The entry that an adapter makes of another package's scorer."""
    if source not in SOURCES:
        raise unknown("source of scorers", source, SOURCES)
    found = importlib.import_module(SOURCES[source]).find(name)
    if found.name != f"{source}:{name}":  # written in another case
        return _foreign(*found.name.split(":", 1))
    entry: Entry = importlib.import_module("ood_bench.adapters.foreign").entry_of(found)
    return entry


SCORERS = Registry("scorer")
ESTIMATORS = Registry("estimator")


def scorer(
    name: str,
    *,
    version: int = 1,
    paper: str = "",
    needs: tuple[str, ...] = (LOGITS,),
    assumes: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    family: str = "",
    precision: Precision = "float32",
) -> Callable[[C], C]:
    """Register a frozen dataclass as a scorer: hyper-parameters are its fields, `score(batch)` gives one number per row.

    Higher = more in-distribution. A class with `fit` returns, from it, the object that has `score`. `needs` lists inputs
    (see ood_bench.types), `assumes` conditions whose breach marks the cell; raise `version` when numbers change.
    """
    return _register(SCORERS, "scorer", name, version, paper, needs, assumes, aliases, family, precision, "score")


def rectifier(
    name: str,
    *,
    version: int = 1,
    paper: str = "",
    needs: tuple[str, ...] = ("features", "head"),
    assumes: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
) -> Callable[[C], C]:
    """Register a rectifier: `rectify(batch)` gives a batch with other features, logits or head, for any scorer behind it.

    A rectifier that changes the head also has `rectify_head(head)`.
    """
    return _register(
        SCORERS, "rectifier", name, version, paper, needs, assumes, aliases, "rectifier", "float32", "rectify"
    )


def estimator(
    name: str,
    *,
    version: int = 1,
    paper: str = "",
    needs: tuple[str, ...] = (LOGITS,),
    assumes: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    family: str = "accuracy",
) -> Callable[[C], C]:
    """Register an estimator: `estimate()` asks the target set for reductions and returns one number, higher = better."""
    return _register(
        ESTIMATORS, "estimator", name, version, paper, needs, assumes, aliases, family, "float64", "estimate"
    )


def load_all() -> None:
    """Import every scorer file of this package and every installed plug-in. An import that fails raises, with the file."""
    package = ood_bench.scorers
    for module in pkgutil.iter_modules(package.__path__):
        _import(f"{package.__name__}.{module.name}")
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        _import(point.value.partition(":")[0])


def load_plugin(path: Path) -> list[Entry]:
    """Execute a user's scorer file and return what it registered. The same content again registers nothing anew."""
    if not path.is_file():
        raise RequestError(f"--plugin expects a Python file, but there is none at {path}")
    sha256 = sha256_of_file(path)
    module_name = f"{PLUGIN_PREFIX}{sha256[:16]}"
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise RequestError(f"--plugin expects a Python file (.py), got {path}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except RequestError:
            _forget(module_name)
            raise
        except Exception as error:
            _forget(module_name)
            raise RequestError(f"the plug-in {path} does not import: {type(error).__name__}: {error}") from error
    registered = [
        entry
        for registry in (SCORERS, ESTIMATORS)
        for entry in registry.entries.values()
        if entry.cls.__module__ == module_name
    ]
    if not registered:
        raise RequestError(
            f"the plug-in {path} registers nothing; decorate a frozen dataclass with @ood_bench.scorer('name')"
        )
    return registered


def _forget(module_name: str) -> None:
    sys.modules.pop(module_name, None)
    for registry in (SCORERS, ESTIMATORS):
        gone = {name for name, entry in registry.entries.items() if entry.cls.__module__ == module_name}
        registry.entries = {name: entry for name, entry in registry.entries.items() if name not in gone}
        registry.aliases = {alias: name for alias, name in registry.aliases.items() if name not in gone}


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except RequestError:
        raise
    except Exception as error:
        message = f"the scorer file {module} does not import: {type(error).__name__}: {error}; mend it or remove it"
        raise RequestError(message) from error


def _register(
    registry: Registry,
    kind: Kind,
    name: str,
    version: int,
    paper: str,
    needs: tuple[str, ...],
    assumes: tuple[str, ...],
    aliases: tuple[str, ...],
    family: str,
    precision: Precision,
    method: str,
) -> Callable[[C], C]:
    def decorate(cls: C) -> C:
        source = inspect.getsourcefile(cls) if cls.__module__ in sys.modules else None
        where = f"@{kind}({name!r}) on {cls.__qualname__}"
        if not NAME.fullmatch(name):
            raise RequestError(f"{where}: a name is made of a-z, 0-9 and -, got {name!r}")
        if not _is_frozen(cls):
            raise RequestError(f"{where} expects a frozen dataclass: put @dataclass(frozen=True) below the decorator")
        if not (hasattr(cls, method) or hasattr(cls, "fit")):
            raise RequestError(f"{where} expects a method `{method}` (or a `fit` that returns an object with one)")
        for need in needs:
            if need not in REMEDIES:
                raise unknown(f"input (in `needs` of {name})", need, REMEDIES)
        unknown_arguments = fit_arguments(cls) - FIT_ARGUMENTS
        if unknown_arguments:
            raise RequestError(
                f"{where}: `fit` may take {', '.join(sorted(FIT_ARGUMENTS))}, got {', '.join(sorted(unknown_arguments))}"
            )
        is_plugin = not cls.__module__.startswith("ood_bench.")
        file = Path(source) if source else None
        registry.add(
            Entry(
                name=name,
                kind=kind,
                cls=cls,
                version=version,
                paper=paper,
                family=family or _family(needs),
                needs=needs,
                assumes=assumes,
                aliases=aliases,
                precision=precision,
                origin="plugin" if is_plugin else "ours",
                source=source or cls.__module__,
                plugin_sha256=sha256_of_file(file) if is_plugin and file and file.is_file() else None,
            )
        )
        return cls

    return decorate


def _is_frozen(cls: Any) -> bool:
    params = getattr(cls, "__dataclass_params__", None)
    return params is not None and bool(params.frozen)


def fit_arguments(cls: type) -> frozenset[str]:
    """Names of the arguments that a class's `fit` asks for."""
    fit = getattr(cls, "fit", None)
    return frozenset(inspect.signature(fit).parameters) - {"self"} if fit is not None else frozenset()


def _family(needs: tuple[str, ...]) -> str:
    if "features" in needs:
        return "features+head" if "head" in needs else "features"
    return "logits"
