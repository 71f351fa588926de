"""How noisy labels are, from the noisy labels alone."""

from dilution.diagnosis.bootstrap import Estimate
from dilution.diagnosis.cleanlab import check_cleanlab, cleanlab_matrix, cleanlab_rate
from dilution.diagnosis.diagnose import diagnose
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
