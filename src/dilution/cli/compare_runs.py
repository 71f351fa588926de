"""The command that compares two settings of a study: compare-runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dilution.cli.options import StoreOption
from dilution.utils.notes import printed_notes

if TYPE_CHECKING:
    import pandas as pd


def compare_runs(
    study: Annotated[str, typer.Argument(help="Study of the store (see status).")],
    a: Annotated[
        list[str], typer.Option("--a", help="Setting of the first side, such as loss=gce; may be repeated.")
    ],
    b: Annotated[
        list[str], typer.Option("--b", help="Setting of the second side, such as loss=cross_entropy.")
    ],
    store: StoreOption = Path("results.sqlite"),
    measure: Annotated[str, typer.Option(help="Measure that is compared.")] = "test_acc_last",
) -> None:
    """Compare two settings of a study, paired by seed.

    Prints the difference with its 95 % interval and p-value, and the values of each seed. In Python:
    dilution.compare. Deliveries of labels are compared by compare.
    """
    from dilution.errors import unknown
    from dilution.study.comparison import compare
    from dilution.study.results import table
    from dilution.study.store import Store

    with Store(store, create=False) as opened:
        if study not in (studies := opened.counts()):
            raise unknown("study in this store", study, studies)
        runs = table(opened, study)
    compared = compare(runs, _settings(a, runs, "--a"), _settings(b, runs, "--b"), measure=measure)
    typer.echo(compared.answer)
    typer.echo(compared.pairs.to_string(index=False, float_format=lambda x: f"{x:.4f}"))
    for line in printed_notes(runs.attrs["notes"]):
        typer.echo(line, err=True)


def _settings(words: list[str], runs: pd.DataFrame, option: str) -> dict[str, Any]:
    """Return settings from texts such as ``loss=gce(q=0.3)``."""
    from dilution.errors import InputError, short_repr

    settings = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise InputError(
                f"{option} is {short_repr(word)}; it must name a setting and its value, such as "
                f"{option} loss=gce."
            )
        name = name.strip()
        if name in settings:
            raise InputError(
                f"{option} names {short_repr(name)} twice; a side has one value of each setting. Leave one "
                "of them out."
            )
        settings[name] = _value(text.strip(), runs[name]) if name in runs else text
    return settings


def _value(text: str, column: pd.Series[Any]) -> Any:
    """Return the value of a column that a text stands for; the text itself if it is none of them."""
    known = list(dict.fromkeys(column.dropna()))
    for value in known:
        if str(value) == text:
            return value
    try:
        number = float(text)
    except ValueError:
        return None if not text and "" not in known else text
    return next((value for value in known if not isinstance(value, str) and value == number), number)
