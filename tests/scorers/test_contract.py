"""Every registered scorer keeps the contract; and a scorer that breaks a rule is caught by that rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from ood_bench.contract import check
from ood_bench.registry import SCORERS, load_all, load_plugin

load_all()

# A scorer whose answer on the easy problem is a refusal by nature, with the reason.
REFUSES_BY_NATURE: dict[str, str] = {}

# What the rules are run on instead of the defaults, with the reason.
SMALLER = {"corp": "corp:m=32"}  # its eigendecomposition in every rule takes most of the time, and nothing else differs


@pytest.mark.parametrize("name", SCORERS.names())
def test_contract(name: str) -> None:
    verdicts = list(check(SMALLER.get(name, name)))
    broken = [f"{verdict.rule}: {verdict.detail}" for verdict in verdicts if verdict.status == "broken"]
    assert not broken, "\n".join(broken)
    refused = [verdict.detail for verdict in verdicts[1:9] if verdict.status == "refuses"]
    assert not refused or name in REFUSES_BY_NATURE, refused


BREAKERS = {
    "higher = more in-distribution": "return -batch.max_logit",
    "independent of batch size": "return batch.max_logit - batch.max_logit.mean()",
    "modifies nothing": "batch.logits.sub_(1.0); return batch.logits.amax(dim=1)",
    "one finite score per row": "return batch.max_logit * 0 + 1",
    "a number or a clear refusal: rows of zeros": "return (batch.features / batch.feature_norm[:, None]).sum(dim=1)",
    "the same fit gives the same scores": "return batch.max_logit + torch.rand(batch.n)",
}


@pytest.mark.parametrize("number", range(len(BREAKERS)))
def test_a_breaker_is_caught(number: int, tmp_path: Path) -> None:
    rule, body = list(BREAKERS.items())[number]
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import dataclass\nimport torch\nfrom ood_bench import scorer\n\n\n"
        f"@scorer('breaker-{number}', needs=('logits', 'features'))\n@dataclass(frozen=True)\n"
        f"class Mine:\n    '''Breaks a rule.'''\n\n    def score(self, batch):\n        {body}\n"
    )
    (entry,) = load_plugin(file)
    caught = [verdict.rule for verdict in check(entry.name) if verdict.status == "broken"]
    assert any(rule in found for found in caught), caught
