"""What is meant where a request names no suite or no model."""

from __future__ import annotations

from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.naming import unknown
from ood_bench.suites import Suite, list_suites, load_suite

FIRST_SUITE = "digits"


def default_suite(model: str | None, home: Home) -> Suite:
    """The suite that a model belongs to; `digits` where no model is named either."""
    if model is None:
        return load_suite(FIRST_SUITE, home)
    suites = list_suites(home)
    own = [suite for suite in suites if model in suite.models]
    if not own:
        raise unknown("model", model, {name for suite in suites for name in suite.models})
    if len(own) > 1:
        named = ", ".join(suite.name for suite in own)
        raise RequestError(f"{model} belongs to several suites; say which with --suite: {named}")
    return own[0]


def default_model(suite: Suite, home: Home) -> str:
    """The one model of a suite."""
    if len(suite.models) == 1:
        return suite.models[0]
    if not suite.models:
        raise RequestError(f"suite {suite.name} names no model of its own; name one with --model")
    raise RequestError(f"suite {suite.name} has several models; say which with --model: {', '.join(suite.models)}")
