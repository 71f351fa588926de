"""Learners that take no steps: classifiers of scikit-learn, and a user's own, on all labels at once.

They train on the n(1 + alpha) examples of a dilution, each image one row of normalised numbers. What a
network chooses on clean validation labels, its step, a learner of scikit-learn chooses among a few values of
one setting.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dilution.data import Arrays
from dilution.errors import InputError, unknown
from dilution.models import MODELS, Classifier, make
from dilution.noise import Dilution
from dilution.training.evaluation import Evaluator, Normalise, accuracy, logits
from dilution.training.result import TrainResult
from dilution.utils import rng
from dilution.utils.references import is_reference, raised

_LARGEST = 1 << 29  # numbers in a table of examples, 2 GiB in float32; learners make copies of parts of it
_CHUNK = 1 << 15  # examples whose labels are looked up at once
_LEAST = 1e-9  # the least probability: its logarithm stays finite


def _logistic(images: int, labels: float, seed: int) -> list[Classifier]:
    from sklearn.linear_model import LogisticRegression

    del images, seed  # it draws no random numbers
    # C weighs the sum over labels against the penalty: divided by the labels of an image it is the same at
    # every noise level.
    return [LogisticRegression(C=c / labels, max_iter=1000) for c in (1e-4, 1e-3, 1e-2, 1e-1)]


def _knn(images: int, labels: float, seed: int) -> list[Classifier]:
    from sklearn.neighbors import KNeighborsClassifier

    del seed
    near = (1, 5, 20, 50)  # images, each with all of its labels
    return [KNeighborsClassifier(round(k * labels)) for k in near if k <= images]


def _forest(images: int, labels: float, seed: int) -> list[Classifier]:
    from sklearn.ensemble import RandomForestClassifier

    del labels
    least = (1, 5, 25)  # images whose labels a leaf holds at least
    shares = sorted({min(0.5, k / images) for k in least})
    return [RandomForestClassifier(100, min_weight_fraction_leaf=p, random_state=seed) for p in shares]


def _boosting(images: int, labels: float, seed: int) -> list[Classifier]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    del images, labels
    using: dict[str, Any] = {"max_leaf_nodes": 15, "early_stopping": False, "random_state": seed}
    return [HistGradientBoostingClassifier(max_iter=rounds, **using) for rounds in (10, 40)]


ESTIMATORS: dict[str, Callable[[int, float, int], list[Classifier]]] = {
    "sklearn:logistic": _logistic,
    "sklearn:knn": _knn,
    "sklearn:forest": _forest,
    "sklearn:boosting": _boosting,
}
"""Learners by name: function of the images, the mean number of labels of each and a seed → classifiers, of
which clean validation labels choose one. What is not said is scikit-learn's default."""


def check_name(name: str) -> str:
    """Return the name of a network or learner if it can be one; that of one's own is not imported yet.

    Raises
    ------
    InputError
        If it is neither a name of ours nor written ``module:factory``.
    """
    if not isinstance(name, str):
        raise InputError(
            f"network is a {type(name).__name__}; it must be a name: 'conv4', or for a network of your own "
            "'module:factory', the function that makes it."
        )
    if name in MODELS or name in ESTIMATORS:
        return name
    if name.startswith("sklearn:"):
        raise unknown("estimator", name, ESTIMATORS)
    if not is_reference(name):
        raise unknown("model", name, (*MODELS, *ESTIMATORS))
    return name


def kind_of(name: str, shape: tuple[int, int, int], classes: int) -> Literal["model", "estimator"]:
    """Return whether a name is that of a network or of a learner; one of one's own is made, to see.

    Parameters
    ----------
    name
        Name of a network or learner, or ``"module:factory"``.
    shape
        Image shape: (channels, height, width).
    classes
        Number of classes.

    Raises
    ------
    InputError
        If there is nothing of this name; if a factory breaks a rule, see :func:`dilution.models.custom.make`, or
        does not make the same network for the same seed.
    """
    check_name(name)
    if name in ESTIMATORS:
        return "estimator"
    if name in MODELS:
        return "model"
    made, again = (make(name, shape, classes, seed=0) for _ in range(2))
    if not isinstance(made, nn.Module) or not isinstance(again, nn.Module):
        return "estimator"
    first, second = list(made.parameters()), list(again.parameters())
    if {id(each) for each in first} & {id(each) for each in second}:
        raise InputError(
            f"model is {name!r}, and two calls returned networks with the same weights in them: the second "
            "run would go on where the first ended. Make every layer within the factory."
        )
    if len(first) != len(second) or not all(map(torch.equal, first, second)):
        raise InputError(
            f"model is {name!r}, and two calls with the same seed returned other weights. Draw them from "
            "PyTorch's global generator, which is seeded for each run, not from NumPy or random."
        )
    return "model"


def learn(name: str, noisy: Dilution, test: Arrays, *, seed: int, n_val: int) -> TrainResult:
    """Train a learner on a diluted set.

    Parameters
    ----------
    name
        Name of a learner, or ``"module:factory"`` of a classifier of one's own.
    noisy
        The diluted set. Its n clean examples include those set aside for validation.
    test
        Test images; they are evaluated and choose nothing.
    seed
        Root seed; what a learner draws is from the stream ``"estimator"``.
    validation
        Clean examples set aside.

    Returns
    -------
    TrainResult
        Its history has one row, of step 0: there are no steps.

    Raises
    ------
    InputError
        If the table of all examples would be too large for memory, or a classifier raises or returns
        something else than probabilities.
    """
    started = time.perf_counter()
    training, held_out = noisy.hold_out(n_val)
    prepare = Normalise(training.data, training.clean_rows)
    candidates = _candidates(name, training, seed)
    with _threads():
        examples = _examples(training, prepare, weighted=_takes_weights(candidates[0]))
        fitted = [_Fitted(name, each, noisy.classes).fit(examples) for each in candidates]
        best = fitted[0] if len(fitted) == 1 else max(fitted, key=_judge(prepare, held_out))
        judged = Evaluator(prepare, held_out, test)(best)
    return TrainResult(
        state="done",
        history=pd.DataFrame([{"step": 0} | judged]),
        noise_summary=training.noise_summary(),
        n_training=training.n,
        n_validation=held_out.n,
        n_test=len(test),
        seconds=time.perf_counter() - started,
        diverged_at=None,
        module=best,
        prepare=prepare,
    )


def _candidates(name: str, training: Dilution, seed: int) -> list[Classifier]:
    state = rng.stream(seed, "learner") & (2**32 - 1)  # what scikit-learn takes as a seed
    if name in ESTIMATORS:
        return ESTIMATORS[name](training.n, len(training) / training.n, state)
    model = make(name, training.data.shape, training.classes, seed=seed)
    if isinstance(model, nn.Module):
        raise InputError(f"{name!r} made a network, and a classifier before; it must always make the same.")
    settings = model.get_params() if hasattr(model, "get_params") else {}
    unset = [key for key, value in settings.items() if key.endswith("random_state") and value is None]
    if unset and hasattr(model, "set_params"):
        model.set_params(**dict.fromkeys(unset, state))
    return [model]


class _Examples(NamedTuple):
    """What a learner learns from."""

    features: NDArray[np.float32]  # (rows, features)
    labels: NDArray[np.int64]  # (rows,)
    weights: NDArray[np.float64] | None  # (rows,), or each row counts once


def _examples(training: Dilution, prepare: Normalise, *, weighted: bool) -> _Examples:
    """Return all examples as a table; weighted, each image once for each label it carries."""
    if weighted and training.image_source.name == "same":
        parts = [_labels_of(training, at) for at in torch.arange(training.n).split(_CHUNK)]
        place, labels, counts = (torch.cat(each) for each in zip(*parts, strict=True))
        _check_size(len(place), training)
        images = prepare(training.data.take(training.clean_rows)).flatten(1)
        return _Examples(images[place].numpy(), labels.numpy(), counts.double().numpy())
    _check_size(len(training), training)
    index = torch.arange(len(training)).split(_CHUNK)
    features = torch.cat([prepare(training.images(at)).flatten(1) for at in index])
    return _Examples(features.numpy(), torch.cat([training.labels(at) for at in index]).numpy(), None)


def _labels_of(training: Dilution, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return places, the labels that occur there, and how often each does; all of shape (rows,)."""
    counts = training.histogram(place)
    at, label = counts.nonzero(as_tuple=True)
    return place[at], label, counts[at, label]


def _check_size(rows: int, training: Dilution) -> None:
    features = int(np.prod(training.data.shape))
    if rows * features > _LARGEST:
        raise InputError(
            f"a learner without steps needs a table of {rows:,} examples × {features:,} features; it can "
            f"hold {_LARGEST:,} numbers at most, to fit in memory. Give a smaller n or alpha."
        )


def _takes_weights(model: Classifier) -> bool:
    from sklearn.utils.validation import has_fit_parameter

    return bool(has_fit_parameter(model, "sample_weight"))


def _judge(prepare: Normalise, held_out: Dilution) -> Callable[["_Fitted"], float]:
    """Return what gives the accuracy of a learner on clean validation labels."""
    images = held_out.data.subset(held_out.clean_rows)
    truth = held_out.true_labels(torch.arange(held_out.n))
    return lambda fitted: accuracy(logits(fitted, prepare, images), truth)


@contextmanager
def _threads() -> Iterator[None]:
    """Let the libraries below scikit-learn compute with as many threads as PyTorch does."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=torch.get_num_threads()):
        yield


class _Fitted(nn.Module):
    """A classifier that is asked as a network is: its logits are logarithms of probabilities."""

    def __init__(self, name: str, model: Classifier, classes: int) -> None:
        super().__init__()
        self.name, self.model, self.classes = name, model, classes

    def fit(self, examples: _Examples) -> "_Fitted":
        """Learn, and return this."""
        features, labels, weights = examples
        try:
            if weights is None:
                self.model.fit(features, labels)
            else:
                self.model.fit(features, labels, sample_weight=weights)  # type: ignore[call-arg]
        except Exception as error:
            raise InputError(
                f"model is {self.name!r}; its fit raised {raised(error)} on {len(labels):,} examples of "
                f"{features.shape[1]:,} features, labels {np.unique(labels).tolist()[:10]}."
            ) from None
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return log-probabilities, float32 of shape (b, classes)."""
        try:
            found = np.asarray(self.model.predict_proba(x.flatten(1).numpy()), dtype=np.float64)
        except Exception as error:
            raise InputError(f"model is {self.name!r}; its predict_proba raised {raised(error)}.") from None
        # Classes without a label are none of its own; scikit-learn says in `classes_` which it knows.
        known = np.asarray(getattr(self.model, "classes_", np.arange(self.classes)))
        if found.shape != (len(x), len(known)) or not np.isfinite(found).all():
            raise InputError(
                f"model is {self.name!r}; its predict_proba returned shape {found.shape} for {len(x)} "
                f"images; it must return finite probabilities of shape ({len(x)}, {len(known)})."
            )
        shares = np.zeros((len(x), self.classes))
        shares[:, known] = found
        return torch.from_numpy(shares).clamp_(min=_LEAST).log_().float()
