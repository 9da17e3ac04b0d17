import numpy as np
import pytest

from keras_transfer.data.stratified import stratified_indices

LABELS = np.repeat([0, 1, 2], [50, 30, 20])
NAMES = ["a", "b", "c"]


def test_parts_are_disjoint_complete_and_in_proportion():
    parts = stratified_indices(LABELS, NAMES, {"test": 0.2, "validation": 0.1}, seed=3)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(100))
    assert np.bincount(LABELS[parts["test"]]).tolist() == [10, 6, 4]
    assert np.bincount(LABELS[parts["validation"]]).tolist() == [5, 3, 2]


def test_same_seed_same_split_and_another_seed_another():
    one, same, other = (
        stratified_indices(LABELS, NAMES, {"validation": 0.2}, seed)["validation"]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_share_of_zero_leaves_the_part_out():
    parts = stratified_indices(LABELS, NAMES, {"test": 0.0, "validation": 0.2}, seed=0)
    assert set(parts) == {"train", "validation"}


def test_class_with_one_example_is_named():
    with pytest.raises(ValueError, match=r"at least 2 examples.*\{'rare': 1\}"):
        stratified_indices(np.array([0] * 9 + [1]), ["common", "rare"], {"validation": 0.2}, 0)


def test_part_too_small_for_all_classes_is_refused():
    with pytest.raises(ValueError, match="each of the 3 classes"):
        stratified_indices(LABELS, NAMES, {"validation": 0.01}, seed=0)


@pytest.mark.parametrize(
    "shares", [{"test": 0.5, "validation": 0.5}, {"test": -0.1}, {"test": 1.0}]
)
def test_shares_that_leave_nothing_are_refused(shares):
    with pytest.raises(ValueError, match="leave something for training"):
        stratified_indices(LABELS, NAMES, shares, seed=0)


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_rare_class_is_never_on_one_side_alone(share):
    labels = np.array([0] * 100 + [1] * 2)
    with pytest.raises(ValueError, match=r"none of \['rare'\]"):
        stratified_indices(labels, ["common", "rare"], {"validation": share}, seed=0)


@pytest.mark.parametrize(("number", "share"), [(1, 0.2), (4, 0.9)])
def test_too_few_examples_without_classes_are_refused(number, share):
    with pytest.raises(ValueError, match=f"both sides.*Received: {number} examples, of which"):
        stratified_indices(np.zeros(number), (), {"validation": share}, seed=0)
