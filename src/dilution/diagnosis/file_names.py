"""Names of the files of a diagnosis, which are claimed before anything is trained."""

from dilution.diagnosis.held_out_file import NAME as HELD_OUT_FILE
from dilution.diagnosis.issues_file import NAME as ISSUES_FILE

FILES = (
    "index.html", "diagnosis.json", "diagnosis.png", "diagnosis.svg", "diagnosis.pdf", "per_class.csv",
    "transition.csv", HELD_OUT_FILE, ISSUES_FILE,
)  # fmt: skip
"""Names of the files of a diagnosis; those of a cleaning are further ones."""

CHANGES_FILE = "cleaning.csv"
"""Name of the file that lists what cleaning changed."""
