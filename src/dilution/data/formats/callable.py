"""Data sets that a user's function returns: ``module:function``, called without arguments."""

import hashlib
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from dilution.data.arrays import DataSet, UnsplitData
from dilution.data.from_objects import read_object
from dilution.errors import InputError
from dilution.utils.references import describe_exception, resolve, source_digest

_HASH_BLOCK = 1024  # images that are hashed at once, since those of a pack are read for it


def load(name: str) -> DataSet:
    """Return the data set that a function returns; it is called once per process and version of its file.

    Parameters
    ----------
    name
        ``"module:function"``; modules of the current directory are found first. The function takes no
        arguments, must return the same data at each call, and returns one of: a tuple of images or features
        and labels, as :func:`dilution.data.from_arrays.from_numpy` takes them; a tuple of four, the last two
        of them the test split; a dict of arguments of that function; a :class:`DataSet`; :class:`Arrays`; a
        DataFrame with a column ``label``; or a map-style torch ``Dataset`` of pairs (tensor, label), which is
        read into memory: rows of shape (features,), or images of shape (height, width) or (channels, height,
        width), uint8 or floats in [0, 1], which keep their values. If it has an attribute `classes`, labels
        that are numbers are positions in it. A pair of such Datasets is the train split and the test split.

    Raises
    ------
    InputError
        If there is no such function, it raised, or returned something else or arrays that break a rule.
    """
    return _load_both(name, _source(name))[0]


def load_unsplit(name: str) -> UnsplitData:
    """Return the examples in the order of the function, without those of a test split that it returns.

    Parameters and errors are those of :func:`load`.
    """
    return _load_both(name, _source(name))[1]


def identity(name: str) -> str:
    """Return the SHA-256 of all data that the function returns, in hex; for that it is called once more.

    Raises
    ------
    InputError
        As :func:`load`; or if the second call returned other data than the first.
    """
    return _identity(name, _source(name))


def module_file(name: str) -> Path:
    """Return the file of the function's module."""
    _source(name)
    return Path(str(sys.modules[name.partition(":")[0]].__file__))


def _source(name: str) -> str:
    """Import the function and return the digest of its source file."""
    resolve(name, "data set")
    return source_digest(name, "data set")


@lru_cache(maxsize=2)  # few: a user's arrays may be large
def _load_both(name: str, source: str) -> tuple[DataSet, UnsplitData]:  # noqa: ARG001  (part of the cache's key)
    return _call(name)


def _call(name: str) -> tuple[DataSet, UnsplitData]:
    """Call the function and convert what it returns."""
    function = resolve(name, "data set")
    try:
        result = function()
    except (Exception, SystemExit) as error:
        raise InputError(
            f"data set is {name!r}; called without arguments it raised {describe_exception(error)}. Correct "
            "the function."
        ) from None
    try:
        return _convert(name, result)
    except InputError as error:
        raise InputError(f"data set is {name!r}, which returned invalid data: {error}") from error


def _convert(name: str, result: Any) -> tuple[DataSet, UnsplitData]:
    """Return the result of a function as a data set, and unsplit."""
    title = str(result.get("name", name)) if isinstance(result, dict) else name
    examples = read_object(result)
    return examples.to_data_set(title), examples.to_unsplit_data()


@lru_cache(maxsize=16)
def _identity(name: str, source: str) -> str:
    digest = _digest(_load_both(name, source)[0])
    if _digest(_call(name)[0]) != digest:  # otherwise worker processes would train on other data
        raise InputError(
            f"data set is {name!r}; called twice it returned different data; it must return the same each "
            "time. Give its random numbers a fixed seed, inside the function."
        )
    return digest


def _digest(data: DataSet) -> str:
    """Return the SHA-256 of both splits, in hex."""
    digest = hashlib.sha256()
    for split in (data.train, data.test):
        digest.update(repr((len(split), split.shape, split.dtype, split.classes)).encode())
        digest.update(split.labels.numpy().tobytes())
        digest.update(b"" if split.observed is None else split.observed.numpy().tobytes())
        # groups of one example each are as none
        if split.groups is not None and len(split.groups.unique()) < len(split):
            digest.update(b"groups" + split.groups.numpy().tobytes())
        for rows in torch.arange(len(split)).split(_HASH_BLOCK):
            digest.update(split.take(rows).numpy().tobytes())
    return digest.hexdigest()
