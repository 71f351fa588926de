"""The imports follow docs/architecture.md: one direction, no circles."""

import ast
from pathlib import Path

import pytest

import dilution

ROOT = Path(dilution.__file__).parent
PACKAGES = [
    "errors",
    "utils",
    "data",
    "noise",
    "models",
    "training",
    "study",
    "report",
    "benchmarking",
    "figures",
    "diagnosis",
    "planning",
    "advice",
    "fitting",
    "review",
    "cli",
]
"""Packages in the order of imports: a module imports only from its own package and from earlier ones."""

EXECUTION = [
    "dilution.study.api",
    "dilution.study.deadline",
    "dilution.study.execution",
    "dilution.study.executors",
    "dilution.study.grouping",
    "dilution.study.prepare",
    "dilution.study.runner",
    "dilution.study.scheduler",
]
"""Modules that execute runs: of the figures only reproduce.py knows them."""

MODULES = sorted(ROOT.rglob("*.py"))


def package(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(source: str) -> set[str]:
    """Return the full names of what a module imports; of ``from a import b`` these are ``a`` and ``a.b``."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_packages(path: Path) -> set[str]:
    names = [name.split(".") for name in imports(path.read_text("utf-8"))]
    return {parts[1] for parts in names if parts[0] == "dilution" and len(parts) > 1}


def executing_imports(source: str) -> set[str]:
    """Return the imports of a module that lie within the modules of EXECUTION."""
    return {
        name
        for name in imports(source)
        for module in EXECUTION
        if name == module or name.startswith(f"{module}.")
    }


@pytest.mark.parametrize(
    "path", [p for p in MODULES if package(p) in PACKAGES], ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_module_imports_only_from_its_own_and_earlier_packages(path):
    own = PACKAGES.index(package(path))
    for other in imported_packages(path):
        assert PACKAGES.index(other) <= own, f"{path.relative_to(ROOT)} must not import dilution.{other}"


@pytest.mark.parametrize("name", EXECUTION)
def test_the_modules_that_execute_runs_exist(name):
    path = ROOT.joinpath(*name.split(".")[1:])
    exists = path.with_suffix(".py").exists() or (path / "__init__.py").exists()
    assert exists, f"{name} does not exist: update EXECUTION"


def test_imports_of_executing_modules_are_recognised():
    for line in ("from dilution.study.scheduler import run_study", "from dilution.study import runner"):
        assert executing_imports(line)
    assert executing_imports("import dilution.study.executors.workers")
    assert not executing_imports("from dilution.study.store import Store")


@pytest.mark.parametrize("path", [p for p in MODULES if package(p) == "figures"], ids=lambda p: p.name)
def test_of_the_figures_only_reproduce_knows_how_runs_are_executed(path):
    executing = executing_imports(path.read_text("utf-8"))
    assert bool(executing) == (path.name == "reproduce.py"), f"{path.name} imports {sorted(executing)}"


def test_every_module_belongs_to_a_package():
    assert {package(path) for path in MODULES} == {*PACKAGES, "__init__", "__main__"}
