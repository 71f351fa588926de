"""One model of an ensemble in training: its data, its evaluations, its result."""

import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dilution.errors import DilutionError
from dilution.models import build_model
from dilution.noise import NoiseSummary
from dilution.training.augment import Augmentation
from dilution.training.batches import Batch, BatchSampler
from dilution.training.device import evaluation_products
from dilution.training.distributed import Shard
from dilution.training.estimators import is_custom
from dilution.training.evaluation import Evaluator, Normalise
from dilution.training.evaluation_log import EvaluationLog
from dilution.training.gradients import GradientComparison, GradientSums
from dilution.training.losses import LossContext, resolve_loss
from dilution.training.memorisation import Memorisation
from dilution.training.mixup import Mixup
from dilution.training.result import TrainResult
from dilution.training.strategies import Examples, Network, StrategyContext, resolve_strategy
from dilution.training.strategy_step import StrategyReplica
from dilution.training.task import TrainTask
from dilution.utils import rng
from dilution.utils.rng_state import RngState


class Replica:
    """One of the models that train together: its data, and the record of its evaluations.

    Parameters
    ----------
    task
        The training.
    device
        Device of the data.
    shard
        The part of each batch that this process computes.

    Attributes
    ----------
    steps
        Number of optimizer steps.
    rng_state
        Random numbers for the layers of a custom model; None for a built-in one, which draws none.
    """

    def __init__(self, task: TrainTask, device: torch.device, shard: Shard) -> None:
        config, data = task.config, task.noisy.data
        self.task, self.image_shape, self.classes = task, data.shape, task.noisy.classes
        training, held_out = (
            (task.noisy, None) if task.label_weights is not None else task.noisy.hold_out(task.n_val)
        )
        self._training = training.to(device)
        self._n_val = 0 if held_out is None else held_out.n
        self._sampler = BatchSampler(
            self._training,
            config.targets,
            config.batch_size,
            seed=task.seed,
            shard=shard,
            label_weights=task.label_weights,
            numbered=config.takes_index,
        )
        self._augmentation = Augmentation(config, data.shape, seed=task.seed, shard=shard)
        self._mixup = Mixup(config, task.noisy.classes, seed=task.seed)
        self.normalise = Normalise(self._training.data, self._training.clean_rows, compress=task.compress)
        evaluator = (
            None
            if held_out is None
            else Evaluator(self.normalise, held_out.to(device), task.test.to(device), config.test_part)
        )
        draws_labels = config.targets != "expected" and task.label_weights is None
        memorisation = (
            Memorisation(self.normalise, self._training, task.seed) if draws_labels and self._n_val else None
        )
        # Validation examples may be fewer where groups are kept whole; steps must not depend on the seed.
        planned = training.length_for(task.noisy.n - task.n_val)
        self.steps = config.total_steps(planned if config.targets == "sampled" else task.noisy.n - task.n_val)
        self.rng_state = RngState(rng.stream(task.seed, "dropout"), device) if is_custom(task.model) else None
        self._log = EvaluationLog(task, self.steps, evaluator, memorisation, self.rng_state)
        self._gradients: GradientComparison | None = None
        self._gradients_obstacle = ""
        self._gradient_sums: dict[str, Any] | None = None  # of a comparison that is not complete

    @property
    def kind(self) -> tuple[object, ...]:
        """Everything that must be equal for replicas to train together."""
        config = self.task.config.model_copy(update={"lr": 0.0, "epochs": None, "steps": self.steps})
        return self.task.model, self.image_shape, self.classes, config

    def build_model(self) -> nn.Module:
        """Return the model with its initial weights."""
        return build_model(self.task.model, self.image_shape, self.classes, seed=self.task.seed)

    def strategy_replica(self) -> StrategyReplica:
        """Return what the strategy of the configuration trains.

        Raises
        ------
        InputError
            If the strategy or its loss cannot be used in this training.
        """
        task, config, device = self.task, self.task.config, self._training.data.device
        epochs = self.steps * config.batch_size / len(self._training)
        context = StrategyContext.of(
            self._training, batch_size=config.batch_size, epochs=epochs, loss=config.loss, device=device
        )
        strategy = resolve_strategy(config.strategy)
        strategy.check(context)
        procedure = strategy.of_replica(context).to(device)
        dtype = getattr(torch, config.precision)
        models = [self.build_model(), *map(self._build_network, range(1, procedure.networks))]
        return StrategyReplica(
            procedure,
            [Network(model.to(device), dtype, self.rng_state) for model in models],
            Examples.of(self._training, self.normalise),
            resolve_loss(config.loss).of_examples(self.loss_context(1)),
            self._augmented if self._augmentation.changes_images else None,
            config.lr,
            task.seed,
        )

    def _build_network(self, number: int) -> nn.Module:
        """Return another network than the first, with other initial weights."""
        seed = rng.stream(self.task.seed, f"network/{number}") & (2**63 - 1)
        return build_model(self.task.model, self.image_shape, self.classes, seed=seed)

    def _augmented(self, index: Tensor, step: int, number: int) -> Tensor:
        """Return the images of examples in another augmentation than that of the batch, normalised."""
        stream = f"augmentation/view {number}"
        augmentation = Augmentation(self.task.config, self.image_shape, seed=self.task.seed, stream=stream)
        return self.normalise(augmentation.apply_to(self._training.images(index), step))

    def batches(self, start: int) -> Iterator[Batch]:
        """Yield the augmented batches of the steps from `start` (0 for the first) to the last."""
        batches = self._augmentation.apply(self._sampler.batches(self.steps, start), start)
        return self._mixup.apply(batches, start)

    def loss_context(self, replicas: int) -> LossContext:
        """Return what the loss may know of this training, one of `replicas` that train together."""
        return LossContext.of(
            self._training,
            takes_weights=self.task.config.takes_weights,
            device=self._training.data.device,
            replicas=replicas,
        )

    @property
    def shown_images(self) -> Tensor | None:
        """The tensor whose rows are the images of every batch; None if there is no such tensor."""
        changes_images = self._augmentation.changes_images or self._mixup.is_on
        return None if changes_images else self._sampler.shown_images

    def chunks(self, start: int, replicas: int) -> Iterator[tuple[int, int]]:
        """Yield first step and number of steps of each chunk, as :meth:`BatchSampler.chunks`."""
        return self._sampler.chunks(self.steps, start, replicas)

    def rows_and_targets(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Return the batches of a chunk, as :meth:`BatchSampler.rows_and_targets`."""
        return self._sampler.rows_and_targets(first, count)

    def evaluate(self, model: nn.Module, step: int, losses: Tensor) -> None:
        """Evaluate the model and record the evaluation, as :meth:`EvaluationLog.record`."""
        with evaluation_products(self._training.data.device, self.task.config.precision):
            self._log.record(model, step, losses)

    @property
    def has_ended(self) -> bool:
        """Whether the training has diverged or stopped early; it records nothing any more."""
        return self._log.has_ended

    def finish(self, model: nn.Module) -> None:
        """Measure models on the whole test split at the end, as :meth:`EvaluationLog.finish`."""
        with evaluation_products(self._training.data.device, self.task.config.precision):
            self._log.finish(model)

    def compare_gradients(self, model: nn.Module) -> Iterator[None]:
        """Compare the gradients of the trained model if the task asks for it; yield after each batch.

        An error is kept as the obstacle of this comparison: the training has ended well.

        Parameters
        ----------
        model
            The model after the last step of the ensemble.
        """
        is_compared = self._gradients is not None or bool(self._gradients_obstacle)
        if not self.task.compare_gradients or self._log.diverged_at is not None or is_compared:
            return
        model = self._log.last_model(model)
        try:
            sums = GradientSums(model, self.normalise, self._training, self.task.config.targets)
            if self._gradient_sums is not None:
                sums.load(self._gradient_sums)
            for _ in sums.batches():
                self._gradient_sums = sums.state()
                yield
            self._gradients = sums.compared()
        except (Exception, SystemExit) as error:  # recorded and reported with the run, not swallowed
            is_own = isinstance(error, DilutionError)
            self._gradients_obstacle = str(error) if is_own else traceback.format_exc(limit=-8)
        self._gradient_sums = None

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of the replica, apart from its weights."""
        compared = None if self._gradients is None else [self._gradients.ratio, self._gradients.cosine]
        return self._log.state() | {
            "rng_states": None if self.rng_state is None else self.rng_state.states,
            "gradients": (compared, self._gradients_obstacle, self._gradient_sums),
        }

    def check(self, state: Mapping[str, Any]) -> None:
        """Check that a training can resume from the state of a checkpoint, before anything is loaded.

        Raises
        ------
        OtherStepError
            If the state lacks weights of an evaluation that are kept.
        """
        self._log.check(state)

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from the state of a checkpoint."""
        self._log.load(state)
        if self.rng_state is not None:
            self.rng_state.states = list(state["rng_states"])
        if "gradients" in state:
            compared, self._gradients_obstacle, self._gradient_sums = state["gradients"]
            self._gradients = None if compared is None else GradientComparison(*compared)

    def result(self, model: nn.Module, seconds: float) -> TrainResult:
        """Return the result of the training.

        Parameters
        ----------
        model
            The model after the last step of the ensemble.
        seconds
            Wall time of the training.
        """
        model, log = self._log.kept_model(model), self._log
        return TrainResult(
            state="done" if log.diverged_at is None else "diverged",
            history=log.history,
            noise_summary=self._noise_summary(),
            n_train=self._training.n,
            n_val=self._n_val,
            n_test=len(self.task.test),
            seconds=seconds,
            diverged_at=log.diverged_at,
            model=model.cpu().eval(),
            normalise=self.normalise.to(torch.device("cpu")),
            gradients=self._gradients,
            gradients_obstacle=self._gradients_obstacle,
            model_step=log.kept_step,
            stopped_at=log.stopped_at,
            whole_test=log.whole_test,
        )

    def _noise_summary(self) -> NoiseSummary:
        """Return the noise of the training labels; with expected targets no label is drawn."""
        if self.task.config.targets == "expected":
            return self._training.expected_noise_summary()
        return self._training.noise_summary(self._sampler.label_counts)
