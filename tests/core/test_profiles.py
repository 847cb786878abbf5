"""Profiles: another benchmark's parameters, read as data, applied where the user said nothing."""

from __future__ import annotations

import pytest

from ood_bench.errors import RequestError
from ood_bench.profiles import load_profile
from ood_bench.shipped import shipped_files
from ood_bench.specs import parse_spec


@pytest.mark.parametrize("name", shipped_files("profiles"))
def test_every_shipped_profile_reads_and_says_where_it_is_from(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.title
    assert profile.source
    assert profile.specs


def test_a_profile_fills_what_the_user_left_open_and_only_that() -> None:
    profile = load_profile("openood-v1.5")
    asked = [parse_spec(text) for text in ("react", "react:q=0.95", "msp", "logitgap")]
    meant = profile.apply(asked)
    assert str(meant[0]) == "react:q=0.9+energy:fit=val"
    assert meant[1] == asked[1]
    assert [spec.name for spec in meant[2:]] == ["msp", "logitgap"]
    assert meant[3] == asked[3]  # a scorer that the profile does not know keeps its own defaults


def test_an_unknown_profile_lists_what_there_is() -> None:
    with pytest.raises(RequestError, match=r"no profile is named 'openood' \(did you mean 'openood-v1.5'\?\)"):
        load_profile("openood")
