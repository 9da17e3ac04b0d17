"""The trainings that an adaptation is made of and compared with, each kept when it is finished."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from keras_transfer.adaptation.methods.names import METHODS, make_method
from keras_transfer.cli.adaptation_case import ORACLE, SOURCE_ONLY, Case
from keras_transfer.cli.strategy import recipe_from

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from keras_transfer.data.splits import Splits

# After which the default weights of methods were found; few epochs leave little to choose from.
STEPS, MIN_EPOCHS = 600, 5


class Cases:
    """Trains the cases of a seed, those that an earlier call has finished left out.

    Args:
        settings: those of `keras-transfer adapt`.
        source: `kx.Splits`, with labels.
        target: `kx.Splits` of the same classes.
        folder: where finished cases are kept.
    """

    def __init__(
        self, settings: dict[str, Any], source: Splits, target: Splits, folder: pathlib.Path
    ):
        self.settings = settings
        self.source = source
        self.target = target
        self.folder = folder
        names = [SOURCE_ONLY, settings["method"]]
        self.names = [*names, ORACLE] if settings["oracle_labels"] else names

    def run(self, number: int) -> Iterator[Case]:
        """The cases of a seed, counted from 0."""
        seed, reference = self.settings["seed"] + number, None
        for name in self.names:
            case = Case(name, seed, self.folder / f"{name}-{seed}")
            if case.folder.is_dir():
                print(f"{name}, seed {seed}: was finished.")
            else:
                print(f"{name}, seed {seed}", flush=True)
                self._train(case, reference)
            if case.is_source_only:
                reference = case.figures["source_accuracy"]
            yield case

    def model_of(self, case: Case) -> keras.Model:
        """The trained model."""
        from keras_transfer.models.notes import note_data

        model = self._new_model(case.seed)
        case.load_weights(model)
        note_data(model, self.source.train)
        return model

    def _new_model(self, seed: int) -> keras.Model:
        import keras

        import keras_transfer as kx

        # Names of layers, by which weights are found again, are those of a new process.
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        size = self.settings["image_size"]
        shape = None if size is None else (size, size, 3)
        backbone = kx.load_backbone(self.settings["backbone"], input_shape=shape)
        names = self.source.class_names
        return kx.Classifier(backbone, names, **self._recipe().classifier)

    def _recipe(self) -> Any:
        return recipe_from(self.settings, num_examples=1, num_classes=1)

    def _train(self, case: Case, source_only_accuracy: float | None) -> None:
        import keras_transfer as kx

        started = time.monotonic()
        model, scored, learner = self._new_model(case.seed), None, None
        if case.name in METHODS:
            learner, scored = self._adaptation(model), self._score(source_only_accuracy)
        data, length = self._data(case.name)
        epochs = self.settings["epochs"] or max(MIN_EPOCHS, round(STEPS / length))
        stopping = _best_epoch(epochs)
        options = self._recipe().settings | {"epochs": epochs}
        histories = kx.fine_tune(
            learner or model,
            *data,
            cache="auto" if self.settings["cache"] else None,
            callbacks=[scored, stopping] if scored else [],
            verbose=2,
            **options,
        )
        rejected = scored.rejections.get(stopping.best_epoch) if scored else None
        figures, features = self._measure(learner or model, model, rejected)
        figures["seconds"] = time.monotonic() - started
        case.keep(model, histories, figures, features)

    def _adaptation(self, model: keras.Model) -> keras.Model:
        import keras_transfer as kx

        method = make_method(self.settings["method"])
        options = {name: self.settings[name] for name in ("weight", "normalization")}
        return kx.DomainAdaptation(model, method, **options)

    def _score(self, source_only_accuracy: float | None) -> Any:
        import keras_transfer as kx

        guard = kx.CollapseGuard(source_only_accuracy)
        return kx.TargetScore(self.target.validation, self.source.validation, guard=guard)

    def _data(self, name: str) -> tuple[tuple[tf.data.Dataset, ...], int]:
        """What a case is trained and validated on, and how many batches an epoch has."""
        import keras_transfer as kx

        source, target, size = self.source, self.target, self.settings["batch_size"]
        if name in METHODS:
            pairs = kx.pair_domains(source.train, target.train, target_labels="ignore")
            return (pairs,), -(-max(source.num_train, target.num_train) // size)
        labeled = target if name == ORACLE else source
        return (labeled.train, labeled.validation), -(-labeled.num_train // size)

    def _measure(
        self, learner: keras.Model, model: keras.Model, rejected: str | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Figures of a trained model, and features of held-out examples."""
        import keras_transfer as kx
        from keras_transfer.adaptation.selection.held_out import HeldOut

        source = HeldOut(self.source.validation, "source")
        target = HeldOut(self.target.validation, "target")
        of_source = source.predict(learner, features=True, labels=True)
        of_target = target.predict(learner, features=True, labels=False)
        score = kx.information_maximization_score(of_target.probabilities)
        test = self.target.test
        report: Any = None if test is None else kx.evaluate(model, test)
        figures = {
            "accuracy": None if report is None else report.accuracy,
            "source_accuracy": float(
                (of_source.probabilities.argmax(1) == of_source.labels).mean()
            ),
            "target_score": None if rejected else score,
            "rejected": rejected,
        }
        features = {"source": of_source.features, "target": of_target.features}
        return figures, features | {"labels": of_source.labels}


def _best_epoch(epochs: int) -> keras.callbacks.EarlyStopping:
    import keras

    return keras.callbacks.EarlyStopping(
        "val_target_score", mode="max", patience=epochs, restore_best_weights=True
    )
