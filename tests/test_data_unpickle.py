"""Pickles: what is read of them, and that none takes more memory than its length allows."""

import pickle
import pickletools
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.data.builtin.safe_pickle import _check_numbers, read_pickle
from dilution.errors import DataError


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_python_3_is_read_in_protocols_3_and_4_and_refused_in_the_others(protocol):
    images = np.arange(12, dtype=np.uint8).reshape(4, 3)
    written = pickle.dumps({"data": images, "labels": [0, 1, 2, 3]}, protocol)
    if protocol in (3, 4):
        found = read_pickle(written, "data_batch_1")
        assert (found["data"] == images).all()
        assert found["labels"] == [0, 1, 2, 3]
    else:
        with pytest.raises(DataError, match=r"names (_codecs\.encode|numpy\._core\.numeric\._frombuffer)"):
            read_pickle(written, "data_batch_1")


@pytest.mark.parametrize(
    "numbers", [b"r" + struct.pack("<I", 25_000_000), b"p25000000\n", b"p25_000_000\n", b"p25000000\0\n"]
)
@pytest.mark.parametrize("start", [b"\x80\x02}", b"}T\x02\x00\x00\x00..0", b"}S'.'\n0", b"}c.\n.\n0"])
def test_a_number_beyond_the_length_of_a_pickle_takes_no_memory(start, numbers):
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


@given(thing=plain, protocol=st.integers(0, 5))
def test_looking_through_a_pickle_ends_where_the_pickle_ends(thing, protocol):
    written = pickle.dumps(thing, protocol)
    _check_numbers(written)
    for _, _, at in pickletools.genops(written):
        with pytest.raises((ValueError, IndexError, struct.error)):  # at each instruction: cut off
            _check_numbers(written[:at])
    _check_numbers(written + b"p999999999\n")  # behind the end nothing counts
