"""Where clean examples come from: readers, downloads with checksums, and data of a user's own."""

from dilution.data.arrays import Arrays, DataSet, Labelled
from dilution.data.class_checks import check_classes, majority
from dilution.data.from_arrays import from_numpy
from dilution.data.pack.from_folder import pack_folder
from dilution.data.pack.writer import write_pack
from dilution.data.registry import (
    DATASETS,
    check,
    data_root,
    fetch,
    fingerprint,
    labelled,
    load,
    names_data,
)

__all__ = [
    "DATASETS",
    "Arrays",
    "DataSet",
    "Labelled",
    "check",
    "check_classes",
    "data_root",
    "fetch",
    "fingerprint",
    "from_numpy",
    "labelled",
    "load",
    "majority",
    "names_data",
    "pack_folder",
    "write_pack",
]
