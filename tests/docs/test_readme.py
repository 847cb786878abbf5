"""README's snippets are run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ood_bench.registry import SCORERS, load_all, load_plugin

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def snippet(containing: str) -> str:
    """The one python block of the README with that text in it."""
    blocks = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if containing in block]
    assert len(blocks) == 1, f"expected one README snippet with {containing!r}, found {len(blocks)}"
    return blocks[0]


def test_a_new_scorer_takes_fewer_than_fifteen_lines_and_keeps_the_contract(tmp_path: Path) -> None:
    code = snippet("@scorer(")
    assert len([line for line in code.splitlines() if line.strip()]) < 15
    file = tmp_path / "top_two.py"
    file.write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "ood_bench", "check-scorer", str(file)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the contract holds" in done.stdout


def test_tensors_to_a_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(3, 8)).astype(np.float32), np.zeros(3, np.float32)

    def rows(n: int, scale: float) -> dict[str, np.ndarray]:
        labels = rng.integers(0, 3, n)
        features = (weight[labels] * scale + rng.normal(size=(n, 8))).astype(np.float32)
        return {"features": features, "logits": features @ weight.T + bias, "labels": labels}

    names = {"fit": rows(200, 2.0), "test": rows(50, 2.0), "svhn": rows(50, 0.1), "W": weight, "b": bias}
    code = snippet("ood_bench.evaluate(")
    *body, last = code.strip().splitlines()
    exec("\n".join(body), names)  # the README's own code
    frame = eval(last, names)
    assert list(frame.columns) == ["scorer", "set", "auroc", "fpr95_id_positive"]
    assert len(frame) == 6  # three scorers, one set and its mean
    assert frame["auroc"].between(0.5, 1.0).all()


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    assert "<!-- test command -->\n```bash\npip install -e '.[test]' && pytest\n```" in README
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["vim", "knn", "ash-s", "energy", "msp"])
def test_scorers_named_in_the_readme_exist(name: str) -> None:
    load_all()
    assert SCORERS.get(name).name == name


def test_plugin_of_the_readme_loads_by_path(tmp_path: Path) -> None:
    file = tmp_path / "named.py"
    file.write_text(snippet("@scorer(").replace("top-two", "readme-top-two"))
    (entry,) = load_plugin(file)
    assert (entry.name, entry.origin) == ("readme-top-two", "plugin")
