"""Clean examples: built-in data sets with verified downloads, files in many formats, arrays and callables."""

from dilution.data.arrays import Arrays, DataSet, UnsplitData
from dilution.data.class_checks import check_classes, majority_share
from dilution.data.from_arrays import from_numpy
from dilution.data.label_files import (
    check_label_target,
    read_label_file,
    with_label_file,
    write_label_file,
)
from dilution.data.open_examples import open_examples
from dilution.data.pack.from_folder import pack_folder
from dilution.data.pack.writer import write_pack
from dilution.data.registry import (
    DATASETS,
    check,
    data_root,
    fetch,
    fingerprint,
    is_dataset_name,
    is_present,
    list_datasets,
    load,
    load_unsplit,
)

__all__ = [
    "DATASETS",
    "Arrays",
    "DataSet",
    "UnsplitData",
    "check",
    "check_classes",
    "check_label_target",
    "data_root",
    "fetch",
    "fingerprint",
    "from_numpy",
    "is_dataset_name",
    "is_present",
    "list_datasets",
    "load",
    "load_unsplit",
    "majority_share",
    "open_examples",
    "pack_folder",
    "read_label_file",
    "with_label_file",
    "write_label_file",
    "write_pack",
]
