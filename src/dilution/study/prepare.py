"""Before the first run starts: what no run could do is refused, and files get into a run's identity."""

from collections.abc import Sequence

from dilution.data import fingerprint, names_data
from dilution.study.run_spec import IMAGE_SOURCES, Run
from dilution.study.runner import confusability_name, dilute, open_data
from dilution.training import ESTIMATORS, kind_of
from dilution.training.augment import check_augmentation
from dilution.utils.references import is_reference, source_digest

_OPENED = {
    "dataset",
    "image_source",
    "n",
    "alpha",
    "eta",
    "noise",
    "delta",
    "noise_order",
    "matrix",
    "label_mode",
} | {
    "model",
    "translate",
    "hflip",
}


def prepare(runs: Sequence[Run], root: str | None) -> list[Run]:
    """Return runs that carry the fingerprint of the files they name, so that their key covers them.

    Every data set is loaded (and downloaded, if need be) here once, before workers ask for it, and every
    dilution that differs in more than its seed is opened.

    Parameters
    ----------
    runs
        The runs of a study.
    root
        Folder that holds downloaded data.

    Raises
    ------
    DilutionError
        If a data set is missing or damaged, or a dilution breaks a rule: n larger than the data, no fresh
        images left, a matrix of another size, crops as large as an image, flips of rows of features; if a
        network of one's own cannot be made for these images.
    """
    prints: dict[str, str] = {}
    sources: dict[str, str] = {}
    opened: set[str] = set()
    prepared = []
    for run in runs:
        names = [run.dataset] if run.image_source in IMAGE_SOURCES else [run.dataset, run.image_source]
        found = [prints.setdefault(name, fingerprint(name, root)) for name in names if _is_data(name, run)]
        if is_reference(run.model) and run.model not in ESTIMATORS:
            found.append(sources.setdefault(run.model, source_digest(run.model, "model")))
        run = run.model_copy(update={"fingerprint": "+".join(filter(None, found))})
        what = run.model_dump_json(include=_OPENED)
        if what not in opened:
            opened.add(what)
            _open(run, root)
        prepared.append(run)
    return prepared


def _is_data(name: str, run: Run) -> bool:
    """Leave an unknown image source to `dilute`, whose error names the sources."""
    return name == run.dataset or names_data(name)


def _open(run: Run, root: str | None) -> None:
    """Open the dilution of a run; a table of zeros stands in for a confusability not measured yet."""
    data = open_data(run.dataset, run.fingerprint, root).train
    check_augmentation(run.settings, data.shape)
    classes = len(data.classes)
    kind_of(run.model, data.shape, classes)
    dilute(run, root, {confusability_name(run): [[0.0] * classes] * classes})
