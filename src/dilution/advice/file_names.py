"""Names of the files of an advice, which are claimed before anything is trained."""

FILES = (
    "index.html", "advice.json", "advice.png", "advice.svg", "advice.pdf", "recipe.toml", "noise_scales.csv",
    "lrs.csv", "runs.csv",
)  # fmt: skip
"""Names of the files of an advice."""
