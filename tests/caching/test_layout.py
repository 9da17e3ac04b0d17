"""Tensors of one example in a row of bytes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.caching.layout import layout_of
from keras_transfer.models.exactness import NotExactError


def frozen_part(*kinds):
    inputs = [keras.Input(shape, dtype=dtype) for shape, dtype in kinds]
    return keras.Model(inputs, [keras.layers.Identity(dtype=x.dtype)(x) for x in inputs])


def batch(*kinds):
    random = np.random.default_rng(0)
    return [tf.cast(random.normal(size=(4, *shape)) * 9, dtype) for shape, dtype in kinds]


KINDS = [((2, 3), "float32"), ((), "int64"), ((5,), "bool"), ((3,), "float16"), ((1,), "uint8")]


def test_rows_hold_tensors_of_any_shape_and_dtype():
    layout, features = layout_of(frozen_part(*KINDS), None), batch(*KINDS)
    rows = layout.pack(features)
    assert rows.shape == (4, layout.row_bytes) == (4, 24 + 8 + 5 + 6 + 1)
    for before, after in zip(features, layout.unpack(tf.constant(rows)), strict=True):
        assert after.dtype == before.dtype
        np.testing.assert_array_equal(after, before)


def test_a_single_tensor_comes_alone():
    layout = layout_of(frozen_part(KINDS[0]), None)
    [features] = batch(KINDS[0])
    np.testing.assert_array_equal(layout.unpack(tf.constant(layout.pack([features]))), features)


@pytest.mark.parametrize(("dtype", "bound"), [("float16", 2**-11), ("bfloat16", 2**-8)])
def test_half_precision_is_off_by_no_more_than_is_said(dtype, bound):
    layout = layout_of(frozen_part(((1000,), "float32"), ((), "int64")), dtype)
    assert layout.row_bytes == 2008
    scale = 10 ** np.random.default_rng(0).uniform(-4, 4, (4, 1000))
    numbers = tf.constant(np.random.default_rng(1).normal(size=(4, 1000)) * scale, tf.float32)
    counts = tf.constant([1, 2**40, 3, -4], tf.int64)
    after, ints = layout.unpack(tf.constant(layout.pack([numbers, counts])))
    assert after.dtype == tf.float32
    allowed = np.maximum(np.abs(numbers) * bound, 2**-25 if dtype == "float16" else 0)
    assert (np.abs(after - numbers) <= allowed).all()
    np.testing.assert_array_equal(ints, counts)


def test_numbers_that_do_not_fit_are_refused():
    layout = layout_of(frozen_part(((1,), "float32")), "float16")
    with pytest.raises(ValueError, match=r"float16 can hold; take 'bfloat16'.*up to 70000"):
        layout.pack([tf.constant([[70000.0]])])


def test_features_without_a_fixed_shape_are_refused():
    with pytest.raises(NotExactError, match="one fixed shape"):
        layout_of(frozen_part(((None, 3), "float32")), None)
