import inspect
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.training.identity import IDENTITY


def test_learns_to_tell_dark_from_bright(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, tiny_data.class_names)
    strategy = kx.FineTuning(batch_norm="trainable")
    kx.fine_tune(
        model, tiny_data.train, strategy=strategy, epochs=12, learning_rate=0.02, verbose=0
    )
    assert kx.evaluate(model, tiny_data.train, verbose=False).accuracy > 0.9


def test_default_is_feature_extraction(tiny_backbone, tiny_data):
    before = tiny_backbone.get_weights()
    model = kx.Classifier(tiny_backbone, tiny_data.class_names)
    kx.fine_tune(model, tiny_data.train, epochs=1, verbose=0)
    for one, other in zip(before, tiny_backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_optimizer_is_adamw_on_a_cosine_with_warm_up(tiny_backbone, tiny_data):
    class Keep(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            self.optimizer = self.model.optimizer

    model = kx.Classifier(tiny_backbone, tiny_data.class_names)
    keep = Keep()
    kx.fine_tune(model, tiny_data.train, epochs=5, learning_rate=0.5, callbacks=[keep], verbose=0)
    optimizer = keep.optimizer
    steps = 5 * int(tiny_data.train.cardinality())
    rates = [float(optimizer._learning_rate(step)) for step in range(steps + 1)]
    assert type(optimizer) is keras.optimizers.AdamW
    assert 0 < rates[0] < rates[1]
    assert max(rates) == pytest.approx(0.5)
    assert rates.index(max(rates)) == round(0.1 * steps)
    assert rates[-1] == pytest.approx(0, abs=1e-6)
    assert int(optimizer.iterations) == steps


def test_biases_and_normalization_are_not_decayed(tiny_backbone, tiny_data):
    """By what moves where there is no gradient; a layer's name is no matter."""
    pixels = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(2, 3, name="alphabeta_bias")(pixels)
    x = keras.layers.LayerNormalization(name="gamma")(x)
    model = kx.Classifier(keras.Model(pixels, x), 2)
    for weight in model.weights:
        weight.assign(keras.ops.ones_like(weight))
    model.compile(loss=lambda y, y_pred: 0.0 * keras.ops.sum(y_pred, axis=-1))
    kx.fine_tune(model, tiny_data.train, strategy=kx.FineTuning(), epochs=1, verbose=0)
    moved = {weight.path: float(keras.ops.max(weight)) < 1 for weight in model.trainable_weights}
    assert moved == {path: path.endswith("kernel") for path in moved}
    assert sum(moved.values()) == 2


class Mine(keras.losses.SparseCategoricalCrossentropy):
    """Unregistered, as users write them in scripts."""


def test_compiled_model_keeps_its_loss_and_metrics(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, tiny_data.class_names)
    loss = Mine(from_logits=True)
    model.compile("sgd", loss, metrics=["sparse_categorical_accuracy"], steps_per_execution=2)
    for _ in range(2):
        [history] = kx.fine_tune(model, tiny_data.train, epochs=1, verbose=0)
        assert model.loss is loss
        assert model.steps_per_execution == 2
        assert isinstance(model.optimizer, keras.optimizers.AdamW)
        assert "sparse_categorical_accuracy" in history.history


def test_class_weight_is_refused_where_several_classes_may_hold(tiny_backbone):
    x = np.zeros([8, 32, 32, 3], "uint8")
    data = kx.arrays(x, np.eye(4)[np.arange(8) % 4], validation_split=0.0)
    model = kx.Classifier(tiny_backbone, 4, multi_label=True)
    with pytest.raises(ValueError, match="no `class_weight`"):
        kx.fine_tune(model, data.train, class_weight={0: 2.0})


def test_several_classes_at_once_and_numbers_are_learnt(tiny_backbone):
    x = np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3)).astype("uint8")
    several = kx.arrays(x, np.eye(4)[np.arange(16) % 4])
    model = kx.Classifier(tiny_backbone, 4, multi_label=True)
    [history] = kx.fine_tune(model, several.train, several.validation, epochs=1, verbose=0)
    assert np.isfinite(history.history["val_loss"])
    numbers = kx.arrays(x, np.linspace(0, 1, 16))
    [history] = kx.fine_tune(kx.Regressor(tiny_backbone), numbers.train, epochs=1, verbose=0)
    assert "mean_absolute_error" in history.history


def test_balanced_classes_weigh_rare_ones_up(tiny_backbone):
    x = np.zeros([8, 32, 32, 3], "uint8")
    data = kx.arrays(x, [0, 0, 0, 0, 0, 0, 1, 1], validation_split=0.0)
    losses = {}
    for class_weight in (None, "balanced", {0: 8 / 12, 1: 8 / 4}):
        keras.utils.set_random_seed(0)
        model = kx.Classifier(tiny_backbone, 2)
        model.layers[-1].bias.assign([1.0, -1.0])
        [history] = kx.fine_tune(model, data.train, epochs=1, class_weight=class_weight, verbose=0)
        losses[str(class_weight)] = history.history["loss"][0]
    assert losses["balanced"] == pytest.approx(losses[str({0: 8 / 12, 1: 8 / 4})], rel=1e-5)
    assert losses["balanced"] != pytest.approx(losses["None"], rel=1e-2)


def test_weights_of_examples_in_double_precision_are_weighed_by_class(tiny_backbone):
    pictures, labels = np.zeros([4, 32, 32, 3], "float32"), np.array([0, 1, 0, 1])
    train = tf.data.Dataset.from_tensors((pictures, labels, np.full(4, 0.5)))
    model = kx.Classifier(tiny_backbone, 2)
    [history] = kx.fine_tune(model, train, epochs=1, class_weight={0: 3.0}, verbose=0)
    assert history.history["loss"][0] == pytest.approx(np.log(2) * (3 + 1) / 2 * 0.5, rel=1e-5)


def test_early_stopping_restores_the_best_weights(tiny_backbone, tiny_data):
    class Diverge(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.layers[-1].kernel.assign(self.model.layers[-1].kernel * 0 + 100.0)
                self.model.layers[-1].bias.assign([50.0, -50.0])

    model = kx.Classifier(tiny_backbone, 2)
    [history] = kx.fine_tune(
        model,
        tiny_data.train,
        tiny_data.validation,
        epochs=9,
        learning_rate=1e-4,
        early_stopping=2,
        callbacks=[Diverge()],
        verbose=0,
    )
    assert len(history.history["loss"]) == 3
    best = kx.evaluate(model, tiny_data.validation, verbose=False).loss
    assert best == pytest.approx(history.history["val_loss"][0], rel=1e-4)


def test_augmentation_reaches_training_pictures_alone(tiny_backbone, tiny_data):
    black = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Rescaling(0.0)])
    model = kx.Classifier(tiny_backbone, 2)
    model.layers[-1].bias.assign([1.0, -1.0])
    model.layers[-1].kernel.assign(np.eye(*model.layers[-1].kernel.shape))
    [history] = kx.fine_tune(
        model,
        tiny_data.train,
        tiny_data.validation,
        epochs=1,
        learning_rate=1e-12,
        augmentation=black,
        verbose=0,
    )
    # Nothing was learnt, so the losses tell which pictures were seen.
    seen = kx.evaluate(model, tiny_data.train.map(lambda x, y: (0 * x, y)), verbose=False)
    assert history.history["loss"][0] == pytest.approx(seen.loss, rel=1e-4)
    plain = kx.evaluate(model, tiny_data.validation, verbose=False)
    assert history.history["val_loss"][0] == pytest.approx(plain.loss, rel=1e-4)
    assert plain.loss != pytest.approx(seen.loss, rel=1e-3)


def test_augmentation_comes_after_a_cache(tiny_backbone, tiny_data):
    """Else every epoch would see the pictures of the first again."""
    seen = []

    class Spy(keras.layers.Layer):
        def call(self, pictures):
            tf.py_function(lambda x: seen.append(x.numpy()), [pictures], [])
            return pictures

    data = tiny_data.train.take(1).cache()
    layers = [keras.layers.RandomBrightness(0.5, seed=0), Spy()]
    augment = keras.Sequential([keras.Input((32, 32, 3)), *layers])
    model = kx.Classifier(tiny_backbone, 2)
    kx.fine_tune(model, data, epochs=2, augmentation=augment, verbose=0)
    assert len(seen) >= 2
    assert not np.array_equal(seen[-1], seen[-2])


def test_dataset_of_unknown_length_is_counted(tiny_backbone, tiny_data):
    unknown = tiny_data.train.filter(lambda *_: True)
    assert int(unknown.cardinality()) == tf.data.UNKNOWN_CARDINALITY
    model = kx.Classifier(tiny_backbone, 2)
    kx.fine_tune(model, unknown, epochs=2, verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(3e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"early_stopping": 2}, "validation_data=None"),
        (
            {"learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 10)},
            "how it moves is `schedule`.*CosineDecay",
        ),
        ({"optimizer": "sgd"}, "such as keras.optimizers.SGD.*Received: 'sgd'"),
        (
            {"optimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())},
            "without loss scaling",
        ),
    ],
)
def test_settings_out_of_range_are_refused(tiny_backbone, tiny_data, options, message):
    with pytest.raises(ValueError, match=message):
        kx.fine_tune(kx.Classifier(tiny_backbone, 2), tiny_data.train, **options)


def test_every_argument_tells_trainings_apart_or_is_known_not_to():
    free = {"model", "validation_data", "checkpoints", "cache", "solver", "callbacks", "verbose"}
    arguments = set(inspect.signature(kx.fine_tune).parameters)
    assert set(IDENTITY) - {"adaptation"} == arguments - free  # that is of the model


def test_models_that_train_others_are_refused(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    other = keras.models.clone_model(model)
    for wrapper in (kx.AdversarialTraining(model, 2.0), kx.Distillation(model, other)):
        message = f"strategies to `.{wrapper.trains}`.*{type(wrapper).__name__}"
        with pytest.raises(ValueError, match=message):
            kx.fine_tune(wrapper, tiny_data.train)
        with pytest.raises(ValueError, match=message):
            kx.FineTuning(1).apply(wrapper)


def test_rate_of_the_optimizer_is_the_peak(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    options = {"optimizer": keras.optimizers.SGD(0.25), "epochs": 1, "verbose": 0}
    kx.fine_tune(model, tiny_data.train, **options)
    assert float(model.optimizer.learning_rate) == 0.25
    kx.fine_tune(model, tiny_data.train, learning_rate=0.5, **options)
    assert float(model.optimizer.learning_rate) == 0.5
    options["optimizer"] = keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10))
    with pytest.raises(ValueError, match="rate is a number.*CosineDecay"):
        kx.fine_tune(model, tiny_data.train, **options)
    own = kx.Sequence([kx.Part(kx.FeatureExtraction(), learning_rate=0.125)])
    kx.fine_tune(model, tiny_data.train, strategy=own, **options)
    assert float(model.optimizer.learning_rate) == 0.125


def test_what_is_no_dataset_or_no_strategy_is_refused(tiny_backbone):
    model = kx.Classifier(tiny_backbone, 2)
    pictures = np.zeros([4, 32, 32, 3], "float32")
    with pytest.raises(TypeError, match="tf.data.Dataset.*ndarray"):
        kx.fine_tune(model, pictures)
    dataset = tf.data.Dataset.from_tensors((pictures, np.zeros(4, "int32")))
    with pytest.raises(TypeError, match=r"such as kx.FineTuning\(\).*FineTuning"):
        kx.fine_tune(model, dataset, strategy=kx.FineTuning)


@pytest.mark.parametrize("options", [{}, {"class_weight": {0: 2.0}}, {"label_smoothing": 0.1}])
def test_options_for_one_task_are_refused_for_several(tiny_backbone, tiny_data, options):
    joint = kx.JointModel({t: kx.Classifier(tiny_backbone, 2) for t in ("one", "two")})
    data = kx.joint_data({"one": tiny_data.train, "two": tiny_data.train})
    if options:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        joint.compile("adam", loss={"one": loss, "two": loss})
    with pytest.raises(ValueError, match=r"compiled with a loss for each.*\['one', 'two'\]"):
        kx.fine_tune(joint, data, **options)


def test_infinite_and_empty_datasets_are_refused(tiny_backbone, tiny_data):
    for dataset, word in (
        (tiny_data.train.repeat(), "infinite"),
        (tiny_data.train.take(0), "empty"),
    ):
        with pytest.raises(ValueError, match=word):
            kx.fine_tune(kx.Classifier(tiny_backbone, 2), dataset)


def test_labels_out_of_range_are_refused(tiny_backbone):
    pictures = np.zeros([4, 32, 32, 3], "float32")
    dataset = tf.data.Dataset.from_tensor_slices((pictures, [0, 1, 2, 0])).batch(4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels from 0 to 1"):
        kx.fine_tune(kx.Classifier(tiny_backbone, 2), dataset, verbose=0)


def test_model_of_unknown_task_is_refused(tiny_backbone, tiny_data):
    with pytest.raises(ValueError, match="kx.Classifier or kx.Regressor"):
        kx.fine_tune(tiny_backbone, tiny_data.train, strategy=kx.FineTuning())


def test_two_ways_of_resizing_are_not_mixed(tiny_backbone):
    x, y = np.zeros([8, 40, 32, 3], "uint8"), [0, 1] * 4
    padded, cropped = (
        kx.arrays(x, y, image_size=(32, 32), resize=way, validation_split=0.25)
        for way in ("pad", "crop")
    )
    model = kx.Classifier(tiny_backbone, 2)
    kx.fine_tune(model, padded.train, epochs=1, verbose=0)
    assert model.resize == "pad"
    with pytest.raises(ValueError, match="resized by 'pad'.*Received: 'crop'"):
        kx.evaluate(model, cropped.validation)


REPLICAS = """
import sys, keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_transfer as kx
from keras_transfer.training.identity import IDENTITY
policy, folder = sys.argv[1:]
keras.config.set_dtype_policy(policy)
x = np.random.default_rng(0).integers(0, 255, (16, 8, 8, 3)).astype("uint8")
data = kx.arrays(x, [0, 1] * 8, batch_size=8, validation_split=0.0, seed=0).train.cache()
list(data)  # the cache fixes the order
def train(strategy, checkpoints=None):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        pixels = keras.Input((8, 8, 3))
        y = keras.layers.Conv2D(4, 3, name="one")(keras.layers.Rescaling(1 / 255)(pixels))
        y = keras.layers.Conv2D(4, 3, name="two")(keras.layers.ReLU()(y))
        model = kx.Classifier(keras.Model(pixels, y), 2)
    histories = kx.fine_tune(
        model, data, strategy=kx.GradualUnfreezing(2), epochs=4, learning_rate=0.01,
        layer_decay=0.5, regularizer=kx.L2SP(0.1), checkpoints=checkpoints, verbose=0)
    return histories, model.get_weights()
(_, one), (_, two) = train(tf.distribute.get_strategy()), train(
    strategy := tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), folder)
(_, last), again = train(strategy, folder)  # all is taken from the checkpoints
assert all(np.array_equal(a, b) for a, b in zip(two, again))
print(max(np.abs(a - b).max() for a, b in zip(one, two)))
"""


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [("float32", 1e-6), ("mixed_float16", 1e-2)],
)
@pytest.mark.slow
def test_two_replicas_train_stages_as_one_does(policy, tolerance, tmp_path):
    command = [sys.executable, "-c", REPLICAS, policy, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) < tolerance
