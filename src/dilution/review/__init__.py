"""Review of label issues by a person: one page to answer on, served locally or as one file."""

from dilution.review.label_studio import write_label_studio
from dilution.review.page import write_review

__all__ = ["write_label_studio", "write_review"]
