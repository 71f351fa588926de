"""Settings with parameters in brackets: one spelling each, and rules that every kind of them keeps."""

import math
from keyword import iskeyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.errors import InputError
from dilution.training.early_stopping import EARLY_STOPPING, resolve_early_stopping
from dilution.training.losses import LOSSES, resolve_loss
from dilution.training.optimizers import OPTIMIZERS, resolve_optimizer
from dilution.training.schedules import SCHEDULES, resolve_schedule
from dilution.utils.named_setting import OwnSetting

KINDS = {
    "loss": (resolve_loss, LOSSES),
    "optimizer": (resolve_optimizer, OPTIMIZERS),
    "schedule": (resolve_schedule, SCHEDULES),
    "early_stopping": (resolve_early_stopping, EARLY_STOPPING),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
literals = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)
names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: not iskeyword(name))


@every_kind
def test_a_name_alone_has_the_defaults_and_spelling_them_out_is_the_same_text(kind):
    resolve, built_in = KINDS[kind]
    for name, setting in built_in.items():
        assert resolve(name).text == name
        given_all = ", ".join(f"{key}={field.default!r}" for key, field in setting.model_fields.items())
        assert resolve(f"{name}({given_all})").text == name
        assert resolve(resolve(name)).text == name
        assert str(resolve(name)) == name


@every_kind
@given(st.dictionaries(names, literals, max_size=3))
def test_parameters_of_ones_own_survive_their_text(kind, parameters):
    resolve, _ = KINDS[kind]
    call = ", ".join(f"{key}={value!r}" for key, value in parameters.items())
    setting = resolve(f"own:thing({call})")
    assert setting.parameters == parameters
    again = resolve(setting.text)
    assert again.text == setting.text
    for key, value in again.parameters.items():
        is_zero = isinstance(value, float) and value == 0
        assert not is_zero or math.copysign(1, value) == math.copysign(1, parameters[key])


@every_kind
@pytest.mark.parametrize(
    "text", ["own:thing(a)", "own:thing(a=open('x'))", "own:thing(a=1", "", "own:", "a b"]
)
def test_texts_that_are_none_are_refused_without_an_import(kind, text):
    resolve, _ = KINDS[kind]
    with pytest.raises(InputError) as caught:
        resolve(text)
    assert kind.partition("_")[0] in str(caught.value) or "is not" in str(caught.value)


@every_kind
def test_what_is_no_text_is_refused_with_examples_that_work(kind):
    resolve, _ = KINDS[kind]
    with pytest.raises(InputError, match=rf"^{kind} is 3; it must be a name, such as") as caught:
        resolve(3)
    _, plain, _, example, *_ = str(caught.value).split("'")
    assert resolve(plain).text == plain
    assert resolve(example)


def test_a_call_that_raises_is_an_error_with_the_call(module):
    name = module("def function(a, b):\n    raise ValueError('no')\n")

    class Own(OwnSetting):
        kind = "loss"

    own = Own(reference=f"{name}:function", parameters={"b": 2})
    with pytest.raises(
        InputError, match=rf"loss is '{name}:function\(b=2\)'; called as function\(1, b=2\) it"
    ):
        own.call(own.function(), 1, shown="1", rule="none")
