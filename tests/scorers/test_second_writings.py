"""Every registered scorer has a second, naive writing of its paper's equations in a test that asks the engine for it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ood_bench.registry import SCORERS, load_all

HERE = Path(__file__).parent

# Registered name -> the module of this folder (without test_) and the test that compares it with its second writing.
SECOND_WRITINGS = {
    "ash-b": "ash:test_against_row_by_row",
    "ash-p": "ash:test_against_row_by_row",
    "ash-s": "ash:test_against_row_by_row",
    "cadref": "cadref:test_cadref_against_row_by_row",
    "caref": "cadref:test_caref_against_row_by_row",
    "cop": "kernel_pca:test_cop_second_writing",
    "corp": "kernel_pca:test_corp_second_writing",
    "dcs": "dcs:test_without_an_abstain_option",
    "dice": "dice:test_energy_of_the_sparse_head",
    "dml": "dml:test_against_row_by_row",
    "doctor-alpha": "doctor:test_second_writing",
    "doctor-beta": "doctor:test_second_writing",
    "energy": "simple_logits:test_energy",
    "energy-topn": "energy_topn:test_second_writing",
    "ensemble-variance": "ensemble:test_second_writing",
    "entropy": "entropy:test_second_writing",
    "expected-entropy": "ensemble:test_second_writing",
    "fdbd": "fdbd:test_against_row_by_row",
    "gen": "gen:test_second_writing",
    "gl-mcm": "gl_mcm:test_second_writing",
    "gmm": "gmm:test_second_writing",
    "gradnorm": "gradnorm:test_is_the_norm_of_the_gradient_by_autograd",
    "klm": "klm:test_second_writing",
    "knn": "knn:test_second_writing",
    "logitgap": "logitgap:test_second_writing",
    "logitgap-adaptive": "logitgap:test_second_writing",
    "logitgap-exp": "logitgap_variants:test_second_writing",
    "logitgap-sqrt": "logitgap_variants:test_second_writing",
    "logitgap-square": "logitgap_variants:test_second_writing",
    "logitnorm-sc": "maxlogit_pnorm:test_second_writing",
    "lts": "lts:test_against_row_by_row",
    "mano": "mano:test_second_writing_per_sample",
    "margin": "margin:test_second_writing",
    "maxcosine": "cosine:test_second_writing",
    "maxlogit": "simple_logits:test_maxlogit",
    "maxlogit-pnorm": "maxlogit_pnorm:test_second_writing",
    "mcm": "mcm:test_second_writing_on_cosines",
    "mds": "mahalanobis:test_second_writing",
    "mds-pp": "mahalanobis:test_second_writing",
    "mowst-entropy": "mowst:test_second_writing",
    "mowst-variance": "mowst:test_second_writing",
    "msp": "simple_logits:test_msp_is_the_log_of_the_largest_softmax_probability",
    "mutual-information": "ensemble:test_second_writing",
    "nci": "nci:test_against_row_by_row",
    "nearest-class-mean": "nearest_class_mean:test_second_writing",
    "neco": "neco:test_second_writing",
    "neglabel": "neglabel:test_second_writing",
    "nnguide": "nnguide:test_second_writing",
    "odin-t": "odin_t:test_second_writing",
    "openmax": "openmax:test_second_writing",
    "react": "react:test_clips_at_one_quantile_of_all_entries",
    "rel-u": "rel_u:test_second_writing",
    "relation": "relation:test_second_writing",
    "residual": "vim:test_second_writing",
    "rmds": "mahalanobis:test_second_writing",
    "rmds-pp": "mahalanobis:test_second_writing",
    "scale": "scale:test_against_row_by_row",
    "she": "she:test_second_writing",
    "ssd": "ssd:test_one_cluster_second_writing",
    "tempscale": "tempscale:test_score_is_the_log_of_the_largest_probability_at_that_temperature",
    "topnsigma": "topnsigma:test_second_writing",
    "topnsigma-count": "topnsigma:test_second_writing",
    "vim": "vim:test_second_writing",
    "vra": "vra:test_quantiles_by_dimension",
    "wdiscood": "wdiscood:test_second_writing",
    "weiper": "weiper:test_against_row_by_row",
}

load_all()
OURS = [name for name, entry in SCORERS.entries.items() if entry.origin == "ours"]


def test_every_scorer_has_one() -> None:
    assert set(OURS) - set(SECOND_WRITINGS) == set(), "write one, and name it here"
    assert set(SECOND_WRITINGS) - set(OURS) == set()


@pytest.mark.parametrize("name", sorted(SECOND_WRITINGS))
def test_it_is_there_and_exact(name: str) -> None:
    """The test exists in a module that names the scorer and compares at 1e-9 (or that a comment explains otherwise)."""
    module, _, test = SECOND_WRITINGS[name].partition(":")
    text = (HERE / f"test_{module}.py").read_text()
    functions = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    assert test in functions
    literals = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    texts = [value for value in literals if isinstance(value, str)]
    stem, _, last = name.rpartition("-")
    assert any(name == text or text.startswith((f"{name}:", f"{name}+")) for text in texts) or (
        {f"{stem}-", last} <= set(texts)  # put together, as f"ash-{variant}"
    )
    assert any(isinstance(value, float) and 0 < value <= 1e-9 for value in literals)
