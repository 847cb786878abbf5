"""The least that each scorer must do, in seconds at the measured limits: bytes read, exponentials, selections, products.

A bound counts what the formula needs and nothing that an implementation adds; the ratio of a time to it is the claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.machine import Limits


@dataclass(frozen=True)
class Work:
    """Pieces of work over `rows` rows; products in multiply-and-add pairs per row."""

    logits: float = 0  # times that the logits are read
    features: float = 0
    exps: float = 0  # times that all logits are exponentiated and summed
    exps_double: float = 0
    sorted_logits: int = 0  # how many of the largest are wanted in order
    sorted_features: float = 0
    single: float = 0  # multiply-adds per row in float32
    double: float = 0  # and in float64
    syrk: int = 0  # width of a float64 scatter matrix
    eigh: float = 0  # decompositions of d x d, in float64

    def seconds(self, limits: Limits, rows: int) -> float:
        size = limits.size
        per_logit_pass, per_feature_pass = rows * size.k * 4, rows * size.d * 4
        share = rows / size.n
        select = limits.select_100 if self.sorted_logits <= size.k // 5 else limits.select_all
        return (
            self.logits * per_logit_pass / limits.row_max
            + self.features * per_feature_pass / limits.read
            + share * (self.exps * limits.logsumexp + self.exps_double * limits.logsumexp_double)
            + share * (select if self.sorted_logits else 0.0)
            + share * self.sorted_features * limits.select_all * size.d / size.k
            + 2 * rows * (self.single / limits.sgemm + self.double / limits.dgemm)
            + 2 * rows * self.syrk**2 / limits.dsyrk
            + self.eigh * limits.eigh
        )


@dataclass(frozen=True)
class Bound:
    """What a scorer must do for the fit and for the scored set."""

    fit: Work = Work()
    score: Work = Work()

    def seconds(self, limits: Limits) -> float:
        """Of the fit and of scoring the set."""
        return self.fit.seconds(limits, limits.size.n_fit) + self.score.seconds(limits, limits.size.n)


def bounds(limits: Limits, learned: Mapping[str, Mapping[str, object]]) -> dict[str, Bound]:
    """Bounds by scorer name. `learned` gives sizes that fits chose (components of neco, cop, corp)."""
    d, k, n_fit = limits.size.d, limits.size.k, limits.size.n_fit
    residual = d - (1000 if d >= 2048 else 512 if d >= 768 else d // 2)
    moments = Work(syrk=d, eigh=1)
    twice = Work(syrk=d, eigh=2)
    rectified = Work(features=1, single=d * k, exps=1)
    shaped = Work(features=1, single=d * k, exps=1, sorted_features=1)
    softmax, softmax_double = Bound(score=Work(exps=1)), Bound(score=Work(exps_double=1))
    top = Bound(score=Work(sorted_logits=k // 5))
    by_class = Work(features=1, logits=1)
    near = Bound(Work(), Work(single=n_fit * d, features=1))
    found = {name: components(learned.get(name, {}), d) for name in ("neco", "cop")}
    m = 4096 if k >= 1000 else 2048
    q = components(learned.get("corp", {}), m)
    return {
        "maxlogit": Bound(score=Work(logits=1)),
        **dict.fromkeys(("msp", "energy", "entropy", "margin", "doctor-alpha", "doctor-beta"), softmax),
        **dict.fromkeys(("mcm", "odin-t", "mowst-variance", "mowst-entropy"), softmax_double),
        "mano": Bound(Work(exps_double=1), Work(exps_double=1)),
        "tempscale": softmax,
        "gen": Bound(score=Work(sorted_logits=min(100, k), exps=1)),
        "energy-topn": Bound(score=Work(sorted_logits=k // 10)),
        **dict.fromkeys(("logitgap", "logitgap-exp", "logitgap-square", "logitgap-sqrt", "logitgap-adaptive"), top),
        **dict.fromkeys(("topnsigma", "topnsigma-count"), Bound(score=Work(logits=3))),
        **dict.fromkeys(("maxlogit-pnorm", "logitnorm-sc"), Bound(score=Work(logits=4))),
        "klm": Bound(Work(exps_double=1), Work(exps_double=1, double=k * k)),
        "rel-u": Bound(score=Work(exps=1, single=k * k)),
        "openmax": Bound(Work(logits=2), Work(exps=1, logits=6)),
        "gradnorm": Bound(score=Work(exps=1, features=1)),
        **dict.fromkeys(("she", "nci"), Bound(by_class, Work(features=2, logits=1))),
        "fdbd": Bound(Work(features=1), Work(logits=2, features=1)),
        **dict.fromkeys(("caref", "cadref"), Bound(by_class, Work(features=2, logits=1))),
        "maxcosine": Bound(score=Work(single=d * k)),
        "dml": Bound(Work(single=d * k), Work(single=d * k)),
        "nearest-class-mean": Bound(Work(features=1), Work(single=d * k)),
        **dict.fromkeys(("mds", "mds-pp"), Bound(moments, Work(single=d * d + d * k))),
        **dict.fromkeys(("rmds", "rmds-pp"), Bound(twice, Work(single=2 * d * d + d * k))),
        "ssd": Bound(moments, Work(single=d * d)),
        "wdiscood": Bound(twice, Work(single=2 * d * d + min(1000, k) * k)),
        "residual": Bound(moments, Work(single=d * residual)),
        "vim": Bound(Work(syrk=d, eigh=1, single=d * residual), Work(single=d * residual, exps=1)),
        "dcs": Bound(Work(syrk=d, eigh=1, single=d * residual), Work(single=d * residual, exps_double=1)),
        "neco": Bound(moments, Work(single=d * found["neco"], logits=1)),
        "cop": Bound(moments, Work(single=d * min(d - found["cop"], 2 * found["cop"]))),
        "corp": Bound(
            Work(double=d * m, syrk=m, eigh=(m / d) ** 3), Work(single=d * m + m * min(m - q, 2 * q), features=1)
        ),
        "knn": near,
        "nnguide": near,
        "relation": Bound(Work(), Work(single=n_fit * (d + k))),
        **dict.fromkeys(("ash-p", "ash-b", "ash-s", "scale"), Bound(score=shaped)),
        "lts": Bound(score=Work(features=1, sorted_features=1, exps=1)),
        "react": Bound(Work(features=2), rectified),
        "vra": Bound(Work(features=8), rectified),
        "dice": Bound(Work(features=1), Work(single=d * k, exps=1)),
        "weiper": Bound(Work(double=200 * d * k), Work(double=100 * d * k)),
    }


def components(learned: Mapping[str, object], otherwise: int) -> int:
    found = learned.get("dim", learned.get("components"))
    return found if isinstance(found, int) else otherwise
