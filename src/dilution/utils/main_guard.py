"""The main guard of a script: whether worker processes, which import the script, would run its calls again.

A worker process shows it too, but only after it has imported the script, and its user waits for that.
"""

import ast
import sys
from pathlib import Path
from types import FrameType, ModuleType

from dilution.errors import WorkerError

REMEDY = (
    'Put the calls of the script under `if __name__ == "__main__":`, since every worker process imports the '
    "script; or do without worker processes: Execution(workers=0), on the command line --workers 0."
)


def check_main_guard() -> None:
    """Refuse a script that is at a line which every worker process would execute too.

    What cannot be told from its text is let pass: a line inside any ``if``, other threads, notebooks. So are
    packages run by ``python -m package``, whose ``__main__.py`` no worker process imports.

    Raises
    ------
    WorkerError
        If the script has no guard around the line.
    """
    main = sys.modules["__main__"]
    script, module = getattr(main, "__file__", None), getattr(getattr(main, "__spec__", None), "name", "")
    if script is None or f".{module}".endswith(".__main__"):
        return
    line = _running_line(main, script)
    if line is not None and _is_unguarded(Path(script), line):
        raise WorkerError(
            f"line {line} of {Path(script).name} has no main guard, so that every worker process would "
            f"execute it again. No run was lost. {REMEDY}"
        )


def _running_line(main: ModuleType, script: str) -> int | None:
    """Return the line at the top level of the script that this thread is executing; None if there is none.

    Code of a debugger or of ``exec`` has the names of the script, but is another file.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        is_script = Path(frame.f_code.co_filename).name == Path(script).name
        if frame.f_code.co_name == "<module>" and frame.f_globals is vars(main) and is_script:
            return frame.f_lineno
        frame = frame.f_back
    return None


def _is_unguarded(script: Path, line: int) -> bool:
    """Return whether the statement at a line is executed whatever the name of the module is."""
    try:
        source = script.read_bytes()
        statements = ast.parse(source).body
    except (OSError, SyntaxError, ValueError):  # no text of it is there: from standard input, or compiled
        return False
    running = [node for node in statements if node.lineno <= line <= (node.end_lineno or node.lineno)]
    conditions = ast.If | ast.IfExp | ast.BoolOp | ast.Match
    return bool(running) and not any(
        isinstance(node, conditions) for statement in running for node in ast.walk(statement)
    )
