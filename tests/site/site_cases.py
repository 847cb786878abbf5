"""A home with stored scores of two suites, three backbones and names that would like to be markup or formulas."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ood_bench.home import Home
from ood_bench.store.records import Provenance, Run, ScoreKey, ScoreRecord, new_run_id, sha256_of_scores
from ood_bench.store.store import Store
from ood_bench.suites import SetSpec, Suite, write_suite

EVIL_SET = "<img src=x onerror=document.title='hacked'>"
EVIL_SCORER = "</script><script>document.title='hacked'</script>"
FORMULA = "=cmd|' /C calc'!A0"
MODELS = ("resnet18", "resnet50", 'vit-"b"')
OOD_SETS = ("a", EVIL_SET, "c")
N = 300
PROVENANCE = Provenance(
    device="cpu", host="secret-host", program="0.1.0", time="2026-01-02T03:04:05Z", versions={"torch": "2.4"}
)
# spec -> (registered name, parameters, how far ID lies above OOD); family of the registry
SCORERS: dict[str, tuple[str, dict[str, object], float]] = {
    "msp": ("msp", {}, 1.0),
    "energy": ("energy", {}, 1.4),
    "knn:k=1": ("knn", {"k": 1, "unit": True}, 1.5),
    "knn:k=5": ("knn", {"k": 5, "unit": True}, 1.8),
    "knn:k=50": ("knn", {"k": 50, "unit": True}, 1.7),
    "react+energy": ("react+energy", {"react.q": 0.99}, 1.6),
    EVIL_SCORER: (EVIL_SCORER, {"<b>": "</script>"}, 0.3),
    FORMULA: (FORMULA, {}, 0.2),
}
FOREIGN = (EVIL_SCORER, FORMULA)


def make_home(root: Path) -> Home:
    """The home, filled: suite `toy` with everything, suite `small` with one backbone and one scorer."""
    home, rng = Home(root), np.random.default_rng(7)
    toy = Suite(
        name="toy",
        source=Path("toy.toml"),
        origin="home",
        title="Toys & <b>more</b>",
        test="test",
        groups={"near": ("a", EVIL_SET), "far": ("c",)},
        sets={name: SetSpec(name, count=N) for name in ("test", *OOD_SETS)},
    )
    small = Suite(
        name="small",
        source=Path("small.toml"),
        origin="home",
        fpr="ood_positive",
        test="other-test",
        groups={"far": ("d",)},
        sets={name: SetSpec(name, count=N) for name in ("other-test", "d")},
    )
    store = Store(home)
    for suite in (toy, small):
        write_suite(home, suite)
        for place, model in enumerate(MODELS if suite is toy else MODELS[:1]):
            records = [
                _put(store, rng, suite, model, spec, name, place)
                for spec in (SCORERS if suite is toy else ["msp"])
                for name in (str(suite.test), *(each for group in suite.groups.values() for each in group))
            ]
            labels = rng.integers(0, 5, N)
            predicted = np.where(rng.random(N) < 0.1, (labels + 1) % 5, labels)
            store.put_outcomes(_bank(model, str(suite.test)), predicted, labels)
            store.put_run(
                Run(
                    id=new_run_id(),
                    time=PROVENANCE["time"],
                    suite=suite.name,
                    model=model,
                    model_seed=None,
                    banks={},
                    head_sha256=None,
                    request={},
                    records=tuple(record.key.sha256 for record in records),
                )
            )
    return home


def _bank(model: str, name: str) -> str:
    return hashlib.sha256(f"{model} {name}".encode()).hexdigest()


def _put(
    store: Store, rng: np.random.Generator, suite: Suite, model: str, spec: str, name: str, place: int
) -> ScoreRecord:
    scorer, params, distance = SCORERS[spec]
    is_id = name == suite.test
    scores = (rng.normal(distance - 0.2 * place if is_id else 0.0, 1.0, N)).astype(np.float32)
    record = ScoreRecord(
        key=ScoreKey(scorer=scorer, version="1", params=params, bank_sha256=_bank(model, name)),
        spec=spec,
        model=model,
        model_seed=None,
        set=name,
        n=N,
        scores_sha256=sha256_of_scores(scores),
        score_dtype="float32",
        provenance=(PROVENANCE,),
        origin="external" if spec in FOREIGN else "ours",
        marks=("a <i>mark</i>",) if spec == "energy" and name == "a" else (),
    )
    store.put(record, scores)
    return record
