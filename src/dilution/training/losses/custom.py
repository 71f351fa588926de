"""Losses of the user: made by a factory ``module:name``, and checked before the first step."""

import inspect
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dilution.errors import DilutionError, InputError
from dilution.training.losses.base import Loss, LossContext
from dilution.training.losses.gradient import ExampleLosses, LossWithGradient, differentiate
from dilution.utils.named_call import format_call
from dilution.utils.references import describe_exception, resolve, source_digest

_FINITE = "Use log_softmax in place of log, and keep powers and divisors above 0."
_RULE = "a loss is a function (logits (b, classes), labels (b,)) → losses (b,), without a mean over the batch"


class CustomLoss(Loss):
    """A loss of the user, ``module:factory(parameters)``.

    The factory is called for each model that trains, and beforehand to check what it returns, with the
    parameters of the text, and with `classes` and `examples`, the numbers of both, if it names them. It
    returns a function of logits, float32 of shape (b, classes), and labels, int64 of shape (b,), which
    returns losses of shape (b,). A function with a parameter `index` also gets the numbers of the examples,
    int64 of shape (b,). It may be an ``nn.Module``, whose buffers are a state that is saved in checkpoints;
    weights of its own are not trained. If it has an attribute ``linear = True``, it says that it depends on
    logits and one label alone, and takes pooled and expected targets and mixup; then a call must not change
    its buffers.

    Parameters
    ----------
    reference
        ``module:factory``.
    parameters
        Parameters of the factory.
    """

    name: ClassVar[str] = "custom"
    is_linear: ClassVar[bool | None] = None
    takes_index: ClassVar[bool] = True

    reference: str
    parameters: dict[str, Any]

    @property
    def text(self) -> str:
        """Canonical text: the reference and all its parameters."""
        return format_call(self.reference, self.parameters)

    @property
    def digest(self) -> str:
        """SHA-256 of the source file of the factory."""
        return source_digest(self.reference, "loss")

    def check(self, context: LossContext) -> None:
        first, second = self._make(context), self._make(context)
        if first is second and isinstance(first, nn.Module) and any(True for _ in first.buffers()):
            raise InputError(
                f"loss is {self.text!r}, and two calls of the factory returned the same module, whose "
                "buffers two models would share. Create the module within the factory."
            )
        _check_values(_OfReplica(self.text, second, context), context)

    def of_replica(self, context: LossContext) -> LossWithGradient:
        self.check(context)
        return _OfReplica(self.text, self._make(context), context).to(context.device)

    def of_examples(self, context: LossContext) -> ExampleLosses:
        self.check(context)
        function = self._make(context)
        if not getattr(function, "linear", False):
            raise InputError(
                f"loss is {self.text!r}, and a strategy needs losses of single examples that depend on "
                "logits and one label alone. Set linear = True on what the factory returns if this one does, "
                "or leave strategy out."
            )
        return _OfReplica(self.text, function, context).to(context.device).of_examples

    def _make(self, context: LossContext) -> Any:
        """Call the factory."""
        factory = resolve(self.reference, "loss")
        facts = {"classes": len(context.classes), "examples": context.examples}
        arguments = {
            name: value for name, value in facts.items() if name in _names(factory)
        } | self.parameters
        try:
            function = factory(**arguments)
        except Exception as error:
            called = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
            hint = (
                f" It is a factory, which returns the loss: {_RULE}."
                if {"logits", "labels"} <= set(_names(factory))
                else " Its parameters are those in brackets."
            )
            raise InputError(
                f"loss is {self.text!r}; called as {self.reference.partition(':')[2]}({called}) it raised "
                f"{describe_exception(error)}.{hint}"
            ) from None
        if not callable(function) or isinstance(function, type):
            raise InputError(
                f"loss is {self.text!r}, whose factory returned a {type(function).__name__}; it must return "
                f"the loss: {_RULE}."
            )
        if isinstance(function, nn.Module) and any(True for _ in function.parameters()):
            raise InputError(
                f"loss is {self.text!r}, a module with weights of its own, which nothing would train. Make "
                "them buffers (register_buffer), or part of the model."
            )
        if context.takes_weights and not getattr(function, "linear", False):
            raise InputError(
                f"loss is {self.text!r}, and targets are weights of several labels; a loss of your own takes "
                "one label at a time. Give targets='sampled' and mixup=0, or set linear = True on what the "
                "factory returns if it depends on logits and one label alone."
            )
        return function


class _OfReplica(nn.Module):
    """A loss of the user for one replica: its losses averaged, with their gradient."""

    def __init__(self, text: str, function: Any, context: LossContext) -> None:
        super().__init__()
        self._text, self._function = text, function
        self._classes = len(context.classes)
        self._takes_index = "index" in _names(function)
        self._is_checked = False

    @property
    def text(self) -> str:
        """Canonical text of the loss."""
        return self._text

    @property
    def has_state(self) -> bool:
        """Whether the function of the user is a module with buffers, which a call may change."""
        return isinstance(self._function, nn.Module) and any(True for _ in self._function.buffers())

    @property
    def says_linear(self) -> bool:
        """Whether the user says that the loss depends on logits and one label alone."""
        return bool(getattr(self._function, "linear", False))

    def buffers_of_user(self) -> dict[str, Tensor]:
        """Return copies of the buffers of the function of the user, if it is a module."""
        if not isinstance(self._function, nn.Module):
            return {}
        return {name: buffer.clone() for name, buffer in self._function.named_buffers()}

    def forward(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss and its gradient by the logits."""
        if targets.is_floating_point():
            return differentiate(lambda x: (self._of_all_labels(x) * targets).sum(dim=-1), logits)
        labels, index = targets.unbind(dim=-1)
        return differentiate(lambda x: self._of(x, labels, index), logits)

    def of_examples(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the losses of examples, shape (b,)."""
        return self._of(logits, labels, None)

    def _of_all_labels(self, logits: Tensor) -> Tensor:
        """Return the losses of all labels, shape (b, classes)."""
        size = len(logits)
        labels = torch.arange(self._classes, device=logits.device).repeat(size)
        return self._of(logits.repeat_interleave(self._classes, dim=0), labels, None).view(size, -1)

    def _of(self, logits: Tensor, labels: Tensor, index: Tensor | None) -> Tensor:
        """Return the losses of examples, shape (b,)."""
        options = {"index": index} if self._takes_index and index is not None else {}
        try:
            losses = self._function(logits, labels, **options)
        except DilutionError:
            raise
        except Exception as error:
            shown = f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)}"
            raise InputError(
                f"loss is {self._text!r}; called with {shown} it raised {describe_exception(error)}. Rule: "
                f"{_RULE}."
            ) from error
        return self._checked(losses, logits)

    def _checked(self, losses: Any, logits: Tensor) -> Tensor:
        """Return what a loss returned, if it is losses of all examples with a gradient."""
        if not isinstance(losses, Tensor) or not losses.is_floating_point():
            kind = losses.dtype if isinstance(losses, Tensor) else type(losses).__name__
            raise InputError(f"loss is {self._text!r}, which returned {kind}, no losses. Rule: {_RULE}.")
        if losses.shape != logits.shape[:1]:
            hint = " Leave out the mean: give reduction='none'." if losses.ndim == 0 else ""
            if losses.shape == logits.shape:
                hint = " Of a loss per class take that of the label: losses.gather(1, labels[:, None])[:, 0]."
            raise InputError(
                f"loss is {self._text!r}, which returned shape {tuple(losses.shape)} for logits "
                f"{tuple(logits.shape)}; it must be {tuple(logits.shape[:1])}, one loss per example.{hint}"
            )
        if logits.requires_grad and torch.is_grad_enabled() and not losses.requires_grad:
            raise InputError(
                f"loss is {self._text!r}, and its losses have no gradient by the logits. It must neither "
                "detach them, nor compute under torch.no_grad(), nor depend on the predicted class alone."
            )
        # Read from a GPU once: later a loss that is not finite is a training that has diverged.
        if not self._is_checked and bool(logits.isfinite().all()) and not bool(losses.isfinite().all()):
            place = int((~losses.isfinite()).nonzero()[0])
            shown = [round(value, 3) for value in logits[place].tolist()[:5]]
            raise InputError(
                f"loss is {self._text!r}, which returned {float(losses[place].detach())} for the logits "
                f"{shown} at the first step; losses of finite logits must be finite. {_FINITE}"
            )
        self._is_checked = True
        return losses


def _check_values(loss: _OfReplica, context: LossContext) -> None:
    """Check a loss on a few logits, which are not those of a training."""
    classes = len(context.classes)
    size = min(classes + 1, 50)
    logits = torch.linspace(-2, 2, size * classes).view(size, classes)
    numbers = torch.arange(size)
    if context.takes_weights:
        targets = torch.full((size, classes), 1 / classes)
    else:
        targets = torch.stack([numbers % classes, numbers % context.examples], dim=1)
    if loss.says_linear:
        labels, half = numbers % classes, (size + 1) // 2
        before = loss.buffers_of_user()
        whole, part = (loss.of_examples(logits[:end].requires_grad_(), labels[:end]) for end in (size, half))
        for name, buffer in loss.buffers_of_user().items():
            if not torch.equal(buffer, before[name]):
                raise InputError(
                    f"loss is {loss.text!r}, which says linear = True, and a call changes its buffer "
                    f"{name!r}: with a state it depends on more than logits and one label. Leave linear "
                    "out, to train it one label at a time, or keep the buffer as it is."
                )
        if not torch.allclose(whole[:half], part, rtol=1e-4, atol=1e-5):
            raise InputError(
                f"loss is {loss.text!r}, which says linear = True, and the losses of examples change "
                "with the other examples of their batch. Leave linear out, to train it one label at a time."
            )
    _, gradient = loss(logits, targets)
    is_finite = bool(gradient.isfinite().all())
    repeats = loss.says_linear or not loss.has_state
    if is_finite and repeats and not torch.equal(loss(logits, targets)[1], gradient):
        raise InputError(
            f"loss is {loss.text!r}, which has another gradient for the same logits and labels each "
            "time; a run with random draws could not be trained again. Leave them out, or write a strategy, "
            "whose batch.random depends on seed and step alone."
        )
    if not is_finite:
        raise InputError(
            f"loss is {loss.text!r}, and its gradient by logits from −2 to 2 is not finite. {_FINITE}"
        )


def _names(function: Any) -> tuple[str, ...]:
    """Return the names of the parameters of a function or of a module's forward."""
    called = function.forward if isinstance(function, nn.Module) else function
    try:
        return tuple(inspect.signature(called).parameters)
    except (TypeError, ValueError):  # some built-in functions have none
        return ()
