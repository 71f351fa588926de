"""Where clean pictures come from: readers, downloads with checksums, and a user's own arrays."""

from dilution.data.arrays import Arrays, DataSet
from dilution.data.convert import from_numpy
from dilution.data.folder import pack_folder
from dilution.data.packing import write_pack
from dilution.data.registry import DATASETS, check, data_root, fetch, fingerprint, load, own_file

__all__ = [
    "DATASETS",
    "Arrays",
    "DataSet",
    "check",
    "data_root",
    "fetch",
    "fingerprint",
    "from_numpy",
    "load",
    "own_file",
    "pack_folder",
    "write_pack",
]
