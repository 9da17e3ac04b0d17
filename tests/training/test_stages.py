import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.training.stages import plan_stages


def plan(strategy, epochs=None, learning_rate=None):
    return [
        (type(stage.strategy).__name__, stage.number, stage.epochs, stage.learning_rate)
        for stage in plan_stages(strategy, epochs, learning_rate)
    ]


def test_epochs_are_divided_among_stages():
    stages = plan(kx.GradualUnfreezing(3), 8)
    assert [epochs for *_, epochs, _ in stages] == [2, 3, 3]


def test_own_settings_come_before_those_of_the_call():
    strategy = kx.Sequence(
        [
            kx.Part(kx.FeatureExtraction(), epochs=5, learning_rate=0.5),
            kx.Part(kx.GradualUnfreezing(2), epochs=3),
            kx.FineTuning(),
        ]
    )
    assert plan(strategy, 10) == [
        ("FeatureExtraction", 0, 5, 0.5),
        ("GradualUnfreezing", 0, 1, 3e-4),
        ("GradualUnfreezing", 1, 2, 3e-4),
        ("FineTuning", 0, 10, 3e-4),
    ]
    assert [rate for *_, rate in plan(strategy, 10, 0.1)] == [0.5, 0.1, 0.1, 0.1]


def test_fewer_epochs_than_stages_are_refused():
    with pytest.raises(ValueError, match="each of 3 stages. Received: epochs=2"):
        plan(kx.GradualUnfreezing(3), 2)


def test_epochs_and_rates_that_no_part_would_take_are_refused():
    own = kx.Sequence([kx.Part(kx.FeatureExtraction(), epochs=2, learning_rate=0.1)])
    assert plan(own) == [("FeatureExtraction", 0, 2, 0.1)]
    with pytest.raises(ValueError, match="no `epochs`.*epochs=7"):
        plan(own, 7)
    with pytest.raises(ValueError, match="no `learning_rate`.*learning_rate=1.0"):
        plan(own, None, 1.0)


class Watch(keras.callbacks.Callback):
    """Notes what every stage begins with."""

    def __init__(self):
        super().__init__()
        self.stages = []

    def on_train_begin(self, logs=None):
        optimizer = self.model.optimizer
        self.stages.append(
            {
                "weights": [w.path.split("/")[0] for w in self.model.trainable_variables],
                "optimizer": optimizer,
                "iterations": int(optimizer.iterations),
                "ages": list(optimizer.ages),
                "rates": list(optimizer.rates),
                "slots": {key: slot.numpy() for key, slot in optimizer.slots.items()},
                "batch": None,
            }
        )

    def on_train_end(self, logs=None):
        slots = self.model.optimizer.slots
        self.stages[-1]["end"] = {key: slot.numpy() for key, slot in slots.items()}


@pytest.mark.parametrize("optimizer", [None, keras.optimizers.SGD(0.1, momentum=0.9)])
def test_optimizer_state_of_weights_that_stay_trainable_carries_over(
    tiny_backbone, tiny_data, optimizer
):
    watch = Watch()
    model = kx.Classifier(tiny_backbone, 2)
    kx.fine_tune(
        model,
        tiny_data.train,
        strategy=kx.GradualUnfreezing(3),
        epochs=3,
        layer_decay=0.5,
        optimizer=optimizer,
        callbacks=[watch],
        verbose=0,
    )
    first, second, third = watch.stages
    batches = int(tiny_data.train.cardinality())
    for before, after in ((first, second), (second, third)):
        for key, value in after["slots"].items():
            if key in before["end"]:
                np.testing.assert_array_equal(value, before["end"][key])
                assert np.abs(value).sum() > 0
            else:
                assert np.abs(value).sum() == 0
        assert len(before["slots"]) < len(after["slots"])
    assert (
        third["weights"] == ["first"] * 2 + ["second"] * 2 + ["third"] * 2 + third["weights"][-2:]
    )
    assert third["ages"] == [0, 0, batches, batches] + [2 * batches] * 4
    assert third["rates"] == [0.125] * 2 + [0.25] * 2 + [0.5] * 2 + [1.0] * 2
    assert [stage["iterations"] for stage in watch.stages] == [0, 0, 0]
    assert isinstance(
        first["optimizer"].inner_optimizer, type(optimizer or keras.optimizers.AdamW())
    )


def test_stages_begin_with_no_gradients_left_over(tiny_backbone, tiny_data):
    begun = []

    class Begin(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            slots = self.model.optimizer.slots.items()
            begun.append([abs(s.numpy()).sum() for k, s in slots if k[1] == "gradient_accumulator"])

    batches = int(tiny_data.train.cardinality())
    kx.fine_tune(
        kx.Classifier(tiny_backbone, 2),
        tiny_data.train,
        strategy=kx.GradualUnfreezing(3),
        epochs=3,
        optimizer=keras.optimizers.Adam(gradient_accumulation_steps=batches - 1),
        callbacks=[Begin()],
        verbose=0,
    )
    assert begun == [[0.0] * 4, [0.0] * 6, [0.0] * 8]


def test_optimizer_keeps_the_weights_that_do_not_decay(tiny_backbone, tiny_data):
    optimizer = keras.optimizers.AdamW(weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["kernel"])
    made = []

    class Watching(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            optimizer = self.model.optimizer
            weights = self.model.trainable_variables
            made.append([w.name for w in weights if not optimizer._use_weight_decay(w)])

    model = kx.Classifier(tiny_backbone, 2)
    kx.fine_tune(
        model, tiny_data.train, epochs=1, optimizer=optimizer, callbacks=[Watching()], verbose=0
    )
    assert made == [["kernel"]]


@pytest.mark.parametrize("policy", ["mixed_float16"])
def test_loss_scale_carries_over(policy, tiny_data):
    keras.config.set_dtype_policy(policy)
    scales = []

    class Scales(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            scales.append(float(self.model.optimizer.dynamic_scale))
            self.model.optimizer.dynamic_scale.assign(64.0)

    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    strategy = kx.GradualUnfreezing(2)
    kx.fine_tune(
        kx.Classifier(backbone, 2),
        tiny_data.train,
        strategy=strategy,
        epochs=2,
        callbacks=[Scales()],
        verbose=0,
    )
    assert scales == [2.0**15, 64.0]


def test_weights_unfrozen_late_move_no_faster_than_if_they_were_trained_alone(tiny_backbone):
    # By one count of updates for all, Adam's first steps would be three to six times too long.
    weights = [keras.Variable([1.0]), keras.Variable([1.0])]
    late = kx.LayerwiseOptimizer(keras.optimizers.Adam(0.1), [1.0, 1.0], ages=[1000, 0])
    late.build(weights)
    late.apply([np.ones(1, "float32")] * 2, weights)
    assert float(weights[1].numpy()[0]) == pytest.approx(0.9, abs=1e-5)


def test_parts_have_their_own_batch_size(tiny_backbone, tiny_data):
    class Count(keras.callbacks.Callback):
        steps = []

        def on_train_begin(self, logs=None):
            self.steps.append(self.params["steps"])

    strategy = kx.Sequence(
        [kx.Part(kx.FeatureExtraction(), batch_size=16), kx.Part(kx.FineTuning(), batch_size=3)]
    )
    model = kx.Classifier(tiny_backbone, 2)
    kx.fine_tune(
        model, tiny_data.train, strategy=strategy, epochs=2, callbacks=[Count()], verbose=0
    )
    pictures = sum(len(labels) for _, labels in tiny_data.train)
    assert Count.steps == [-(-pictures // 16), -(-pictures // 3)]


def test_data_of_unknown_length_is_read_once_for_each_batch_size(tiny_backbone, tiny_data):
    passes = []

    def note(pictures, labels):
        passes.append(len(labels))
        return labels

    def counted(pictures, labels):
        noted = tf.py_function(note, [pictures, labels], labels.dtype)
        return pictures, tf.ensure_shape(noted, labels.shape)

    train = tiny_data.train.map(counted)
    parts = [kx.Part(kx.FineTuning(blocks), epochs=1, batch_size=16) for blocks in (1, 2)]
    model = kx.Classifier(tiny_backbone, 2)
    kx.fine_tune(model, train, strategy=kx.Sequence(parts), verbose=0)
    pictures = sum(len(labels) for _, labels in tiny_data.train)
    assert sum(passes) == 3 * pictures


def test_batches_that_cannot_be_divided_anew_are_refused_at_once(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    train = kx.multi_scale(tiny_data.train, [(32, 32), (48, 48)])
    strategy = kx.Sequence([kx.FeatureExtraction(), kx.Part(kx.FineTuning(), batch_size=4)])
    with pytest.raises(ValueError, match="fixed size.*batch_size=4"):
        kx.fine_tune(model, train, strategy=strategy)
    assert not model.compiled


def test_stages_after_one_that_diverged_are_not_trained(tiny_backbone, tiny_data):
    model = kx.Classifier(tiny_backbone, 2)
    histories = kx.fine_tune(
        model,
        tiny_data.train,
        strategy=kx.GradualUnfreezing(3),
        epochs=3,
        learning_rate=1e30,
        optimizer=keras.optimizers.SGD(),
        schedule="constant",
        callbacks=[keras.callbacks.TerminateOnNaN()],
        verbose=0,
    )
    assert len(histories) == 1


def test_each_stage_has_a_schedule_of_its_own(tiny_backbone, tiny_data):
    rates = []

    class Rates(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    strategy = kx.Sequence([kx.FeatureExtraction(), kx.FineTuning()])
    model = kx.Classifier(tiny_backbone, 2)
    kx.fine_tune(
        model, tiny_data.train, strategy=strategy, epochs=4, callbacks=[Rates()], verbose=0
    )
    assert rates[1] == pytest.approx(0, abs=1e-6)
    assert rates[3] == pytest.approx(0, abs=1e-8)
    assert 3e-4 < rates[0] < 3e-3
    assert 3e-5 < rates[2] < 3e-4


def test_stages_are_announced(tiny_backbone, tiny_data, capsys):
    model = kx.Classifier(tiny_backbone, 2)
    kx.fine_tune(model, tiny_data.train, strategy=kx.GradualUnfreezing(2), epochs=3, verbose=2)
    assert "Stage 2 of 2: GradualUnfreezing, 2 epochs." in capsys.readouterr().out


def test_saved_model_needs_nothing_of_this_package(tiny_backbone, tiny_data, tmp_path):
    model = kx.Classifier(tiny_backbone, 2)
    kx.fine_tune(
        model,
        tiny_data.train,
        strategy=kx.GradualUnfreezing(2),
        epochs=2,
        layer_decay=0.5,
        schedule="one_cycle",
        regularizer=kx.Proximal(0.1),
        verbose=0,
    )
    model.save(tmp_path / "model.keras")
    import zipfile

    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        assert "keras_transfer" not in file.read("config.json").decode()
