"""Tables in LaTeX: numbers, rules, and names that LaTeX prints as they are."""

import re
import string

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dilution
from dilution.errors import InputError
from dilution.report.figure_style import FigureStyle, using_style
from dilution.report.latex import _ESCAPES, escape

ROWS = [
    {
        **{"loss": loss, "noise": noise, "seed": seed, "state": "done", "n_test": 1000},
        "test_acc_at_best_clean_val": 0.5 + gain + 0.01 * seed,
    }
    for loss, gain in (("cross_entropy", 0.0), ("gce", 0.1))
    for noise in ("symmetric(rate=0.4)", "50% & more_noise")
    for seed in range(3)
]
RUNS = pd.DataFrame(ROWS)


def body(text):
    """Return the cells of the lines between the rules."""
    lines = text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    return [[cell.strip() for cell in line.removesuffix("\\\\").split(" & ")] for line in lines]


def test_a_table_has_the_rules_of_booktabs_and_one_row_per_loss():
    text = dilution.latex_table(RUNS)
    for rule in ("\\toprule", "\\midrule", "\\bottomrule", "\\begin{tabular}{lcc}"):
        assert rule in text
    assert "loss & symmetric(rate=0.4) & 50\\% \\& more\\_noise \\\\" in text
    assert body(text) == [
        ["cross\\_entropy", "$51.0 \\pm 2.5$", "$51.0 \\pm 2.5$"],
        ["gce", "$61.0 \\pm 2.5$", "$61.0 \\pm 2.5$"],
    ]
    assert "seeds per cell: 3" in text.splitlines()[1]


def test_an_interval_is_shown_as_asked():
    assert body(dilution.latex_table(RUNS, interval="bounds"))[0][1] == "$51.0$ $[48.5, 53.5]$"
    assert body(dilution.latex_table(RUNS, interval="none", decimals=2))[0][1] == "$51.00$"
    assert body(dilution.latex_table(RUNS[RUNS["seed"] == 0]))[0][1] == "$50.0$"  # one seed: no interval


def test_settings_can_be_exchanged_and_a_missing_cell_is_a_dash():
    text = dilution.latex_table(RUNS[:-3], rows="noise", columns="loss")
    assert body(text)[1] == ["50\\% \\& more\\_noise", "$51.0 \\pm 2.5$", "--"]
    assert "noise & cross\\_entropy & gce" in text


def test_numbers_have_the_name_of_their_setting_and_ascend():
    table = pd.concat([RUNS[:3].assign(alpha=alpha, noise="uniform") for alpha in (20.0, 5.0)])
    assert "loss & alpha 5 & alpha 20 \\\\" in dilution.latex_table(table, rows="loss")


def test_labels_stand_for_names_and_their_formulas_stay():
    labels = {"gce": "[GCE] & co", "symmetric(rate=0.4)": "$\\eta = 0.4$ of 50 %", "loss": "Loss"}
    text = dilution.latex_table(RUNS, labels=labels)
    assert "Loss & $\\eta = 0.4$ of 50 \\% & 50\\% \\& more\\_noise \\\\" in text
    assert body(text)[0][0] == "cross\\_entropy"
    assert "\n{}[GCE] \\& co & " in text
    with using_style(FigureStyle(labels={"gce": "GCE"})) as style:
        assert "\nGCE & " in dilution.latex_table(RUNS)
    assert style.notes == []


def test_a_caption_makes_a_float_and_diverged_runs_are_said():
    runs = RUNS.assign(state=["diverged"] + ["done"] * 11, majority_share=0.1)
    runs.loc[0, "test_acc_at_best_clean_val"] = None
    text = dilution.latex_table(runs, caption="Losses & noise", label="tab:a")
    assert "\\begin{table}" in text
    assert "\\caption{Losses \\& noise}" in text
    assert "\\label{tab:a}" in text
    assert "% 1 of 12 runs diverged and count as accuracy at chance" in text


def test_recorded_runs_are_rows_with_the_name_of_who_trained_them():
    recorded = RUNS[6:].assign(loss="mine", trained_by="my loop")
    text = dilution.latex_table(pd.concat([RUNS.assign(trained_by=""), recorded]))
    assert [row[0] for row in body(text)] == ["cross\\_entropy", "gce", "mine (my loop)"]
    assert len(body(text)[0]) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"columns": []}, r"runs differ in noise too.*Use columns=\['noise'\]"),
        ({"rows": "los"}, "'los' is not a setting of the table. Did you mean 'loss'"),
        ({"interval": "se"}, "'se' is not a kind of interval"),
        ({"decimals": -1}, "decimals is -1"),
        ({"rows": "loss", "columns": ["loss", "noise"]}, "each setting can be there once"),
        ({"columns": ["noise", "noise"]}, "each setting can be there once"),
        ({"measure": "loss"}, "'loss' is a column of texts; a mean needs numbers"),
        ({"measure": "test_acc"}, "'test_acc' is not a column of this table"),
    ],
)
def test_what_breaks_a_rule_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        dilution.latex_table(RUNS, **arguments)


def test_a_table_without_finished_runs_is_refused():
    with pytest.raises(InputError, match="no finished run"):
        dilution.latex_table(RUNS.assign(state="queued"))


PLAIN = set(string.ascii_letters + string.digits + " .,;:()=+-/!?'`@")


@given(st.text(st.characters(categories=("L", "N", "P", "S")), max_size=30))
def test_no_character_of_a_name_is_a_command(text):
    escaped = escape(text)
    back = escaped.removeprefix("{}") if text.startswith(("[", "*")) else escaped
    for character, command in sorted(_ESCAPES.items(), key=lambda item: -len(item[1])):
        back = back.replace(command, "") if character in text else back
    assert not set(back) & set("\\{}$&#%~^_")


@given(st.text(max_size=40))
def test_an_escaped_name_is_one_line_that_begins_no_argument(text):
    escaped = escape(text)
    assert len(escaped.splitlines()) <= 1
    assert not re.match(r"[\[*]", escaped)


def test_runs_that_differ_in_code_or_validation_have_columns_of_their_own():
    runs = RUNS[RUNS["noise"] == "symmetric(rate=0.4)"]
    for name, values, heads in (
        ("fingerprint", ["ab", "cd"], "loss & ab & cd"),
        ("n_val", [10, 20], "loss & n\\_val 10 & n\\_val 20"),
    ):
        text = dilution.latex_table(pd.concat([runs.assign(**{name: value}) for value in values]))
        assert heads in text
    both = pd.concat([runs.assign(n=100, n_val=10), runs.assign(n=200, n_val=20)])
    assert "loss & n 100 & n 200 \\\\" in dilution.latex_table(both)
