"""A diagnosis in sentences: the answer, further results, and what to know before relying on them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dilution.diagnosis.goodness_of_fit import MIN_GAIN, held_out_accuracy
from dilution.diagnosis.label_issues import VERIFIED_CORRECT, VERIFIED_WRONG, unverified_issues
from dilution.diagnosis.noise_pattern import RARE_CLASS
from dilution.diagnosis.pooled_fit import PooledFit, describe_family

if TYPE_CHECKING:
    from dilution.diagnosis.result import Diagnosis

_LENGTH = 100  # characters of a name in a sentence; the tables have all
_NAMES = 3  # classes that a sentence names
_FEW_LABELS = 20  # labels of a class
_FEW_GROUPS = 10  # groups of verified examples
_LOST = 0.4  # ratio of examples to labels of a class below which the models hardly predict the class
_LEARNS_LITTLE = 200  # examples per class below which the models do not learn all they could
_ONE_DECIMAL = 0.1  # noise rates below this are given with one decimal
_WIDE = 0.2  # width of an interval
_LITTLE = 0.005  # of a noise rate, or of a skew: it is written as 0
_MISFIT = 0.001  # p-value

_PATTERNS = {
    "uniform": "the wrong labels are spread evenly over the other classes, as far as a test can tell",
    "structured": "some wrong classes are more frequent than others",
    "concentrated": "most wrong labels of a class name one other class",
}
_LITTLE_SKEW = (
    "the wrong labels are spread almost evenly over the other classes, though not exactly, as a test shows"
)
_SIMILARITIES = {
    "confusing": "Wrong labels favour similar classes",
    "reverse": "Wrong labels avoid similar classes",
    "random": "Wrong labels neither favour nor avoid similar classes",
}


def answer(diagnosis: Diagnosis) -> str:
    """Return the noise rate in one sentence, or why it cannot be estimated."""
    if not diagnosis.learned:
        return _no_answer(diagnosis)
    n, rate = len(diagnosis.labels), diagnosis.noise_rate
    decimals = 0 if rate.value >= _ONE_DECIMAL else 1
    value, low, high = (f"{100 * bound:.{decimals}f}" for bound in (rate.value, rate.low, rate.high))
    share = f"{value} % of the {n:,} labels are wrong (95 % interval {low} % to {high} %)"
    if diagnosis.verified_contradict:
        n_verified, verified = diagnosis.n_verified, diagnosis.verified_noise_rate
        return (
            f"The verified labels contradict the labels: {round(verified.value * n_verified):,} of "
            f"{n_verified:,} differ, more than if labels were drawn at random. Either the ids or the classes "
            f"of the verified labels are mixed up, or {share}."
        )
    if diagnosis.is_upper_bound:
        return (
            f"At most about {100 * rate.high:.0f} % of the {n:,} labels are wrong. This is an upper bound: "
            f"{_why_upper_bound(diagnosis)}"
        )
    return f"{share}; {_pattern(diagnosis)}."


def _why_upper_bound(diagnosis: Diagnosis) -> str:
    """Return the end of a sentence on why the estimate is an upper bound."""
    if diagnosis.has_few_examples:
        return (
            f"with {_examples_per_class(diagnosis)} the models confuse classes themselves, and their errors "
            "cannot be told from wrong labels."
        )
    return (
        "the classes seem to overlap in these features, and examples that look like another class cannot be "
        f"told from wrong labels. That may be {100 * diagnosis.overlap:.0f} of the estimated "
        f"{100 * diagnosis.noise_rate.value:.0f} percentage points; verified labels tell."
    )


def _no_answer(diagnosis: Diagnosis) -> str:
    """Return why the noise rate cannot be estimated, with what was measured, and the verified rate."""
    accuracy, majority = held_out_accuracy(diagnosis.cross_validation.pred_probs, diagnosis.labels)
    text = (
        f"The noise rate of these {len(diagnosis.labels):,} labels cannot be estimated: models trained on "
        f"them predict {100 * accuracy:.1f} % of the held-out labels, and the most frequent class alone "
        f"{100 * majority:.1f} %; neither their accuracy nor their probabilities are better than the label "
        f"frequencies by {MIN_GAIN:.0f} standard errors. Either nearly all labels are wrong, or the data do "
        "not separate the classes, or there are too few examples: more of them, or more repeats, may help."
    )
    if not diagnosis.n_verified:
        return text
    return f"{text} {_verified_share(diagnosis)}."


def _verified_share(diagnosis: Diagnosis) -> str:
    share = diagnosis.verified_noise_rate.percent(0)
    return f"{share} of the {diagnosis.n_verified:,} verified labels are wrong"


def _examples_per_class(diagnosis: Diagnosis) -> str:
    """Return the number of examples per class in words; of groups, where examples are not independent."""
    unit = "groups of examples" if diagnosis.n_independent < diagnosis.n_distinct else "examples"
    return f"{diagnosis.n_independent // len(diagnosis.classes)} {unit} per class"


def _pattern(diagnosis: Diagnosis) -> str:
    if diagnosis.noise_pattern.kind == "structured" and diagnosis.noise_pattern.delta.value < _LITTLE:
        return _LITTLE_SKEW
    if diagnosis.noise_pattern.kind in _PATTERNS:
        return _PATTERNS[diagnosis.noise_pattern.kind]
    if isinstance(diagnosis.fit, PooledFit):
        return f"with {len(diagnosis.classes):,} classes their pattern is not tested"
    if len(diagnosis.classes) > 2:
        return "too few are wrong to show a pattern"
    return "with two classes wrong labels have no pattern"


def details(diagnosis: Diagnosis) -> list[str]:
    """Return further results, one sentence each; if nothing was learned, what does not need models."""
    if not diagnosis.learned:
        return [
            *_counted(diagnosis),
            "The table of classes, the transition matrix and the list of label issues are empty, since "
            "models that learned nothing rank labels by chance.",
        ]
    sentences = [f"Noise rate η = {diagnosis.noise_rate.text('.3f')}. {_noise_level(diagnosis)}"]
    if diagnosis.copies.n_copies:
        sentences.append(_copies(diagnosis))
    if isinstance(diagnosis.fit, PooledFit):
        sentences.append(describe_family(diagnosis.fit))
    if diagnosis.is_upper_bound:
        return sentences + _counted(diagnosis)
    sentences.append(_noisiest_label(diagnosis))
    pattern, similarity = diagnosis.noise_pattern, diagnosis.class_similarity
    if pattern.kind != "undecided":
        sentences.append(
            f"Skew δ = {pattern.delta.text('.2f')}, where 0 is uniform; the most frequent wrong label of a "
            f"class has {100 * pattern.top_share:.0f} % of its wrong labels."
        )
    if similarity.kind != "undecided":
        sentences.append(
            f"{_SIMILARITIES[similarity.kind]}: correlation {similarity.correlation.text('.2f')} with the "
            "rank of the classes by similarity of their means, p = "
            f"{similarity.p_value:.2g}."
        )
    return [*sentences, _issues(diagnosis), *_counted(diagnosis)]


def _issues(diagnosis: Diagnosis) -> str:
    """Return the number of label issues and how many of them are expected to be wrong, in one sentence."""
    issues = unverified_issues(diagnosis.label_issues)
    if not len(issues):
        return "No label that nobody has looked up is wrong with a probability above ½."
    if len(issues) == 1:
        return "1 label is an issue: it is probably wrong, and another class is suggested."
    return (
        f"{len(issues):,} labels are issues: each is wrong with a probability above ½, and another class is "
        "suggested; "
        f"about {100 * issues['p_wrong'].mean():.0f} % of them are expected to be wrong."
    )


def _counted(diagnosis: Diagnosis) -> list[str]:
    """Return the noise rates that are counted and need no model: of verified labels, and of true ones."""
    sentences = [_verified(diagnosis), *_looked_up(diagnosis)] if diagnosis.n_verified else []
    if not math.isnan(diagnosis.true_noise_rate):
        sentences.append(f"Counted against the true labels of these data: {diagnosis.true_noise_rate:.3f}.")
    return sentences


def _verified(diagnosis: Diagnosis) -> str:
    """Return the noise rate of the verified labels in two sentences."""
    n_groups, text = diagnosis.n_verified_groups, _verified_share(diagnosis)
    if n_groups is not None and n_groups < diagnosis.n_verified:
        text += (
            f"; they are of {n_groups:,} different {'group' if n_groups == 1 else 'groups'} of examples, and "
            "the interval counts these"
        )
        if n_groups < _FEW_GROUPS:
            verdict = "less reliable than the estimate" if diagnosis.learned else "unreliable"
            return f"{text}. With so few groups this number is {verdict}."
    if not diagnosis.learned:
        return f"{text}. If they were sampled at random, this is the noise rate of all labels."
    if diagnosis.verified_are_suspicious:
        return f"{text}. Models doubt them more often than others, so this is not the noise rate of all."
    return f"{text}. If they were sampled at random, this number is more reliable than the estimate."


def _looked_up(diagnosis: Diagnosis) -> list[str]:
    """Return how many of the labels that were looked up were wrong, in a sentence; none without any."""
    counts = diagnosis.label_issues["state"].value_counts()
    n_correct, n_wrong = (int(counts.get(state, 0)) for state in (VERIFIED_CORRECT, VERIFIED_WRONG))
    n = n_correct + n_wrong
    if not n:
        return []
    start = "Of 1 label that was" if n == 1 else f"Of {n:,} labels that were"
    return [
        f"{start} looked up, {n_wrong:,} {'was' if n_wrong == 1 else 'were'} wrong; label_issues.csv has "
        "them last."
    ]


def _noise_level(diagnosis: Diagnosis) -> str:
    """Return the noise level of uniform noise in one sentence; none has a rate of 1 − 1/classes or more."""
    alpha, classes = diagnosis.alpha, len(diagnosis.classes)
    limit = f"{100 * (1 - 1 / classes):.0f} %, the rate at which labels of {classes} classes tell nothing"
    if math.isinf(alpha.value):
        return f"Uniform noise has no such rate: it stays below {limit}."
    start = "Uniform noise of this rate has noise level α ="
    if math.isinf(alpha.high):
        return (
            f"{start} {alpha.value:.2f}, and at least {alpha.low:.2f}, in noisy labels per clean label; "
            f"it has no upper bound, since the interval reaches {limit}."
        )
    return f"{start} {alpha.text('.2f')}, in noisy labels per clean label."


def _copies(diagnosis: Diagnosis) -> str:
    copies = diagnosis.copies
    subject = "1 copy" if copies.n_copies == 1 else f"{copies.n_copies:,} copies"
    verb = "shares" if copies.n_copies == 1 else "share"
    of, fold = (
        ("an example", "its fold")
        if copies.n_groups == 1
        else (f"{copies.n_groups:,} examples", "their fold")
    )
    start = f"{subject} of {of} {verb} {fold}"
    if not copies.disagreement.value:
        return (
            f"{start}, and their labels never disagree: labels were copied with the examples, or are right; "
            "they are no further evidence."
        )
    start += f"; {copies.disagreement.percent(0)} of the pairs of their labels disagree"
    if math.isnan(copies.noise_rate.value):
        return f"{start}, too few for a noise rate of their own."
    rate = copies.noise_rate
    text = f"{start}, which puts the noise rate at {rate.text('.3f')} if each label was given independently"
    if rate.high < diagnosis.noise_rate.low:
        return f"{text}; as it is below the estimate, some labels were probably copied with the examples."
    if rate.low > diagnosis.noise_rate.high:
        return f"{text}; as it is above the estimate, equal examples may be of several classes."
    return f"{text}."


def _noisiest_label(diagnosis: Diagnosis) -> str:
    rates = diagnosis.per_class.dropna(subset=["label_noise_rate"])
    worst = rates.sort_values("label_noise_rate").iloc[-1]
    value, low, high = (
        f"{100 * worst[name]:.0f}" for name in ("label_noise_rate", "label_low", "label_high")
    )
    name = _shortened(worst["class"])
    return f"{value} % [{low}, {high}] of the labels {name!r} are wrong, more than of any other label."


def caveats(diagnosis: Diagnosis) -> list[str]:
    """Return what to know before relying on the answer, one item per caveat."""
    sentences = _caveats_of_estimate(diagnosis) if diagnosis.learned else []
    counts = diagnosis.n_independent_per_class
    few = [name for name, count in zip(diagnosis.classes, counts, strict=True) if count < _FEW_LABELS]
    if few:
        of_groups = "" if diagnosis.n_groups is None else " of different groups"
        sentences.append(
            f"Fewer than {_FEW_LABELS} labels{of_groups}: {_list(few)}. Results of a class with so few "
            "labels are unreliable."
        )
    return sentences


def _caveats_of_estimate(diagnosis: Diagnosis) -> list[str]:
    sentences, rate = [], diagnosis.noise_rate
    n, per_class = len(diagnosis.labels), diagnosis.per_class
    if rate.high - rate.low > _WIDE:
        sentences.append(
            "The interval is wide. More examples, or verified labels for some of them, would narrow it."
        )
    excess = diagnosis.excess
    if excess is not None and excess.value > _LITTLE:
        sentences.append(
            "With so few examples models confuse classes. Planted noise shows by how much that raises the "
            f"estimate: {100 * excess.value:.1f} ± {100 * (excess.high - excess.value):.1f} percentage "
            "points. The noise rate is given without them, and its interval allows for them; numbers of "
            "classes, the transition matrix and probabilities of label issues contain them."
        )
    lost = per_class[per_class["share"] * n < _LOST * per_class["n_labels"]]
    if len(lost):
        sentences.append(
            f"The models hardly predict {_list(list(lost['class']))}: they assign most examples with this "
            "label to other classes. Either nearly all of these labels are wrong, or the models cannot "
            "recognise the class. Its results and its label issues are unreliable."
        )
    examples_per_class = diagnosis.n_independent // len(diagnosis.classes)
    if examples_per_class < _LEARNS_LITTLE and not diagnosis.is_upper_bound and diagnosis.excess is None:
        sentences.append(
            f"With {_examples_per_class(diagnosis)} models learn little. Classes that they cannot "
            "separate count as wrong labels, so the estimate is probably too high; the interval does not "
            "include this error."
        )
    rare = per_class.loc[per_class["share"] < RARE_CLASS / len(per_class), "class"]
    if len(rare) and diagnosis.noise_pattern.kind != "undecided":
        sentences.append(
            f"Tests of the pattern leave out classes with too few examples: {_list(list(rare))}. Their noise "
            "rates are estimated."
        )
    if diagnosis.class_conditional_p_value < _MISFIT:
        sentences.append(
            "Noise does not depend on the class alone: labels of easy and of hard examples are wrong at "
            "different rates. The estimate is a mean over both, and its error may exceed the interval."
        )
    if not diagnosis.n_verified and rate.high > 0.5:
        sentences.append(
            "If most labels are wrong, labels alone cannot show which name belongs to which class: the most "
            "frequent label of a class is assumed to be right. A few verified labels would settle it."
        )
    return sentences


def _list(names: list[str]) -> str:
    """Return the first names as text, and how many more there are."""
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(map(_shortened, names[:_NAMES])) + more


def _shortened(name: str) -> str:
    return name if len(name) <= _LENGTH else f"{name[:_LENGTH]}…"
