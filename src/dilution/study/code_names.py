"""Code that the settings of a run name: functions of a user's own, which are imported to open or train it."""

from dilution.study.run_spec import Run
from dilution.training.estimators import ESTIMATORS
from dilution.utils.named_call import name_in
from dilution.utils.references import is_reference


def code_names(run: Run) -> tuple[str, ...]:
    """Return the names ``module:name`` among the settings of a run.

    Whoever wrote a store chose them. Opening the data or training the run would import these modules.

    Parameters
    ----------
    run
        The run.
    """
    texts = [value for value in run.model_dump().values() if isinstance(value, str)]
    names = map(name_in, texts)
    return tuple(dict.fromkeys(name for name in names if is_reference(name) and name not in ESTIMATORS))
