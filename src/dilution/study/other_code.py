"""Versions of the code that trained finished runs and is not the code that is running now."""

from collections import Counter
from collections.abc import Iterable

from dilution.utils.printable import one_line
from dilution.utils.version import code_version


def describe_other_code(trained_by: Iterable[str | None]) -> list[str]:
    """Return one line per version of the code that trained finished runs and is not running now.

    Parameters
    ----------
    trained_by
        Version of the code per finished run; None where it is not known.
    """
    counts = Counter(trained_by)
    total, running = counts.total(), code_version()
    return [
        f"{count} of {total} runs {'was' if count == 1 else 'were'} trained by dilution "
        f"{one_line(version) if version else 'of an unknown version'}; this is dilution {running}"
        for version, count in sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
        if version != running
    ]
