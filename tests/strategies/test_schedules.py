import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.strategies.schedules import make_schedule

SCHEDULES = [
    kx.warmup_cosine(0.3, 50),
    kx.OneCycle(0.3, 50, 0.3, 10.0, 1e3),
    kx.CyclicalLearningRate(0.01, 0.3, 7, "exp_range", 0.99),
]
one_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


def rates(schedule, steps):
    compute = tf.function(schedule)
    return np.array([compute(tf.constant(step, "int64")) for step in steps])


@pytest.mark.parametrize(("steps", "warmup"), [(50, 0.1), (50, 0.25), (7, 0.0), (1, 0.1)])
def test_warmup_cosine_rises_in_a_line_and_falls_to_zero(steps, warmup):
    rising = max(1, round(warmup * steps))
    falling = max(1, steps - rising)
    step = np.arange(steps + 5)
    share = np.clip((step - rising) / falling, 0, 1)
    rise = (1 + step) / (rising + 1)
    expected = 0.3 * np.where(step < rising, rise, (1 + np.cos(np.pi * share)) / 2)
    np.testing.assert_allclose(rates(kx.warmup_cosine(0.3, steps, warmup), step), expected, 0, 1e-6)


@pytest.mark.parametrize(("steps", "warmup"), [(50, 0.25), (200, 0.0), (7, 0.9), (1, 0.25)])
def test_one_cycle_is_two_cosines_and_stays_at_its_end(steps, warmup):
    start, peak, end = 0.3 / 25, 0.3, 0.3 / 1e4
    step = np.arange(steps + 5)
    done = np.minimum(step / steps, 1)
    rise = start + (peak - start) * (1 - np.cos(np.pi * done / max(warmup, 1e-9))) / 2
    fall = end + (peak - end) * (1 + np.cos(np.pi * (done - warmup) / (1 - warmup))) / 2
    expected = np.where(done < warmup, rise, fall)
    np.testing.assert_allclose(rates(kx.OneCycle(0.3, steps, warmup), step), expected, 0, 1e-6)


@pytest.mark.parametrize("step_size", [1, 7])
@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_cycles_follow_the_formula_of_the_paper(mode, step_size):
    step = np.concatenate([np.arange(60), 10_000_000 + np.arange(20)]).astype("float64")
    cycle = np.floor(1 + step / (2 * step_size))
    x = np.abs(step / step_size - 2 * cycle + 1)
    scale = {
        "triangular": np.ones_like(step),
        "triangular2": 0.5 ** (cycle - 1),
        "exp_range": 0.99994**step,
    }[mode]
    expected = 0.1 + (0.6 - 0.1) * np.maximum(0, 1 - x) * scale
    schedule = kx.CyclicalLearningRate(0.1, 0.6, step_size, mode)
    np.testing.assert_allclose(rates(schedule, step.astype(int)), expected, 0, 1e-6)


@one_schedule
def test_schedules_survive_saving_and_are_float32(schedule):
    config = keras.optimizers.schedules.serialize(schedule)
    again = keras.optimizers.schedules.deserialize(config)
    assert again.get_config() == schedule.get_config()
    assert schedule(tf.constant(3, "int64")).dtype == "float32"


@one_schedule
def test_optimizers_follow_schedules_and_are_saved_with_them(schedule, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(schedule), "mse")
    model.fit(np.ones([20, 2]), np.ones([20, 1]), batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for optimizer in (model.optimizer, loaded.optimizer):
        np.testing.assert_allclose(float(optimizer.learning_rate), float(schedule(5)), 0, 1e-7)


def test_names_make_schedules():
    kinds = {name: make_schedule(name, 0.4, 80) for name in ("cosine", "one_cycle", "triangular2")}
    assert kinds["cosine"].get_config() == kx.warmup_cosine(0.4, 80).get_config()
    assert kinds["one_cycle"].get_config() == kx.OneCycle(0.4, 80).get_config()
    assert kinds["triangular2"].mode == "triangular2"
    assert make_schedule("constant", 0.4, 80) == 0.4
    assert make_schedule(lambda peak, steps: peak / steps, 0.4, 80) == 0.4 / 80


def test_cycles_by_name_are_four_from_a_quarter_of_the_peak():
    found = rates(make_schedule("triangular", 0.4, 80), range(81))
    np.testing.assert_allclose(found[[0, 10, 20, 30, 80]], [0.1, 0.4, 0.1, 0.4, 0.1], 1e-6)
    assert float(make_schedule("triangular", 0.4, 1)(0)) == pytest.approx(0.1)


@pytest.mark.parametrize("schedule", ["cosin", None, 0.1, SCHEDULES[0]])
def test_schedules_that_are_not_there_are_refused(schedule):
    with pytest.raises(ValueError, match="one of .*'one_cycle'.* Received: "):
        make_schedule(schedule, 0.1, 10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kx.warmup_cosine(0.0, 10), "peak=0.0"),
        (lambda: kx.warmup_cosine(float("nan"), 10), "peak=nan"),
        (lambda: kx.OneCycle(0.1, 0), "steps=0"),
        (lambda: kx.OneCycle(0.1, 2.5), "steps=2.5"),
        (lambda: kx.OneCycle(0.1, 10, 1.0), "warmup=1.0"),
        (lambda: kx.OneCycle(0.1, 10, end_divisor=0.1), "end_divisor=0.1"),
        (lambda: kx.CyclicalLearningRate(0.2, 0.1, 5), "low=0.2, high=0.1"),
        (lambda: kx.CyclicalLearningRate(0.1, 0.2, 0), "step_size=0"),
        (lambda: kx.CyclicalLearningRate(0.1, 0.2, 5, "square"), "Received: 'square'"),
        (lambda: kx.CyclicalLearningRate(0.1, 0.2, 5, gamma=1.1), "gamma=1.1"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
