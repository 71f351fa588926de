"""Options that commands share, and the record that commands receive."""

import threading
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from typer.testing import CliRunner

from dilution.cli.options import (
    _EXECUTION_OPTIONS,
    command_line,
    execution_options,
    note_unused_answers,
    shows_stages,
)
from dilution.study.execution import Execution
from dilution.utils import stage_log


def call(command, *words):
    """Run a command that is an app of its own."""
    single = typer.Typer(add_completion=False)
    single.command()(command)
    result = CliRunner().invoke(single, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_there_is_an_option_per_execution_setting_with_its_default():
    options = {name: option.default for name, option in _EXECUTION_OPTIONS.items()}
    assert set(options) == {field.name for field in fields(Execution)} - {"progress"}
    assert Execution(**options) == Execution()


def test_a_command_gets_one_validated_record():
    received = []

    @execution_options()
    def command(*, execution: Execution) -> None:
        received.append(execution)

    call(command)
    call(command, "--workers", 0, "--retry-failed", "--data-root", "data", "--checkpoint-minutes", 2)
    assert received[0] == Execution()
    assert received[1] == Execution(
        workers=0, retry_failed=True, data_root=Path("data"), checkpoint_minutes=2
    )


def test_a_command_may_offer_some_of_the_settings():
    received = []

    @execution_options("workers")
    def command(name: str, size: int = 1, *, execution: Execution) -> None:
        received.append((name, execution, size))

    call(command, "x", "--workers", 1, "--size", 2)
    assert received == [("x", Execution(workers=1), 2)]
    assert call(command, "x", "--device", "cpu").exit_code == 2


def test_the_command_line_is_rebuilt_as_it_was_typed():
    lines = []

    @execution_options()
    def command(
        context: typer.Context,
        names: list[str],
        model: str | None = None,
        n: int = 5,
        *,
        execution: Execution,
    ) -> None:
        lines.append(command_line(context))

    call(command, "fig1", "my data.csv", "--n", 5, "--workers", 0, "--retry-failed", "--model", "mlp2")
    assert lines[0].endswith("fig1 'my data.csv' --model mlp2 --n 5 --workers 0 --retry-failed")


def test_an_option_that_was_given_twice_is_so_in_the_command_line():
    lines = []

    @execution_options()
    def command(
        context: typer.Context,
        study: Annotated[list[str] | None, typer.Option("--study")] = None,
        *,
        execution: Execution,
    ) -> None:
        lines.append(command_line(context))

    call(command, "--study", "mine", "--study", "of others")
    assert lines[0].endswith("--study mine --study 'of others'")


def test_answers_beside_a_diagnosis_that_are_not_used_are_noted(tmp_path, capsys):
    answers = tmp_path / "verified_labels.csv"
    (tmp_path / "diagnosis.json").write_text("{}")
    note_unused_answers(tmp_path, None)
    assert capsys.readouterr().err == ""
    answers.write_text("id,verified_label\n")
    for diagnosis in (tmp_path, tmp_path / "diagnosis.json"):
        note_unused_answers(diagnosis, None)
        assert f"add --verified {answers}" in capsys.readouterr().err
        note_unused_answers(diagnosis, answers)
        note_unused_answers(None, None)
        assert capsys.readouterr().err == ""


def test_a_command_that_shows_stages_speaks_while_it_loads(monkeypatch):
    monkeypatch.setattr(stage_log, "_SILENT_SECONDS", 0.0)
    monkeypatch.setattr(stage_log, "_POLL_SECONDS", 0.01)
    spoken = threading.Event()
    write = stage_log._print_to_stderr

    def heard(line: str) -> None:
        write(line)
        spoken.set()

    monkeypatch.setattr(stage_log, "_print_to_stderr", heard)

    @shows_stages
    @execution_options()
    def command(name: str, *, execution: Execution) -> None:
        del execution
        assert spoken.wait(20)
        print(name)

    result = call(command, "done")
    assert result.stderr.startswith("loading the program: 0 s so far\n")
    assert result.stdout == "done\n"
