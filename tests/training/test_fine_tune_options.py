"""What `fine_tune` passes on: mixing, class weights, regularizers, schedules, optimizers."""

import keras
import numpy as np
import pytest

import keras_transfer as kx

TUNE = {"strategy": kx.FineTuning(batch_norm="trainable"), "epochs": 2, "verbose": 0}


def test_mixing_needs_no_compile_and_leaves_a_model_for_int_labels(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    for mixing in (keras.layers.MixUp(0.4), [keras.layers.MixUp(0.4), keras.layers.CutMix()]):
        [history] = kx.fine_tune(
            model, tiny_data.train, tiny_data.validation, mixing=mixing, **TUNE
        )
        assert {"accuracy", "val_accuracy"} <= set(history.history)
        loss, accuracy = model.evaluate(tiny_data.validation, verbose=0)
        assert history.history["val_loss"][-1] == pytest.approx(loss, rel=1e-5)
        assert history.history["val_accuracy"][-1] == pytest.approx(accuracy)


@pytest.mark.parametrize(
    "loss",
    [
        "sparse_categorical_crossentropy",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        keras.losses.sparse_categorical_crossentropy,
    ],
)
def test_mixing_with_a_sparse_loss_is_refused(tiny_backbone, tiny_data, loss):
    model = kx.Classifier(tiny_backbone, 2)
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match="CategoricalCrossentropy.*Received"):
        kx.fine_tune(model, tiny_data.train, mixing=keras.layers.MixUp(0.2), **TUNE)


def test_mixing_takes_the_loss_for_shares_that_the_model_was_compiled_with(
    tiny_backbone, tiny_data
):
    model = kx.Classifier(tiny_backbone, 2)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    model.compile("sgd", loss)
    kx.fine_tune(model, tiny_data.train, mixing=keras.layers.MixUp(0.2), **TUNE)
    assert model.loss is loss


@pytest.mark.parametrize("mixing", [None, keras.layers.MixUp(0.2, seed=0)])
def test_labels_are_smoothed_in_training_alone(tiny_backbone, tiny_data, mixing, tmp_path):
    losses = {}
    for smoothing in (0.0, 0.4):
        keras.utils.set_random_seed(0)
        model = kx.Classifier(tiny_backbone, 2)
        model.layers[-1].bias.assign([3.0, -3.0])
        [history] = kx.fine_tune(
            model,
            tiny_data.train,
            tiny_data.validation,
            **(TUNE | {"learning_rate": 1e-12, "epochs": 1}),
            label_smoothing=smoothing,
            mixing=mixing,
        )
        losses[smoothing] = history.history["val_loss"][0]
    labels = np.concatenate([y for _, y in tiny_data.validation.as_numpy_iterator()])
    wrong = np.mean(labels)
    log = np.log1p(np.exp(-6))  # of the class that the bias is for; 6 more for the other
    assert losses[0.0] == pytest.approx(log + 6 * wrong, rel=1e-4)
    assert losses[0.4] == pytest.approx(log + 6 * (0.6 * wrong + 0.2), rel=1e-4)
    assert type(model.loss) is keras.losses.SparseCategoricalCrossentropy


@pytest.mark.parametrize(
    ("make", "smoothing", "message"),
    [
        (lambda b: kx.Classifier(b, 2), 1.0, "Received: 1.0"),
        (lambda b: kx.Regressor(b), 0.1, "one class a picture.*'values'"),
        (lambda b: kx.Classifier(b, 2, multi_label=True), 0.1, "one class a picture"),
    ],
)
def test_smoothing_that_cannot_be_is_refused(tiny_backbone, tiny_data, make, smoothing, message):
    with pytest.raises(ValueError, match=message):
        kx.fine_tune(make(tiny_backbone), tiny_data.train, label_smoothing=smoothing, **TUNE)


def test_smoothing_is_left_to_the_loss_that_was_given(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="was not compiled.*Received: 0.1"):
        kx.fine_tune(model, tiny_data.train, label_smoothing=0.1, **TUNE)


def test_optimizer_of_one_stage_is_refused_before_the_first_of_several(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    before = model.get_weights()
    options = {**TUNE, "strategy": kx.GradualUnfreezing(2), "optimizer": keras.optimizers.Nadam()}
    with pytest.raises(ValueError, match="over several stages.*Received: Nadam"):
        kx.fine_tune(model, tiny_data.train, **options)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_of_unknown_classes_are_refused(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, ["dark", "bright"])
    with pytest.raises(ValueError, match=r"bright.*\b7\b"):
        kx.fine_tune(model, tiny_data.train, class_weight={0: 1.0, 7: 2.0}, **TUNE)


@pytest.mark.parametrize("regularizer", [kx.L2SP(100.0, 0.0), kx.Proximal(1000.0)])
def test_pull_holds_the_backbone_near_its_start_and_is_gone_afterwards(
    tiny_backbone, tiny_data, regularizer
):
    start = tiny_backbone.get_weights()
    moved = []
    for pull in (None, regularizer):
        keras.utils.set_random_seed(0)
        tiny_backbone.set_weights(start)
        model = kx.Classifier(tiny_backbone, 2)
        model.layers[-1].kernel.assign(np.eye(*model.layers[-1].kernel.shape))
        optimizer = keras.optimizers.SGD()
        kx.fine_tune(
            model,
            tiny_data.train,
            strategy=kx.FineTuning(),
            epochs=3,
            learning_rate=0.005,
            optimizer=optimizer,
            regularizer=pull,
            verbose=0,
        )
        pairs = zip(start, tiny_backbone.get_weights(), strict=True)
        moved.append(sum(float(((a - b) ** 2).sum()) for a, b in pairs))
    assert moved[1] < moved[0] / 4
    assert model.losses == []
    assert type(model.optimizer) is keras.optimizers.SGD


def test_penalty_is_gone_after_an_error(tiny_backbone, tiny_data):
    class Failing(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise RuntimeError

    model = kx.Classifier(tiny_backbone, 2)
    with pytest.raises(RuntimeError):
        kx.fine_tune(model, tiny_data.train, regularizer=kx.L2SP(), callbacks=[Failing()], **TUNE)
    assert model.losses == []


def test_callbacks_change_a_constant_rate(tiny_backbone, tiny_data):
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    model = kx.Classifier(tiny_backbone, 2)
    [history] = kx.fine_tune(
        model,
        tiny_data.train,
        schedule="constant",
        learning_rate=0.1,
        layer_decay=0.5,
        callbacks=[halve],
        **TUNE,
    )
    assert history.history["learning_rate"] == pytest.approx([0.05, 0.025])


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_weights_become_their_moving_average(tiny_backbone, tiny_data, layer_decay):
    class First(keras.callbacks.Callback):
        weights = None

        def on_train_batch_end(self, batch, logs=None):
            if self.weights is None:
                self.weights = [weight.numpy() for weight in self.model.trainable_variables]

    first, model = First(), kx.Classifier(tiny_backbone, 2)
    # The average begins at the weights after the first update and hardly moves from there.
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=1 - 1e-6)
    options = {"optimizer": optimizer, "layer_decay": layer_decay, "callbacks": [first]}
    kx.fine_tune(model, tiny_data.train, schedule="constant", **options, **TUNE)
    for expected, weight in zip(first.weights, model.trainable_variables, strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-5)


def test_validation_of_the_moving_average(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
    options = {"optimizer": optimizer, "layer_decay": 0.5, "epochs": 3, "verbose": 0}
    options["strategy"] = kx.FineTuning()  # whose BatchNorm does not move meanwhile
    swap = keras.callbacks.SwapEMAWeights()
    [history] = kx.fine_tune(
        model, tiny_data.train, tiny_data.validation, callbacks=[swap], **options
    )
    loss, _ = model.evaluate(tiny_data.validation, verbose=0)
    assert history.history["val_loss"][-1] == pytest.approx(loss, rel=1e-5)


def test_unknown_schedules_are_refused(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    with pytest.raises(ValueError, match="one_cycle.*Received: 'warm'"):
        kx.fine_tune(model, tiny_data.train, schedule="warm", **TUNE)


def test_training_with_random_changes_can_be_repeated(tiny_backbone, tiny_data):
    # Batches augmented in parallel would race for random numbers.
    start, data = tiny_backbone.get_weights(), tiny_data.train.cache()
    list(data)
    ends = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        tiny_backbone.set_weights(start)
        model = kx.Classifier(tiny_backbone, 2)
        kx.fine_tune(
            model,
            data,
            augmentation=kx.augmentation("standard", (32, 32), seed=1),
            mixing=keras.layers.MixUp(0.2, seed=2),
            **TUNE,
        )
        ends.append(model.get_weights())
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)
