"""Names of the files of a plan, which are claimed before a pilot is trained."""

FILES = ("index.html", "plan.json", "plan.png", "plan.svg", "plan.pdf", "label_values.csv", "pilot.csv")
"""Names of the files of a plan."""
