"""Commands that show what noise looks like: show noise."""

from __future__ import annotations

from typing import Annotated

import typer

from dilution.errors import InputError

show_app = typer.Typer(help="Show what noise looks like.", no_args_is_help=True)


@show_app.command("noise")
def show_noise(
    alpha: Annotated[float, typer.Option(help="Noisy labels added for each clean one.")] = 20.0,
    delta: Annotated[float, typer.Option(help="Skew of structured noise, 0 to 1. 0 is uniform.")] = 0.0,
    classes: Annotated[int, typer.Option(min=2, max=1000, help="Number of classes.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random order.")] = 0,
) -> None:
    """Print how the labels of an example are distributed, and the noise rate."""
    import math

    import numpy as np

    from dilution.noise import structured

    if not math.isfinite(alpha) or alpha < 0:
        raise InputError(f"alpha is {alpha}; it must be a finite number ≥ 0. alpha=0 is no noise at all.")
    matrix = structured(delta).overall(classes, alpha, seed)
    typer.echo(
        f"alpha {alpha:g}, delta {delta:g}, {classes} classes: {matrix[0, 0]:.2%} of the labels are right, "
        f"noise rate {1 - matrix[0, 0]:.4f}"
    )
    ranked = np.sort(np.delete(matrix[0], 0))[::-1]
    widest = max(matrix[0, 0], ranked[0])
    for name, share in [("right", matrix[0, 0]), *((f"false {r}", p) for r, p in enumerate(ranked, 1))][:21]:
        typer.echo(f"{name:>9} {share:7.2%} {'█' * round(40 * share / widest)}")
    if classes > 21:
        typer.echo(f"          {ranked[20:].sum():.2%} on {classes - 21} more false classes")
