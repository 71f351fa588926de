"""Names of studies in a store."""

from dilution.errors import InputError, short_repr

_MAX_LENGTH = 200


def check_study_name(study: object, *, may_be_figure: bool) -> None:
    """Refuse a name that a study cannot have.

    Parameters
    ----------
    study
        The name.
    may_be_figure
        Whether it may be that of a figure, such as ``fig9/mnist/laptop``.

    Raises
    ------
    InputError
        If it is not text on one line, or that of a figure.
    """
    if not isinstance(study, str) or not study.strip() or not study.isprintable() or len(study) > _MAX_LENGTH:
        raise InputError(
            f"study is {short_repr(study)}; it must be a name on one line, of at most {_MAX_LENGTH} "
            "characters."
        )
    if "/" in study and not may_be_figure:
        raise InputError(
            f"study is {study!r}; names with a slash are those of figures of the paper, which judge runs of "
            f"Dilution alone. Use study={study.replace('/', ' ')!r}."
        )
