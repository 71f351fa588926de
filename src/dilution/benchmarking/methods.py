"""The methods that a benchmark compares: settings of a training, by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dilution.benchmarking.names import split_names
from dilution.errors import DilutionError, InputError, short_repr, unknown
from dilution.training import TrainConfig
from dilution.training.losses import LOSSES, resolve_loss
from dilution.training.strategies import STRATEGIES, CoTeaching, DivideMix, resolve_strategy
from dilution.utils.named_call import parse_call
from dilution.utils.references import is_reference

REFERENCE = "cross_entropy"
"""Name of the method that all others are compared with."""

_STRATEGY = "strategy="
_MIXUP = 8.0  # Zhang et al. (2018) train on wrong labels with 8 and 32, on clean ones with 0.1 to 1


@dataclass(frozen=True)
class Method:
    """A way to train under label noise.

    Parameters
    ----------
    name
        Name in tables and on the command line.
    title
        Name in figures.
    settings
        Settings of a run that differ from those of plain cross entropy.
    stops_early
        Whether the trained model is the one at the highest accuracy on noisy validation labels, in place of
        the one after the last step.
    about
        What the method is, in one line.
    strategy_for
        Function of the epochs of a training, passes over all of its labels, → the setting `strategy`: for
        strategies whose phases are counted in epochs.
    least_epochs
        Epochs below which a training is too short for the phases; the method is left out there.
    """

    name: str
    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    stops_early: bool = False
    about: str = ""
    strategy_for: Callable[[float], str] | None = None
    least_epochs: float = 0.0

    def settings_for(self, epochs: float) -> dict[str, Any]:
        """Return the settings of a run whose training passes over all labels so many times."""
        strategy = {} if self.strategy_for is None else {"strategy": self.strategy_for(epochs)}
        return {**self.settings, **strategy}


def _of_loss(name: str, title: str) -> Method:
    return Method(name, title, {"loss": name}, about=f"the loss {name}, with its default parameters")


def _co_teaching(epochs: float) -> str:
    return CoTeaching(ramp_epochs=_at_most(10.0, epochs / 2)).text


def _divide_mix(epochs: float) -> str:
    return DivideMix(warm_up=min(10, int(epochs / 3)), ramp_epochs=_at_most(16.0, epochs / 2)).text


def _at_most(published: float, epochs: float) -> float:
    """Return a published number of epochs, or so many as a shorter training has, with 3 digits."""
    return min(published, float(f"{epochs:.3g}"))


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(REFERENCE, "cross entropy", about="plain training, the reference of all comparisons"),
        Method(
            "early_stopping",
            "early stopping",
            stops_early=True,
            about="cross entropy, stopped at its highest accuracy on noisy validation labels",
        ),
        Method(
            "pooled",
            "pooled labels",
            {"targets": "pooled"},
            about="cross entropy of the histogram of an image's labels, where it has several",
        ),
        _of_loss("label_smoothing", "label smoothing"),
        _of_loss("bootstrap_soft", "soft bootstrapping"),
        _of_loss("bootstrap_hard", "hard bootstrapping"),
        _of_loss("mae", "mean absolute error"),
        _of_loss("gce", "GCE"),
        _of_loss("sce", "SCE"),
        _of_loss("phuber", "phuber"),
        _of_loss("elr", "ELR"),
        Method("mixup", "mixup", {"mixup": _MIXUP}, about=f"mixup with a = {_MIXUP:g} and cross entropy"),
        Method(
            "forward", "forward (T known)", {"loss": "forward"}, about="forward correction with the true T"
        ),
        Method(
            "backward",
            "backward (T known)",
            {"loss": "backward"},
            about="backward correction with the true T",
        ),
        Method(
            "co_teaching",
            "co-teaching (rate known)",
            about="two networks that choose each other's examples; its ramp is half of a short training",
            strategy_for=_co_teaching,
            least_epochs=2.0,
        ),
        Method(
            "divide_mix",
            "DivideMix",
            about="two networks and a semi-supervised loss; phases shortened to parts of a training",
            strategy_for=_divide_mix,
            least_epochs=3.0,
        ),
    )
}
"""Built-in methods by name, in the order of tables. A new one is an entry here; from outside name a loss
``module:factory``, or give settings."""


def list_methods() -> dict[str, str]:
    """Return the names of the methods that a benchmark compares, each with a one-line description."""
    return {name: method.about for name, method in METHODS.items()}


def resolve_methods(methods: str | Sequence[str] | Mapping[str, Any] | None) -> list[Method]:
    """Return methods by their names, each once; cross entropy, which they are compared with, is the first.

    Parameters
    ----------
    methods
        Names in a list, or in a text between commas: of built-in methods, of losses and strategies with
        parameters (``"gce(q=0.3)"``, ``"divide_mix(warm_up=5)"``), of losses of your own
        (``"module:factory(beta=2)"``), or of strategies of your own (``"strategy=module:factory"``). Or a
        dictionary from names of your choice to such a name, or to settings of a training:
        ``{"mine": {"loss": "gce", "mixup": 0.2}}``. None: all built-in methods.

    Raises
    ------
    InputError
        If there is no such method, one name has different settings, or a setting breaks its rule.
    """
    if methods is None:
        return list(METHODS.values())
    if isinstance(methods, Mapping):
        resolved = [_described(name, value) for name, value in methods.items()]
    else:
        resolved = [_named(name) for name in split_names(methods, "methods", "cross_entropy,gce")]
    by_name: dict[str, Method] = {}
    for method in [METHODS[REFERENCE], *resolved]:
        known = by_name.setdefault(method.name, method)
        if _training_of(known) != _training_of(method):
            raise InputError(
                f"the method {method.name!r} is given with settings {dict(method.settings)}, and "
                f"{method.name!r} are {dict(known.settings) or 'the settings of plain training'} already. "
                "Choose another name."
            )
    return list(by_name.values())


def _training_of(method: Method) -> tuple[object, ...]:
    """Return what of a method decides its accuracy; names and descriptions do not."""
    return method.settings, method.strategy_for, method.stops_early


def _named(name: str) -> Method:
    """Return a built-in method, or a loss as a method."""
    if name in METHODS:
        return METHODS[name]
    if name.startswith(_STRATEGY):
        text = resolve_strategy(name.removeprefix(_STRATEGY)).text
        return Method(name, text, {"strategy": text}, about=f"the strategy {text}")
    factory, _ = parse_call(name, "loss")
    if factory in STRATEGIES:
        return _named(f"{_STRATEGY}{name}")
    if factory not in LOSSES and not is_reference(factory):
        raise unknown("method", name, dict.fromkeys((*METHODS, *LOSSES)))
    text = resolve_loss(name).text
    if text in METHODS:  # a loss whose parameters are the published ones
        return METHODS[text]
    return Method(text, text, {"loss": text}, about=f"the loss {text}")


def _described(name: object, value: object) -> Method:
    """Return a method with a name of the user."""
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"the name of a method is {short_repr(name)}; it must be text, such as 'mine'.")
    if isinstance(value, str):
        known = _named(value)
        return replace(known, name=name, title=name)
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InputError(
            f"the method {name!r} is {short_repr(value)}; it must be the name of a method, or settings of a "
            "training, such as {'loss': 'gce(q=0.3)', 'mixup': 0.2}."
        )
    try:
        config = TrainConfig(**value)
    except DilutionError as error:
        raise InputError(f"the method {name!r}: {error}") from None
    return Method(name, name, {key: getattr(config, key) for key in value})
