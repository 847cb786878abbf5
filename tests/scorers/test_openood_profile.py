from __future__ import annotations

import numpy as np
from support import problem, score

from ood_bench.profiles import load_profile
from ood_bench.registry import load_all
from ood_bench.specs import parse_spec

# What OpenOOD fits on its ID validation set, from the loaders that the `setup` of its post-processors reads. tempscale
# does as well, but so does everyone: it is no departure from a fit set.
ON_VAL = {"react+energy", "vra+energy", "klm", "residual"}


def test_fit_splits() -> None:
    load_all()
    specs = load_profile("openood-v1.5").specs
    assert {name for name, spec in specs.items() if spec.fit_split == "val"} == ON_VAL


def test_covers_what_openood_computes_from_a_cache() -> None:
    """OpenOOD's 26 cacheable post-processors, less ssd and cfood (broken there) and mcm (the logits' scale is unclear)."""
    load_all()
    theirs = [
        "msp",
        "mls",
        "ebo",
        "gen",
        "tempscale",
        "klm",
        "openmax",
        "react",
        "vra",
        "dice",
        "ash-b",
        "scale",
        "gradnorm",
        "fdbd",
        "nci",
        "mds",
        "rmds",
        "vim",
        "residual",
        "knn",
        "nnguide",
        "she",
        "relation",
    ]
    assert {parse_spec(name).name for name in theirs} == set(load_profile("openood-v1.5").specs)


def test_rectifiers_as_openood_writes_them() -> None:
    """Percentiles over all entries of the validation features; VRA clips on both sides; ash is ASH-B."""
    load_all()
    given = problem(40)
    specs = load_profile("openood-v1.5").specs
    pool, rows = given.features("val").ravel(), given.features("ood")
    low, high = np.percentile(pool, 10), np.percentile(pool, 90)
    kept = rows.shape[1] - int(np.round(rows.shape[1] * 0.9))
    binary = np.where(rows >= np.sort(rows, axis=1)[:, -kept][:, None], rows.sum(axis=1, keepdims=True) / kept, 0.0)
    for name, shaped in (("react", rows.clip(max=high)), ("vra", rows.clip(low, high)), ("ash-b", binary)):
        expected = np.logaddexp.reduce(shaped @ given.weight.T + given.bias, axis=1)
        np.testing.assert_allclose(score(str(specs[f"{name}+energy"]), given, "ood"), expected, rtol=1e-9, err_msg=name)
