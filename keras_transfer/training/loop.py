"""The loop over stages: apply, compile, fit; from where a killed training was."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.data.length import count_steps
from keras_transfer.training.checkpoints import Checkpoints, Progress
from keras_transfer.training.frozen_part import FrozenPart
from keras_transfer.training.learner import Learner, fit
from keras_transfer.training.loss_scaling import check_all_replicas
from keras_transfer.training.optimizers import OptimizerChain
from keras_transfer.training.stages import Stage
from keras_transfer.training.trained_model import as_part_of_training


@dataclasses.dataclass
class StageLoop:
    """Trains a model stage by stage.

    Attributes:
        model: keras.Model, compiled or not.
        train: tf.data.Dataset of batches `(pictures, labels)`.
        chain: makes the optimizers.
        prepare: makes what `fit` gets, of a learner and its number of batches.
        frozen_part: what is trained on features instead of pictures.
        validation: tf.data.Dataset, or None.
        compile_options: what `keras.Model.compile` gets besides the optimizer.
        keeping: the checkpoints to go on from and to write, or None.
        fit_options: what `keras.Model.fit` gets besides data and epochs.
        steps: how many batches an epoch has, by the size of batches that a part asks for.
    """

    model: keras.Model
    train: tf.data.Dataset
    chain: OptimizerChain
    prepare: Callable[[Learner, int], tf.data.Dataset]
    frozen_part: FrozenPart
    validation: tf.data.Dataset | None
    compile_options: dict[str, Any]
    keeping: Checkpoints | None
    fit_options: dict[str, Any]
    steps: dict[int | None, int] = dataclasses.field(default_factory=dict)

    def run(self, stages: Sequence[Stage]) -> list[keras.callbacks.History]:
        """Trains what is left of the stages; one history each, what was done before included."""
        progress = self.keeping.progress if self.keeping else Progress()
        for number in range(progress.stage):  # done before a kill
            stages[number].apply(self.model)
            self.chain.finish(self.model, progress.updates[number])
        histories = [_history(self.model, logs) for logs in progress.histories[:-1]]
        for number in range(progress.stage, len(stages)):
            histories.append(self._train(number, stages, progress))
            updates = keras.ops.convert_to_numpy(self.model.optimizer.iterations)
            self.chain.finish(self.model, int(updates))
            if self._diverged(progress, histories[-1]):
                break
            progress = progress.next_stage()
        return histories

    def _train(
        self, number: int, stages: Sequence[Stage], progress: Progress
    ) -> keras.callbacks.History:
        stage = stages[number]
        data = stage.batches(self.train)
        steps = self._count(stage, data)
        stage.apply(self.model)
        with self.model.distribute_strategy.scope():
            optimizer = self.chain.start(self.model, stage, stage.epochs * steps)
            if self.model.compiled:
                # Keras resets metrics that it is given again only after the first batch.
                self.model.reset_metrics()
            self.model.compile(optimizer, **self.compile_options)
            check_all_replicas(self.model)
            self.model.optimizer.build(self.model.trainable_variables)
        self.chain.carry_over(self.model)
        if self.keeping:
            self.keeping.begin(self.model, progress, done=stage.done(progress))
        if self.fit_options["verbose"]:
            self._say(number, stages, progress)
        before = _history(self.model, progress.histories[-1])
        if stage.done(progress):
            return before
        with as_part_of_training(self.model, lambda: self._place(number, stages)):
            history = self._fit(data, steps, stage.epochs, progress.epochs)
        return _joined(before, history)

    def _fit(
        self, data: tf.data.Dataset, steps: int, epochs: int, done: int
    ) -> keras.callbacks.History:
        model = self.model
        learner = self.frozen_part.learner(model, data, self.validation, self.compile_options)
        learner.train = self.prepare(learner, steps)
        try:
            with self.frozen_part.scored(learner, self.fit_options["callbacks"]):
                return fit(model, learner, epochs=epochs, initial_epoch=done, **self.fit_options)
        finally:
            self.frozen_part.finish(model, learner)

    def _place(self, number: int, stages: Sequence[Stage]) -> tuple[int, int]:
        """How many batches come before a stage, and in all."""
        counts = [x.epochs * self._count(x, x.batches(self.train)) for x in stages]
        return sum(counts[:number]), sum(counts)

    def _count(self, stage: Stage, data: tf.data.Dataset) -> int:
        """Batches an epoch; where that takes a pass over the data, one for each batch size."""
        size = stage.part.batch_size
        if size not in self.steps:
            self.steps[size] = count_steps(data)
        return self.steps[size]

    def _diverged(self, progress: Progress, history: keras.callbacks.History) -> bool:
        """Whether a callback has ended the stage at a loss that is no number."""
        stopped = self.model.stop_training or progress.stopped
        return stopped and not math.isfinite(history.history.get("loss", [0.0])[-1])

    def _say(self, number: int, stages: Sequence[Stage], progress: Progress) -> None:
        stage = stages[number]
        if len(stages) > 1:
            name = type(stage.strategy).__name__
            print(f"Stage {number + 1} of {len(stages)}: {name}, {stage.epochs} epochs.")
        folder = self.keeping.folder if self.keeping else None
        if stage.done(progress):
            print(
                f"Training was finished, its end is taken from {folder}; remove it to train anew."
            )
        elif progress.epochs:
            print(f"Going on after epoch {progress.epochs} of {stage.epochs}, from {folder}.")


def _history(model: keras.Model, logs: dict[str, list[float]]) -> keras.callbacks.History:
    history = keras.callbacks.History()
    history.set_model(model)
    history.history = dict(logs)
    history.epoch = list(range(max(map(len, logs.values()), default=0)))
    return history


def _joined(
    before: keras.callbacks.History, after: keras.callbacks.History
) -> keras.callbacks.History:
    earlier = before.history
    after.history = {k: earlier.get(k, []) + list(v) for k, v in after.history.items()}
    after.epoch = [*before.epoch, *after.epoch]
    return after
