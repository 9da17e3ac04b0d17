"""Trains a stage on what its frozen part gives, computed once, where that is exact."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.caching.feature_cache import FeatureCache
from keras_transfer.caching.frozen_features import Found
from keras_transfer.caching.store import CacheTooSmallError, in_units
from keras_transfer.models.exactness import NotExactError, NothingFrozenError, trains_plainly
from keras_transfer.models.split_frozen import split_frozen


@dataclasses.dataclass
class Learner:
    """What `fit` runs on: the model and pictures, or its tail and features.

    Attributes:
        model: keras.Model, compiled.
        train: tf.data.Dataset.
        validation: tf.data.Dataset, or None.
        found: the features behind the datasets; empty where they are pictures.
        entry: str, their name in the cache.
        stale: whether they follow from weights that were trained in an earlier stage.
    """

    model: keras.Model
    train: tf.data.Dataset
    validation: tf.data.Dataset | None
    found: Sequence[Found] = ()
    entry: str = ""
    stale: bool = False


class FrozenPart:
    """Runs the frozen part of a model once for each stage and example.

    Args:
        cache: kx.FeatureCache, or None to train on pictures.
        augmentation: keras.Model that changes training pictures, or None.
        mixing: whether they are mixed.
        verbose: whether to say what is done.
    """

    def __init__(
        self,
        cache: FeatureCache | None,
        augmentation: keras.Model | None,
        *,
        mixing: bool,
        verbose: bool,
    ):
        self._cache = cache
        self._augmentation = augmentation
        self._mixing = mixing
        self._verbose = verbose
        self._trained: set[int] = set()

    def learner(
        self,
        model: keras.Model,
        train: tf.data.Dataset,
        validation: tf.data.Dataset | None,
        compile_options: dict[str, Any],
    ) -> Learner:
        """For a stage of a compiled model, whose optimizer it shares."""
        plain = Learner(model, train, validation)
        cache = self._cache
        if cache is None:
            return plain
        try:
            with model.distribute_strategy.scope():
                frozen_part, tail = split_frozen(model)
                self._check(model, cache)
                _check_order(model, tail)
                tail.compile(model.optimizer, **compile_options)
            features = cache.open(frozen_part, verbose=self._verbose)
            found = [features.find(train, self._augmentation)]
            if validation is not None:
                found.append(features.find(validation))
        except NothingFrozenError:
            return plain
        except (NotExactError, CacheTooSmallError) as error:
            self._say(f"The frozen part runs in every epoch: {error}")
            return plain
        except OSError as error:
            warnings.warn(f"Training goes on without the feature cache. {error}", stacklevel=6)
            self._cache = None
            return plain
        self._say(_told(found))
        stale = any(id(weight) in self._trained for weight in frozen_part.weights)
        learner = Learner(tail, train, validation, found, features.name, stale)
        if validation is not None:
            learner.validation = found[1].dataset()
        return learner

    def finish(self, model: keras.Model, learner: Learner) -> None:
        """Lets go of a stage's features; removes those that no other training can use."""
        if learner.found:
            # Metrics that a model is given again are reset only after its first batch.
            learner.model.reset_metrics()
        for part in learner.found:
            part.close()
        if learner.stale and self._cache is not None:
            with contextlib.suppress(OSError, ValueError):
                self._cache.remove(learner.entry)
        self._trained |= {id(weight) for weight in model.trainable_weights}

    def _check(self, model: keras.Model, cache: FeatureCache) -> None:
        """What speaks against features before anything is looked at."""
        if not trains_plainly(model):
            raise NotExactError(f"a {type(model).__name__} may train in a way of its own.")
        if self._mixing:
            raise NotExactError("pictures are mixed anew.")
        if self._augmentation is not None and cache.views is None:
            raise NotExactError(
                "pictures are augmented anew. cache=kx.FeatureCache(views=4) stores four views of "
                "each."
            )
        if model.distribute_strategy.extended._in_multi_worker_mode():
            raise NotExactError("several workers share the data.")

    def _say(self, line: str) -> None:
        if self._verbose:
            print(line)


def fit(
    model: keras.Model, learner: Learner, callbacks: list[keras.callbacks.Callback], **options: Any
) -> keras.callbacks.History:
    """`learner.model.fit` for callbacks that see the whole model.

    Args:
        model: the whole model.
        learner: what is run.
        callbacks: such as save the model or change its optimizer's rate.
        options: of `fit`, `epochs` and `verbose` among them.
    """
    train, validation = learner.train, learner.validation
    steps = validation_steps = None
    # With callbacks training may end early, and nobody knows how far iterators have read ahead.
    if not callbacks and model.distribute_strategy.num_replicas_in_sync == 1:
        left = options["epochs"] - options["initial_epoch"]
        train, steps = _for_epochs(train, left)
        validation, validation_steps = _for_epochs(validation, left)
    if learner.model is not model:
        callbacks = keras.callbacks.CallbackList(
            [*callbacks, _StopTogether(learner.model)],
            add_history=True,
            add_progbar=options["verbose"] != 0,
            model=model,
            verbose=options["verbose"],
            epochs=options["epochs"],
            steps=int(learner.train.cardinality()),
        )
        model.stop_training = False
        learner.model.history = model.history
    return learner.model.fit(
        train,
        steps_per_epoch=steps,
        validation_data=validation,
        validation_steps=validation_steps,
        callbacks=callbacks,
        shuffle=False,  # Keras warns that it does not shuffle a dataset
        **options,
    )


def _for_epochs(data: Any, epochs: int) -> tuple[Any, int | None]:
    """A dataset for so many epochs, and how many batches are one.

    Keras starts two iterators an epoch, each with its buffers empty; of this, one in all.
    """
    steps = int(data.cardinality()) if isinstance(data, tf.data.Dataset) else 0
    return (data.repeat(epochs), steps) if steps > 0 else (data, None)


class _StopTogether(keras.callbacks.Callback):
    """Stops the tail when another callback has stopped the model."""

    def __init__(self, tail: keras.Model):
        super().__init__()
        self._tail = tail

    def on_train_begin(self, logs: Any = None) -> None:
        # Private: Keras's BackupAndRestore says so where training goes on.
        self._tail._initial_epoch = self.model._initial_epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._tail.stop_training = self.model.stop_training

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._tail.stop_training = self.model.stop_training


def _check_order(model: keras.Model, tail: keras.Model) -> None:
    """Optimizers keep their averages of weights in a list; losses go by names of outputs."""
    if len(model.outputs) > 1 and model.output_names != tail.output_names:
        raise NotExactError("its outputs would have other names.")
    orders = [[id(weight) for weight in x.trainable_variables] for x in (model, tail)]
    if orders[0] != orders[1]:
        raise NotExactError("its weights would come in another order.")


def _told(found: Sequence[Found]) -> str:
    rows, computed = sum(part.rows for part in found), sum(part.computed for part in found)
    size = in_units(sum(part.num_bytes for part in found))
    views = "views of pictures" if found[0].views > 1 else "pictures"
    if not computed:
        return f"The frozen part need not run: features of {rows} {views} are cached ({size})."
    cached = f", {rows - computed} were cached" if computed < rows else ""
    return f"The frozen part ran once on {computed} {views}{cached} ({size} of features in all)."
