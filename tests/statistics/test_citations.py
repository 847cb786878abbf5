"""BibTeX says what the references say, each paper once, and nothing that was guessed."""

from __future__ import annotations

from ood_bench.registry import SCORERS, load_all
from ood_bench.statistics.citations import bibtex


def test_an_entry_by_hand() -> None:
    assert bibtex({"scorer vim": ["Wang et al., CVPR 2022, arXiv:2203.10807"]}) == (
        "@misc{wang2022,\n"
        "  author = {Wang and others},\n"
        "  howpublished = {CVPR 2022},\n"
        "  year = {2022},\n"
        "  eprint = {2203.10807},\n"
        "  archiveprefix = {arXiv},\n"
        "  note = {For scorer vim}\n"
        "}\n"
    )


def test_one_paper_of_several_scorers_stands_once_and_keys_are_distinct() -> None:
    text = bibtex(
        {
            "scorer a": ["Liu & Qin, ICML 2024, arXiv:2312.11536; the authors' code"],
            "scorer b": ["Liu & Qin, ICML 2024 (fDBD), arXiv:2312.11536"],
            "scorer c": ["Liu et al., NeurIPS 2024, arXiv:2401.00001"],
        }
    )
    assert text.count("@misc{") == 2
    assert "@misc{liu2024,\n  author = {Liu and Qin}" in text
    assert "@misc{liu2024b,\n  author = {Liu and others}" in text
    assert "note = {For scorer a, scorer b}" in text


def test_names_addresses_and_what_is_no_paper() -> None:
    text = bibtex(
        {
            "scorer r": ["Ben Ammar et al., ICLR 2024, arXiv:2310.06823"],
            "scorer z": ["Zhang et al., ICLR 2023, openreview KkazG4lgKL"],
            "scorer m": ["Lee et al., NeurIPS 2018; full covariances: Mueller & Hein, ICML 2025, arXiv:2505.18032"],
            "scorer f_1": ["Mensink et al., TPAMI 2013"],
            "suite digits": ["none: made for this program"],
            "scorer mine": [],
        }
    )
    assert "author = {{Ben Ammar} and others}" in text
    assert "url = {https://openreview.net/forum?id=KkazG4lgKL}" in text
    assert "author = {Mueller and Hein}" in text
    assert r"For scorer f\_1" in text
    assert "% suite digits: none: made for this program" in text
    assert "% scorer mine: no paper is known" in text


def test_every_method_that_names_a_year_or_an_arxiv_number_has_an_entry() -> None:
    load_all()
    for name in SCORERS.names():
        paper = SCORERS.entries[name].paper
        text = bibtex({f"scorer {name}": [paper]})
        if "arXiv:" in paper:
            assert "eprint = {" in text, paper
            assert text.count("{") == text.count("}")
