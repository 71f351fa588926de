"""The choice of a method: diagnosis, assumed noise, validation on held-out labels, refit on all examples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dilution.data import Arrays
from dilution.diagnosis import Diagnosis
from dilution.diagnosis.cross_validation import split_folds
from dilution.errors import InputError
from dilution.fitting.accuracy import AccuracyEstimate, estimate_accuracy
from dilution.fitting.fitted_model import Member
from dilution.fitting.learners import Floats, Ints, Job, Learner, NetworkLearner, Targets
from dilution.fitting.methods import METHODS, Method, make_targets, obstacle
from dilution.fitting.noise_choice import AssumedNoise, choose_noise
from dilution.fitting.validation import Candidate, HeldOutLabels, validate
from dilution.utils import rng
from dilution.utils.stage_log import begin_stage

AUTO = "auto"

_NETWORKS = 4  # small networks whose average is the model
_WHOLE_VALIDATION = 5_000  # examples up to which methods are validated on every fold
_LEAST_PER_FOLD = 2  # examples per fold, and of a class
_LARGEST_SEED = 0x7FFFFFFF


@dataclass(frozen=True)
class Choice:
    """The methods that were validated; without candidates there were too few examples.

    Parameters
    ----------
    candidates
        The methods.
    obstacles
        Why other methods were not tried.
    diagnosis
        The diagnosis.
    noise
        The noise that is assumed.
    accuracy
        Estimated accuracy of the best method.
    """

    candidates: tuple[Candidate, ...] = ()
    obstacles: Mapping[Method, str] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    noise: AssumedNoise | None = None
    accuracy: AccuracyEstimate | None = None

    @property
    def best(self) -> Candidate | None:
        """The method that predicts held-out noisy labels best."""
        return min(self.candidates, key=lambda candidate: candidate.loss) if self.candidates else None

    @property
    def method(self) -> Method:
        """Its name."""
        return "plain" if self.best is None else self.best.method


@dataclass(frozen=True)
class Fitting:
    """The examples and models of one fit.

    Parameters
    ----------
    data
        Examples, whose labels are the noisy ones and whose copies are of one group.
    verified
        Verified class of each example, −1 where there is none: int64, shape (n,).
    weights
        Weight of each example, float64, shape (n,).
    learners
        Kinds of models.
    folds
        Folds of the cross-validation.
    seed
        Root seed.
    log
        Called with lines about the progress.
    """

    data: Arrays
    verified: Ints
    weights: Floats
    learners: Sequence[Learner]
    folds: int
    seed: int
    log: Callable[[str], None]

    @property
    def labels(self) -> Ints:
        """Noisy labels, int64, shape (n,)."""
        labels: Ints = self.data.labels.numpy()
        return labels

    def choose(
        self, method: str, diagnosis: Diagnosis | None, diagnose_held_out: Callable[[Floats], Diagnosis]
    ) -> Choice:
        """Return the methods as validated, with the diagnosis and the estimated accuracy of the best one.

        Parameters
        ----------
        method
            As for :func:`dilution.fit`.
        diagnosis
            A diagnosis of the user.
        diagnose_held_out
            Function that makes a diagnosis from held-out probabilities, shape (n, classes).

        Raises
        ------
        InputError
            If a method was asked for that is not expected to help.
        """
        if not self._can_validate():
            if method not in (AUTO, "plain"):
                raise InputError(
                    f"method is {method!r}, and there are too few examples to estimate the noise. Use "
                    "method='plain', or add examples."
                )
            return Choice(diagnosis=diagnosis)
        plain = self._validate("plain", self._held_out(whole=True), None)
        if diagnosis is None:
            self.log("estimating the noise from the held-out predictions")
            begin_stage("estimating the noise")
            diagnosis = diagnose_held_out(plain.probs)
        noise = choose_noise(diagnosis, self.verified, self._groups, self.seed)
        tried, obstacles = self._methods(method, diagnosis, noise)
        some = self._held_out(whole=len(self.data) <= _WHOLE_VALIDATION or tried == ["plain"])
        least = {score.learner.name: score.budget for score in plain.scores}
        candidates = [
            self._restricted(plain, some, noise)
            if name == "plain"
            else self._validate(name, some, noise, least_budgets=least, most_budgets=1)
            for name in tried
        ]
        # Larger budgets take longest, and seldom change which method is best: only the best one tries them.
        best = min(range(len(candidates)), key=lambda number: candidates[number].loss)
        if (name := candidates[best].method) != "plain":
            candidates[best] = self._validate(name, some, noise, start=candidates[best])
        choice = Choice(tuple(candidates), obstacles, diagnosis, noise)
        if choice.best is None or not diagnosis.learned:
            return choice
        begin_stage("estimating the accuracy")
        probs, groups = choice.best.probs, self._groups
        rows = np.flatnonzero(~np.isnan(probs).any(axis=1))
        accuracy = estimate_accuracy(probs, rows, self.labels, noise, self.verified, groups, self.seed)
        return replace(choice, accuracy=accuracy)

    def refit(self, choice: Choice, n_models: int | None) -> tuple[list[Member], tuple[float, ...]]:
        """Return models that are fitted to all examples, and the share of each in the average.

        Parameters
        ----------
        choice
            The choice of a method.
        n_models
            Number of networks. Default: 4 of those that train together, otherwise 1.
        """
        targets = self._targets(choice.method, choice.noise)
        rows = np.arange(len(self.data))
        if choice.best is None:  # too few examples to choose anything: the second budget, with equal shares
            parts = [(learner, learner.budgets[:2][-1], 1.0) for learner in self.learners]
        else:
            parts = [(score.learner, score.budget, score.share) for score in choice.best.scores]
        members: list[Member] = []
        shares: list[float] = []
        for learner, budget, share in parts:
            count = self._count(learner, n_models)
            self.log(f"fitting {learner.name} to all examples: {learner.describe_budget(budget)}")
            seeds = [rng.stream(self.seed, f"member/{number}") & _LARGEST_SEED for number in range(count)]
            (fitted,) = learner.fit(self.data, targets, [Job(rows, seed) for seed in seeds], (budget,))
            members += fitted
            shares += [share / count] * count
        total = sum(shares)
        return members, tuple(share / total for share in shares)

    def _methods(
        self, method: str, diagnosis: Diagnosis, noise: AssumedNoise
    ) -> tuple[list[Method], dict[Method, str]]:
        """Return the methods to validate, and why others are not."""
        takes_transition = any(learner.takes_transition for learner in self.learners)
        asked: list[Method] = [name for name in METHODS if method in (AUTO, name)]
        obstacles = {
            name: reason
            for name in asked
            if (
                reason := obstacle(
                    name,
                    diagnosis,
                    noise.fit,
                    takes_transition=takes_transition,
                    takes_weights=all(learner.takes_weights for learner in self.learners),
                )
            )
        }
        if obstacles and method != AUTO:
            raise InputError(
                f"method is {method!r}, and {obstacles[asked[0]]}. Use method='auto', which tries what may "
                "help."
            )
        return [name for name in asked if name not in obstacles], obstacles

    @property
    def _groups(self) -> Ints | None:
        return None if self.data.split_groups is None else self.data.split_groups.numpy()

    def _can_validate(self) -> bool:
        """Return whether every fold can be predicted by models that know every class."""
        groups = np.arange(len(self.data)) if self._groups is None else self._groups
        if len(np.unique(groups)) < _LEAST_PER_FOLD * self.folds:
            return False
        of_classes = np.unique(np.stack([self.labels, groups]), axis=1)[0]
        return bool(np.bincount(of_classes, minlength=len(self.data.classes)).min() >= _LEAST_PER_FOLD)

    def _held_out(self, *, whole: bool) -> HeldOutLabels:
        known = self.verified >= 0
        parts = split_folds(len(self.data), self._groups, self.folds, self.seed, 0, self.labels)
        labels: Ints = np.where(known, self.verified, self.labels)
        return HeldOutLabels(parts if whole else parts[:1], labels, known, self.weights)

    def _targets(self, method: Method, noise: AssumedNoise | None) -> Targets:
        fit = None if noise is None else noise.fit
        return make_targets(method, self.labels, self.verified, self.weights, fit, len(self.data.classes))

    def _validate(
        self, method: Method, held_out: HeldOutLabels, noise: AssumedNoise | None, **budgets: Any
    ) -> Candidate:
        return validate(
            method,
            self.learners,
            self.data,
            self._targets(method, noise),
            held_out,
            None if noise is None else noise.fit.transition,
            self.seed,
            log=self.log,
            **budgets,
        )

    def _restricted(self, plain: Candidate, held_out: HeldOutLabels, noise: AssumedNoise) -> Candidate:
        """Return the plain method with its scores on the examples on which the others are validated.

        Where doubtful labels were verified, those that remain are right more often than labels as they came.
        Plain models predict both together, and their likelihood would not compare with that of labels as they
        came, which other methods predict. So their probabilities are taken for those of the true classes.
        """
        loss = (
            held_out.calibrated_loss(plain.probs, noise.fit.transition)
            if held_out.is_verified.any()
            else held_out.loss(plain.probs, None)
        )
        return replace(plain, loss=loss, agreement=held_out.agreement(plain.probs))

    def _count(self, learner: Learner, n_models: int | None) -> int:
        """Return how many models of a kind are averaged."""
        if not isinstance(learner, NetworkLearner):
            return 1
        if n_models is not None:
            return n_models
        return _NETWORKS if learner.is_stackable(self.data) else 1
