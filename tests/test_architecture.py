"""The imports follow docs/architecture.md: one direction, no circles."""

import ast
from pathlib import Path

import pytest

import dilution

ROOT = Path(dilution.__file__).parent
ROOMS = [
    "errors",
    "utils",
    "data",
    "noise",
    "models",
    "training",
    "study",
    "report",
    "figures",
    "diagnosis",
    "planning",
    "advice",
    "cli",
]
MODULES = sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dilution"):
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {name.name for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {n.name.split(".")[1] for n in node.names if n.name.startswith("dilution.")}
    return found


@pytest.mark.parametrize(
    "path", [p for p in MODULES if room(p) in ROOMS], ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_module_imports_only_from_the_rooms_above_it(path):
    own = ROOMS.index(room(path))
    for other in imported_rooms(path):
        assert ROOMS.index(other) <= own, f"{path.relative_to(ROOT)} must not import dilution.{other}"


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) == "paper"], ids=lambda p: p.name)
def test_of_the_paper_only_its_reproduction_knows_how_runs_are_executed(path):
    text = path.read_text("utf-8")
    executing = [
        name for name in ("executor", "execute", "workers", "team", "prepare") if f"study.{name}" in text
    ]
    assert not executing or path.name == "reproduction.py"


def test_every_module_belongs_to_a_room():
    assert {room(path) for path in MODULES} == {*ROOMS, "__init__", "__main__"}
