"""README and docs: the examples run, the studies are valid, the links lead somewhere.

``python tests/test_docs.py`` writes docs/cli.md, the reference that a test compares with the program.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dilution.study import Run, Study

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = ["", "reproduce", "run", "status", "export", "report", "data", "data list", "data fetch"]
COMMANDS += ["data check", "show", "show noise"]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def cli_reference() -> str:
    """Return docs/cli.md, from the help text of every command."""
    parts = [
        "# The command line\n",
        "Written by `python tests/test_docs.py`. A mistake ends with one message and exit code 2, a study "
        "with failed runs with 1, Ctrl-C with 130; finished runs are kept.\n",
    ]
    for command in COMMANDS:
        line = [sys.executable, "-m", "dilution", *command.split(), "--help"]
        environment = {**os.environ, "COLUMNS": "96", "NO_COLOR": "1", "TERM": "dumb"}
        shown = subprocess.run(line, capture_output=True, text=True, check=True, env=environment).stdout
        shown = shown.replace("python -m dilution", "dilution").replace("__main__.py", "dilution")
        text = "\n".join(row.rstrip() for row in shown.strip().splitlines())
        parts.append(f"## `dilution{' ' * bool(command)}{command}`\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_python_examples_run_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {"__name__": "example"}
    for block in blocks(page, "python"):
        exec(compile(block, str(page.name), "exec"), space)


@pytest.mark.parametrize(
    ("page", "text"), [(p, t) for p in PAGES for t in blocks(p, "toml")], ids=lambda v: getattr(v, "name", "")
)
def test_toml_examples_are_valid_studies(page, text, tmp_path):
    (tmp_path / "study.toml").write_text(text)
    assert len(Study.from_toml(tmp_path / "study.toml").runs) > 1


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_in_examples_exist(page):
    for block in blocks(page, "bash"):
        for line in block.splitlines():
            words = line.split("#")[0].split()
            if words[:1] == ["dilution"]:
                assert any(" ".join(words[1:]).startswith(command) for command in COMMANDS if command)
            elif words[:1] == ["make"]:
                assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_setting_of_a_run_is_documented():
    text = (ROOT / "docs" / "researchers.md").read_text("utf-8")
    for name in Run.model_fields:
        assert f"`{name}`" in text, name


def test_every_column_of_the_table_of_results_is_documented():
    from dilution.study.table import COLUMNS

    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for name in COLUMNS:
        assert re.search(rf"[`, ]{name}[`,]", text), name


def test_the_loop_over_a_dilution_has_ten_lines():
    first = blocks(ROOT / "docs" / "library.md", "python")[0]
    assert "DataLoader" in first
    assert len(first.splitlines()) == 10


def test_the_cli_reference_is_what_the_program_says():
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == cli_reference()


if __name__ == "__main__":
    (ROOT / "docs" / "cli.md").write_text(cli_reference(), "utf-8")
