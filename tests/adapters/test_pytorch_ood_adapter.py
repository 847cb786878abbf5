"""pytorch-ood's own detectors as scorers: the same numbers as by hand, the sign turned, refusals with a reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import problem, score

from ood_bench.adapters import foreign
from ood_bench.errors import CannotScore, RequestError
from ood_bench.registry import SCORERS, load_all
from ood_bench.specs import parse_spec
from ood_bench.types import Info

detector = pytest.importorskip("pytorch_ood.detector", reason="pytorch-ood is not installed")
load_all()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("pytorch-ood:KNN:k=7", "knn:k=7"),
        ("pytorch-ood:ViM:d=12", "vim:dim=12"),
        ("pytorch-ood:SHE", "she"),
        ("pytorch-ood:EnergyBased:t=2.0", "energy:temperature=2"),
        ("pytorch-ood:MaxLogit", "maxlogit"),
        ("pytorch-ood:NNGuide:k=5", "nnguide:k=5"),
        ("pytorch-ood:DICE:p=0.9", "dice:p=90"),
        ("pytorch-ood:ReAct:percentile=0.9", "react:q=0.9"),
        ("pytorch-ood:ASH:variant=ash-s,percentile=0.9", "ash-s:p=90"),
        ("pytorch-ood:SCALE:percentile=0.85", "scale:p=85"),
        ("pytorch-ood:LTS:p=0.05", "lts:p=95"),
        ("pytorch-ood:KLMatching", "klm"),
        ("pytorch-ood:NCI:alpha=0.1", "nci:alpha=0.1"),
    ],
)
def test_where_both_compute_the_same_they_agree(theirs: str, ours: str) -> None:
    given = problem()
    for name in ("test", "ood"):
        expected = score(ours, given, name)
        found = score(theirs, given, name, rows=20)
        # theirs is float32, and so are the eigenvectors of its ViM
        tolerance = 2e-5 if "ViM" in theirs else 2e-6
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_it_is_their_code_with_the_sign_turned() -> None:
    given = problem()
    features, labels = torch.from_numpy(given.features("fit")).float(), torch.from_numpy(given.labels("fit"))
    direct = detector.RMD(None).fit_features(features, labels)
    expected = -direct.predict_features(torch.from_numpy(given.features("ood")).float()).numpy()
    np.testing.assert_array_equal(score("pytorch-ood:RMD", given, "ood"), expected)


def test_a_name_in_any_case_parameters_and_their_key() -> None:
    spec = parse_spec("pytorch-ood:knn:k=5,normalize=false")
    assert str(spec) == "pytorch-ood:KNN:k=5,normalize=false"
    assert parse_spec(str(spec)) == spec
    assert spec.params == {"k": 5, "normalize": False}
    assert spec.version.startswith("1 (pytorch-ood ")
    assert spec.origin == "external"
    assert "pytorch-ood:KNN" not in SCORERS.names()


def test_it_can_stand_behind_a_rectifier() -> None:
    given = problem()
    expected = score("react:q=0.9+knn:k=7", given, "ood")
    np.testing.assert_allclose(score("react:q=0.9+pytorch-ood:KNN:k=7", given, "ood"), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pytorch-ood:KMN", r"no detector of pytorch-ood is named 'KMN' \(did you mean 'KNN'"),
        ("pytorch-ood:ODIN", "runs the network on images"),
        ("pytorch-ood:MCM", "needs text_embeddings, which is no number or text"),
        ("pytorch-ood:KNN:q=5", "no parameter of pytorch-ood:KNN is named 'q'"),
        ("pytorch-ood:ViM", "pytorch-ood:ViM needs a value for d"),
        ("pytorch-odd:KNN", r"no source of scorers is named 'pytorch-odd' \(did you mean 'pytorch-ood'"),
    ],
)
def test_requests_that_cannot_be_met(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_spec(text)


def test_fit_sets_beyond_the_bound_are_refused() -> None:
    spec = parse_spec("pytorch-ood:KNN")
    with pytest.raises(CannotScore, match=r"takes its fit set whole, 14.5 GiB of 1281167 rows; the bound is 2 GiB"):
        spec.resolved(Info(1000, 2048, 1281167))
    assert foreign.BOUND == 2 << 30
    assert parse_spec("pytorch-ood:MaxLogit").resolved(Info(1000, 2048, 1281167)).name == "pytorch-ood:MaxLogit"
