import math

import keras
import pytest
import tensorflow as tf

from keras_transfer.adaptation.weight_schedule import (
    ScheduledWeight,
    batches_seen,
    ramp,
    weight_schedule,
)


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.5, 1.0])
def test_ramp_equals_the_formula(progress):
    expected = 2 / (1 + math.exp(-10 * progress)) - 1
    assert float(ramp(tf.constant(progress))) == pytest.approx(expected, abs=1e-6)
    assert float(weight_schedule("ramp")(tf.constant(progress))) == pytest.approx(
        expected, abs=1e-6
    )


def test_constant_is_1_and_functions_stay_as_they_are():
    assert float(weight_schedule("constant")(tf.constant(0.0))) == 1
    assert weight_schedule(math.sqrt) is math.sqrt


@pytest.mark.parametrize("schedule", ["linear", "", None, 0.5])
def test_unknown_schedules_are_refused(schedule):
    with pytest.raises(ValueError, match=f"'ramp', 'constant'.*Received: schedule={schedule!r}"):
        weight_schedule(schedule)


@pytest.mark.parametrize("weight", [-0.1, math.inf, math.nan])
def test_weights_out_of_range_are_refused(weight):
    with pytest.raises(ValueError, match=f"at least 0. Received: {weight}"):
        ScheduledWeight(weight, "ramp")


def test_weights_in_range_pass():
    assert float(ScheduledWeight(0, "ramp").now(None)) == 0
    assert float(ScheduledWeight(1e6, "constant").now(None)) == 1e6


@pytest.mark.parametrize("accumulated", [None, 3])
@pytest.mark.parametrize("scaled", [False, True])
def test_batches_are_counted_up_to_the_last_update(scaled, accumulated):
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=accumulated)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    weight = keras.Variable([1.0])
    for _ in range(7):
        optimizer.apply([tf.ones([1])], [weight])
    assert float(batches_seen(optimizer)) == (7 if accumulated is None else 6)
