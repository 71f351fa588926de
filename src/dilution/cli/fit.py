"""The command that fits a model to doubtful labels: fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dilution.cli.options import (
    DataArgument,
    DiagnosisOption,
    FeaturesOption,
    GroupOption,
    IdsOption,
    LabelOption,
    NoisyLabelOption,
    OverwriteFileOption,
    RecipeOption,
    RootSeedOption,
    execution_options,
    interruptible,
    note_unused_answers,
    shows_stages,
)
from dilution.cli.signals import writing_to

if TYPE_CHECKING:
    from dilution.study.execution import Execution


@shows_stages
@execution_options("device", "data_root")
def fit(
    data: DataArgument,
    out: Annotated[Path, typer.Option("--out", help="Model file.")] = Path("model.dilution"),
    label: LabelOption = None,
    noisy_label: NoisyLabelOption = None,
    ids: IdsOption = None,
    group: GroupOption = None,
    method: Annotated[
        str,
        typer.Option(
            help="auto, plain, forward (correction with the estimated noise), prune (label issues left out), "
            "reweight (labels weighted by how probably they are right)."
        ),
    ] = "auto",
    model: Annotated[
        str | None,
        typer.Option(
            help="Model (see list models). Default: for a table an average of mlp2, sklearn:forest and, "
            "depending on its size, sklearn:boosting and sklearn:logistic; for images conv2; for features "
            "of few photographs logistic regression."
        ),
    ] = None,
    features: FeaturesOption = None,
    diagnosis: DiagnosisOption = None,
    verified_labels: Annotated[
        Path | None,
        typer.Option("--verified", help="CSV file of labels that somebody looked up: id, verified_label."),
    ] = None,
    n_models: Annotated[
        int | None, typer.Option(min=1, help="Networks that are averaged. Default: 4 small ones, or 1.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = 5,
    seed: RootSeedOption = 0,
    recipe: RecipeOption = None,
    loss: Annotated[
        str | None,
        typer.Option(
            "--loss",
            help='Loss of networks, such as gce or "gce(q=0.3)" (see list losses). Default: cross_entropy.',
        ),
    ] = None,
    overwrite: OverwriteFileOption = False,
    *,
    execution: Execution,
) -> None:
    """Fit a model to doubtful labels and save it.

    Chooses the method that predicts held-out labels best, fits it to all examples, and estimates how often
    the model is right on clean labels. `dilution predict` uses the file.
    """
    from dilution.fitting import fit as fit_model
    from dilution.fitting.checked_zip import is_checked_zip
    from dilution.utils.output_folder import claim

    if not is_checked_zip(out):
        claim(out.absolute().parent, [out.name], overwrite=overwrite)
    note_unused_answers(diagnosis, verified_labels)
    with interruptible("nothing is kept"):
        result = fit_model(
            data,
            label=label,
            noisy_label=noisy_label,
            ids=ids,
            group=group,
            method=method,
            model=model,
            features=features,
            diagnosis=diagnosis,
            verified_labels=verified_labels,
            n_models=n_models,
            folds=folds,
            seed=seed,
            recipe=recipe,
            loss=loss,
            to_file=True,
            execution=execution,
        )
    with writing_to(out.absolute().parent):
        result.save(out, overwrite=overwrite)
    for sentence in (result.answer, *result.details):
        typer.echo(sentence)
    typer.echo(f"model: {out}")
