"""How noisy labels are, from the noisy labels alone."""

from dilution.diagnosis.compare import check_cleanlab, cleanlab_matrix, cleanlab_rate
from dilution.diagnosis.diagnosing import diagnose
from dilution.diagnosis.intervals import Estimate
from dilution.diagnosis.page import numbers, write_diagnosis
from dilution.diagnosis.result import Diagnosis

__all__ = [
    "Diagnosis",
    "Estimate",
    "check_cleanlab",
    "cleanlab_matrix",
    "cleanlab_rate",
    "diagnose",
    "numbers",
    "write_diagnosis",
]
