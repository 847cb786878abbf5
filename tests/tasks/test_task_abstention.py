"""Abstention: the metric's own cases, banks with and without the option, and real language-model files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import CPU

from ood_bench import api
from ood_bench.bank.memory import MemoryBank
from ood_bench.engine import Learning
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.importing.option_suite import import_options
from ood_bench.importing.options import Reading, read_options
from ood_bench.material import Material
from ood_bench.metrics.abstention import dcs, dcs_official, guessing_threshold, ternary
from ood_bench.store.store import Store
from ood_bench.stream import Stream
from ood_bench.suites import SetSpec, Suite
from ood_bench.tasks.abstaining import Loadings
from ood_bench.tasks.answers import Answers
from ood_bench.tasks.asking import ask_all


def one(*values: float) -> list[np.ndarray]:
    return [np.array([value]) for value in values]


def test_the_case_of_the_authors_own_test() -> None:
    """Options .15 .05 .40 .01, abstain .39, the third right: their code prints .19, the paper's formula gives .116."""
    p = one(0.40, 0.21, 0.39)
    assert dcs_official(*p)[0] == pytest.approx(0.19)
    assert dcs(*p)[0] == pytest.approx(0.19 * 0.61)


def test_plain_loadings_are_a_difference_of_squares() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1], 100)
    np.testing.assert_allclose(dcs(p[:, 0], p[:, 1], p[:, 2]), p[:, 0] ** 2 - p[:, 1] ** 2, atol=1e-12)


def test_guessing_pays_above_the_threshold_alone() -> None:
    for correct, wrong in ((1.0, 1.0), (2.0, 0.5), (1.0, 0.0)):
        t = guessing_threshold(correct, wrong)
        assert t * correct - (1 - t) * wrong == pytest.approx(0)
    right, answered = np.array([True, False, False]), np.array([True, True, False])
    assert ternary(right, answered, loading_correct=2, loading_wrong=0.5).tolist() == [2.0, -0.5, 0.0]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sum to 1, got 1.5 at row 0"):
        dcs(*one(0.5, 0.5, 0.5))
    with pytest.raises(RequestError, match="--loadings: expected loading_correct >= loading_wrong"):
        Loadings(1.0, 2.0)


def judge(p: np.ndarray, labels: list[int], abstain: int | None, folder: Path, loadings: Loadings) -> dict[str, object]:
    bank = MemoryBank.of("q", logits=np.log(p), labels=np.array(labels), abstain_index=abstain)
    suite = Suite("toy", folder, "home", test="q", sets={"q": SetSpec("q")})
    store = Store(Home(folder))
    material = Material(suite, "memory", None, Learning(None, None, None), {"q": bank})
    given = ask_all([loadings], {"q": bank}, material, store, Stream(CPU, 1 << 30))["abstention"]
    assert not given.unanswered
    answer = Answers(store.home).get(given.answers[0])
    assert answer is not None
    return {**answer.values, "note": (answer.learned or {}).get("note")}


def test_a_bank_by_hand(tmp_path: Path) -> None:
    p = np.array([[0.6, 0.1, 0.3], [0.2, 0.5, 0.3], [0.2, 0.1, 0.7], [0.3, 0.3, 0.4]])
    values = judge(p, [0, 0, 1, 2], 2, tmp_path, Loadings())
    expected = [(0.6 - 0.1) * 0.7, (0.2 - 0.5) * 0.7, (0.1 - 0.2) * 0.3, -0.6 * 0.6]  # the last has no right answer
    assert values["dcs"] == pytest.approx(np.mean(expected))
    assert values["dcs_official"] == pytest.approx(np.mean([0.5, -0.3, -0.1, -0.6]))
    assert (values["accuracy"], values["coverage"]) == (0.5, 0.5)  # the last abstains, and that is its label
    assert values["ternary"] == pytest.approx((1 - 1) / 4)
    assert values["accuracy_answered"] == 0.5
    assert values["cwa"] == pytest.approx((0.6 + 0.4) / 4)
    assert values["threshold"] == 0.5
    assert values["coverage_at_threshold"] == 0.75  # beliefs 6/7, 5/7, 2/3, 1/2
    assert values["ternary_at_threshold"] == pytest.approx((1 - 1 - 1) / 4)
    assert values["note"] is None


def test_without_the_option_it_is_said(tmp_path: Path) -> None:
    values = judge(np.array([[0.9, 0.1], [0.4, 0.6]]), [0, 0], None, tmp_path, Loadings(2.0, 1.0))
    assert values["dcs"] == values["dcs_official"] == pytest.approx(((1.8 - 0.1) + (0.8 - 0.6)) / 2)
    assert values["note"] == "the bank has no abstain option: p_idk = 0, every question is answered"


ACCURACY = {"llama2_7b": "73.8", "llama2_13b": "76.2", "mistral_7b": "78.1"}


@pytest.mark.parametrize("model", ACCURACY)
def test_winogrande(shared: Path, home: Path, model: str) -> None:
    """SOURCES.md's accuracies, and every logit scorer's AUROC between real and word-shuffled questions."""
    folder = shared / "data" / "llm-winogrande"
    roles = {"test": [f"real={folder / model}.npz"], "near": [f"shuffled={folder / model}_shuffled.npz"]}
    import_options(Home(home), model=model, suite="winogrande", roles=roles, reading=Reading())
    results = api.run("winogrande", model, tasks=("ood", "selective"), home=home, device="cpu")
    rows = {row.scorer: row for row in results.rows if row.set == "shuffled" and row.status == "ok"}
    assert f"{100 * (rows['msp'].id_accuracy or 0):.1f}" == ACCURACY[model]
    assert set(rows) >= {"msp", "maxlogit", "energy", "entropy", "logitgap", "margin", "doctor-alpha", "mcm"}
    # The order within two options says nothing of the shuffling; the level of the log-likelihoods says much.
    assert 0.85 < (rows["maxlogit"].auroc or 0) < 0.90
    assert 0.48 < (rows["msp"].auroc or 0) < 0.58
    assert not results.failed
    wrong = {row.spec: row for row in results.tasks["selective"].rows if row.status == "ok"}
    assert float(wrong["msp"].values["failure_auroc"] or 0) > 0.65
    reasons = {one.scorer: one.reason for one in results.skipped}
    assert "needs the ID fit set" in reasons["mano"]  # a branch is chosen on the fit set; the run goes on without


def test_mmlu_subjects_and_prompts(shared: Path) -> None:
    path = shared / "data" / "llm-mmlu" / "llm_probs_gpt.npz"
    whole = read_options(path, Reading())
    assert whole.logits.shape == (2886, 4)
    assert (whole.logits.argmax(1) == whole.labels).mean() == pytest.approx(0.4054, abs=1e-4)
    biology = read_options(path, Reading(prompt=9), "high_school_biology")
    assert biology.ids[0] == "high_school_biology/0"
    with np.load(path) as file:
        np.testing.assert_allclose(np.exp(biology.logits), file["high_school_biology_scores"][9])
    with pytest.raises(RequestError, match=r"no subject of llm_probs_gpt.npz is named 'biology'"):
        read_options(path, Reading(), "biology")
    with pytest.raises(RequestError, match=r"has 10 prompts of .* got --prompt 10"):
        read_options(path, Reading(prompt=10))


@pytest.mark.parametrize(("column", "accuracy", "abstains"), [("race", 0.751, 0.328), ("qonly", 0.373, 0.485)])
def test_hard_predictions_with_an_unknown_option(shared: Path, column: str, accuracy: float, abstains: float) -> None:
    """SOURCES.md counts the unmatched as wrong, here they are left out and counted."""
    found = read_options(shared / "data" / "llm-bbq-unknown" / "preds.csv.gz", Reading(column=f"pred_{column}"))
    predicted = found.logits.argmax(1)
    out = sum(found.left_out.values())
    total = len(predicted) + out
    assert total == 11_956
    assert 0 < out < 20
    assert (predicted == found.labels).sum() / total == pytest.approx(accuracy, abs=5e-4)
    assert found.abstain_index == 2
    assert (predicted == 2).sum() / total == pytest.approx(abstains, abs=5e-4)


# -- lm-evaluation-harness ----------------------------------------------------------------------------------------------


def sample(doc: int, options: list[tuple[str, float]], target: object, *, new: bool = False) -> str:
    arguments: object = [["Q", text] for text, _ in options]
    if new:
        arguments = {f"gen_args_{i}": {"arg_0": "Q", "arg_1": text} for i, (text, _) in enumerate(options)}
    resps = [[[str(value), "False"]] for _, value in options] if new else [[[value, False]] for _, value in options]
    return json.dumps({"doc_id": doc, "target": target, "arguments": arguments, "resps": resps})


def write(folder: Path, *lines: str) -> Path:
    path = folder / "samples_task.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


A = [(" yes", -2.0), (" I do not know.", -3.0), (" perhaps", -8.0)]
B = [(" I do not know.", -1.0), (" no", -4.0), (" yes", -6.0)]


def test_samples_in_both_notations(tmp_path: Path) -> None:
    path = write(tmp_path, sample(7, A, 0), sample(8, B, "yes", new=True))
    plain = read_options(path, Reading())
    assert plain.logits.tolist() == [[-2, -3, -8], [-1, -4, -6]]
    assert (plain.labels.tolist(), plain.ids, plain.abstain_index) == ([0, 2], ("7", "8"), None)
    moved = read_options(path, Reading(abstain="i do not know"))
    assert moved.logits.tolist() == [[-2, -8, -3], [-4, -6, -1]]
    assert (moved.labels.tolist(), moved.abstain_index) == ([0, 1], 2)


def test_length_normalised_by_characters(tmp_path: Path) -> None:
    found = read_options(write(tmp_path, sample(0, A, 0)), Reading(normalise="characters"))
    np.testing.assert_allclose(found.logits, [[-2 / 4, -3 / 15, -8 / 8]])


def test_questions_of_unequal_size(tmp_path: Path) -> None:
    path = write(tmp_path, sample(0, A, 0), sample(1, A[:2], 0))
    with pytest.raises(RequestError, match="equally many options, got 1 with 2, 1 with 3; choose with --options K"):
        read_options(path, Reading())
    found = read_options(path, Reading(options=3))
    assert found.left_out == {"not 3 options": 1}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", "line 1 of .* should be a multiple-choice sample .* KeyError"),
        ("nonsense", "line 1 of .* JSONDecodeError"),
        (sample(0, A, 5), "target 5 names none of 3 options"),
        (sample(0, [(" a", float("-inf")), (" b", -1.0)], 0), "should be finite, got"),
    ],
)
def test_what_is_no_sample_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        read_options(write(tmp_path, line), Reading())


def test_an_abstain_option_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"question 0 of .* should have one option 'no idea'"):
        read_options(write(tmp_path, sample(0, A, 0)), Reading(abstain="no idea"))


def test_a_suite_with_the_option_answers_abstention_unasked(tmp_path: Path, home: Path) -> None:
    path = write(tmp_path, *(sample(i, A if i % 3 else B, 0 if i % 3 else "no") for i in range(12)))
    roles = {"test": [f"questions={path}"]}
    import_options(Home(home), model="lm", suite="mine", roles=roles, reading=Reading(abstain="I do not know"))
    results = api.run("mine", "lm", "msp", home=home, device="cpu", loadings=((1, 1), (1, 0.5)))
    assert set(results.tasks) == {"selective", "calibration", "abstention"}
    rows = results.tasks["abstention"].rows
    assert [row.spec for row in rows] == ["loadings:correct=1,wrong=1", "loadings:correct=1,wrong=0.5"]
    assert rows[0].values["coverage"] == pytest.approx(8 / 12)
    assert "Abstention" in repr(results)
    with pytest.raises(RequestError, match=r"a set is written|should be at .* but there is none"):
        import_options(Home(home), model="lm", suite="x", roles={"test": ["a=b.npz"]}, reading=Reading())
