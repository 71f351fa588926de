"""Notes to the user: what was left out, merged, renamed, converted or guessed, one sentence per kind."""

from collections.abc import Sequence

from dilution.utils.printable import one_line

_MAX_LENGTH = 2000  # characters of a note; one that names many files is long

MAX_PRINTED = 20
"""Notes that a terminal shows; pages, Python results and JSON files have all."""


def printed_notes(notes: Sequence[str]) -> list[str]:
    """Return the lines that a terminal shows: ``"note: …"``, and a count of the notes beyond the first 20."""
    lines = [f"note: {one_line(note, _MAX_LENGTH)}" for note in notes[:MAX_PRINTED]]
    if len(notes) > MAX_PRINTED:
        lines.append(f"note: and {len(notes) - MAX_PRINTED:,} more notes, which the page and .notes have")
    return lines
