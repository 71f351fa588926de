"""The command that shows a noise distribution: show noise."""

from __future__ import annotations

from typing import Annotated

import typer

show_app = typer.Typer(help="Show a run or a noise distribution.", no_args_is_help=True)

_SHOWN = 20  # wrong classes with a bar of their own
_BAR = 40  # characters of the longest bar


@show_app.command("noise")
def show_noise(
    alpha: Annotated[float, typer.Option(help="Noisy labels added per clean label.")] = 20.0,
    delta: Annotated[float, typer.Option(help="Skew of structured noise, 0 to 1. 0 is uniform.")] = 0.0,
    classes: Annotated[int, typer.Option(min=2, max=1000, help="Number of classes.")] = 10,
) -> None:
    """Print the noise rate, and the distribution of an example's labels."""
    import numpy as np

    from dilution.noise import check_alpha, structured

    check_alpha(alpha)
    first_row = structured(delta).overall(classes, alpha, seed=0)[0]  # the seed permutes wrong classes only
    right, wrong = first_row[0], np.sort(first_row[1:])[::-1]
    typer.echo(
        f"noise rate {1 - right:.4f}: {100 * right:.2f} % of the labels are right "
        f"(alpha {alpha:g}, delta {delta:g}, {classes} classes)"
    )
    longest = max(right, wrong[0])
    bars = [("right", right), *((f"wrong {rank}", share) for rank, share in enumerate(wrong[:_SHOWN], 1))]
    for name, share in bars:
        typer.echo(f"{name:>9} {100 * share:6.2f} % {'█' * round(_BAR * share / longest)}")
    if len(wrong) > _SHOWN:
        rest = 100 * wrong[_SHOWN:].sum()
        typer.echo(f"          {rest:.2f} % on {len(wrong) - _SHOWN} more wrong classes")
