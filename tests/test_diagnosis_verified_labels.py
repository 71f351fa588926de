"""Verified labels from a mapping or a CSV file."""

import numpy as np
import pytest
from noisy_digits import noisy_digits

from dilution.data import UnsplitData
from dilution.diagnosis.verified_labels import read_verified_labels, verified_noise_rate
from dilution.errors import DataError, InputError
from dilution.utils.migration import OldNamesWarning


@pytest.fixture(scope="module")
def examples():
    return UnsplitData(noisy_digits(n=100)[0])


def test_blank_labels_are_ignored_and_further_columns_do_no_harm(tmp_path, examples):
    path = tmp_path / "label_issues.csv"
    path.write_text("index,id,verified_label,p_wrong\n7,7,3,0.9\n8,8,,0.8\n9,9, 4 ,0.7\n")
    verified = read_verified_labels(path, examples)
    assert verified[7] == 3
    assert verified[9] == 4
    assert (verified >= 0).sum() == 2


def test_a_file_of_version_0_1_is_read_and_says_so(tmp_path, examples):
    path = tmp_path / "checked.csv"
    path.write_text("row,label,suggested,wrong,sure,right\n7,1,3,0.9,0.9,3\n8,1,2,0.9,0.9,\n")
    with pytest.warns(OldNamesWarning, match="right is now verified_label, row is now id"):
        verified = read_verified_labels(path, examples)
    assert verified[7] == 3
    assert (verified >= 0).sum() == 1


@pytest.mark.parametrize(("verified", "message"), [({"4000": "1"}, "'4000'"), ({"1": "horse"}, "horse")])
def test_an_unknown_id_or_class_is_named(examples, verified, message):
    with pytest.raises(InputError, match=message):
        read_verified_labels(verified, examples)


def test_a_file_without_the_column_is_refused_with_the_remedy(tmp_path, examples):
    (tmp_path / "verified.csv").write_text("id,label\n1,2\n")
    with pytest.raises(InputError, match=r"lacks 'verified_label'.*Add a column verified_label"):
        read_verified_labels(tmp_path / "verified.csv", examples)


def test_a_missing_file_is_refused(tmp_path, examples):
    with pytest.raises(DataError, match="cannot be read"):
        read_verified_labels(tmp_path / "missing.csv", examples)


def test_the_verified_noise_rate_has_wilsons_interval():
    labels = np.arange(300) % 3
    verified = np.where(np.arange(300) < 100, labels, -1)
    verified[:50] = (verified[:50] + 1) % 3
    rate = verified_noise_rate(verified, labels)
    assert rate.value == 0.5
    assert (rate.low, rate.high) == pytest.approx((0.4038, 0.5962), abs=1e-3)  # Wilson, 50 of 100
    assert np.isnan(verified_noise_rate(np.full(3, -1), labels[:3]).value)
