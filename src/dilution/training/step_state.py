"""The state of a group step in a checkpoint, and which kind of step it is of."""

from collections.abc import Mapping
from typing import Any, Literal

StepKind = Literal["torch", "kernels", "strategy"]

_TITLES: dict[str, str] = {
    "torch": "torch",
    "kernels": "the GPU kernels of run groups",
    "strategy": "a training strategy",
}


class OtherStepError(Exception):
    """A state is of another kind of step than the one that would resume from it, or lacks what it keeps."""


def check_kind(state: Mapping[str, Any], kind: StepKind) -> None:
    """Check that a state is of this kind of step.

    Raises
    ------
    OtherStepError
        If it is of another kind. The text names both.
    """
    if (other := kind_of(state)) != kind:
        raise OtherStepError(f"it was computed by {_TITLES.get(other, other)}, and now by {_TITLES[kind]}")


def kind_of(state: Mapping[str, Any]) -> str:
    """Return the kind of step that a state is of; older checkpoints do not name it."""
    kind: str = state.get("kind", "kernels" if "weights" in state else "torch")
    return kind
