"""What is left out where classes are thousands: repeats of the cross-validation, budgets, trees."""

MANY_CLASSES = 500
"""Number of classes up to which everything is computed: the work of a model grows with rows times classes."""

MANY_REPEATS = 1
"""Repeats of the cross-validation beyond, by default."""

MANY_BUDGETS = (4, 8)
"""Epochs that are tried beyond."""


def has_many_classes(n_classes: int) -> bool:
    """Return whether the classes are so many that less is computed."""
    return n_classes > MANY_CLASSES


def describe_many(n_classes: int, left_out: str) -> tuple[str, ...]:
    """Return a note on what is left out, or nothing if the classes are few.

    Parameters
    ----------
    n_classes
        Number of classes.
    left_out
        What is computed in place of what, a main clause.
    """
    if not has_many_classes(n_classes):
        return ()
    return (
        f"there are {n_classes:,} classes, and models of more than {MANY_CLASSES} take long: {left_out}.",
    )
