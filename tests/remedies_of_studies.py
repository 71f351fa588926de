"""Remedies in messages on studies, stores, plans, advice and diagnoses on the command line."""

import re
import shlex
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from commands import STUDY, dilution
from remedies import (
    case,
    case_of_call,
    case_of_command,
    commands,
    digits,
    expressions,
    named,
    options,
    own_estimator,
    paste,
    pasted_commands,
    refusal,
    store_file,
    with_hint,
    with_options,
    without_options,
)
from reviewed_tables import noisy_frame, noisy_rows
from stores import DONE, KEYS, RUNS

import dilution as package
from dilution.data import load
from dilution.study import Execution, run
from dilution.study.statistics import intervals
from dilution.study.store import Store


def study_file(**changes: str) -> None:
    text = STUDY
    for old, new in changes.items():
        text = text.replace(old, new)
    Path("study.toml").write_text(text)


case_of_command("there is no store", "dilution status --store 'my results.sqlite'", pasted_commands)
case_of_command(
    "a store has no study", "dilution report --store 'my results.sqlite'", pasted_commands, store_file
)
case_of_command(
    "a store has no figure",
    "dilution claims 'my results.sqlite'",
    pasted_commands,
    lambda: store_file(filled=True),
)
case_of_command(
    "a key is unknown",
    "dilution show run zzz --store 'my results.sqlite'",
    pasted_commands,
    lambda: store_file(filled=True),
)
case_of_command(
    "runs fail",
    "dilution run study.toml --workers 0 --store 'my results.sqlite'",
    pasted_commands,
    lambda: (
        own_estimator(),
        study_file(perceptron="own_broken:broken", **{'targets = "pooled"\nsteps = 2\n': ""}),
    ),
)
case_of_command(
    "runs of a pilot fail",
    "dilution plan digits --target 0.9 --alpha 1 --model own_broken:broken --workers 0 --store 'my.sqlite'",
    pasted_commands,
    own_estimator,
)
case_of_command(
    "a recipe sets what is compared",
    "dilution run study.toml --recipe advised --workers 0",
    without_options,
    lambda: study_file(**{"alpha = [0.0, 1.0]": "lr = [0.1, 0.2]", "steps = 2": "steps = 2\nalpha = 1.0"}),
)
case_of_command(
    "a recipe is given to a search", "dilution reproduce fig9 --recipe advised --workers 0", without_options
)
case_of_command(
    "a study is misspelt",
    "dilution export runs.csv --study shrt --store 'my results.sqlite'",
    with_hint,
    lambda: store_file(filled=True),
)


ESTIMATE = "dilution reproduce fig1 --preset paper --estimate-for h200"
case(
    "models train in float32 on a GPU",
    lambda: dilution(*shlex.split(ESTIMATE)[1:]).output,
    lambda message: paste(" ".join([ESTIMATE, named(r"\((--precision bfloat16)\)", message)])),
)


def foreign_files() -> None:
    store_file(filled=True)
    for name in ("README.md", "runs.csv"):
        Path(name).write_text("mine")


for words in ("report --out .", "export runs.csv"):
    case_of_command(
        f"{words.split()[0]} would replace a file",
        f"dilution {words} --store 'my results.sqlite'",
        with_options,
        foreign_files,
    )
case_of_command("a data set is misspelt", "dilution data pack digtis my.pack", with_hint)


DOUBTFUL = "--pred-probs probs.npy --n-bootstrap 20 --workers 0 --out 'my results'"


def doubtful_files() -> None:
    """Write a table and images with held-out probabilities, so that nothing trains."""
    pred_probs, labels, _ = noisy_rows(n=240)
    noisy_frame(labels).to_csv("table.csv", index=False)
    np.savez("doubtful.npz", images=digits().train.images[:240].numpy(), labels=labels)
    np.save("probs.npy", pred_probs)


def edited_issues() -> None:
    doubtful_files()
    Path("my results").mkdir()
    Path("my results/label_issues.csv").write_text("id,verified_label,remark\nrow 2,ant,mine\n")


def with_verified(command: str, message: str) -> list[str]:
    option = named(r"Add (--verified '.*?'):", message)
    return [f"{command} {option}", f"{command} {named(r'or (--overwrite) to lose', message)}"]


case_of_command(
    "label issues were edited", f"dilution diagnose table.csv {DOUBTFUL}", with_verified, edited_issues
)


def unused_answers() -> str:
    doubtful_files()
    Path("my results").mkdir()
    Path("my results/verified_labels.csv").write_text("id,verified_label\nrow 2,ant\n")
    return dilution("diagnose", "table.csv", *shlex.split(DOUBTFUL)).output


def use_answers(message: str) -> None:
    option = named(r"add (--verified '.*?')", message)
    paste(f"dilution diagnose table.csv {DOUBTFUL} {option}")


case("answers of a review are not used", unused_answers, use_answers)


def cleaned_with_too_much_confidence() -> str:
    doubtful_files()
    command = f"diagnose table.csv {DOUBTFUL} --clean relabel --confidence 0.9999999"
    return dilution(*shlex.split(command)).output


def clean_with_confidence(message: str) -> None:
    option = named(r"Give (--confidence [\d.]+)", message)
    output = dilution(*shlex.split(f"diagnose table.csv {DOUBTFUL} --clean relabel {option}")).output
    assert re.search(r"^[1-9]\d* of 240 labels replaced", output, re.M), output


case("a confidence is too high to clean", cleaned_with_too_much_confidence, clean_with_confidence)
case_of_command(
    "a confidence is named without a policy",
    f"dilution diagnose table.csv {DOUBTFUL} --confidence 0.8",
    lambda command, message: [f"{command} {named(r'Add (--clean drop)', message)}"],
    doubtful_files,
)
case_of_command(
    "columns of images are to be shown",
    f"dilution diagnose doubtful.npz {DOUBTFUL} --columns all",
    without_options,
    doubtful_files,
)


def contradicting_stores() -> None:
    for name, accuracy in (("a.sqlite", 0.5), ("b.sqlite", 0.6)):
        with Store(Path(name)) as store:
            store.add("short", RUNS)
            with store.writer():
                store.finish(
                    {KEYS[0]: DONE | {"result": {"test_acc_last": accuracy}}},
                    at="2026-01-01T00:00:00.000+00:00",
                )


case_of_command(
    "stores contradict each other", "dilution merge a.sqlite b.sqlite", with_options, contradicting_stores
)


def many_labels() -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("dilution.advice.advise"), "_MAX_LABELS", 1600)
        return dilution(*shlex.split("advise digits --alpha 9 --n 300 --model perceptron --workers 0")).output


def with_fewer_labels(message: str) -> None:
    command = "dilution advise digits --alpha 9 --n 300 --model perceptron"
    assert len(options(message)) == 2, message
    for pasted in with_options(command, message):
        paste(f"{pasted} --epochs 1")


case("advice counts too many labels", many_labels, with_fewer_labels)
PILOT = "dilution plan digits --target 0.9 --alpha 1 --pilot-n 250 --max-runs 20 --model perceptron"


def poor_pilot() -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("dilution.planning.plan"), "_SIGNIFICANT", 1e-300)
        return dilution(*shlex.split(f"{PILOT} --workers 0")[1:]).output


def repeat_pilot(message: str) -> None:
    assert len(options(message)) == 2, message
    for pasted in with_options(PILOT, message):
        paste(pasted)


case("a pilot learns nothing", poor_pilot, repeat_pilot)
COPIED = "dilution plan t.csv --target 0.9 --alpha 1 --max-runs 20 --model perceptron"


def pilot_of_copies() -> str:
    size = np.random.default_rng(0).normal(size=600).round(6)
    rows = pd.DataFrame({"size": size, "label": np.where(size > 0, "a", "b")})
    pd.concat([rows] * 3).to_csv("t.csv", index=False)
    return dilution(*shlex.split(f"{COPIED} --workers 0")[1:]).output


def with_fewer_copies(message: str) -> None:
    assert len(options(message)) == 1, message
    for pasted in with_options(COPIED, message):
        paste(pasted)
    (expression,) = expressions(message[message.rindex(". Give") :])
    eval(expression, {"rows": pd.read_csv("t.csv")}).to_csv("t.csv", index=False)
    paste(COPIED)


case("a pilot has many copies", pilot_of_copies, with_fewer_copies)


def misplaced() -> str:
    study_file()
    return refusal(run, "study.toml", workers=0)


def pass_execution(message: str) -> None:
    (argument,) = re.findall(r"execution=(dilution\.Execution\(.*?\))\.", message)
    assert len(run("study.toml", execution=eval(argument, {"dilution": package}))) == 4


case("a setting of the execution is misplaced", misplaced, pass_execution)


def repeated_rows() -> pd.DataFrame:
    return pd.DataFrame({"alpha": [0.0, 0.0], "seed": [0, 0], "test_acc_last": 0.5})


def remove_repeated(message: str) -> None:
    (call,) = [call for call in expressions(message) if call.startswith("table.")]
    intervals(eval(call, {"table": repeated_rows()}), by=["alpha"], value="test_acc_last")


case(
    "a run occurs twice in a table",
    lambda: refusal(intervals, repeated_rows(), by=["alpha"], value="test_acc_last"),
    remove_repeated,
)


def without_address(message: str) -> None:
    assert named(r"Leave the (\w+) out", message) in Execution.__dataclass_fields__
    Execution()


case("an address comes without Ray", lambda: refusal(Execution, address="auto"), without_address)
if not torch.cuda.is_available():
    case_of_call("there is no GPU", lambda **s: package.Execution(**s), device="cuda")


def on_ray(function: Callable[[], str]) -> Callable[[], str]:
    def provoke() -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dilution.study.execution.find_spec", lambda name: SimpleNamespace(name=name))
            return function()

    return provoke


def use_execution(message: str) -> None:
    values = re.findall(r"executor='(\w+)'|or '(\w+)'", message[message.rfind(";") :])
    assert values, message
    for value in filter(None, (word for words in values for word in words)):
        assert Execution(executor=value, workers=0).executor == value


case("Ray has no workers", on_ray(lambda: refusal(Execution, executor="ray", workers=0)), use_execution)
case(
    "labels are diagnosed on Ray",
    on_ray(lambda: refusal(package.diagnose, "digits", execution=Execution(executor="ray"))),
    use_execution,
)


def show_traceback(message: str) -> None:
    (command,) = commands(message)
    process = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
    assert "ZeroDivisionError" in process.stderr


def module_that_raises() -> str:
    Path("own_wrong.py").write_text("1 / 0\n")
    return refusal(load, "own_wrong:data")


case("a module raises as it is imported", module_that_raises, show_traceback)
