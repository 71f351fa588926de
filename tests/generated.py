"""Computed parts of the documentation: ``python tests/generated.py`` writes them, test_docs.py compares them.

- docs/cli.md: the help text of every command;
- README.md, ``<!-- findings -->``: what the committed results say, in six lines;
- docs/results/README.md, ``<!-- claims -->``: every claim with its verdict and numbers;
- docs/architecture.md, ``<!-- modules -->``: the first line of each module's docstring.
"""

import ast
import re
from pathlib import Path
from typing import Any

import pandas as pd
import typer
from typer.testing import CliRunner

from dilution.cli import app

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
DATA = {"mnist-laptop": "MNIST", "cifar10-laptop": "CIFAR-10"}


def cli_reference() -> str:
    """Return docs/cli.md: the help text of every command."""
    parts = [
        "# The command line\n",
        "Written by `python tests/generated.py`; do not edit.\n",
        "Exit codes: 0; 1 if runs failed, if `dilution data check` finds a file missing or altered, if\n"
        "`dilution show run --retrain` gives other results, or if labels are noisier than `--fail-above`\n"
        "or `--fail-if-noisier` allow; 2 after a mistake that you can mend, with one message; 3 if\n"
        "`--fail-above` is undecided; 75 if `--time-limit` stopped the command, which resumes when it is\n"
        "given again; 130 after Ctrl-C; 141 if the reader of the output has gone. Finished runs are\n"
        "always kept.\n",
    ]
    commands: list[tuple[str, Any]] = [("dilution", typer.main.get_command(app))]
    while commands:
        name, command = commands.pop(0)
        words = [*name.split()[1:], "--help"]
        shown = CliRunner().invoke(app, words, prog_name="dilution", color=False, terminal_width=100).stdout
        text = "\n".join(row.rstrip() for row in shown.strip().splitlines())
        parts.append(f"## `{name}`\n\n```text\n{text}\n```\n")
        below = getattr(command, "commands", {})
        commands = [(f"{name} {word}", below[word]) for word in below] + commands
    return "\n".join(parts)


def claims(folder: str) -> pd.DataFrame:
    """Return the verdicts of a folder of results."""
    return pd.read_csv(RESULTS / folder / "claims.csv")


def interval(mean: float, low: float, high: float) -> str:
    """Return an accuracy in percent with its interval."""
    return f"{100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def count(needed: "pd.Series[float]") -> str:
    """Return a number of examples with its interval."""
    return f"{needed['mean']:,.0f} [{needed['low']:,.0f}, {needed['high']:,.0f}]"


def findings() -> str:
    """Return the findings of README.md, one line each, computed from the committed results."""
    fig1 = pd.read_csv(RESULTS / "mnist-laptop" / "fig1.csv")
    conv4 = fig1[(fig1["model"] == "conv4") & (fig1["n"] == fig1["n"].max()) & (fig1["targets"] == "pooled")]
    top = conv4.loc[conv4["alpha"].idxmax()]
    fig9 = pd.read_csv(RESULTS / "mnist-laptop" / "fig9.csv")
    needed = fig9[(fig9["found_by"] == "search") & (fig9["level"] == 0.9)].set_index("alpha")
    judged = {name: claims(folder)["verdict"] for folder, name in DATA.items()}
    held = " and ".join(
        f"{(verdicts == 'reproduced').sum()} of {(verdicts != 'not testable').sum()} tested claims on {name}"
        for name, verdicts in judged.items()
    )
    price = pd.read_csv(RESULTS / "plan" / "label_values.csv")
    price = price[(price["data"] == "mnist") & (price["target"] == 0.9)].set_index("alpha").loc[20]
    cases = pd.read_csv(RESULTS / "diagnosis" / "cases.csv")
    inside = (cases["low"] <= cases["true_noise_rate"]) & (cases["true_noise_rate"] <= cases["high"])
    is_human = cases["noise"] == "human"
    assert inside[is_human].all(), "the finding says so"
    trained = pd.read_csv(RESULTS / "advice" / "mnist-100-trainings.csv")
    mean = trained.groupby("way")["accuracy"].mean()
    fits = pd.read_csv(RESULTS / "fit" / "cases.csv")
    of_tables = fits.groupby(["table", "method"])["accuracy"].mean()  # tables count alike, as on the page
    right = (100 * of_tables.groupby("method").mean()).map("{:.1f} %".format)
    rates = f"{100 * fits['noise_rate'].min():.0f} to {100 * fits['noise_rate'].max():.0f} %"
    return "\n".join(
        [
            "<!-- findings -->",
            "![Test accuracy against the noise level on MNIST](docs/results/mnist-laptop/fig1.png)",
            "",
            f"- With {top['alpha']:g} noisy labels added to each clean one, a ConvNet that sees all labels "
            f"of an image at once still reaches {interval(top['mean'], top['low'], top['high'])} on MNIST. "
            "[Figure 1](docs/results/mnist-laptop/README.md)",
            f"- 90 % on MNIST takes about {count(needed.loc[10])} clean examples at α = 10 and "
            f"{count(needed.loc[50])} at α = 50. [Figure 9](docs/results/mnist-laptop/README.md)",
            f"- At 90 % on MNIST a label of noise α = 20 is worth {price['mean']:.3g} clean ones, about "
            f"1/{1 / price['mean']:.0f} (80 % interval {price['low']:.3g} to {price['high']:.3g}). "
            "[The value of a label](docs/results/plan/README.md)",
            "- The interval of `dilution diagnose` contains the true noise rate in "
            f"{inside[~is_human].sum()} of {(~is_human).sum()} cases of drawn noise, and for the human "
            "labels of CIFAR-10N. [Diagnosis](docs/results/diagnosis/README.md)",
            f"- On {fits['table'].nunique()} tables with {rates} wrong labels models of `dilution fit` are "
            f"right on {right['dilution, auto']} of new rows, gradient boosting on {right['boosting, raw']}, "
            f"the same with cleanlab on {right['cleanlab, boosting']}. "
            "[Models](docs/results/fit/README.md)",
            f"- At laptop scale {held} are reproduced. "
            "[What and why](docs/results/README.md#what-was-not-reproduced)",
            "",
            "With a recipe of `dilution advise` a network reaches "
            f"{100 * mean['advised']:.1f} % on MNIST at α = 100; as many images with the "
            "paper's optimizer and batch size give "
            f"{100 * mean['default, pooled']:.1f} % with all labels of an image at once, and "
            f"{100 * mean['default, sampled']:.1f} % with one label at a time "
            "([advice](docs/results/advice/README.md)).",
            "<!-- end of findings -->",
        ]
    )


def seeds(folder: str, figure: str) -> str:
    """Return how many seeds a point of a figure has; for a search, how many runs."""
    points = pd.read_csv(RESULTS / folder / f"{figure}.csv")
    counts = points.loc[points["found_by"] == "search" if "found_by" in points else slice(None), "seeds"]
    text = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    return f"{text} runs" if "found_by" in points else text


def claim_tables() -> str:
    """Return the tables of claims of docs/results/README.md."""
    lines = ["<!-- claims -->"]
    for folder, name in DATA.items():
        lines += [
            f"### {name}, laptop preset, two cores and no GPU",
            "",
            "| figure | the paper's claim | verdict | measured | seeds |",
            "|---|---|---|---|---|",
        ]
        for row in claims(folder).itertuples():
            cells = [row.figure, row.claim, row.verdict, row.numbers, seeds(folder, row.figure)]
            lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
        lines += ["", f"Plots, rules, every run and how it was made: [{folder}]({folder}/README.md).", ""]
    return "\n".join([*lines, "<!-- end of claims -->"])


def module_tree() -> str:
    """Return every module with the first line of its docstring, package by package."""
    source = ROOT / "src" / "dilution"
    lines = ["<!-- modules -->", "```text"]
    for path in sorted(
        source.rglob("*.py"), key=lambda path: (path.parent, path.name != "__init__.py", path.name)
    ):
        relative = path.relative_to(source)
        doc = (
            (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")
            .partition("\n\n")[0]
            .replace("\n", " ")
        )
        if path.name == "__init__.py":
            lines.append(f"{relative.parent.as_posix() if relative.parent.name else 'dilution'}/  {doc}")
        else:
            lines.append(f"{'  ' * len(relative.parts)}{path.stem:20} {doc}")
    return "\n".join([*lines, "```", "<!-- end of modules -->"])


def replaced(page: str, name: str, text: str) -> str:
    """Return a page with the part between the comments of this name replaced."""
    pattern = re.compile(f"<!-- {name} -->.*?<!-- end of {name} -->", re.DOTALL)
    assert pattern.search(page), f"no part <!-- {name} -->"
    return pattern.sub(lambda _: text, page)


def pages() -> dict[Path, str]:
    """Return each page that holds computed parts, as it must read."""
    readme, results, architecture = (
        ROOT / "README.md",
        RESULTS / "README.md",
        ROOT / "docs" / "architecture.md",
    )
    return {
        ROOT / "docs" / "cli.md": cli_reference(),
        readme: replaced(readme.read_text("utf-8"), "findings", findings()),
        results: replaced(results.read_text("utf-8"), "claims", claim_tables()),
        architecture: replaced(architecture.read_text("utf-8"), "modules", module_tree()),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
