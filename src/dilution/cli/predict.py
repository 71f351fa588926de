"""The command that predicts labels with a fitted model: predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dilution.cli.options import DataRootOption, OverwriteFileOption, interruptible, shows_stages
from dilution.cli.signals import writing_to


@shows_stages
def predict(
    model_file: Annotated[Path, typer.Argument(help="Model file, as fit writes it.")],
    data: Annotated[
        str,
        typer.Argument(
            help="New data: as for fit, without need of labels; or an image, or a .npy file of an array."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="CSV file for the predictions.")] = Path(
        "predictions.csv"
    ),
    all_classes: Annotated[
        bool, typer.Option("--all-classes", help="Also write the probability of each class.")
    ] = False,
    label: Annotated[
        str | None, typer.Option("--label", help="Column of labels to compare with. Default: as in the fit.")
    ] = None,
    ids: Annotated[str | None, typer.Option("--ids", help="Column of ids of the rows.")] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="For a network of your own: its module:function, which is imported."),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            "--features", help="For features by your own function: its module:function, which is imported."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="train or test, of a data set, pack or function. Default: train."),
    ] = None,
    data_root: DataRootOption = None,
    overwrite: OverwriteFileOption = False,
) -> None:
    """Predict labels of new data with a model in a file.

    Writes one row per example in the order of the data: index, id, label, probability. Labels that the data
    have are compared with the predictions.
    """
    from dilution.fitting import load_model
    from dilution.fitting.member_names import describe_members
    from dilution.utils.notes import printed_notes
    from dilution.utils.output_folder import claim

    fitted = load_model(model_file, model=model, features=features)
    claim(out.absolute().parent, [out.name], overwrite=overwrite, command="predict")
    with interruptible("nothing is written"):
        predictions = fitted.predictions(data, label=label, ids=ids, split=split, root=data_root)
    with writing_to(out.absolute().parent):
        predictions.write(out, all_classes=all_classes)
    for line in printed_notes(predictions.notes):
        typer.echo(line, err=True)
    n = len(predictions.positions)
    noun = "example" if n == 1 else "examples"
    typer.echo(f"{n:,} {noun} predicted by {describe_members(fitted)} ({len(fitted.classes)} classes): {out}")
    if predictions.n_compared:
        assert predictions.given is not None
        typer.echo(
            f"{predictions.agreement.percent()} of {predictions.n_compared:,} labels agree with the "
            f"predictions ({predictions.given.source}). This is raw agreement: where labels are wrong, a "
            "right prediction disagrees."
        )
