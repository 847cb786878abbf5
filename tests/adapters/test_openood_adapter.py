"""OpenOOD's own post-processors as scorers: against their goldens where it is there, and what is said where it is not."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from adapters.openood_cases import CASES, GOLDENS, SETS, fixed
from support import problem, score

from ood_bench import registry
from ood_bench.adapters import openood
from ood_bench.errors import RequestError
from ood_bench.specs import parse_spec

THERE = importlib.util.find_spec("openood") is not None

BASE = """
import openood.utils.comm as comm
from tqdm import tqdm

import torch


class BasePostprocessor:
    def __init__(self, config):
        self.config = config

    def setup(self, net, id_loader_dict, ood_loader_dict):
        print('noise')
        rows = [net(batch['data'].cuda()) for batch in tqdm(id_loader_dict.get('train', []))]
        self.mean = torch.cat(rows).mean() if rows else 0.0

    def postprocess(self, net, data):
        logits, features = net(data, return_feature=True)
        assert torch.cuda.is_available() or data.device.type == 'cpu'
        features.zero_()
        return logits.argmax(dim=1), torch.softmax(logits, dim=1).amax(dim=1)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of OpenOOD's shape, with a base class and a post-processor that needs what nobody has."""
    folder = tmp_path / "openood" / "postprocessors"
    folder.mkdir(parents=True)
    (tmp_path / "openood" / "__init__.py").write_text("")
    (folder / "__init__.py").write_text("raise ImportError('the whole package is not to be imported')\n")
    (folder / "base_postprocessor.py").write_text(BASE)
    (folder / "maxlogit_postprocessor.py").write_text("import nobody_has_this\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    kept = {
        name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in ("openood", openood.OURS)
    }
    registry._foreign.cache_clear()
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] in ("openood", openood.OURS)]:
        del sys.modules[name]
    sys.modules.update(kept)
    registry._foreign.cache_clear()


def test_a_module_is_run_without_the_package_around_it(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = problem()
    np.testing.assert_allclose(score("openood:msp", given), np.exp(score("msp", given)), rtol=1e-5)
    assert capsys.readouterr() == ("", "")
    assert not any(name.startswith("openood.") for name in sys.modules)
    assert parse_spec("openood:msp").version.startswith("1 (base_postprocessor.py ")


def test_what_a_post_processor_lacks_is_said(package: Path) -> None:
    with pytest.raises(AssertionError, match=r"postprocessors/maxlogit_postprocessor.py, which needs nobody_has_this"):
        score("openood:mls", problem())
    with pytest.raises(RequestError, match=r"expects .*knn_postprocessor.py, but this OpenOOD has no such file"):
        parse_spec("openood:knn")
    with pytest.raises(RequestError, match="no post-processor of OpenOOD that a cache can answer is named 'odin'"):
        parse_spec("openood:odin")


@pytest.mark.skipif(THERE, reason="OpenOOD is on the path")
def test_without_openood_it_says_how_to_get_it() -> None:
    registry._foreign.cache_clear()
    with pytest.raises(RequestError, match="openood:knn needs OpenOOD's source on the path; pip install git"):
        parse_spec("openood:knn")


@pytest.mark.skipif(not THERE, reason="needs OpenOOD's source on the path")
@pytest.mark.parametrize("name", CASES)
def test_their_code_gives_the_goldens(name: str) -> None:
    golden = json.loads(GOLDENS.read_text())["scores"][name]
    for part in SETS:
        try:
            found = score(name, fixed(), part)
        except AssertionError as error:
            if "which needs" in str(error):
                pytest.skip(str(error))
            raise
        # a float32 `eig` (vim, residual) differs from machine to machine
        np.testing.assert_allclose(found, golden[part], rtol=0, atol=1e-4 * np.abs(golden[part]).max())
