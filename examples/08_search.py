"""Search for the best way to transfer, test it once, export it.

Data: the bundled Noto emoji, 8 classes, 639 pictures to train on, 160 to choose by, 837 to test.
Command: python examples/08_search.py [--smoke]
Takes two minutes on two cores; with --smoke half a minute and no useful accuracy.
Measured: validation accuracy 0.731 in the search; test accuracy 0.719 after retraining (1 seed).
Needs: pip install 'keras-transfer[search]'
"""

import pathlib
import sys
import tempfile

import keras_tuner

import keras_transfer as kx
from keras_transfer.serving.local import LocalModel

smoke = "--smoke" in sys.argv
size = (32, 32) if smoke else (96, 96)
data = kx.emoji_styles("noto", image_size=size, validation_split=0.2, seed=0)


class Space(kx.TransferHyperModel):
    """The space of the package, with another head."""

    def head(self, hp: keras_tuner.HyperParameters) -> dict:
        """One dense layer, on the top or on several depths of the backbone."""
        depths = hp.Choice("depths", [1, 5])
        return {
            "depths": None if depths == 1 else depths,
            "dropout": hp.Choice("dropout", [0.0, 0.2, 0.4]),
        }


# What is frozen runs once for all trials that share it, trials that fall behind end early, and
# whenever the program is killed, the same command goes on: keep the folder for that.
folder = pathlib.Path(tempfile.mkdtemp())
tuner = kx.TransferTuner(
    Space(data.class_names, strategies=["feature_extraction"], input_shape=(*size, 3)),
    oracle=keras_tuner.oracles.RandomSearchOracle(
        "val_accuracy", max_trials=2 if smoke else 12, seed=1
    ),
    directory=folder,
    project_name="noto",
    pruner=kx.SuccessiveHalving(min_epochs=2, factor=2),
    budget=kx.SearchBudget(hours=0.5),
)
tuner.search(data.train, validation_data=data.validation, epochs=1 if smoke else 12, verbose=0)
for trial in tuner.finished_trials()[:3]:
    print(f"Trial {trial.trial_id}: {trial.score:.3f} with {trial.hyperparameters.values}")

# The best are trained again on training and validation data together and see the test data once.
best, *_ = kx.export_best_models(
    tuner, data, folder / "models" / "noto", 1 if smoke else 2, retrain=True
)
print(f"All that it takes to train it anew, kx.retrain(...): {best.record}")

picture = next((kx.emoji_styles_folder("noto") / "test").rglob("*.png"))
(answer,) = LocalModel(best.version).predict([picture.read_bytes()])
print(f"{best.version}: {picture.parent.name} is {answer['label']} by {answer['score']:.2f}.")
