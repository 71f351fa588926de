"""Label modes: what is assumed for which data, where none is asked for."""

import pytest

label_modes = pytest.mark.parametrize(
    ("is_own", "asked", "mode"),
    [
        (False, None, "added"),
        (True, None, "replaced"),
        (False, "replaced", "replaced"),
        (True, "added", "added"),
    ],
)
"""Runs a test with whether data are the user's own, the mode that is asked for, and that of the answer."""
