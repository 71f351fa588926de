"""How noisy labels are, estimated from the noisy labels alone."""

from dilution.diagnosis.cleanlab import check_cleanlab, cleanlab_noise_rate, cleanlab_transition
from dilution.diagnosis.diagnose import diagnose
from dilution.diagnosis.page import write_diagnosis
from dilution.diagnosis.result import Diagnosis

__all__ = [
    "Diagnosis",
    "check_cleanlab",
    "cleanlab_noise_rate",
    "cleanlab_transition",
    "diagnose",
    "write_diagnosis",
]
