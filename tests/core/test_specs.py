"""The grammar `[rectifier+]name[:param=value,...]`: aliases, compositions, equal meanings, and what is refused."""

from __future__ import annotations

import pytest

from ood_bench.errors import CannotScore, RequestError
from ood_bench.registry import SCORERS
from ood_bench.specs import make_spec, parse_spec
from ood_bench.types import Info

INFO = Info(n_classes=10, n_features=50, n_fit=400, n_val=100, has=frozenset({"logits", "features", "head", "fit"}))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mls", "maxlogit"),
        ("ebo", "energy"),
        ("mds++", "mds-pp"),
        ("mahalanobis++", "mds-pp"),
        ("rmds++", "rmds-pp"),
        ("react+mds++", "react+mds-pp"),
        ("react:q=0.9+mds++", "react+mds-pp"),
        ("react+ebo", "react+energy"),
    ],
)
def test_aliases_mean_the_registered_name(text: str, name: str) -> None:
    assert parse_spec(text).name == name


def test_every_alias_leads_to_its_name_alone_and_behind_a_rectifier() -> None:
    assert len(SCORERS.aliases) > 5
    for alias, name in SCORERS.aliases.items():
        assert parse_spec(alias) == parse_spec(name)
        if SCORERS.get(name).kind == "scorer":
            assert parse_spec(f"react+{alias}") == parse_spec(f"react+{name}")


def test_a_rectifier_alone_stands_before_the_energy_score() -> None:
    assert parse_spec("react") == parse_spec("react+energy")
    assert hash(parse_spec("react:q=0.9")) == hash(parse_spec("react:q=0.9+energy"))
    assert str(parse_spec("react")) == "react+energy"


def test_parameters_of_each_part_and_the_plus_of_a_number() -> None:
    spec = parse_spec("react:threshold=1e+5+vim:dim=7")
    assert spec.name == "react+vim"
    assert spec.params == {"react.q": 0.99, "react.threshold": 1e5, "vim.dim": 7}
    assert parse_spec(str(spec)) == spec
    assert parse_spec("energy:temperature=1E+3").params == {"temperature": 1000.0}


def test_several_rectifiers_and_the_split_to_learn_from() -> None:
    assert [part.entry.name for part in parse_spec("react+dice+vim").parts] == ["react", "dice", "vim"]
    learnt = parse_spec("vim:fit=val,dim=5")
    assert (learnt.fit_split, learnt.params, str(learnt)) == ("val", {"dim": 5}, "vim:dim=5,fit=val")
    assert parse_spec("vim:fit=fit") == parse_spec("vim")


@pytest.mark.parametrize(
    "text", ["vim", "knn:k=50", "react:q=0.9+energy", "ash-s+energy", "logitgap:n=all", "vim:fit=val", "mano"]
)
def test_a_spec_prints_as_what_reads_back(text: str) -> None:
    assert parse_spec(str(parse_spec(text))) == parse_spec(text)


def test_what_differs_from_the_defaults_is_what_counts_as_changed() -> None:
    assert not parse_spec("vim").is_changed
    assert not parse_spec("knn:k=auto").is_changed
    assert parse_spec("knn:k=50").is_changed
    assert parse_spec("vim:fit=val").is_changed


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("vmi", r"no scorer is named 'vmi' \(did you mean 'vim'.*\?\); there are: .*knn.*vim"),
        ("zzzz", r"no scorer is named 'zzzz'; there are: "),
        ("react+vmi", r"no scorer is named 'vmi'"),
        ("", r"a scorer is written \[rectifier\+\]name"),
        ("react+", r"a scorer is written .* got 'react\+'"),
        ("+vim", r"a scorer is written"),
        ("vim+knn", r"before a \+ stands a rectifier, but vim is a scorer; there are: .*react"),
        ("knn:k=", r"parameters are written name=value.*got 'k='"),
        ("knn:=3", r"parameters are written name=value"),
        ("knn:k=3,k=4", r"the parameter k is given twice"),
        ("knn:k=3,,", r"parameters are written name=value"),
        ("knn:n=3", r"no parameter of knn is named 'n'"),
        ("knn:k=0", r"knn: k takes .*1 <= value.*got 0"),
        ("knn:k=many", r"knn: k takes .*got 'many'"),
        ("knn:k", r"no .* is named 'knn"),
        ("react:q=1.5", r"react: q takes a number \(0 <= value <= 1\), got 1.5"),
        ("logitgap:n=1", r"logitgap: n takes .*got 1"),
        ("vim:fit=test", r"fit takes fit or val .* got 'test'"),
        ("msp,energy", r"no scorer is named 'msp,energy'"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence) as refusal:
        parse_spec(text)
    assert "\n" not in str(refusal.value)


def test_defaults_are_resolved_for_the_bank_and_an_impossible_value_is_named() -> None:
    assert parse_spec("vim").resolved(INFO).params == {"dim": 25}
    assert parse_spec("knn").resolved(INFO) == parse_spec("knn:k=50").resolved(INFO)
    assert parse_spec("knn:k=1000").resolved(INFO).params["k"] == 400  # clamped to the fit rows, and recorded so
    with pytest.raises(CannotScore, match=r"vim needs 0 < dim < 50 \(the feature size\), got dim=1000"):
        parse_spec("vim:dim=1000").resolved(INFO)


def test_the_same_from_python() -> None:
    assert make_spec("knn", {"k": 50}) == parse_spec("knn:k=50")
    assert make_spec("react", {"q": 0.9}) == parse_spec("react:q=0.9+energy")
    assert make_spec("vim", fit_split="val") == parse_spec("vim:fit=val")
    with pytest.raises(RequestError, match=r"knn: k takes .* got '50'"):
        make_spec("knn", {"k": "50"})


def test_two_parts_that_agree_are_one_but_equal_numbers_of_other_parameters_are_not() -> None:
    assert parse_spec("energy:temperature=1") == parse_spec("energy")
    assert parse_spec("energy:temperature=1.0") == parse_spec("energy:temperature=1")
    assert parse_spec("react:q=0.9+energy") != parse_spec("react:q=0.95+energy")
