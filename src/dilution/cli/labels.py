"""Commands for somebody with doubtful labels: diagnose, plan, advise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from dilution.cli.options import (
    AddressOption,
    DeviceOption,
    ExecutorOption,
    PrecisionOption,
    RecipeOption,
    RootOption,
    StoreOption,
    WorkersOption,
    interruptible,
    text,
    typed,
)

if TYPE_CHECKING:
    from dilution.planning.pilot import Labels
    from dilution.training.config import PrecisionName


def diagnose(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="Data set by name, or a file, folder or function of your own.")],
    out: Annotated[Path, typer.Option(help="Folder for the page, the plot and the tables.")] = Path(
        "diagnosis"
    ),
    model: Annotated[
        str | None, typer.Option(help="Network. Default: conv2 for images, mlp2 for features.")
    ] = None,
    checked: Annotated[
        Path | None, typer.Option(help="CSV file of right labels that somebody looked up: row, right.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Parts that are predicted in turn.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="Times that all of it is done.")] = 2,
    draws: Annotated[int, typer.Option(min=20, help="Bootstrap samples behind the intervals.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Root seed.")] = 0,
    recipe: RecipeOption = None,
    cleanlab: Annotated[
        bool, typer.Option("--cleanlab", help="Print the estimate of cleanlab beside ours.")
    ] = False,
    precision: PrecisionOption = "float32",
    workers: WorkersOption = None,
    device: DeviceOption = "cpu",
    data_root: RootOption = None,
) -> None:
    """Estimate how noisy labels are, from the noisy labels alone.

    Writes a page, and a list of all examples with the most suspect labels first.
    """
    from dilution.diagnosis import check_cleanlab, cleanlab_rate, numbers, write_diagnosis
    from dilution.diagnosis import diagnose as call
    from dilution.utils.atomic import check_writable

    check_writable(out)
    if cleanlab:
        check_cleanlab()
    with interruptible("nothing is kept"):
        found = call(
            data,
            model=model,
            checked=checked,
            folds=folds,
            repeats=repeats,
            draws=draws,
            seed=seed,
            recipe=recipe,
            precision=cast("PrecisionName", precision),
            root=data_root,
            workers=workers,
            device=device,
            say=typer.echo,
        )
    for sentence in (found.answer, *numbers(found), *found.cautions):
        typer.echo(sentence)
    if cleanlab:
        rate = cleanlab_rate(found.held_out.probabilities, found.labels)
        typer.echo(f"cleanlab, from the same predictions: noise rate {rate:.3f}")
    typer.echo(f"suspects: {out / 'suspects.csv'}")
    typer.echo(f"page: {write_diagnosis(found, out, typed(context))}")


def plan(
    context: typer.Context,
    data: Annotated[
        str, typer.Argument(help="Data with trusted labels: a name, a file, a folder, a function.")
    ],
    target: Annotated[float, typer.Option(help="Test accuracy wanted, such as 0.95.")],
    alpha: Annotated[
        float | None, typer.Option(help="Noise level of the labels to be had: noisy ones for each clean one.")
    ] = None,
    eta: Annotated[
        float | None, typer.Option(help="Instead: their noise rate, as diagnose finds it.")
    ] = None,
    have: Annotated[float, typer.Option(min=0, help="How many of them are there already.")] = 0,
    better_alpha: Annotated[float, typer.Option(min=0, help="Noise level of better labels.")] = 0.0,
    price: Annotated[float, typer.Option(min=0, help="Price of one label.")] = 1.0,
    better_price: Annotated[float, typer.Option(min=0, help="Price of a better label.")] = 1.0,
    model: Annotated[
        str | None, typer.Option(help="Network. Default: conv2 for images, mlp2 for features.")
    ] = None,
    labels: Annotated[
        str, typer.Option(help="added: several labels an image; replaced: one label each.")
    ] = "added",
    pilot_n: Annotated[int, typer.Option(min=100, help="The most clean examples of a pilot run.")] = 4000,
    runs: Annotated[int, typer.Option(min=20, help="The most runs; a pilot begins with up to 40.")] = 60,
    recipe: RecipeOption = None,
    store: StoreOption = Path("plan.sqlite"),
    out: Annotated[Path, typer.Option(help="Folder for the page, the plot and the tables.")] = Path("plan"),
    precision: PrecisionOption = "float32",
    workers: WorkersOption = None,
    device: DeviceOption = "cpu",
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    data_root: RootOption = None,
) -> None:
    """Say how many labels an accuracy takes, of which quality, and what is cheapest.

    Trains a pilot first, which resumes.
    """
    from dilution.planning import answer, details, write_plan
    from dilution.planning import plan as call
    from dilution.utils.atomic import check_writable

    check_writable(out)
    with interruptible():
        found = call(
            data,
            target=target,
            alpha=alpha,
            eta=eta,
            have=have,
            better_alpha=better_alpha,
            price=price,
            better_price=better_price,
            model=model,
            labels=cast("Labels", labels),
            pilot_n=pilot_n,
            runs=runs,
            recipe=recipe,
            precision=cast("PrecisionName", precision),
            store=store,
            workers=workers,
            device=device,
            executor=executor,
            address=address,
            root=text(data_root),
        )
    for sentence in (answer(found), *details(found)):
        typer.echo(sentence)
    typer.echo(f"page: {write_plan(found, out, typed(context))}")


def advise(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="Data set by name, or a file, folder or function of your own.")],
    alpha: Annotated[
        float | None, typer.Option(help="Noise to add: noisy labels for each clean one. Default: none.")
    ] = None,
    eta: Annotated[float | None, typer.Option(help="Instead: its rate, the share of wrong labels.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Network. Default: conv2 for images, mlp2 for features.")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", min=2, help="Clean examples. Default: all.")] = None,
    epochs: Annotated[float, typer.Option(help="Budget of a training, in passes over its images.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Root seed.")] = 0,
    store: StoreOption = Path("advice.sqlite"),
    out: Annotated[Path, typer.Option(help="Folder for the recipe, the page and the tables.")] = Path(
        "advice"
    ),
    precision: PrecisionOption = "float32",
    workers: WorkersOption = None,
    device: DeviceOption = "cpu",
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    data_root: RootOption = None,
) -> None:
    """Find how to train under this noise: batch, learning rate, schedule, order, averaging.

    Writes a recipe that the other commands take with --recipe, and a page with the reasons.
    """
    from dilution.advice import advise as call
    from dilution.advice import answer, growth, write_advice
    from dilution.utils.atomic import check_writable

    check_writable(out)
    with interruptible():
        found = call(
            data,
            alpha=alpha,
            eta=eta,
            model=model,
            n=n,
            epochs=epochs,
            precision=cast("PrecisionName", precision),
            seed=seed,
            store=store,
            workers=workers,
            device=device,
            executor=executor,
            address=address,
            root=text(data_root),
        )
    typer.echo(answer(found))
    from dilution.advice import reasons

    why = reasons(found)
    for name, value in found.recipe.items():
        typer.echo(f"{name} = {value}{': ' + why[name] if name in why else ''}")
    typer.echo(f"weights: {why['weights']}")
    if told := growth(found):
        typer.echo(told)
    page = write_advice(found, out, typed(context))
    typer.echo(f"recipe: {out / 'recipe.toml'}\npage: {page}")
