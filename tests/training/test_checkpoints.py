import keras
import numpy as np
import pytest

import keras_transfer as kx


class KilledError(Exception):
    pass


class Kill(keras.callbacks.Callback):
    """Stops training where a kill would: when an epoch is kept, or in the middle of one."""

    def __init__(self, epoch, batch=None):
        super().__init__()
        self.epoch, self.batch, self.now = epoch, batch, -1

    def on_epoch_begin(self, epoch, logs=None):
        self._kill_after(epoch - 1)
        self.now = epoch

    def on_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, self.batch):
            raise KilledError

    def on_train_end(self, logs=None):
        self._kill_after(self.now)

    def _kill_after(self, epoch):
        if self.batch is None and epoch == self.epoch:
            raise KilledError


class Diverge(keras.callbacks.Callback):
    """Spoils the last of four epochs."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 3:
            self.model.layers[-1].bias.assign([50.0, -50.0])


@pytest.fixture
def train(tiny_backbone, tiny_data):
    """Trains a fresh model with dropout on data in a fixed order."""
    start = tiny_backbone.get_weights()
    dataset = tiny_data.train.cache()

    def run(folder=None, callbacks=(), moved=0.0, validate=True, **options):
        keras.utils.set_random_seed(7)
        tiny_backbone.set_weights([value + moved for value in start])
        model = kx.Classifier(tiny_backbone, 2, dropout=0.5)
        settings = {
            "strategy": kx.FineTuning(2, batch_norm="trainable"),
            "epochs": 4,
            "cache": None,  # quicker here, and tested elsewhere
            "checkpoints": folder,
            "callbacks": callbacks,
            "verbose": 0,
        }
        list(dataset)  # the cache fixes the order
        validation = tiny_data.validation if validate else None
        histories = kx.fine_tune(model, dataset, validation, **(settings | options))
        return model.get_weights(), histories[0] if len(histories) == 1 else histories

    return run


@pytest.fixture(scope="module")
def once():
    """Gives again what was made under the same key: trainings that nobody kills are all alike."""
    made = {}

    def give(key, make):
        if key not in made:
            made[key] = make()
        return made[key]

    return give


@pytest.mark.parametrize(
    "kill",
    [(0, None), (3, 2), *(pytest.param(x, marks=pytest.mark.slow) for x in ((3, None), (1, 1)))],
)
@pytest.mark.parametrize("early_stopping", [pytest.param(None, marks=pytest.mark.slow), 3])
def test_killed_training_ends_bit_for_bit_where_the_uninterrupted_does(
    train, once, tmp_path, kill, early_stopping
):
    options = {"early_stopping": early_stopping}
    expected, whole = once(("plain", early_stopping), lambda: train(**options))
    with pytest.raises(KilledError):
        train(tmp_path, [Kill(*kill)], **options)
    resumed, history = train(tmp_path, **options)
    for one, other in zip(expected, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
    assert history.history == whole.history
    assert history.epoch == whole.epoch


def test_finished_training_is_not_run_again(train, tmp_path, capsys):
    expected, _ = train(tmp_path)
    again, history = train(tmp_path, [Kill(0, 0)], verbose=2)
    for one, other in zip(expected, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(history.history["loss"]) == 4
    assert "Training was finished" in capsys.readouterr().out


def test_early_stopped_training_stays_stopped_with_its_best_weights(train, tmp_path):
    options = {"early_stopping": 1, "learning_rate": 30.0, "epochs": 8}
    expected, whole = train(tmp_path, **options)
    assert len(whole.epoch) < 8
    again, history = train(tmp_path, [Kill(0, 0)], **options)
    for one, other in zip(expected, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert history.history == whole.history


def test_one_epoch_is_kept_and_nothing_half_written(train, tmp_path):
    train(tmp_path)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["epoch-000-00004-ended", "shared.npz"]


def test_half_written_epoch_is_ignored(train, tmp_path):
    with pytest.raises(KilledError):
        train(tmp_path, [Kill(1)])
    (tmp_path / ".staging-killed").mkdir()
    (tmp_path / ".staging-killed" / "state.json").write_text("{")
    _, history = train(tmp_path)
    assert len(history.epoch) == 4


def test_killed_after_the_last_epoch_the_best_weights_are_restored(train, tmp_path):
    options = {"early_stopping": 4, "learning_rate": 1e-4}
    expected, _ = train(callbacks=[Diverge()], **options)
    with pytest.raises(KilledError):
        train(tmp_path, [Diverge(), Kill(3)], **options)
    resumed, _ = train(tmp_path, **options)
    assert np.abs(expected[-1]).max() < 1
    for one, other in zip(expected, resumed, strict=True):
        np.testing.assert_array_equal(one, other)


def unnamed_augmentation(seed):
    """Of layers and a graph that Keras names by numbers."""
    pixels = keras.Input((32, 32, 3))
    return keras.Model(pixels, keras.layers.RandomFlip(seed=seed)(pixels))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda seed: kx.augmentation("strong", (32, 32), seed=seed),
        pytest.param(unnamed_augmentation, marks=pytest.mark.slow),
    ],
)
def test_augmentation_made_again_is_the_same_training(train, tmp_path, make):
    with pytest.raises(KilledError):
        train(tmp_path, [Kill(1)], validate=False, augmentation=make(1))
    with pytest.raises(ValueError, match="checkpoints made with.*augmentation"):
        train(tmp_path, validate=False, augmentation=make(2))
    _, history = train(tmp_path, validate=False, augmentation=make(1))
    assert len(history.epoch) == 4


def test_what_callbacks_changed_is_kept(train, tmp_path):
    def callbacks():
        return [keras.callbacks.ReduceLROnPlateau("loss", 0.1, patience=1, min_delta=100.0)]

    options = {"schedule": "constant", "learning_rate": 0.1}
    _, whole = train(callbacks=callbacks(), **options)
    with pytest.raises(KilledError):
        train(tmp_path, [*callbacks(), Kill(1)], **options)
    _, history = train(tmp_path, callbacks=callbacks(), **options)
    rates = history.history["learning_rate"]
    assert len(rates) == 4
    # The callback's own count starts again, so that the rate falls an epoch later.
    assert rates[:3] == pytest.approx(whole.history["learning_rate"][:2] + [0.01])


def test_training_that_a_callback_has_ended_stays_ended(train, tmp_path):
    def callbacks():
        return [keras.callbacks.EarlyStopping("loss", min_delta=100.0, patience=1)]

    expected, whole = train(tmp_path, callbacks())
    assert len(whole.epoch) == 2
    again, history = train(tmp_path, callbacks())
    assert history.history == whole.history
    for one, other in zip(expected, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_checkpoints_of_another_training_are_refused(train, tmp_path):
    train(tmp_path, validate=False)
    for other in ({"epochs": 5}, {"learning_rate": 0.5}, {"strategy": kx.FeatureExtraction()}):
        with pytest.raises(ValueError, match=rf"checkpoints made with .*{next(iter(other))}"):
            train(tmp_path, validate=False, **other)


STAGED = {
    "strategy": kx.Sequence(
        [
            kx.Part(kx.FeatureExtraction(), epochs=1, learning_rate=0.02),
            kx.GradualUnfreezing(2, batch_norm="trainable"),
        ]
    ),
    "layer_decay": 0.5,
}


@pytest.fixture
def train_stages(train):
    """Trains three stages of 1, 2 and 2 epochs; the weights, logs and what stages begin with."""

    def run(folder=None, callbacks=(), **options):
        begun = []

        class Begin(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                optimizer = self.model.optimizer
                begun.append(
                    (
                        [weight.path for weight in self.model.trainable_variables],
                        float(optimizer.learning_rate),
                        [variable.numpy() for variable in optimizer.variables],
                    )
                )

        return *train(folder, [Begin(), *callbacks], **(STAGED | options)), begun

    return run


class KillAfter(keras.callbacks.Callback):
    """Stops training after so many batches of all stages."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left < 0:
            raise KilledError


@pytest.mark.parametrize(
    ("batches", "early_stopping"),
    [
        (3, 1),
        *(
            pytest.param(*further, marks=pytest.mark.slow)
            for further in ((1, None), (4, None), (7, 1), (10, None), (14, 1))
        ),
    ],
)
def test_killed_in_any_stage_it_goes_on_there(
    train_stages, once, tmp_path, batches, early_stopping
):
    options = {"early_stopping": early_stopping, "validate": early_stopping is not None}
    key = ("stages", early_stopping)
    expected, whole, all_begun = once(key, lambda: train_stages(**options))
    with pytest.raises(KilledError):
        train_stages(tmp_path, [KillAfter(batches)], **options)
    resumed, history, begun = train_stages(tmp_path, **options)
    for one, other in zip(expected, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [stage.history for stage in history] == [stage.history for stage in whole]
    # The same weights frozen, the same place in the schedule, the same state of the optimizer.
    for one, other in zip(all_begun[-len(begun) :], begun, strict=True):
        assert one[:2] == other[:2]
        for before, after in zip(one[2], other[2], strict=True):
            np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    "regularizer", [kx.L2SP(0.1), pytest.param(kx.Proximal(0.1), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("batches", [pytest.param(4, marks=pytest.mark.slow), 7])
def test_pull_is_towards_the_weights_of_the_first_call(train, once, tmp_path, regularizer, batches):
    """Also where a notebook goes on with the model that was interrupted, in a later stage."""
    parts = [kx.FineTuning(1), kx.FeatureExtraction(), kx.FineTuning(1)]
    options = {"strategy": kx.Sequence(parts), "epochs": 3, "regularizer": regularizer}
    options["validate"] = False
    expected, _ = once(("pull", type(regularizer)), lambda: train(**options))
    with pytest.raises(KilledError):
        train(tmp_path, [KillAfter(batches)], **options)
    resumed, _ = train(tmp_path, moved=0.3, **options)
    for one, other in zip(expected, resumed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_moving_averages_end_up_in_the_weights_after_a_kill_at_the_end(train, tmp_path):
    options = {"optimizer": keras.optimizers.SGD(use_ema=True, ema_momentum=0.9)}
    expected, _ = train(**options)
    with pytest.raises(KilledError):
        train(tmp_path, [Kill(3)], **options)
    resumed, _ = train(tmp_path, **options)
    for one, other in zip(expected, resumed, strict=True):
        np.testing.assert_array_equal(one, other)


def diverge_and_put_back():
    stopping = keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)
    return [Diverge(), stopping]


def test_weights_that_a_callback_puts_back_at_the_end_are_kept(train, tmp_path):
    expected, _ = train(tmp_path, diverge_and_put_back())
    assert np.abs(expected[-1]).max() < 1
    again, _ = train(tmp_path, diverge_and_put_back())
    for one, other in zip(expected, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_later_stages_go_on_from_weights_that_a_callback_put_back(train, tmp_path):
    options = {"strategy": kx.Sequence([kx.FineTuning(1), kx.FineTuning(2)]), "epochs": 8}
    expected, _ = train(callbacks=diverge_and_put_back(), **options)

    class KillInSecondStage(keras.callbacks.Callback):
        stages = 0

        def on_train_begin(self, logs=None):
            self.stages += 1

        def on_batch_end(self, batch, logs=None):
            if self.stages == 2:
                raise KilledError

    with pytest.raises(KilledError):
        train(tmp_path, [*diverge_and_put_back(), KillInSecondStage()], **options)
    resumed, _ = train(tmp_path, diverge_and_put_back(), **options)
    for one, other in zip(expected, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
