"""What the public functions that take an `execution` check first."""

import inspect
import multiprocessing
import runpy
import sys

import pytest

import dilution
from dilution.errors import InputError, WorkerError
from dilution.study.entry import takes_execution

FUNCTIONS = [dilution.run, dilution.reproduce, dilution.diagnose, dilution.plan, dilution.advise]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_setting_of_execution_as_an_argument_is_an_error_with_the_call_that_works(function):
    with pytest.raises(InputError) as caught:
        function("digits", workers=2)
    message = str(caught.value)
    assert message.startswith(f"{function.__name__} does not take workers=2")
    assert "execution=dilution.Execution(workers=2)" in message
    assert 'if __name__ == "__main__":' in message


def test_without_processes_no_guard_is_asked_for():
    with pytest.raises(InputError) as caught:
        dilution.diagnose("digits", workers=0, device="cpu")
    assert "Execution(workers=0, device='cpu')" in str(caught.value)
    assert "__main__" not in str(caught.value)


def test_a_parameter_of_the_function_itself_is_passed_on():
    @takes_execution
    def function(device: str = "cpu", *, execution: object = None) -> str:
        return device

    assert function(device="cuda") == "cuda"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_signatures_and_docstrings_are_those_of_the_functions(function):
    assert "execution" in inspect.signature(function).parameters
    assert "Parameters" in (function.__doc__ or "")


UNGUARDED = """
import numpy as np
import dilution

labels = np.arange(160) % 2
features = np.random.default_rng(0).normal(size=(160, 2)) + labels[:, None]
dilution.{call}, execution=dilution.Execution(workers={workers}))
print("finished")
"""


@pytest.mark.trains
@pytest.mark.parametrize(
    ("call", "workers"),
    [
        ("diagnose((features, labels), model='mlp1', folds=2, repeats=1, n_bootstrap=20", 2),  # 1 needs none
        ("advise((features, labels), model='perceptron', epochs=0.5", 1),
    ],
    ids=["diagnose", "advise"],
)
def test_a_script_without_a_main_guard_ends_with_one_error_and_no_process_hangs(
    tmp_path, monkeypatch, capfd, call, workers
):
    # As the script of this process, which spares a start; test_study_scheduler.py starts such a script.
    monkeypatch.chdir(tmp_path)
    # asked for before the slow stages: copies are searched for after the reading, and noise scales measured
    monkeypatch.setattr(sys.modules["dilution.diagnosis.diagnose"], "_grouped", pytest.fail)
    (tmp_path / "script.py").write_text(UNGUARDED.format(call=call, workers=workers))
    with pytest.raises(WorkerError, match=r"^line 7 of script\.py has no main guard") as caught:
        runpy.run_path(str(tmp_path / "script.py"), run_name="__main__")
    assert 'Put the calls of the script under `if __name__ == "__main__":`' in str(caught.value)
    assert multiprocessing.active_children() == []
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err  # of a worker process
    assert "noise scale" not in shown.err
