"""Names with parameters: what is written is read back, and nothing is executed."""

import re
from keyword import iskeyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.errors import InputError
from dilution.noise import canonical_noise
from dilution.training.losses import resolve_loss
from dilution.utils.named_call import format_call, parse_call, shorten_matrices

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: not iskeyword(name))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=8,
)  # fmt: skip


@given(NAMES, st.dictionaries(NAMES, VALUES, max_size=4))
def test_a_written_call_is_read_back(name, parameters):
    assert parse_call(format_call(name, parameters), "loss") == (name, parameters)


@given(NAMES, st.dictionaries(NAMES, VALUES, min_size=2, max_size=4))
def test_the_order_of_parameters_does_not_matter(name, parameters):
    turned = dict(reversed(parameters.items()))
    assert format_call(name, parameters) == format_call(name, turned)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gce(0.3)", "every parameter needs its name"),
        ("gce(**{'q': 1})", "every parameter needs its name"),
        ("gce(q=0.3", "never closed"),
        ("gce(q=0.3)+1", "more behind the brackets"),
        ("gce(q=1, q=2)", "gives q twice"),
        ("gce(q=open('f'))", "no finite number, text or list"),
        ("gce(q={1: 2})", "no finite number, text or list"),
        ("gce(q=1j)", "no finite number, text or list"),
        ("gce(q=1e999)", "no finite number, text or list"),
        ("gce(q=nan)", "Write texts in quotes"),
        (r"forward(T='C:\data')", "invalid escape"),
        ("gce(q=" + "(" * 500 + ")", "nested"),
        ("gce(q=" + "-" * 100_000 + "1)", "no finite number, text or list|nested"),
        ("gce(q=" + "9" * 5000 + ")", "limit"),
        ("gce(q=" + "[" * 90 + "]" * 90 + "", "never closed"),
        ("gce(q='" + "x" * 1_000_001 + "')", "1,000,000"),
        ("gce(q='\0')", "null"),
        ("gce(q=0x" + "f" * 10_000 + ")", "more than 300 digits"),
        ("x" * 10_000 + "(1)", "every parameter needs its name"),
        ("gce(" + "k" * 10_000 + "=1j)", "no finite number, text or list"),
    ],
)
def test_what_is_no_call_with_literals_is_refused_with_a_reason(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_call(text, "loss")
    assert len(str(caught.value)) < 600


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        name, _ = parse_call(text, "loss")
    except InputError:
        return
    assert name == text.partition("(")[0].strip()


def test_ten_thousand_parameters_are_compared_once_each(monkeypatch):
    """A comparison of all pairs would take minutes."""
    compared = []
    monkeypatch.setattr("dilution.utils.named_call.Counter", lambda names: compared.append(len(names)) or {})
    text = "gce(" + ",".join(f"a{number}=1" for number in range(10_000)) + ")"
    assert len(parse_call(text, "loss")[1]) == 10_000
    assert compared == [10_000]


@pytest.mark.parametrize(("name", "read"), [("gce", resolve_loss), ("symmetric", canonical_noise)])
def test_20_000_parameters_are_refused_in_a_short_message(name, read):
    with pytest.raises(InputError) as caught:
        read(name + "(" + ",".join(f"a{number}=1" for number in range(20_000)) + ")")
    assert len(str(caught.value)) < 3000


def test_a_long_matrix_is_shown_by_its_size_and_told_from_others():
    first = str(((0.9, *[0.1 / 9] * 9),) * 10)
    second = first.replace("0.9", "0.8")
    short = shorten_matrices(f"transition(T={first})")
    assert re.fullmatch(r"transition\(T=<10 x 10, [0-9a-f]{4}>\)", short)
    assert shorten_matrices(f"transition(T={second})") != short
    assert shorten_matrices(str([[0.25] * 4] * 4)).startswith("<4 x 4, ")
    small = "transition(T=((0.9, 0.1), (0.2, 0.8)))"
    assert shorten_matrices(small) == small
    assert shorten_matrices("module:factory(x='a (b), [c]')") == "module:factory(x='a (b), [c]')"
