"""The optimizer step of a run group by a training strategy: one replica after the other, by autograd."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dilution.training.config import TrainConfig
from dilution.training.ema import WeightEMA
from dilution.training.losses import ExampleLosses
from dilution.training.optimizers import load_optimizer, make_optimizer, resolve_optimizer
from dilution.training.step_state import check_kind
from dilution.training.strategies import Examples, Network, Procedure, TrainingBatch, join_networks


@dataclass(frozen=True)
class StrategyReplica:
    """What a strategy trains in one replica.

    Parameters
    ----------
    procedure
        What the strategy does in this training.
    networks
        As many networks as the procedure trains.
    examples
        All training examples.
    losses
        Losses of single examples, of the setting `loss`.
    augmented
        Function of numbers of examples, step and number of the augmentation, from 1, that returns normalised
        images; see :meth:`TrainingBatch.view`. None: images are not augmented.
    lr
        Learning rate.
    seed
        Root seed of the training.
    """

    procedure: Procedure
    networks: Sequence[Network]
    examples: Examples
    losses: ExampleLosses
    augmented: Callable[[Tensor, int, int], Tensor] | None
    lr: float
    seed: int

    def batch(self, images: Tensor, targets: Tensor, step: int) -> TrainingBatch:
        """Return the batch of a step as the strategy sees it."""
        labels, index = targets.unbind(dim=-1)
        augmented = self.augmented

        def view(number: int) -> Tensor:
            return images if augmented is None else augmented(index, step, number)

        epoch = step * len(images) // len(self.examples)
        return TrainingBatch(images, labels, index, step, epoch, self.losses, view, self.seed)


class StrategyStep:
    """The networks of R replicas and their optimizers, trained by a strategy; see :class:`GroupStep`.

    Replicas are computed one after the other, each with an optimizer of its own, so that a replica is
    bit-identical alone and in a group.

    Parameters
    ----------
    replicas
        The replicas.
    config
        Configuration of the training; its `lr` is not used.
    """

    def __init__(self, replicas: Sequence[StrategyReplica], config: TrainConfig) -> None:
        self._replicas = replicas
        self._networks = nn.ModuleList(nn.ModuleList(replica.networks) for replica in replicas).train()
        self._procedures = nn.ModuleList(replica.procedure for replica in replicas)
        self._config = config
        resolve_optimizer(config.optimizer).check(config.weight_decay)
        self._optimizers: list[Optimizer] = [
            make_optimizer([{"params": list(networks.parameters()), "lr": replica.lr}], config)
            for replica, networks in zip(replicas, self._networks, strict=True)
        ]
        # An optimizer of the user may have several groups.
        self._lrs = [[group["lr"] for group in optimizer.param_groups] for optimizer in self._optimizers]
        self._ema = WeightEMA(self._networks, config.ema_decay) if config.ema_decay else None
        self._taken = 0  # steps

    def step(self, images: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        """Take one optimizer step and return the losses before it, of several networks their mean."""
        self.set_lr(lr_factor)
        losses = self.update_weights(images, targets)
        self.update_average()
        return losses

    def set_lr(self, lr_factor: float) -> None:
        """Set the learning rates of the next step to `lr_factor` times those of the replicas."""
        for lrs, optimizer in zip(self._lrs, self._optimizers, strict=True):
            for lr, group in zip(lrs, optimizer.param_groups, strict=True):
                group["lr"] = lr * lr_factor

    def update_weights(self, images: Tensor, targets: Tensor) -> Tensor:
        """Update the weights at the learning rates that are set; return the losses before."""
        losses = [
            self._update(replica, optimizer, replica.batch(x, y, self._taken))
            for replica, optimizer, x, y in zip(
                self._replicas, self._optimizers, images, targets, strict=True
            )
        ]
        self._taken += 1
        return torch.stack(losses)

    def _update(self, replica: StrategyReplica, optimizer: Optimizer, batch: TrainingBatch) -> Tensor:
        networks = replica.networks
        if batch.step * len(batch.images) % len(replica.examples) < len(batch.images):
            replica.procedure.start_epoch(networks, replica.examples, batch.epoch)
        loss: Tensor = replica.procedure(networks, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach() / len(networks)

    def update_average(self) -> None:
        """Update the average of the weights, if there is one."""
        if self._ema is not None:
            self._ema.update()

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on, for :meth:`load`."""
        return {
            "kind": "strategy",
            "networks": self._networks.state_dict(),
            "procedures": self._procedures.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "ema": None if self._ema is None else self._ema.module.state_dict(),
            "taken": self._taken,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from a state: the next step is the one that would have followed it.

        Raises
        ------
        OtherStepError
            If the state is of another kind of step.
        """
        check_kind(state, "strategy")
        self._networks.load_state_dict(state["networks"])
        self._procedures.load_state_dict(state["procedures"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            load_optimizer(optimizer, saved, self._config)
        if self._ema is not None:
            self._ema.load(state["ema"])
        self._taken = state["taken"]

    def model(self, replica: int) -> nn.Module:
        """Return the model of one replica, of several networks their mean prediction."""
        networks = (self._networks if self._ema is None else self._ema.module)[replica]
        return join_networks(
            [network.model for network in networks.children() if isinstance(network, Network)]
        )
