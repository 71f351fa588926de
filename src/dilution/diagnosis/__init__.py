"""How noisy labels are, estimated from the noisy labels alone."""

from typing import TYPE_CHECKING, Any

from dilution.diagnosis.clean_labels import CleanLabels
from dilution.diagnosis.cleanlab import check_cleanlab, cleanlab_noise_rate, cleanlab_transition
from dilution.diagnosis.compare import Comparison, compare_diagnoses
from dilution.diagnosis.diagnose import diagnose
from dilution.diagnosis.json_schema import diagnosis_schema
from dilution.diagnosis.result import Diagnosis

if TYPE_CHECKING:
    from dilution.diagnosis.page import write_diagnosis

__all__ = [
    "CleanLabels",
    "Comparison",
    "Diagnosis",
    "check_cleanlab",
    "cleanlab_noise_rate",
    "cleanlab_transition",
    "compare_diagnoses",
    "diagnose",
    "diagnosis_schema",
    "write_diagnosis",
]


def __getattr__(name: str) -> Any:
    if name == "write_diagnosis":  # lazily: matplotlib takes a while to import
        from dilution.diagnosis.page import write_diagnosis

        return write_diagnosis
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
