import keras
import numpy as np
import pytest

import keras_transfer as kx

SIZE = (32, 32)


@pytest.mark.parametrize(
    ("examples", "strategy"),
    [(40, kx.FeatureExtraction), (79, kx.FeatureExtraction), (80, kx.FineTuning)],
)
def test_backbone_is_trained_from_ten_examples_a_class(examples, strategy):
    assert type(kx.default_recipe(examples, 8, SIZE).settings["strategy"]) is strategy


def test_more_examples_need_fewer_epochs():
    epochs = [kx.default_recipe(n, 8, SIZE).settings["epochs"] for n in (80, 160, 400, 800, 10**6)]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[-1] == 12


@pytest.mark.parametrize("examples", [10, 40])
def test_settings_are_what_fine_tune_takes(tiny_backbone, tiny_data, examples):
    recipe = kx.default_recipe(examples, 2, SIZE, seed=0)
    model = kx.Classifier(tiny_backbone, 2, **recipe.classifier)
    [history] = kx.fine_tune(model, tiny_data.train, **(recipe.settings | {"epochs": 1}), verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_weights_end_at_an_average_that_no_bias_decays_in(tiny_backbone, tiny_data):
    settings = kx.default_recipe(80, 8, SIZE, seed=0).settings
    model = kx.Classifier(tiny_backbone, 2)
    moving = []

    class Last(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            moving[:] = self.model.get_weights()

    kx.fine_tune(
        model, tiny_data.train, **(settings | {"epochs": 2}), callbacks=[Last()], verbose=0
    )
    assert any(not np.array_equal(a, b) for a, b in zip(moving, model.get_weights(), strict=True))
    optimizer = model.optimizer
    assert {w.name for w in model.trainable_weights if optimizer._use_weight_decay(w)} == {"kernel"}


def test_killed_training_goes_on_with_a_recipe_made_again(tiny_backbone, tiny_data, tmp_path):
    for _ in range(2):
        model, recipe = kx.Classifier(tiny_backbone, 2), kx.default_recipe(80, 8, SIZE, seed=0)
        settings = recipe.settings | {"epochs": 1, "checkpoints": tmp_path, "verbose": 0}
        kx.fine_tune(model, tiny_data.train, **settings)
    with pytest.raises(ValueError, match="checkpoints made with .*epochs"):
        kx.fine_tune(model, tiny_data.train, **(settings | {"epochs": 2}))


def test_pictures_may_be_of_any_size():
    augmentation = kx.default_recipe(80, 8, (None, None)).settings["augmentation"]
    assert augmentation.input_shape == (None, None, None, 3)


@pytest.mark.parametrize("numbers", [(0, 2, SIZE), (10, 0, SIZE), (10, 2, (0, 32))])
def test_numbers_below_1_are_refused(numbers):
    with pytest.raises(ValueError, match=f"at least 1. Received: num_examples={numbers[0]}"):
        kx.default_recipe(*numbers)
