"""README and docs: every page is played from top to bottom in an empty folder, as a reader would.

What a fenced block means, by its language:

``python``  runs; the blocks of a page share their names. One whose first line is a file's name,
            ``# my_module.py``, is saved under it instead.
``output``  is what the block before it prints; ``...`` stands for anything.
``toml``    is saved under the name in its first line, ``# study.toml``, and must be a valid study.
``console`` runs each line ``$ dilution …``; what follows is its output, as above; nothing: any output.
``bash``    is not run, but its commands and their options must exist.
``sql``     is asked of an empty store.
``sh``      is a script: its syntax must be sound, and its ``dilution`` lines must exist.
``text``, ``yaml``  are shown only.

``python tests/generated.py`` writes the parts that are computed, such as docs/cli.md.
"""

import doctest
import io
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from generated import pages
from typer.testing import CliRunner

from dilution.cli import app
from dilution.study import Run, Study
from dilution.study.store import Store

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "docs/results/README.md",
]
LANGUAGES = {"python", "output", "toml", "console", "bash", "text", "sh", "sql", "yaml", ""}
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and text of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def of(page: Path, language: str) -> list[str]:
    return [text for name, text in blocks(page) if name == language]


def same(wanted: str, got: str) -> bool:
    rules = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(wanted, got, rules)


def call(words: list[str]) -> str:
    """Run ``dilution`` with these words and return what it prints."""
    result = CliRunner().invoke(app, words, prog_name="dilution")
    assert result.exit_code == 0, f"dilution {shlex.join(words)}: {result.exception} {result.output}"
    return result.stdout


@cache
def command_line() -> Any:
    """Return the program ``dilution``, built once: that takes longer than to parse a line."""
    return typer.main.get_command(app)


def parse(words: list[str]) -> None:
    """Refuse a command or option of ``dilution`` that does not exist, or an argument that is missing."""
    command = command_line()
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    command.make_context(command.name, words)


def prompts(text: str) -> Iterator[tuple[list[str], str]]:
    """Yield the words of each command after ``$ dilution``, and the output shown below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        program, *words = shlex.split(line, comments=True)
        assert program == "dilution", line
        yield words, shown


@every_page
@pytest.mark.trains
@pytest.mark.usefixtures("svg_alone")
def test_a_page_played_from_top_to_bottom_does_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "docs").symlink_to(ROOT / "docs")  # pages on results read them there
    names: dict[str, object] = {"__name__": "example"}
    printed = ""
    for language, text in blocks(page):
        if language == "python" and (file := re.match(r"# (\w+)\.py\n", text)):
            Path(f"{file[1]}.py").write_text(text, "utf-8")
            sys.modules.pop(file[1], None)  # another page may have one of this name
        elif language == "python":
            with redirect_stdout(io.StringIO()) as stream:
                exec(compile(text, page.name, "exec"), names)
            printed = stream.getvalue()
        elif language == "output":
            assert same(text, printed), f"{text}\nbut it printed\n{printed}"
        elif language == "toml":
            file = Path(text.splitlines()[0].removeprefix("# "))
            assert file.suffix == ".toml", f"no file name in the first line of\n{text}"
            file.write_text(text, "utf-8")
            assert len(Study.from_toml(file).runs) > 1
        elif language == "console":
            for words, shown in prompts(text):
                got = call(words)
                assert not shown or same(shown, got), f"{shown}\nbut it printed\n{got}"


@every_page
def test_blocks_are_of_known_languages(page):
    assert {language for language, _ in blocks(page)} <= LANGUAGES


@every_page
def test_queries_and_scripts_that_are_shown_are_sound(page, tmp_path):
    for query in of(page, "sql"):
        with Store(tmp_path / "s.sqlite"), closing(sqlite3.connect(tmp_path / "s.sqlite")) as connection:
            connection.execute(query).fetchall()
    for script in of(page, "sh"):
        subprocess.run(["bash", "-n", "-c", script], check=True)
        for line in re.findall(r"^ *(dilution .*)$", script, re.MULTILINE):
            parse(shlex.split(line)[1:])


@every_page
def test_commands_that_are_shown_exist(page):
    inline = re.findall(r"`(dilution [^`\n]+|make [^`\n]+)`", page.read_text("utf-8"))
    for line in [*inline, *"".join(of(page, "bash")).splitlines()]:
        program, *words = shlex.split(line, comments=True) or [""]
        if program == "dilution" and line not in inline:
            parse(words)
        elif program == "dilution":  # in running text a command may lack its arguments
            command = command_line()
            for word in words:
                if not hasattr(command, "commands"):
                    break
                command = command.commands[word]
        elif program == "make":
            for target in (word for word in words if "=" not in word):
                assert f"\n{target}:" in (ROOT / "Makefile").read_text("utf-8"), target


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@every_page
def test_links_lead_to_files_and_headings(page):
    for target, _, anchor in re.findall(r"\]\(([^)#\s]*)(#([^)\s]+))?\)", page.read_text("utf-8")):
        if not target.startswith("http"):
            file = page.parent / target if target else page
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def documented_settings() -> dict[str, str]:
    """Return name → default, from the table of settings."""
    text = (ROOT / "docs" / "researchers.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", text, re.MULTILINE)
    return {name: default.strip("` ") for name, default in rows}


def test_every_setting_of_a_run_is_documented_and_no_other():
    assert set(documented_settings()) == set(Run.model_fields)


def test_documented_defaults_are_those_of_a_run():
    run = Run.of(dataset="digits", n=1000, model="mlp2", alpha=1)
    shown = documented_settings()
    for name, field in Run.model_fields.items():
        default = getattr(run, name)
        if field.is_required() and name != "n_val":
            assert shown[name] == "required", name
        elif isinstance(default, bool) or (isinstance(default, str) and default):
            assert shown[name] == str(default).replace("False", "false"), name
        elif isinstance(default, int | float) and name not in ("alpha", "n_val", "epochs"):
            assert float(shown[name]) == default, name


def test_every_column_of_the_table_of_results_is_documented():
    from dilution.study.results import COLUMNS

    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for name in COLUMNS:
        assert re.search(rf"[`, ]{name}[`,]", text), name


def test_the_loop_over_a_dilution_has_ten_lines():
    first = of(ROOT / "docs" / "library.md", "python")[0]
    assert "DataLoader" in first
    assert len(first.splitlines()) == 10


computed_pages = cache(pages)  # all pages at once

PAGES_WITH_COMPUTED_PARTS = ["docs/cli.md", "README.md", "docs/results/README.md", "docs/architecture.md"]


@pytest.mark.parametrize("page", PAGES_WITH_COMPUTED_PARTS)
def test_computed_parts_of_pages_are_current(page):
    path = ROOT / page
    assert path.read_text("utf-8") == computed_pages()[path], "run: python tests/generated.py"
