"""From a pilot to a plan: the function, the command, the sentences."""

import re
import sys
from dataclasses import replace
from typing import get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest
from label_modes import label_modes
from pilots import simulated_pilot
from typer.testing import CliRunner

import dilution
from dilution import Execution, Plan
from dilution.advice import gradient_sums
from dilution.advice.advise import _MIN_N
from dilution.cli import app, labels
from dilution.errors import InputError, StoreError
from dilution.planning import LabelKind, pilot
from dilution.planning.accuracy_law import fit_accuracy_law
from dilution.planning.page import draw
from dilution.planning.pilot import MIN_EXAMPLES
from dilution.planning.plan import check_learned
from dilution.planning.queries import labels_needed

INLINE = Execution(workers=0, progress=False)
NOISY, CLEAN = LabelKind(4.0, 1.0), LabelKind(0.0, 10.0)


@pytest.fixture(scope="module")
def law():
    return fit_accuracy_law(*simulated_pilot(), n_test=10_000)


@pytest.fixture
def make_plan(law):
    runs = pd.DataFrame({"alpha": [0.0, 5.0], "n_test": 1000, "majority_share": 0.1})

    def make(target=0.8, n_existing=0.0, same=NOISY, better=CLEAN):
        return Plan("mine", target, n_existing, same, better, runs, law)

    return make


def test_a_plan_without_an_answer_says_so_first_and_gives_the_reason_once(make_plan):
    plan = make_plan(target=0.9999)
    assert plan.answer.startswith("No plan for 99.99 % test accuracy on mine. ")
    assert "would settle it" in plan.answer
    refused = [sentence for sentence in plan.details if sentence.startswith("No estimate")]
    assert any(sentence.endswith("for the same reason.") for sentence in refused)


def test_the_answer_leads_with_the_number_of_labels_and_has_the_cost(make_plan):
    same = LabelKind(0.5, 1.0, eta=0.3)
    plan = make_plan(same=same, better=LabelKind(0.0, 1000.0))
    count = plan.purchase.n_labels[0]
    rounded = f"{float(f'{count:.2g}'):,.0f}"
    assert plan.answer == (
        f"Buy {rounded} labels of noise rate 0.3 for 80 % test accuracy on mine (cost: {rounded})."
    )
    assert repr(plan) == f"Plan for mine: {plan.answer}"
    assert plan._repr_html_().count("<tr") == 1 + len(plan.label_values)


def test_labels_that_may_not_be_enough_are_not_said_to_be_enough(make_plan, law):
    clean = LabelKind(0.0, 1.0)
    needed = labels_needed(law, 0.8, 0.0)
    for count, words in (
        (1.01 * needed.value, "existing clean labels are probably, but not certainly, enough for 80 %"),
        (2 * needed.high, "existing clean labels are enough for 80 %"),
    ):
        answer = make_plan(n_existing=count, same=clean, better=clean).answer
        assert answer.startswith("Buy no labels: ")
        assert words in answer


def test_details_lead_with_numbers_and_say_what_their_intervals_leave_out(make_plan):
    accuracy, same, better, value, measurement = make_plan(n_existing=1000).details
    assert "% is the test accuracy to expect" in accuracy.replace("] is", "% is")
    assert same.endswith("labels of noise level α = 4 alone give 80 % test accuracy.")
    assert better.endswith("clean labels alone give 80 % test accuracy.")
    assert value.startswith("One label of noise level α = 4 is worth 0.0")
    assert measurement.endswith("points at 80 %, is not included in the intervals.")
    assert len(make_plan().details) == 4  # no existing labels, no accuracy to expect of them


@pytest.mark.trains
def test_failed_runs_abort_a_plan_with_their_error(tmp_path, module):
    name = module("""
        class Raises:
            def fit(self, x, y):
                raise ValueError("no way")

            def predict_proba(self, x):
                return x


        def make(shape, classes):
            return Raises()
    """)
    with pytest.raises(StoreError, match="no way"):
        dilution.plan(
            "digits",
            target=0.8,
            alpha=1,
            model=f"{name}:make",
            store=tmp_path / "s.sqlite",
            execution=INLINE,
        )


@pytest.mark.parametrize(
    ("n_test", "majority", "accuracy"), [(60, 0.083, 0.15), (1000, 0.8, 0.82), (10_000, 0.1, 0.09)]
)
def test_a_pilot_that_may_have_guessed_is_refused(n_test, majority, accuracy):
    runs = pd.DataFrame({"n": [50, 50, 100, 100], "alpha": 0.0, "n_test": n_test, "majority_share": majority})
    guessed = runs.assign(test_acc_at_best_clean_val=[0.05, 0.06, accuracy - 0.01, accuracy + 0.01])
    with pytest.raises(
        InputError, match=rf"best test accuracy is {100 * accuracy:.1f} % .*not significantly"
    ):
        check_learned(guessed)
    check_learned(runs.assign(test_acc_at_best_clean_val=[0.05, 0.06, majority + 0.1, majority + 0.12]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": 1.2, "alpha": 1}, r"^target is 1\.2; it must be an accuracy between 0 and 1"),
        ({"target": 0.9}, "^neither of alpha and eta given; give one: "),
        ({"target": 0.9, "alpha": 1, "eta": 0.2}, "^both of alpha and eta given; give one: "),
        ({"target": 0.9, "eta": 0.95}, r"^eta is 0\.95; .* must lie in \[0, 0\.9\)"),
        ({"target": 0.9, "alpha": -1}, "^alpha is -1; it must be ≥ 0"),
        ({"target": 0.9, "alpha": 1, "better_alpha": -1}, "better_alpha is -1"),
        ({"target": 0.9, "alpha": 1, "have": -5}, "have is -5"),
        ({"target": 0.9, "alpha": 1, "price": float("nan")}, "price is nan"),
        ({"target": 0.05, "alpha": 1}, "majority class alone"),
        ({"target": 0.9, "alpha": 1, "pilot_n": 100}, "a pilot needs at least 240"),
    ],
)
def test_wrong_questions_are_refused_before_a_store_is_made(settings, message, tmp_path):
    with pytest.raises(InputError, match=message):
        dilution.plan("digits", store=tmp_path / "plan.sqlite", **settings)
    assert not (tmp_path / "plan.sqlite").exists()


@pytest.mark.parametrize(
    "call", [lambda data, **settings: dilution.plan(data, target=0.9, **settings), dilution.advise]
)
def test_a_class_with_one_example_is_refused(tmp_path, call):
    random = np.random.default_rng(0)
    labels = np.r_[np.arange(600) % 2, 2]
    np.savez(tmp_path / "single.npz", features=random.normal(size=(601, 3)), labels=labels)
    with pytest.raises(InputError, match="has 1 example"):
        call(str(tmp_path / "single.npz"), alpha=1, store=tmp_path / "s.sqlite", execution=INLINE)


def group_table(path, n_groups, n_different=None):
    """Write a table of 600 rows, of which a column names groups; the features of few rows differ."""
    random = np.random.default_rng(0)
    row = np.arange(600)
    size = random.normal(size=600) if n_different is None else row % n_different
    label = np.where(size + random.normal(size=600) / 4 > 0.5 * (n_different or 0), "a", "b")
    frame = pd.DataFrame(
        {"size": size, "patient": [f"p{number}" for number in row % n_groups], "label": label}
    )
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    "call", [lambda data, **settings: dilution.plan(data, target=0.9, **settings), dilution.advise]
)
def test_groups_too_few_for_training_validation_and_test_are_refused_before_a_store_is_made(tmp_path, call):
    path, store = group_table(tmp_path / "t.csv", 2), tmp_path / "s.sqlite"
    with pytest.raises(InputError, match=r"300 training examples are 1 group .*must be at least 3 in all"):
        call(path, alpha=1, group="patient", store=store, execution=INLINE)
    (tmp_path / "groups.csv").write_text("id,patient\nrow 2,a\n")
    with pytest.raises(InputError, match="to a table as a column, whose name you then give as the group"):
        call(path, alpha=1, group=str(tmp_path / "groups.csv"), store=store, execution=INLINE)
    assert not store.exists()


@pytest.mark.trains
@pytest.mark.parametrize(("n_groups", "n_different", "group"), [(3, None, "patient"), (30, 12, "patient")])
def test_plan_and_advice_keep_groups_and_copies_together(tmp_path, monkeypatch, n_groups, n_different, group):
    sides = []
    split_off = dilution.Dilution.hold_out

    def hold_out(noisy, count):
        parts = split_off(noisy, count)
        groups = noisy.data.split_groups
        sides.append([set(groups[part.clean_rows].tolist()) for part in parts])
        return parts

    monkeypatch.setattr(dilution.Dilution, "hold_out", hold_out)
    monkeypatch.setattr(pilot, "_MIN_STEPS", 100)  # the split is looked at, not what is learned
    monkeypatch.setattr(gradient_sums, "BATCHES", 2 * gradient_sums.BLOCKS)
    path = group_table(tmp_path / "t.csv", n_groups, n_different)
    data = str(path) if group else f"{path}#drop=patient"
    settings = {"group": group, "alpha": 1, "model": "mlp1", "execution": INLINE}
    plan = dilution.plan(data, target=0.8, max_runs=20, store=tmp_path / "p.sqlite", **settings)
    advice = dilution.advise(data, epochs=2, store=tmp_path / "a.sqlite", **settings)
    assert len(plan.runs) >= 20
    assert "mlp1" in repr(advice)
    assert len(sides) > 20
    assert all(training and validation and not training & validation for training, validation in sides)


@pytest.mark.parametrize(
    ("command", "option", "least"), [("plan", "pilot_n", MIN_EXAMPLES), ("advise", "n", _MIN_N)]
)
def test_the_smallest_number_that_an_option_takes_is_that_of_the_run(command, option, least):
    function = {"plan": labels.plan, "advise": labels.advise}[command]
    _, settings = get_args(get_type_hints(function, include_extras=True)[option])
    assert settings.min == least


@pytest.mark.trains
@pytest.mark.usefixtures("svg_alone")
def test_the_command_answers_and_writes_a_page(tmp_path):
    words = (
        "plan digits --target 0.8 --alpha 3 --better-price 20 --model perceptron --pilot-n 400 --max-runs 20"
    )
    words = [*words.split(), "--workers", "0", "--out", str(tmp_path / "out")]
    words += ["--store", str(tmp_path / "plan.sqlite")]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "1/(1 + α)²" in result.output
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert page.index("80 %") < page.index("<svg") < page.index("<h3>Method</h3>")
    assert len(pd.read_csv(tmp_path / "out" / "pilot.csv")) >= 20
    assert (tmp_path / "out" / "label_values.csv").stat().st_size > 0


@pytest.mark.parametrize("n_existing", [1000.0, 5000.0, 20_000.0])
@pytest.mark.parametrize("eta", [None, 0.3])
def test_numbers_of_one_answer_agree(make_plan, n_existing, eta):
    same = LabelKind(0.5, 1.0, eta=eta)
    needed = make_plan(same=same).n_same.value
    plan = make_plan(n_existing=min(n_existing, 0.9 * needed), same=same, better=LabelKind(0.0, 1000.0))
    bought, better = plan.purchase.n_labels
    assert better == 0
    assert plan.n_existing + bought == pytest.approx(plan.n_same.value, abs=1)
    sentence = next(sentence for sentence in plan.details if "are missing" in sentence)
    total, existing, missing = (
        int(re.search(pattern, sentence)[1].replace(",", ""))
        for pattern in (r"^([\d,]+) \[", r"([\d,]+) of them exist", r"and ([\d,]+) are missing")
    )
    assert abs(total - existing - missing) <= 1


def test_what_is_asked_as_a_noise_rate_is_answered_as_one(make_plan):
    far = make_plan(same=LabelKind(200.0, 1.0, eta=0.895))
    near = make_plan(n_existing=100.0, same=LabelKind(0.5, 1.0, eta=0.3))
    sentences = [far.answer, *far.details, near.answer, *near.details]
    assert any("The noise rate 0.895 (α = 200) is more than" in sentence for sentence in sentences)
    assert not any("noise level α" in sentence for sentence in sentences)


def test_an_assumed_label_mode_is_said(make_plan):
    plan = make_plan()
    assert plan.to_dict()["label_mode"] == "added"
    assert not any("label mode" in sentence for sentence in plan.details)
    own = replace(plan, label_mode="replaced", is_mode_assumed=True)
    assert any("is taken to have one label" in sentence for sentence in own.details)
    assert any(
        "label mode 'replaced'" in sentence for sentence in replace(plan, is_mode_assumed=True).details
    )


def own_file(folder):
    """Write features and labels of the user to a file, and return its path."""
    labels = np.arange(400) % 2
    np.savez(folder / "own.npz", features=np.random.default_rng(0).normal(size=(400, 2)), labels=labels)
    return folder / "own.npz"


@label_modes
def test_the_label_mode_of_a_plan_is_that_of_the_data_unless_it_is_given(
    tmp_path, monkeypatch, law, is_own, asked, mode
):
    scopes = []

    def train_pilot(scope, *_):
        scopes.append(scope)
        runs = {"n": 400, "alpha": [0.0, 1.0], "n_test": 1000, "majority_share": 0.1}
        return pd.DataFrame(runs).assign(test_acc_at_best_clean_val=0.9), law, []

    monkeypatch.setattr(sys.modules["dilution.planning.plan"], "_train_pilot", train_pilot)
    settings = {"target": 0.8, "eta": 0.2, "label_mode": asked, "store": tmp_path / "s.sqlite"}
    plan = dilution.plan(own_file(tmp_path) if is_own else "digits", **settings, execution=INLINE)
    assert [scope.label_mode for scope in scopes] == [mode]
    assert plan.to_dict()["label_mode"] == mode
    mode_sentences = [sentence for sentence in plan.details if "the label mode" in sentence]
    assert len(mode_sentences) == (asked is None)


def test_a_number_that_the_answer_rounds_is_explained(make_plan):
    plan = make_plan(target=0.8)
    exact = max(plan.purchase.n_labels)
    sentences = [sentence for sentence in plan.details if "to two digits" in sentence]
    assert len(sentences) == 1
    assert sentences[0].startswith(f"{exact:,.0f} [")
    rounded = re.search(r"to two digits, ([\d,]+)\.$", sentences[0])[1]
    assert f"Buy {rounded} " in plan.answer


def test_a_legend_covers_no_data(make_plan):
    plan = make_plan()
    runs = pd.DataFrame(
        {
            "alpha": [0.0, 2.0, 5.0, 10.0], "n": 400, "n_val": 40, "seed": 0, "label_mode": "replaced",
            "test_acc_at_best_clean_val": 0.9, "n_test": 1000, "majority_share": 0.1,
        }
    )  # fmt: skip
    figure = draw(replace(plan, runs=runs))
    figure.draw_without_rendering()
    (axis,) = figure.axes
    panel, box = axis.get_window_extent(), axis.get_legend().get_window_extent()
    label = axis.xaxis.label.get_window_extent()
    assert box.y1 <= label.y0 < panel.y0
    assert figure.bbox.y0 <= box.y0
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1
