"""The function that finds training settings: it measures the noise scale, then searches the learning rate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dilution.advice.ablation import choose_checkpoint, compare_settings
from dilution.advice.half_trained import train_halfway
from dilution.advice.noise_scale import NoiseScale, measure_noise_scale
from dilution.advice.own_inputs import as_features, find_diagnosis
from dilution.advice.result import Advice
from dilution.advice.search import Search
from dilution.data import Arrays, DataSet, check_classes, load, majority_share
from dilution.data.named_data import is_own_data, name_data, name_in_answers
from dilution.data.open_examples import shown_name
from dilution.data.splits import check_training_groups
from dilution.diagnosis import Diagnosis
from dilution.diagnosis.feature_source import note_on_pixels
from dilution.errors import InputError, short_repr
from dilution.models import default_model, importable_name
from dilution.noise import Dilution, uniform_noise_level
from dilution.noise.noise_level import check_noise_level
from dilution.noise.single_label import LabelMode, check_label_mode
from dilution.study.deadline import Deadline
from dilution.study.entry import takes_execution
from dilution.study.execution import Execution
from dilution.study.executors.processes import trains_inline
from dilution.study.halving import search_lr
from dilution.study.prepare import prepare
from dilution.study.results import histories
from dilution.study.run_spec import Run
from dilution.study.store import Store
from dilution.study.usable_store import check_usable_store
from dilution.training import resolve_trainable
from dilution.training.config import PrecisionName, default_n_val
from dilution.training.early_checks import check_settings
from dilution.training.recipes import built_in_recipe
from dilution.utils.finite_numbers import is_finite_number
from dilution.utils.main_guard import check_main_guard
from dilution.utils.notes import printed_notes
from dilution.utils.stage_log import StageLog

EPOCHS = 10.0
MAX_EPOCHS = 1e6
"""Largest budget of a run: nobody has ever trained so long."""

_N_LEVELS = 4  # noise levels at which the noise scale is measured, from none to the one asked for
_MAX_SCALE = 1e9  # stands for an infinite noise scale
_N_EVALS = 5


@takes_execution
def advise(
    data: Any,
    *,
    label: str | None = None,
    noisy_label: Any = None,
    ids: Any = None,
    alpha: float | None = None,
    eta: float | None = None,
    model: Any = None,
    features: Any = None,
    diagnosis: Diagnosis | str | Path | None = None,
    group: Any = None,
    label_mode: LabelMode | None = None,
    n: int | None = None,
    epochs: float = EPOCHS,
    precision: PrecisionName = "float32",
    seed: int = 0,
    store: str | Path = "advice.sqlite",
    execution: Execution | None = None,
) -> Advice:
    """Find the settings that train a model best under label noise, within a budget.

    Parameters
    ----------
    data
        Name or path of data, or an object, as :func:`dilution.diagnose` takes them. Data in memory are
        written to a folder beside the store, from which runs open them.
    label, noisy_label, ids
        As for :func:`dilution.diagnose`.
    alpha, eta
        Noise to add: its noise level or its noise rate. Default: labels are used as they are;
        observed labels if the data have them beside true ones.
    model
        Name of a model, or a factory that other processes can import. Default: a small ConvNet for images,
        an MLP for features.
    features
        As for :func:`dilution.diagnose`, except that the default is none. Features are written to a folder
        beside the store, from which runs open them.
    diagnosis
        A diagnosis of these data, or the folder that one was written to: what its noise rate means for the
        agreement with test labels as they are is said in the details.
    group
        Column of a table whose rows with one value, such as a patient, share a side of every split. It is
        no feature. Copies share a side in any case.
    label_mode
        How `alpha` or `eta` is added: ``"added"``, several labels per image; ``"replaced"``, one label per
        image. Default: ``"replaced"`` for data of the user, ``"added"`` for built-in data sets, and the
        answer says so.
    n
        Clean examples. Default: all.
    epochs
        Budget of a run, in passes over its images.
    precision
        Precision of products, ``"float32"`` or ``"bfloat16"``.
    seed
        Root seed of the search; its further seeds follow.
    store
        SQLite file of the runs; finished runs are not repeated.
    execution
        Where and how the runs are trained. Default: in processes of this machine.

    Raises
    ------
    DilutionError
        If a setting breaks its rule, or a file or the store cannot be used.
    """
    execution = execution or Execution()
    deadline = Deadline.of(execution)
    if execution.executor == "processes" and not trains_inline(execution):
        check_main_guard()
    if not is_finite_number(epochs) or not 0 < epochs <= MAX_EPOCHS:
        raise InputError(
            f"epochs is {short_repr(epochs)}; it must be a number above 0 and at most {MAX_EPOCHS:,.0f}: "
            "passes over the examples."
        )
    model = importable_name(model)
    check_settings(model, precision=precision, takes_steps=True)
    if alpha is not None or eta is not None:
        check_noise_level(alpha, eta)
    check_label_mode(label_mode)
    check_usable_store(store)
    columns = {"label": label, "noisy_label": noisy_label, "ids": ids, "group": group}
    with StageLog.to_stderr("reading the data", progress=execution.progress) as log:
        known = find_diagnosis(diagnosis, data, columns, execution.root)
        examples = as_features(data, features, columns, execution.root)
        shown = shown_name(data, **columns)
        if examples is not None:
            log.begin("writing the features")
            data, columns = examples, {}
        data, name, data_notes = name_data(data, store, **columns)
        if examples is not None:
            name = f"features of {name_in_answers(shown)}"
        splits = load(data, execution.root)
        if features is None and is_own_data(data):
            pixel_notes = note_on_pixels(splits.train, takes_features=True)
            data_notes = (*data_notes, *pixel_notes)
            for line in printed_notes(pixel_notes):
                log(line)
        mode: LabelMode = label_mode or ("replaced" if is_own_data(data) else "added")
        request = _Request.of(splits, data, alpha, eta, model, n, epochs, precision, seed, mode)
        for line in printed_notes(request.notes):
            log(line)
        log.begin("measuring the noise scale")
        noise_scales = _measure_noise_scales(request)
        log.begin("preparing the search")
        proposed = _propose(request, noise_scales[-1], execution.root)
        with Store(store) as opened:
            search = Search(f"advice/{data}/{request.model}", opened, store, execution, deadline)
            lr, trials = search_lr(proposed, search.train)
            run, comparisons, runs = compare_settings(
                proposed.model_copy(update={"lr": lr}), _alternatives(proposed), search.train
            )
            checkpoint = choose_checkpoint(histories(opened, keys=set(runs["key"])))
            left_out = search.left_out()
        return Advice(
            name=name,
            run=run,
            n_images=request.n_images,
            eta=eta,
            noise_scales=noise_scales,
            lr_trials=trials,
            comparisons=tuple(comparisons),
            checkpoint=checkpoint,
            runs=runs,
            search_runs=pd.concat(search.tables, ignore_index=True).drop_duplicates("key"),
            majority_share=majority_share(splits.test.labels),
            trusts_test_labels=request.trusts_labels,
            notes=tuple(dict.fromkeys((*data_notes, *splits.notes, *request.notes, *left_out))),
            is_mode_assumed=label_mode is None,
            diagnosis=known,
        )


_MIN_N = 128  # examples that advice needs: a smaller set is refused later
_MAX_LABELS = 1_000_000_000
"""Labels of a data set that advice is given for: counting them once takes half a minute."""


@dataclass(frozen=True)
class _Request:
    """What advice is asked for, checked.

    Parameters
    ----------
    dataset
        Name or path of the data.
    train
        Training split.
    model
        Name of the model.
    alpha
        Noise level to add; None: labels are used as they are.
    n
        Clean examples.
    n_images
        Budget: images that pass through the model.
    precision, seed
        As for :func:`advise`.
    label_mode
        Whether noise is added to the labels or replaces them.
    """

    dataset: str
    train: Arrays
    model: str
    alpha: float | None
    n: int
    n_images: int
    precision: PrecisionName
    seed: int
    label_mode: LabelMode = "added"

    @classmethod
    def of(
        cls,
        splits: DataSet,
        data: str | Path,
        alpha: float | None,
        eta: float | None,
        model: str | None,
        n: int | None,
        epochs: float,
        precision: PrecisionName,
        seed: int,
        label_mode: LabelMode = "added",
    ) -> "_Request":
        train = splits.train
        check_classes(train.labels, train.classes)
        check_training_groups(train)
        adds_noise = alpha is not None or eta is not None
        level = uniform_noise_level(alpha, eta, len(train.classes)) if adds_noise else None
        model = model or default_model(train.shape)
        if not resolve_trainable(model, train.shape, len(train.classes)).takes_steps:
            raise InputError(
                f"model is {model!r}, an estimator that takes no optimizer steps: it has no batch size or "
                "learning rate to advise. Name a model."
            )
        n = len(train) if n is None else n
        if level and round(n * level) < 1:
            given = f"alpha is {alpha:g}" if alpha is not None else f"eta is {eta:g}"
            raise InputError(
                f"{given} and n is {n:,}; that adds no noisy label. Leave it out to use the labels as they "
                "are, or give more noise."
            )
        if level is not None and label_mode == "added" and n * (1 + level) > _MAX_LABELS:
            most, fewer = int(_MAX_LABELS / n) - 1, int(_MAX_LABELS / (1 + level))
            remedies = [f"--alpha {most} or less"] if alpha is not None and most >= 0 else []
            remedies += [f"--n {fewer} or less"] if fewer >= _MIN_N else []
            raise InputError(
                f"alpha is {level:g} and n is {n:,}: {n * (1 + level):.2g} labels, all of which advice "
                f"counts; at most {_MAX_LABELS:,}. Give {', or '.join(remedies) or 'a smaller noise level'}."
            )
        n_images = round(epochs * (n - default_n_val(n)))
        return cls(str(data), train, model, level, n, n_images, precision, seed, label_mode)

    @property
    def uses_observed(self) -> bool:
        """Whether observed labels of the data are used, in place of added noise."""
        return self.alpha is None and self.train.observed is not None

    @property
    def notes(self) -> tuple[str, ...]:
        """Which labels of the data are not used."""
        if self.alpha is None or self.train.observed is None:
            return ()
        instead = (
            "noise is added to the true ones" if self.alpha else "the true ones are learned without noise"
        )
        return (
            f"The observed labels are not used: {instead}. Leave out alpha and eta to learn from the "
            "observed labels",
        )

    @property
    def trusts_labels(self) -> bool:
        """Whether the labels of the test split are taken to be right."""
        return self.alpha is not None or self.uses_observed

    def dilute(self, alpha: float) -> Dilution:
        """Return the training split with noise of a level added to the labels as they are."""
        data = self.train
        if self.uses_observed and data.observed is not None:
            data = Arrays(data.images, data.observed, data.classes, groups=data.groups)
        return Dilution(data, alpha, n=self.n, seed=self.seed, label_mode=self.label_mode)


def _measure_noise_scales(request: _Request) -> tuple[NoiseScale, ...]:
    """Measure the noise scale at levels from none to the one asked for, equally apart in log(1 + α)."""
    model = train_halfway(
        request.model, request.dilute(0), default_n_val(request.n), request.seed, request.precision
    )
    level = request.alpha or 0.0
    steps = _N_LEVELS - 1 if level else 0
    levels = [(1 + level) ** (step / steps) - 1 for step in range(steps)] if steps else []
    return tuple(
        measure_noise_scale(model, request.dilute(alpha), request.seed) for alpha in [*levels, level]
    )


def _propose(request: _Request, noise_scale: NoiseScale, root: str | None) -> Run:
    """Return the run that theory and habit propose for a noise scale."""
    pooled = bool(request.alpha) and request.label_mode == "added"
    scale = noise_scale.image if pooled else noise_scale.label
    recipe = built_in_recipe(
        alpha=request.alpha or 0.0,
        images=request.n_images,
        pooled=pooled,
        shape=request.train.shape,
        noise_scale=min(scale.value, _MAX_SCALE),
    )
    noise: dict[str, Any] = {"alpha": request.alpha or 0.0}
    if request.alpha:
        noise["label_mode"] = request.label_mode
    if request.uses_observed:
        noise = {"noise": "observed"}
    run = Run.of(
        dataset=request.dataset,
        model=request.model,
        n=request.n,
        seed=request.seed,
        precision=request.precision,
        n_evals=_N_EVALS,
        steps=max(1, round(request.n_images / recipe["batch_size"])),
        **noise,
        **recipe,
    )
    (prepared,) = prepare([run], root)
    return prepared


def _alternatives(run: Run) -> dict[str, Any]:
    """Return the values that are compared with those of the proposed run at the whole budget."""
    alternatives: dict[str, Any] = {"schedule": "cosine", "ema_decay": 0.0}
    return alternatives | ({"translate": 0} if run.translate else {})
