"""Untrusted pickles: what is read, that nothing is executed, and that memory is bounded by their length."""

import os
import pickle
import pickletools
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pickles import as_python_2

from dilution.data.builtin.safe_pickle import _check_memo_numbers, read_pickle
from dilution.errors import DataError


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_python_3_is_read_in_protocols_3_and_4_and_refused_in_the_others(protocol):
    images = np.arange(12, dtype=np.uint8).reshape(4, 3)
    written = pickle.dumps({"data": images, "labels": [0, 1, 2, 3]}, protocol)
    if protocol in (3, 4):
        batch = read_pickle(written, "data_batch_1")
        assert (batch["data"] == images).all()
        assert batch["labels"] == [0, 1, 2, 3]
    else:
        with pytest.raises(DataError, match=r"names (_codecs\.encode|numpy\._core\.numeric\._frombuffer)"):
            read_pickle(written, "data_batch_1")


@pytest.mark.parametrize(
    "numbers", [b"r" + struct.pack("<I", 25_000_000), b"p25000000\n", b"p25_000_000\n", b"p25000000\0\n"]
)
@pytest.mark.parametrize("start", [b"\x80\x02}", b"}T\x02\x00\x00\x00..0", b"}S'.'\n0", b"}c.\n.\n0"])
def test_a_memo_number_beyond_the_length_of_a_pickle_takes_no_memory(start, numbers):
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"the number 25,000,000; none may exceed|no whole pickle"):
            read_pickle(start + numbers + b".", "data_batch_1")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=300),
    lambda parts: st.lists(parts) | st.tuples(parts, parts) | st.dictionaries(st.text(), parts),
)


@given(value=plain, protocol=st.integers(0, 5))
def test_the_scan_of_a_pickle_ends_where_the_pickle_ends(value, protocol):
    written = pickle.dumps(value, protocol)
    _check_memo_numbers(written)
    positions = [position for _, _, position in pickletools.genops(written)]
    # Each scan begins at the start: at every opcode of a large pickle they would take its length squared.
    for position in [*positions[:12], *positions[12:-12:7], *positions[12:][-12:]]:
        with pytest.raises((ValueError, IndexError, struct.error)):  # cut off at an opcode
            _check_memo_numbers(written[:position])
    _check_memo_numbers(written + b"p999999999\n")  # bytes behind the end do not count


class Call:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def malicious_objects(tmp_path):
    proof = tmp_path / "executed"
    yield Call(os.system, f"touch {proof}")
    yield Call(eval, f"open({str(proof)!r}, 'w')")
    yield Call(getattr, "text", "upper")
    yield Call(np.load, str(proof))
    yield {"data": [Call(os.mkdir, str(proof))]}
    yield np.array([Call(os.mkdir, str(proof))], dtype=object)
    yield {"data": np.zeros(3)}  # floats: harmless, and no data set


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_malicious_pickle_is_refused_and_nothing_is_executed(tmp_path, protocol):
    for malicious in malicious_objects(tmp_path):
        with pytest.raises(DataError, match=r"refused|whole pickle|must hold a dictionary"):
            read_pickle(pickle.dumps(malicious, protocol), "data_batch_1")
        assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "module_and_name",
    [
        "posix\nsystem",
        "builtins\n__import__",
        "numpy\nload",
        "numpy.core.multiarray\nscalar",
        "_codecs\nencode",
    ],
)
def test_nothing_but_the_reconstruction_of_arrays_can_be_named(module_and_name):
    module, name = module_and_name.split("\n")
    with pytest.raises(DataError, match=rf"names {module}\.{name}; it may name numpy's array reconstruction"):
        read_pickle(f"c{module_and_name}\n(S'x'\ntR.".encode(), "data_batch_1")


def test_a_named_object_cannot_be_changed_for_the_next_reader():
    content = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nN}U\x07__doc__U\x01xs\x86b."
    with pytest.raises(DataError, match="changes what it names"):
        read_pickle(content, "data_batch_1")


def test_an_array_cannot_be_larger_than_its_content():
    whole = as_python_2(np.arange(6 * 3072, dtype=np.uint8).reshape(6, 3072), range(6), "labels")
    size = struct.pack("<i", 6)
    for forged in (struct.pack("<i", 2**31 - 1), struct.pack("<i", -1), struct.pack("<i", 5)):
        with pytest.raises(DataError, match="whose shape does not fit"):
            read_pickle(whole.replace(b"J" + size, b"J" + forged, 1), "data_batch_1")


def test_every_cut_and_every_flipped_byte_ends_in_an_error_or_in_arrays():
    whole = as_python_2(np.arange(12, dtype=np.uint8).reshape(4, 3), [0, 1, 2, 3], "labels")
    for position in range(len(whole)):
        with pytest.raises(DataError):
            read_pickle(whole[:position], "data_batch_1")
        for bit in (1, 64, 128):
            altered = bytearray(whole)
            altered[position] ^= bit
            try:
                batch = read_pickle(bytes(altered), "data_batch_1")
            except DataError:
                continue
            assert isinstance(batch, dict)


def nested(depth, pairs=b"\x86"):
    """Return opcodes of a tuple of two references to a tuple of two references …, depth deep."""
    return b"".join(b"q" + bytes([k]) + b"h" + bytes([k]) + pairs for k in range(depth))


@pytest.mark.parametrize("depth", [30, 60, 200])
def test_tuples_that_share_parts_without_end_are_refused_as_keys(depth):
    with pytest.raises(DataError, match="nests tuples to more than"):
        read_pickle(b"\x80\x02})" + nested(depth) + b"Ns.", "data_batch_1")


def test_wide_tuples_that_share_parts_are_refused_too():
    levels = b"".join(b"q" + bytes([k]) + b"(" + (b"h" + bytes([k])) * 50 + b"t" for k in range(5))
    with pytest.raises(DataError, match="nests tuples to more than"):
        read_pickle(b"\x80\x02})" + levels + b"Ns.", "data_batch_1")


def test_a_large_tuple_used_as_many_keys_is_refused():
    large = b"(" + b"K\x01" * 5000 + b"tq\x00"
    with pytest.raises(DataError, match="nests tuples to more than"):
        read_pickle(b"\x80\x02}" + large + b"Ns" + b"h\x00Ns" * 5000 + b".", "data_batch_1")


def test_a_persistent_id_is_not_shown():
    with pytest.raises(DataError, match="refers to a tuple outside itself") as caught:
        read_pickle(b"\x80\x02)" + nested(5) + b"Q.", "data_batch_1")
    assert len(str(caught.value)) < 300


@given(value=st.recursive(st.integers() | st.text(), lambda inner: st.tuples(inner, inner) | st.lists(inner)))
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_honest_tuples_pass(value, protocol):
    written = pickle.dumps({"value": value}, protocol)
    assert read_pickle(written, "data_batch_1")["value"] == value


def test_more_steps_than_any_original_has_are_refused():
    with pytest.raises(DataError, match="more than 2,000,000 steps"):
        read_pickle(b"\x80\x02" + b"N0" * 1_000_001 + b"N.", "data_batch_1")
