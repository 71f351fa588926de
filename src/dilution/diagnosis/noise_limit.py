"""A limit on the noise rate, for pipelines: labels are surely within it, surely above it, or undecided."""

import re
from dataclasses import dataclass
from typing import Literal

from dilution.diagnosis.result import Diagnosis
from dilution.errors import InputError, short_repr

Verdict = Literal["within", "above", "undecided"]
EXIT_CODES: dict[Verdict, int] = {"within": 0, "above": 1, "undecided": 3}
"""Exit code of the command line for each verdict."""

_SHARE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*")


@dataclass(frozen=True)
class LimitCheck:
    """Whether a noise rate is within a limit.

    Parameters
    ----------
    limit
        The limit, a share in [0, 1).
    verdict
        ``"within"`` if the upper bound of the interval is at most the limit, ``"above"`` if the lower bound
        is above it, otherwise ``"undecided"``.
    sentence
        The verdict in a sentence.
    """

    limit: float
    verdict: Verdict
    sentence: str

    @property
    def exit_code(self) -> int:
        """Exit code of the command line."""
        return EXIT_CODES[self.verdict]


def parse_share(text: str, option: str = "limit") -> float:
    """Return a share that is written in percent or as a fraction, ``"5%"`` or ``"0.05"``.

    Raises
    ------
    InputError
        If it is neither, or outside [0, 1).
    """
    match = _SHARE.fullmatch(text)
    share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if 0 <= share < 1:
        return share
    percent = f" For {match[1]} % give {match[1]}%." if match and not match[2] and 1 <= share < 100 else ""
    raise InputError(
        f"{option} is {short_repr(text)}; it must be a share below 1, in percent or as a fraction, such as "
        "5% or 0.05."
        f"{percent}"
    )


def check_limit(diagnosis: Diagnosis, limit: float) -> LimitCheck:
    """Return whether the noise rate of a diagnosis is within a limit.

    An estimate that is an upper bound only can be within a limit, but never above it. Without an estimate the
    check is undecided.

    Parameters
    ----------
    diagnosis
        The diagnosis.
    limit
        A share in [0, 1).
    """
    rate, text = diagnosis.noise_rate, f"{100 * limit:g} %"
    low, high = f"{100 * rate.low:.1f} %", f"{100 * rate.high:.1f} %"
    if not diagnosis.learned:
        return LimitCheck(
            limit, "undecided", f"Undecided whether the noise rate is above {text}: there is no estimate."
        )
    if rate.high <= limit:
        return LimitCheck(
            limit, "within", f"The noise rate is not above {text}: the interval ends at {high}."
        )
    if diagnosis.is_upper_bound:
        return LimitCheck(
            limit,
            "undecided",
            f"Undecided whether the noise rate is above {text}: the estimate is only an upper "
            f"bound, {high}. Verified labels tell more.",
        )
    if rate.low > limit:
        return LimitCheck(limit, "above", f"The noise rate is above {text}: the interval begins at {low}.")
    return LimitCheck(
        limit,
        "undecided",
        f"Undecided whether the noise rate is above {text}: the interval reaches from {low} to {high}. More "
        "examples, "
        "or verified labels, narrow it.",
    )
