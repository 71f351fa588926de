"""Commands for people with doubtful labels: diagnose, plan, advise."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from dilution.cli.options import (
    AdviceFeaturesOption,
    DataArgument,
    DiagnosisOption,
    FeaturesOption,
    GroupOption,
    IdsOption,
    LabelModeOption,
    LabelOption,
    ModelOption,
    NoisyLabelOption,
    OverwriteOption,
    PageFolderOption,
    PrecisionOption,
    RecipeOption,
    RootSeedOption,
    StoreOption,
    check_outside,
    command_line,
    execution_options,
    interruptible,
    note_unused_answers,
    shows_stages,
)
from dilution.cli.signals import writing_to
from dilution.utils.stage_log import begin_stage, end_stage

if TYPE_CHECKING:
    from dilution.noise.single_label import LabelMode
    from dilution.study.execution import Execution
    from dilution.training.config import PrecisionName


@shows_stages
@execution_options("workers", "device", "data_root")
def diagnose(
    context: typer.Context,
    data: DataArgument,
    label: LabelOption = None,
    noisy_label: NoisyLabelOption = None,
    ids: IdsOption = None,
    out: PageFolderOption = Path("diagnosis"),
    model: Annotated[
        str | None,
        typer.Option(
            help="Model (see list models). Default: conv2 for images, mlp2 for tables, and logistic "
            "regression for features of few photographs."
        ),
    ] = None,
    features: FeaturesOption = None,
    pred_probs: Annotated[
        Path | None,
        typer.Option(
            "--pred-probs",
            help="Held-out probabilities of the classes, in place of models: .npy, .csv, .parquet.",
        ),
    ] = None,
    verified_labels: Annotated[
        Path | None,
        typer.Option("--verified", help="CSV file of labels that somebody looked up: id, verified_label."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            help="Column whose rows of one value, such as a patient, share a fold; or a CSV file: id, group.",
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = 5,
    repeats: Annotated[
        int | None,
        typer.Option(min=1, help="Repeats of the cross-validation. Default: 2, or 1 above 500 classes."),
    ] = None,
    n_bootstrap: Annotated[int, typer.Option(min=20, help="Bootstrap samples behind the intervals.")] = 100,
    seed: RootSeedOption = 0,
    recipe: RecipeOption = None,
    cleanlab: Annotated[
        bool, typer.Option("--cleanlab", help="Also print cleanlab's estimate, from the same predictions.")
    ] = False,
    columns: Annotated[
        str | None,
        typer.Option("--columns", help="Columns of the table that label_issues.csv has too: all, or a,b."),
    ] = None,
    clean: Annotated[
        str | None,
        typer.Option("--clean", help="Write the data with clean labels too: drop, relabel or weight."),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            help="With --clean: change labels whose probability of being wrong is above this number, from 0 "
            "to below 1. Default: 0.7; with --clean weight 0."
        ),
    ] = None,
    fail_above: Annotated[
        str | None,
        typer.Option(
            "--fail-above",
            help="Limit of the noise rate, such as 5%. Exit code 0 if the interval is at most that, 1 if it "
            "is above, 3 if the limit is inside of it or there is no estimate.",
        ),
    ] = None,
    precision: PrecisionOption = "float32",
    overwrite: OverwriteOption = False,
    *,
    execution: Execution,
) -> None:
    """Estimate the noise rate from the noisy labels alone.

    Writes a page, and a table of all examples ranked by the probability that the label is wrong.
    """
    from dilution.data.registry import name_with_columns
    from dilution.diagnosis import check_cleanlab, cleanlab_noise_rate
    from dilution.diagnosis import diagnose as diagnose_labels
    from dilution.diagnosis.issues_file import claim_folder
    from dilution.diagnosis.label_issues import unverified_issues
    from dilution.diagnosis.noise_limit import check_limit, parse_share
    from dilution.diagnosis.outputs import Outputs
    from dilution.errors import DataError

    data = str(name_with_columns(data, label, noisy_label, ids))
    limit = None if fail_above is None else parse_share(fail_above, "--fail-above")
    outputs = Outputs.parse(data, columns, clean, confidence)
    check_outside(out, data)
    claim_folder(out, outputs.names(out), verified_labels, overwrite=overwrite)
    note_unused_answers(out, verified_labels)
    if cleanlab:
        check_cleanlab()
    with interruptible("nothing is kept"):
        diagnosis = diagnose_labels(
            data,
            model=model,
            features=features,
            pred_probs=pred_probs,
            verified_labels=verified_labels,
            group=group,
            folds=folds,
            repeats=repeats,
            n_bootstrap=n_bootstrap,
            seed=seed,
            recipe=recipe,
            precision=cast("PrecisionName", precision),
            execution=execution,
        )
    command = command_line(context)
    with writing_to(out):
        from dilution.diagnosis import write_diagnosis  # matplotlib takes a while to import

        try:
            cleaned = outputs.clean(diagnosis)
            page = write_diagnosis(diagnosis, out, command, columns=outputs.columns, clean=cleaned)
        except DataError:  # the data have changed meanwhile, but the diagnosis must not be lost
            write_diagnosis(diagnosis, out, command)
            raise
    for sentence in (diagnosis.answer, *diagnosis.details, *diagnosis.caveats):
        typer.echo(sentence)
    for sentence in cleaned.sentences if cleaned is not None else ():
        typer.echo(sentence)
    if cleanlab:
        begin_stage("estimating the noise rate with cleanlab")
        rate = cleanlab_noise_rate(diagnosis.cross_validation.pred_probs, diagnosis.labels)
        end_stage()
        typer.echo(f"cleanlab, from the same predictions: noise rate {rate:.3f}")
    if cleaned is not None:
        typer.echo(f"clean data: {out / outputs.cleaned_name}\nwhat was changed: {out / 'cleaning.csv'}")
    typer.echo(f"label issues: {out / 'label_issues.csv'}\npage: {page}")
    if diagnosis.learned and len(unverified_issues(diagnosis.label_issues)):
        typer.echo(f"to check them one by one: dilution review {shlex.quote(str(out))}")
    if limit is not None:
        check = check_limit(diagnosis, limit)
        typer.echo(check.sentence)
        raise typer.Exit(check.exit_code)


@shows_stages
@execution_options()
def plan(
    context: typer.Context,
    data: Annotated[
        str, typer.Argument(help="Data with trusted labels: a data set, file, folder or function.")
    ],
    target: Annotated[float, typer.Option(help="Test accuracy wanted, such as 0.95.")],
    label: LabelOption = None,
    noisy_label: NoisyLabelOption = None,
    ids: IdsOption = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            help="Noise of the labels that you have or can buy, as noisy labels per clean label; 0 is clean. "
            "No default: give this or --eta."
        ),
    ] = None,
    eta: Annotated[
        float | None,
        typer.Option(
            help="The same noise as a share: 0.2 if 20 % of these labels are wrong, as diagnose estimates."
        ),
    ] = None,
    have: Annotated[
        float | None,
        typer.Option(min=0, help="Number of labels of this noise that you have already. Default: 0."),
    ] = None,
    better_alpha: Annotated[
        float,
        typer.Option(
            min=0, help="Noise of the better labels that you can buy, as noisy labels per clean label."
        ),
    ] = 0.0,
    price: Annotated[
        float,
        typer.Option(min=0, help="Price of one label of the noise --alpha or --eta, in any currency."),
    ] = 1.0,
    better_price: Annotated[
        float, typer.Option(min=0, help="Price of one better label, in the currency of --price.")
    ] = 1.0,
    model: ModelOption = None,
    group: GroupOption = None,
    label_mode: LabelModeOption = None,
    pilot_n: Annotated[
        int,
        typer.Option(
            min=240,
            help="Largest number of trusted examples of one training of the pilot. More examples support "
            "higher targets and take longer.",
        ),
    ] = 4000,
    max_runs: Annotated[
        int,
        typer.Option(
            min=20,
            help="Number of trainings after which the pilot adds no more. It begins with up to 40, and all "
            "of these are trained even if this number is smaller.",
        ),
    ] = 60,
    recipe: RecipeOption = None,
    store: StoreOption = Path("plan.sqlite"),
    out: PageFolderOption = Path("plan"),
    precision: PrecisionOption = "float32",
    overwrite: OverwriteOption = False,
    *,
    execution: Execution,
) -> None:
    """Predict how many labels, and of which quality, to buy.

    Also says which purchase is cheapest. Trains a pilot first. Run the command again to resume:
    finished runs are not repeated.
    """
    from dilution.planning import plan as plan_labels
    from dilution.planning.file_names import FILES
    from dilution.utils.output_folder import claim

    check_outside(out, data)
    claim(out, FILES, overwrite=overwrite, command="plan")
    with interruptible():
        result = plan_labels(
            data,
            target=target,
            alpha=alpha,
            eta=eta,
            have=have,
            better_alpha=better_alpha,
            price=price,
            better_price=better_price,
            model=model,
            group=group,
            label_mode=cast("LabelMode | None", label_mode),
            label=label,
            noisy_label=noisy_label,
            ids=ids,
            pilot_n=pilot_n,
            max_runs=max_runs,
            recipe=recipe,
            precision=cast("PrecisionName", precision),
            store=store,
            execution=execution,
        )
    with writing_to(out):
        from dilution.planning import write_plan  # matplotlib takes a while to import

        page = write_plan(result, out, command_line(context))
    for sentence in (result.answer, *result.details):
        typer.echo(sentence)
    typer.echo(f"page: {page}")


@shows_stages
@execution_options()
def advise(
    context: typer.Context,
    data: DataArgument,
    label: LabelOption = None,
    noisy_label: NoisyLabelOption = None,
    ids: IdsOption = None,
    alpha: Annotated[
        float | None, typer.Option(help="Noise to add: noisy labels per clean label. Default: none.")
    ] = None,
    eta: Annotated[
        float | None, typer.Option(help="Instead: the noise rate, the share of wrong labels.")
    ] = None,
    model: ModelOption = None,
    features: AdviceFeaturesOption = None,
    diagnosis: DiagnosisOption = None,
    group: GroupOption = None,
    label_mode: LabelModeOption = None,
    n: Annotated[int | None, typer.Option("--n", min=128, help="Clean examples. Default: all.")] = None,
    epochs: Annotated[float, typer.Option(help="Budget of a run, in passes over its examples.")] = 10.0,
    seed: RootSeedOption = 0,
    store: StoreOption = Path("advice.sqlite"),
    out: Annotated[Path, typer.Option(help="Folder for the recipe, the page and the tables.")] = Path(
        "advice"
    ),
    precision: PrecisionOption = "float32",
    overwrite: OverwriteOption = False,
    *,
    execution: Execution,
) -> None:
    """Find the training settings that suit this noise.

    Writes a page with the reasons, and a recipe of batch size, learning rate, schedule, targets and
    EMA decay, which diagnose, fit, plan, reproduce and run accept as --recipe.
    """
    from dilution.advice import advise as find_advice
    from dilution.advice.file_names import FILES
    from dilution.utils.output_folder import claim

    check_outside(out, data)
    claim(out, FILES, overwrite=overwrite, command="advise")
    with interruptible():
        advice = find_advice(
            data,
            alpha=alpha,
            eta=eta,
            model=model,
            features=features,
            diagnosis=diagnosis,
            group=group,
            label_mode=cast("LabelMode | None", label_mode),
            label=label,
            noisy_label=noisy_label,
            ids=ids,
            n=n,
            epochs=epochs,
            precision=cast("PrecisionName", precision),
            seed=seed,
            store=store,
            execution=execution,
        )
    with writing_to(out):
        from dilution.advice import write_advice  # matplotlib takes a while to import

        page = write_advice(advice, out, command_line(context))
    typer.echo(advice.answer)
    reasons = advice.reasons
    for name, value in advice.recipe.items():
        if name in reasons or value:  # what is off by default, such as flips of images, is in the recipe only
            typer.echo(f"{name} = {value}{': ' + reasons[name] if name in reasons else ''}")
    typer.echo(f"checkpoint: {reasons['checkpoint']}")
    for sentence in advice.details:
        typer.echo(sentence)
    typer.echo(f"recipe: {out / 'recipe.toml'}\npage: {page}")
