"""A diagnosis that was written to a folder, as an object again: for the same examples alone."""

from dataclasses import replace
from pathlib import Path

from dilution.data import Arrays, UnsplitData
from dilution.diagnosis.anchors import Ints
from dilution.diagnosis.diagnose import diagnose_predictions
from dilution.diagnosis.fits import Fits, with_tests
from dilution.diagnosis.held_out_file import examples_checksum, read_held_out
from dilution.diagnosis.result import Diagnosis
from dilution.errors import InputError


def open_diagnosis(
    path: Path,
    name: str,
    examples: UnsplitData,
    noisy: Arrays,
    *,
    seed: int = 0,
    true_noise_rate: float = float("nan"),
    copies: Ints | None = None,
) -> Diagnosis:
    """Return a diagnosis of these examples from its folder; no model is trained, and no T estimated.

    Parameters
    ----------
    path
        Folder that ``dilution diagnose`` or :func:`dilution.diagnosis.write_diagnosis` wrote, or its
        ``diagnosis.json``.
    name
        Name of the data.
    examples, noisy, copies, true_noise_rate
        As for :func:`dilution.diagnosis.diagnose.diagnose_predictions`: the examples, the same with the
        labels that were diagnosed, and groups of copies.
    seed
        Root seed of the tests of the pattern.

    Raises
    ------
    InputError
        If it is a diagnosis of other examples.
    DataError
        If it cannot be read.
    """
    saved = read_held_out(path)
    labels = noisy.labels.numpy()
    ids = map(str, examples.positions.tolist()) if examples.names is None else examples.names
    checksum = examples_checksum(noisy.classes, labels, examples.positions, list(ids))
    shape = len(labels), len(noisy.classes)
    if saved.examples_sha256 != checksum or saved.cross_validation.pred_probs.shape != shape:
        of_saved = saved.cross_validation.pred_probs.shape
        raise InputError(
            f"{path} is a diagnosis of {of_saved[0]:,} examples of {of_saved[1]} classes, whose labels, ids "
            f"or order are not those of the {shape[0]:,} examples of {shape[1]} classes in {name}. Diagnose "
            "these data, or leave the diagnosis out."
        )
    fits = None
    if saved.fit is not None and saved.alternative is not None:
        fits = with_tests(Fits.untested(saved.fit, saved.bootstrap_fits, saved.alternative), noisy, seed)
    diagnosis = diagnose_predictions(
        name,
        examples,
        noisy,
        saved.cross_validation,
        saved.verified,
        saved.n_bootstrap,
        seed,
        true_noise_rate,
        copies,
        fits,
    )
    return replace(diagnosis, min_per_class=saved.min_per_class, excess=saved.excess)
