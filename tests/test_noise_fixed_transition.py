"""Noise that sets the matrix of all labels: names of papers, nominal and true rates, added and replaced."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dilution.data import Arrays, load
from dilution.data.builtin.cifar import CIFAR10, CIFAR100
from dilution.data.builtin.mnist import FASHION_MNIST, MNIST
from dilution.errors import DataError, InputError
from dilution.noise import CLASS_MAPS, Dilution, asymmetric, pair_flip, symmetric, transition, uniform
from dilution.noise.registry import canonical_noise, noise_named
from dilution.study.datasets import dilute
from dilution.study.run_spec import Run

MakeData = Callable[..., Arrays]

ANY_NOISE = st.one_of(
    st.builds(symmetric, st.floats(0, 1), include_true=st.booleans()),
    st.builds(pair_flip, st.floats(0, 1)),
    st.builds(asymmetric, st.floats(0, 1), st.just({"1": "2", "2": "1", "0": "1"})),
)


def test_symmetric_noise_is_wrong_at_its_rate_or_less_if_the_true_class_is_drawn_too():
    excluding = symmetric(0.4).overall(10, np.nan, 0)
    including = symmetric(0.4, include_true=True).overall(10, np.nan, 0)
    assert excluding.diagonal() == pytest.approx(0.6)
    assert excluding[0, 1] == pytest.approx(0.4 / 9)
    assert including.diagonal() == pytest.approx(1 - 0.4 * 9 / 10)
    assert including[0, 1] == pytest.approx(0.04)


def test_pair_flip_names_the_next_class_and_the_last_one_the_first():
    table = pair_flip(0.45).overall(5, np.nan, 0)
    for row in range(5):
        assert table[row, row] == pytest.approx(0.55)
        assert table[row, (row + 1) % 5] == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("name", "classes", "flipped"),
    [
        ("mnist", MNIST.classes, 5),
        ("fashion-mnist", FASHION_MNIST.classes, 5),
        ("cifar10", CIFAR10.classes, 5),
        ("cifar100", CIFAR100.classes, 100),
    ],
)
def test_published_maps_flip_classes_of_their_data_set_at_the_nominal_rate(name, classes, flipped):
    table = asymmetric(0.3, name).transition(classes)  # type: ignore[attr-defined]
    assert table.sum(axis=1) == pytest.approx(1.0)
    assert (table.diagonal() < 1).sum() == flipped
    assert table.diagonal()[table.diagonal() < 1] == pytest.approx(0.7)
    assert (1 - table.diagonal()).mean() == pytest.approx(0.3 * flipped / len(classes))


@pytest.mark.parametrize(
    ("name", "classes", "flips"),
    [
        ("mnist", MNIST.classes, {2: 7, 3: 8, 5: 6, 6: 5, 7: 1}),
        ("fashion-mnist", FASHION_MNIST.classes, {9: 7, 7: 5, 2: 6, 4: 3, 3: 4}),
        ("cifar10", CIFAR10.classes, {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}),
    ],
)
def test_published_maps_have_the_class_numbers_of_their_papers(name, classes, flips):
    table = asymmetric(0.4, name).transition(classes)  # type: ignore[attr-defined]
    expected = np.eye(10)
    for true, noisy in flips.items():
        expected[true, true], expected[true, noisy] = 0.6, 0.4
    np.testing.assert_allclose(table, expected)


def test_the_cifar100_map_goes_round_each_superclass_of_five():
    flips = CLASS_MAPS["cifar100"]
    for name in flips:
        circle = [name]
        while flips[circle[-1]] != name:
            circle.append(flips[circle[-1]])
        assert len(circle) == 5
    assert flips["beaver"] == "dolphin"
    assert flips["whale"] == "beaver"


@given(noise=ANY_NOISE, seed=st.integers(0, 99))
def test_replaced_labels_have_the_matrix_and_added_ones_too(noise, seed):
    labels = torch.arange(3).repeat(400)
    data = Arrays(torch.zeros(1200, 1, 1, 1, dtype=torch.uint8), labels, ("0", "1", "2"))
    table = noise.overall(3, np.nan, seed)
    replaced = Dilution(data, noise=noise, stratified=True, seed=seed)
    assert replaced.label_mode == "replaced"
    assert len(replaced) == 1200
    assert replaced.overall == pytest.approx(table)
    counted = replaced.noise_summary().transition_empirical
    assert np.abs(counted - table).max() <= 2 / 400
    if table.diagonal().min() < 0.05:
        return  # alpha would be large
    added = Dilution(data, noise=noise, label_mode="added", stratified=True, seed=seed)
    assert added.overall == pytest.approx(table)
    assert np.abs(added.noise_summary().transition_empirical - table).max() <= 3 / 400
    assert added.alpha == pytest.approx(1 / table.diagonal().min() - 1)


def test_the_asymmetric_map_of_cifar10_flips_cats_at_the_nominal_rate(make_data: MakeData):
    data = make_data(2000)
    data = Arrays(data.images, data.labels, CIFAR10.classes)
    summary = Dilution(data, noise=asymmetric(0.4, "cifar10"), stratified=True).noise_summary()
    cat, dog = CIFAR10.classes.index("cat"), CIFAR10.classes.index("dog")
    assert summary.transition_expected[cat, dog] == pytest.approx(0.4)
    assert summary.transition_empirical[cat, dog] == pytest.approx(0.4, abs=0.01)
    assert summary.noise_rate_empirical == pytest.approx(0.2, abs=0.02)


def test_a_class_that_never_keeps_its_label_can_be_replaced_but_not_added(make_data: MakeData):
    data = make_data(100)
    noisy = Dilution(data, noise=pair_flip(1.0))
    assert torch.equal(noisy.own_labels, (data.labels + 1) % 10)
    assert np.isnan(noisy.alpha)
    with pytest.raises(InputError, match="the diagonal must be positive"):
        Dilution(data, noise=pair_flip(1.0), label_mode="added")


@pytest.mark.parametrize("setting", ["alpha", "eta"])
def test_a_noise_level_is_refused_beside_noise_that_sets_it(make_data: MakeData, setting):
    with pytest.raises(InputError, match=f"{setting} is 0.5 and noise is 'symmetric'"):
        Dilution(make_data(50), noise=symmetric(0.4), **{setting: 0.5})


def test_symmetric_noise_that_draws_the_true_class_is_uniform_noise_of_the_paper(make_data: MakeData):
    data = make_data(60)
    alpha = 4.0
    paper = Dilution(data, alpha, noise=uniform()).overall
    named = Dilution(data, noise=symmetric(alpha / (1 + alpha), include_true=True)).overall
    assert named == pytest.approx(paper)


@pytest.mark.parametrize("noise", [symmetric(0.5), pair_flip(0.5)])
def test_no_noise_names_a_class_without_examples(noise):
    labels = torch.tensor([0, 2] * 200)
    data = Arrays(torch.zeros(400, 1, 1, 1, dtype=torch.uint8), labels, ("a", "b", "c"))
    noisy = Dilution(data, noise=noise)
    assert set(noisy.own_labels.unique().tolist()) == {0, 2}
    assert noisy.noise_summary().noise_rate_empirical == pytest.approx(0.5, abs=0.1)


def test_parts_of_a_set_have_its_matrix_and_other_draws(make_data: MakeData):
    noisy = Dilution(make_data(400), noise=symmetric(0.4), seed=3)
    training, held_out = noisy.hold_out(100)
    assert training.overall == pytest.approx(noisy.overall)
    assert held_out.overall == pytest.approx(noisy.overall)
    kept = torch.isin(noisy.clean_rows, training.clean_rows)
    assert torch.equal(noisy.own_labels[kept], training.own_labels)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: symmetric(1.2), "rate of symmetric noise is 1.2; it must be a number in"),
        (lambda: pair_flip(-0.1), "rate of pair_flip noise is -0.1"),
        (lambda: symmetric(True), "rate of symmetric noise is True"),
        (lambda: symmetric("0.4"), "rate of symmetric noise is '0.4'"),
        (lambda: asymmetric(0.4, "cifar11"), "'cifar11' is not a map of classes. Did you mean 'cifar10'"),
        (lambda: asymmetric(0.4, {}), "flips is {}; it must map names"),
        (lambda: asymmetric(0.4, 7), "flips is 7; it must map names"),
        (lambda: asymmetric(0.4, {"a": "a"}), "has class 'a' become itself"),
        (lambda: asymmetric(0.4, [("a", "b"), ("a", "c")]), "has class 'a' become 'b' and 'c'"),
        (lambda: symmetric(0.4, include_true="no"), "include_true of symmetric noise is 'no'"),
        (lambda: transition([[0.5, 0.6], [0, 1]]), "row 0 of the noise matrix sums to 1.1"),
    ],
)
def test_parameters_that_break_a_rule_are_refused(make, words):
    with pytest.raises(InputError, match=words.replace("{}", r"\{\}")):
        make()


def test_a_map_of_classes_that_the_data_lack_is_refused_with_the_names_there_are(make_data: MakeData):
    with pytest.raises(
        InputError, match="the map 'cifar10' flips class 'truck'; the data have no such class"
    ):
        Dilution(make_data(30), noise=asymmetric(0.4, "cifar10"))
    with pytest.raises(InputError, match="the transition matrix has 2 rows; the data have 10 classes"):
        Dilution(make_data(30), noise=transition(np.eye(2)))


def test_labels_of_a_single_class_stay_as_they_are():
    data = Arrays(torch.zeros(20, 1, 2, 2), torch.zeros(20, dtype=torch.int64), ("a", "b", "c"))
    for noise in (symmetric(0.4), symmetric(0.4, include_true=True), pair_flip(0.4)):
        assert Dilution(data, noise=noise).noise_summary().noise_rate_empirical == 0


def test_equal_flips_have_one_text_in_whatever_order_they_are_given():
    texts = ["[['2', '7'], ['3', '8']]", "[['3', '8'], ['2', '7']]", "[[3, 8], [2, 7], ['3', '8']]"]
    canonical = {canonical_noise(f"asymmetric(rate=0.4, flips={flips})") for flips in texts}
    assert canonical == {"asymmetric(flips=[['2', '7'], ['3', '8']], rate=0.4)"}
    with pytest.raises(InputError, match="a class can become one other"):
        canonical_noise("asymmetric(rate=0.4, flips=[['2', '7'], ['2', '8']])")


def test_the_flips_that_an_error_proposes_are_accepted_as_a_setting(make_data: MakeData):
    with pytest.raises(InputError, match=r"such as (asymmetric\(.*\))\.$") as caught:
        Dilution(make_data(30), noise=asymmetric(0.4, "cifar10"))
    text = re.search(r"such as (asymmetric\(.*\))\.$", str(caught.value)).group(1)
    assert canonical_noise(text) == "asymmetric(flips=[['0', '9']], rate=0.4)"


T2 = [[0.9, 0.1], [0.3, 0.7]]


@pytest.fixture
def t_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name, values=T2):
        if name.endswith(".npy"):
            np.save(name, np.array(values))
        else:
            Path(name).write_text("".join(",".join(map(str, row)) + "\n" for row in values))
        return name

    return write


@pytest.mark.parametrize("name", ["T.npy", "T.csv"])
def test_a_transition_matrix_is_read_from_a_file(t_file, name):
    t_file(name)
    for noise in (transition(name), transition(Path(name)), noise_named(f"transition(T='{name}')")):
        np.testing.assert_allclose(noise.transition(("a", "b")), T2)


def test_the_numbers_of_a_file_identify_the_noise_and_not_its_name(t_file):
    t_file("T.npy")
    text = canonical_noise("transition(T='T.npy')")
    assert text == canonical_noise(f"transition(T={T2})")
    t_file("T.npy", [[0.8, 0.2], [0.3, 0.7]])
    assert canonical_noise("transition(T='T.npy')") != text
    Path("T.npy").unlink()
    np.testing.assert_allclose(noise_named(text).transition(("a", "b")), T2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"has no transition matrix \(it is empty\)"),
        (b"true,noisy,probability\na,b,x\n", "it must hold numbers alone"),
        (b"true,noisy\na,b\n", "it must hold numbers alone"),
        (b"0.9,0.2\n0.3,0.7\n", "sum"),
        (b"0.9,0.1\n0.3\n", "has no transition matrix"),
    ],
)
def test_a_file_without_a_transition_matrix_is_refused(t_file, content, message):
    Path("T.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        canonical_noise("transition(T='T.csv')")


TABLE = "true,noisy,probability,low,high\nb,b,0.6,0,1\nb,a,0.4,0,1\na,a,0.8999,0,1\na,b,0.1,0,1\n"


def test_the_table_of_a_diagnosis_is_read_by_the_names_of_its_classes(t_file):
    Path("transition.csv").write_text(TABLE)
    text = canonical_noise("transition(T='transition.csv')")
    scaled = [[0.6, 0.4], [0.1 / 0.9999, 0.8999 / 0.9999]]
    assert text == canonical_noise(f"transition(T={scaled}, classes=['b', 'a'])")
    Path("elsewhere.csv").write_text(TABLE)
    for noise in (transition("elsewhere.csv"), noise_named(text)):
        expected = [[0.8999 / 0.9999, 0.1 / 0.9999], [0.4, 0.6]]
        np.testing.assert_allclose(noise.for_classes(("a", "b")).transition(("a", "b")), expected)
        with pytest.raises(InputError, match=r"names the class 'b', which the data do not have.* a, c\."):
            noise.for_classes(("a", "c"))
        with pytest.raises(InputError, match=r"has no row for the class 'c' of the data\. Give a T with all"):
            noise.for_classes(("a", "b", "c"))


def test_a_study_trains_on_noise_with_the_matrix_of_a_diagnosis(t_file):
    rows = [(c, k, 0.7 if c == k else 0.3) for c in range(10) for k in (c, (c + 1) % 10)]
    table = pd.DataFrame(rows, columns=["true", "noisy", "probability"]).sample(frac=1, random_state=0)
    table.to_csv("transition.csv", index=False)
    data = load("digits").train
    run = Run.of(dataset="digits", model="mlp1", noise="transition(T='transition.csv')", n=1000)
    Path("transition.csv").unlink()
    noisy = dilute(run, None, {})[1]
    shifted = pair_flip(0.3).for_classes(data.classes).overall(10, 0, 0)
    np.testing.assert_allclose(noisy.overall, shifted)


@pytest.mark.parametrize("classes", [["a"], ["a", "a"], ["a", "b", "c"]])
def test_classes_name_each_row_of_a_matrix(classes):
    with pytest.raises(InputError, match=r"classes is \[.*\], and T has 2 rows"):
        transition(T2, classes=classes)


@pytest.mark.parametrize("classes", [5, "ab", {"a": 0, "b": 1}])
def test_classes_that_are_no_list_are_refused(classes):
    with pytest.raises(
        InputError, match=r"classes is .*; it must be a list of names, such as \['cat', 'dog'\]"
    ):
        transition(T2, classes=classes)


def test_names_of_classes_have_one_text():
    texts = [f"transition(T={T2}, classes={classes})" for classes in ("[0, 1]", "['0', '1']")]
    assert canonical_noise(texts[0]) == canonical_noise(texts[1])
    with pytest.raises(InputError, match="classes is 5"):
        canonical_noise(f"transition(T={T2}, classes=5)")


def test_a_file_with_names_takes_no_others(t_file):
    Path("transition.csv").write_text(TABLE)
    for use in (transition, lambda T, classes: canonical_noise(f"transition(T={T!r}, classes={classes})")):
        with pytest.raises(InputError, match=r"transition\.csv names the classes of its matrix\. Leave"):
            use("transition.csv", classes=["x", "y"])


@pytest.mark.parametrize("content", ["true,noisy,probability\n", "1.5,-0.5\n0,1\n"])
def test_the_matrix_of_a_file_is_checked_when_it_is_read(t_file, content):
    Path("T.csv").write_text(content)
    with pytest.raises(InputError, match=r"the matrix in T\.csv has"):
        transition("T.csv")


def test_numbers_of_a_file_may_be_quoted(t_file):
    Path("T.csv").write_text('"0.9","0.1"\n"0.3","0.7"\n')
    np.testing.assert_allclose(transition("T.csv").transition(("a", "b")), [[0.9, 0.1], [0.3, 0.7]])


def test_rounded_numbers_of_a_file_are_scaled_to_the_sum_of_1(t_file):
    t_file("T.csv", [[0.3333, 0.6666], [0.5, 0.5]])
    noise = noise_named(canonical_noise("transition(T='T.csv')"))
    np.testing.assert_allclose(noise.transition(("a", "b")), [[1 / 3, 2 / 3], [0.5, 0.5]], atol=1e-9)
    with pytest.raises(InputError, match=r"sums to 0\.9999"):
        transition([[0.3333, 0.6666], [0.5, 0.5]])


def test_a_file_that_is_missing_or_of_another_kind_is_refused(t_file):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        canonical_noise("transition(T='missing.npy')")
    with pytest.raises(InputError, match=r"ends in \.npy or \.csv"):
        transition("T.pt")
