"""Every registered loss: its formula in plain float64, its gradient, its rules, one or several replicas."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from dilution.errors import InputError
from dilution.training import TrainConfig
from dilution.training.losses import LOSSES, LossContext, list_losses, of_replica, resolve_loss

T = ((0.7, 0.2, 0.1), (0.05, 0.8, 0.15), (0.1, 0.3, 0.6))
CLASSES = 3
CERTAIN = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
PARAMETERS = {
    "cross_entropy": [{}],
    "label_smoothing": [{}, {"epsilon": 0.4}],
    "mae": [{}],
    "gce": [{}, {"q": 0.01}, {"q": 1.0}],
    "sce": [{}, {"alpha": 6.0, "beta": 0.1, "A": -2.0}],
    "bootstrap_soft": [{}, {"beta": 0.3}],
    "bootstrap_hard": [{}, {"beta": 0.3}],
    "forward": [{}, {"T": T}, {"T": CERTAIN}],
    "backward": [{}, {"T": T}],
    "phuber": [{}, {"tau": 10.0}],
    "elr": [{}, {"beta": 0.9, "lam": 7.0}],
}
CASES = [(name, parameters) for name, several in PARAMETERS.items() for parameters in several]
LINEAR = [name for name, loss in LOSSES.items() if loss.is_linear]
every_case = pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
logit_rows = st.lists(
    st.lists(st.floats(-100, 100, width=32), min_size=CLASSES, max_size=CLASSES), min_size=1, max_size=5
)


def context(classes=CLASSES, examples=40, *, takes_weights=False, transition=None):
    known = np.full((classes, classes), 0.3 / classes) + 0.7 * np.eye(classes)
    names = tuple(f"c{number}" for number in range(classes))
    cpu = torch.device("cpu")
    return LossContext(names, examples, known if transition is None else transition, takes_weights, cpu)


def softmax(logits):
    powers = [math.exp(logit - max(logits)) for logit in logits]
    return [power / sum(powers) for power in powers]


def log_softmax(logits):
    total = math.log(sum(math.exp(logit - max(logits)) for logit in logits))
    return [logit - max(logits) - total for logit in logits]


def formula(name, logits, y, *, q=0.7, epsilon=0.1, alpha=0.1, beta=None, A=-4.0, tau=2.0, lam=3.0, T=None):
    """Return a loss as its docstring writes it, in float64."""
    f, log_f = softmax(logits), log_softmax(logits)
    table = context().transition if T is None else np.array(T)
    match name:
        case "cross_entropy":
            return -log_f[y]
        case "label_smoothing":
            return -(1 - epsilon) * log_f[y] - epsilon / CLASSES * sum(log_f)
        case "mae":
            return sum(abs(f[k] - (k == y)) for k in range(CLASSES))
        case "gce":
            return (1 - math.exp(q * log_f[y])) / q
        case "sce":
            weight = 1.0 if beta is None else beta
            return -alpha * log_f[y] - weight * sum(A * f[k] for k in range(CLASSES) if k != y)
        case "bootstrap_soft":
            weight = 0.95 if beta is None else beta
            return -weight * log_f[y] - (1 - weight) * sum(map(math.prod, zip(f, log_f, strict=True)))
        case "bootstrap_hard":
            weight = 0.8 if beta is None else beta
            return -weight * log_f[y] - (1 - weight) * max(log_f)
        case "forward":
            p = sum(f[c] * table[c, y] for c in range(CLASSES))
            return -math.log(max(1e-6, p))
        case "backward":
            return -float(np.linalg.inv(table)[y] @ np.array(log_f))
        case "phuber":
            return -log_f[y] if f[y] > 1 / tau else math.log(tau) + 1 - tau * f[y]
        case "elr":  # of an example that is shown for the first time
            cut = [min(max(p, 1e-4), 1 - 1e-4) for p in f]
            weight = 0.7 if beta is None else beta
            average = [(1 - weight) * p / sum(cut) for p in cut]
            return -log_f[y] + lam * math.log(1 - sum(map(math.prod, zip(average, cut, strict=True))))
    raise ValueError(name)


def targets_of(name, labels):
    """Return targets of labels, int64 of shape (b,), as the loss takes them; no example occurs twice."""
    return torch.stack([labels, torch.arange(len(labels))], dim=1) if LOSSES[name].takes_index else labels


def test_every_registered_loss_has_a_case_here():
    assert set(PARAMETERS) == set(LOSSES) == set(list_losses())


@every_case
@given(rows=logit_rows, data=st.data())
def test_the_mean_loss_is_that_of_the_formula_in_float64(name, parameters, rows, data):
    labels = data.draw(st.lists(st.integers(0, CLASSES - 1), min_size=len(rows), max_size=len(rows)))
    loss = LOSSES[name](**parameters).of_replica(context())
    mean, gradient = loss(torch.tensor(rows), targets_of(name, torch.tensor(labels)))
    expected = [formula(name, row, y, **parameters) for row, y in zip(rows, labels, strict=True)]
    scale = max(1.0, *map(abs, expected))
    assert float(mean) == pytest.approx(math.fsum(expected) / len(rows), rel=1e-4, abs=1e-5 * scale)
    assert gradient.shape == (len(rows), CLASSES)
    assert gradient.isfinite().all()


@every_case
@given(
    rows=st.lists(
        st.lists(st.floats(-6, 6, width=32), min_size=CLASSES, max_size=CLASSES), min_size=1, max_size=3
    ),
    label=st.integers(0, CLASSES - 1),
)
def test_the_gradient_is_that_of_finite_differences(name, parameters, rows, label):
    """In float64. ELR keeps its averages constant in its gradient, so theirs are those of the first call."""
    if name == "phuber":
        assume(all(abs(softmax(row)[label] - 1 / parameters.get("tau", 2.0)) > 1e-4 for row in rows))
    if name == "bootstrap_hard":
        assume(all(sorted(row)[-1] - sorted(row)[-2] > 1e-4 for row in rows))
    logits = torch.tensor(rows, dtype=torch.float64)
    targets = targets_of(name, torch.full((len(rows),), label))
    loss = LOSSES[name](**parameters)
    _, gradient = loss.of_replica(context())(logits, targets)
    step = 1e-6
    for place in np.ndindex(*logits.shape):
        sides = []
        for sign in (1, -1):
            moved = logits.clone()
            moved[place] += sign * step
            sides.append(_value(name, parameters, moved, logits, label))
        assert float(gradient[place]) == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-4, abs=2e-6)


@given(row=st.lists(st.floats(-4, 4), min_size=CLASSES, max_size=CLASSES), label=st.integers(0, CLASSES - 1))
def test_a_likelihood_below_the_least_one_counts_as_that_in_forward_correction(row, label):
    logits = torch.tensor([row], dtype=torch.float64)
    logits[0, label] -= 23.0  # a likelihood of at most e⁻¹⁵ = 3·10⁻⁷
    mean, gradient = LOSSES["forward"](T=CERTAIN).of_replica(context())(logits, torch.tensor([label]))
    assert float(mean) == pytest.approx(-math.log(1e-6))
    f = softmax(logits[0].tolist())
    expected = [f[k] - (k == label) * f[k] / 1e-6 for k in range(CLASSES)]
    assert gradient[0].tolist() == pytest.approx(expected, rel=1e-6)


def _value(name, parameters, moved, logits, label):
    """Return the mean loss at moved logits, in float64; the averages of ELR are those at the logits."""
    if name != "elr":
        return sum(formula(name, row, label, **parameters) for row in moved.tolist()) / len(moved)
    beta, lam = parameters.get("beta", 0.7), parameters.get("lam", 3.0)
    total = 0.0
    for row, base in zip(moved.tolist(), logits.tolist(), strict=True):
        cut, at = ([min(max(p, 1e-4), 1 - 1e-4) for p in softmax(values)] for values in (row, base))
        agreement = sum((1 - beta) * t / sum(at) * p for t, p in zip(at, cut, strict=True))
        total += -log_softmax(row)[label] + lam * math.log(1 - agreement)
    return total / len(moved)


@every_case
@pytest.mark.parametrize("classes", [3, 10])
@pytest.mark.parametrize("size", [2, 7, 16, 32])
def test_a_replica_has_the_same_bits_alone_and_in_a_group(name, parameters, classes, size):
    parameters = {} if classes != CLASSES else parameters
    generator = torch.Generator().manual_seed(size)
    # As ensembles have them: classes before examples in memory.
    logits = (3 * torch.randn(5, classes, size, generator=generator)).mT
    labels = torch.randint(classes, (5, size), generator=generator)
    targets = torch.stack([targets_of(name, row) for row in labels])
    alone_first = [3, 0, 1, 4, 2]
    rates = [0.1 * number for number in range(1, 6)]
    contexts = [
        context(
            classes, transition=(1 - rate) * np.eye(classes) + rate / classes * np.ones((classes, classes))
        )
        for rate in rates
    ]
    loss = LOSSES[name](**parameters)
    losses, gradients = loss.of_group(contexts)(logits, targets)
    in_turn = loss.of_group(contexts)
    for replica in alone_first:
        alone = loss.of_group([contexts[replica]])(
            logits[replica : replica + 1], targets[replica : replica + 1]
        )
        assert torch.equal(alone[0][0], losses[replica])
        assert torch.equal(alone[1][0], gradients[replica])
        single = of_replica(in_turn, replica)(logits[replica], targets[replica])
        torch.testing.assert_close(single, (losses[replica], gradients[replica]))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", [7, 16])
def test_no_loss_reads_numbers_from_the_device(name, size):
    """Tensors on meta have no numbers: reading one, for which a GPU would have to stop, raises."""
    meta = torch.device("meta")
    contexts = [replace(context(), device=meta) for _ in range(2)]
    logits = torch.empty(2, size, CLASSES, device=meta)
    labels = torch.empty(2, size, dtype=torch.int64, device=meta)
    targets = torch.stack([labels, labels], dim=2) if LOSSES[name].takes_index else labels
    losses, gradients = LOSSES[name]().of_group(contexts)(logits, targets)
    assert (losses.device, losses.shape) == (meta, (2,))
    assert (gradients.device, gradients.shape) == (meta, logits.shape)


@pytest.mark.parametrize("name", LINEAR)
def test_weights_of_labels_give_the_mean_over_the_labels(name):
    """Pooled targets equal sampled ones: the loss is linear in the histogram, and so is its gradient."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4, CLASSES, generator=generator)
    counts = torch.randint(4, (4, CLASSES), generator=generator)
    total = int(counts.sum())
    pooled = LOSSES[name]().of_replica(context(takes_weights=True))
    loss, gradient = pooled(logits, counts.float() * len(logits) / total)
    row, label = counts.nonzero(as_tuple=True)
    repeats = counts[row, label]
    rows, labels = row.repeat_interleave(repeats), label.repeat_interleave(repeats)
    expected, by_label = LOSSES[name]().of_replica(context())(logits[rows], labels)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, torch.zeros_like(logits).index_add_(0, rows, by_label))


@pytest.mark.parametrize("name", LINEAR)
def test_expected_weights_give_the_expectation_over_the_labels(name):
    logits = torch.tensor([[2.0, -1.0, 0.5]])
    probs = torch.tensor([[0.5, 0.3, 0.2]])
    loss, gradient = LOSSES[name]().of_replica(context(takes_weights=True))(logits, probs)
    single = LOSSES[name]().of_replica(context())
    values = [single(logits, torch.tensor([label])) for label in range(CLASSES)]
    weights = probs[0].tolist()
    assert float(loss) == pytest.approx(
        sum(weight * float(value) for weight, (value, _) in zip(weights, values, strict=True)), rel=1e-5
    )
    expected = sum(weight * part for weight, (_, part) in zip(weights, values, strict=True))
    torch.testing.assert_close(gradient, expected)


@every_case
def test_the_text_names_a_loss_and_only_what_differs_from_the_default(name, parameters):
    loss = LOSSES[name](**parameters)
    assert resolve_loss(loss.text) == loss
    assert TrainConfig(loss=loss).loss == TrainConfig(loss=loss.text).loss == loss.text
    defaults = {key: field.default for key, field in LOSSES[name].model_fields.items()}
    assert LOSSES[name](**defaults).text == name
    assert all(f"{key}=" in loss.text for key, value in parameters.items() if value != defaults[key])


def test_an_object_of_a_loss_that_has_no_name_in_the_registry_is_refused():
    class Unnamed(LOSSES["gce"]):
        name = "unnamed"

    with pytest.raises(InputError, match="'unnamed' is not a loss"):
        TrainConfig(loss=Unnamed())


def test_equal_losses_are_equal_settings_however_they_are_written():
    texts = ["sce(alpha=1,beta=0.5)", "sce( beta = 0.5, alpha = 1.0 )", "sce(A=-4, alpha=1, beta=.5)"]
    assert {TrainConfig(loss=text).loss for text in texts} == {"sce(alpha=1.0, beta=0.5)"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gec", "Did you mean 'gce'"),
        ("gce(p=1)", "'p' is not a parameter of this loss.*There are: q"),
        ("mae(q=1)", "no parameter 'q'.*Give loss='mae'"),
        ("gce(q=0)", "q is 0; it must be above 0"),
        ("gce(q=1.5)", "q is 1.5; it must be above 0 and at most 1. loss='gce' has q=0.7"),
        ("gce(q='0.5')", "q is '0.5'; it must be a valid number"),
        ("gce(q=True)", "q is True; it must be a valid number"),
        ("gce(q=1e999)", "finite"),
        ("label_smoothing(epsilon=1)", "below 1"),
        ("sce(A=1)", "A is 1; it must be below 0"),
        ("bootstrap_soft(beta=-0.1)", "at least 0"),
        ("phuber(tau=1)", "tau is 1; it must be above 1"),
        ("elr(beta=1)", "beta is 1; it must be at least 0 and below 1"),
        ("forward(T=0.3)", "T is 0.3; it must be a path in quotes, or a square matrix"),
        ("forward(T=[[1, 0]])", "square matrix"),
        (3, "loss is 3; it must be a name, such as 'gce'"),
        (torch.nn.CrossEntropyLoss(), "'module:factory' of a loss of your own"),
    ],
)
def test_a_parameter_that_breaks_its_rule_is_refused_with_the_rule(text, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(loss=text)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"targets": "pooled"}, {"targets": "sampled"}),
        ({"targets": "expected"}, {"targets": "sampled"}),
        ({"mixup": 0.2}, {"mixup": 0}),
    ],
)
@pytest.mark.parametrize("name", [name for name in LOSSES if name not in LINEAR])
def test_a_loss_that_is_not_linear_takes_no_weights_of_labels(name, settings, remedy):
    (setting, value), *_ = remedy.items()
    with pytest.raises(InputError, match=f"Give {setting}={value!r}"):
        TrainConfig(loss=name, **settings)
    assert TrainConfig(loss=name, **settings | remedy).loss == name


def test_the_table_of_the_documentation_has_every_loss_with_its_published_parameters():
    page = (Path(__file__).parent.parent / "docs" / "losses.md").read_text("utf-8")
    page = page.partition("## The losses")[2].partition("**Two methods")[0]
    for name, loss in LOSSES.items():
        (row,) = re.findall(rf"^\| `{name}` \|(.*)$", page, re.MULTILINE)
        cells = [cell.strip() for cell in row.split("|")]
        for parameter, field in loss.model_fields.items():
            given = "the run's own" if field.default is None else f"{field.default:g}".replace("-", "−")
            assert re.search(rf"`{parameter}`(:| =) {re.escape(given)}", cells[1]), (name, parameter)
        assert cells[3] == ("yes" if loss.is_linear else "no")
