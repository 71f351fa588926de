"""The command that mends an error about data: as it was typed, with the name that the message proposes."""

import shlex
from collections.abc import Sequence
from pathlib import Path


def mended_command(words: Sequence[str], mended: str) -> str:
    """Return the whole command with another name of the same file; empty if no word of it names that file.

    Parameters
    ----------
    words
        Words of the command behind ``dilution``.
    mended
        The name, as it is pasted into a shell: :attr:`dilution.errors.InputError.mended`.
    """
    (name, *rest) = shlex.split(mended)
    if rest:
        return ""
    places = [place for place, word in enumerate(words) if _is_same_file(word, name)]
    if len(places) != 1:
        return ""
    changed = [name if place == places[0] else word for place, word in enumerate(words)]
    return shlex.join(["dilution", *_without_label(changed)])


def _without_label(words: Sequence[str]) -> list[str]:
    """Return words without the option of the label, which the name of the data has."""
    return [
        word
        for place, word in enumerate(words)
        if word != "--label" and not word.startswith("--label=") and words[place - 1 : place] != ["--label"]
    ]


def _is_same_file(word: str, name: str) -> bool:
    """Return whether a word is the path that begins a name, with or without options behind a ``#``."""
    path = Path(word) if name.startswith(f"{word}#") else Path(word.rpartition("#")[0] or word)
    other = next(
        (Path(name[:end]) for end in range(len(name)) if name[end] == "#" and Path(name[:end]).is_file()),
        None,
    )
    return other is not None and path.is_file() and path.samefile(other)
