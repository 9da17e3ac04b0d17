"""Trains a stage on what its frozen part gives, computed once, where that is exact."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.adaptation.selection.target_score import TargetScore
from keras_transfer.caching.feature_cache import FeatureCache
from keras_transfer.caching.frozen_features import Found
from keras_transfer.caching.paired import find_features
from keras_transfer.caching.store import CacheTooSmallError, in_units
from keras_transfer.models.exactness import NotExactError, NothingFrozenError, trains_plainly
from keras_transfer.training.learner import Learner
from keras_transfer.training.trained_model import split, trained_model


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
                frozen_part, tail = split(model, train, validation)
                self._check(trained_model(model), cache)
                _check_order(model, tail)
                tail.compile(model.optimizer, **compile_options)
            features = cache.open(frozen_part, verbose=self._verbose)
            found = [find_features(features, train, self._augmentation)]
            if validation is not None:
                found.append(find_features(features, validation))
        except NothingFrozenError:
            return plain
        except (NotExactError, CacheTooSmallError) as error:
            self._say(f"The frozen part runs in every epoch: {error}")
            return plain
        except OSError as error:
            warnings.warn(f"Training goes on without the feature cache. {error}", stacklevel=7)
            self._cache = None
            return plain
        self._say(_told(found))
        stale = any(id(weight) in self._trained for weight in frozen_part.weights)
        learner = Learner(tail, train, validation, found, features, stale)
        if validation is not None:
            learner.validation = found[1].dataset()
        return learner

    @contextlib.contextmanager
    def scored(
        self, learner: Learner, callbacks: Sequence[keras.callbacks.Callback]
    ) -> Iterator[None]:
        """While it lasts, target scores are taken on features, where the learner trains on some.

        What is scored may come from a pipeline that has none; then that alone goes without.
        """
        features = learner.features
        scores = [callback for callback in callbacks if isinstance(callback, TargetScore)]
        if features is None or not scores:
            yield
            return
        with contextlib.ExitStack() as stack:
            for one in (one for score in scores for one in score.held_out()):
                try:
                    found = find_features(features, one.in_tuples())
                except (NotExactError, CacheTooSmallError, OSError) as error:
                    self._say(f"kx.TargetScore runs all of the model on the {one.name}: {error}")
                    continue
                stack.callback(found.close)
                stack.enter_context(one.on_features(learner.model, found.dataset()))
            yield

    def finish(self, model: keras.Model, learner: Learner) -> None:
        """Lets go of a stage's features; removes those that no other training can use."""
        if learner.found:
            # Metrics that a model is given again are reset only after its first batch.
            learner.model.reset_metrics()
        for part in learner.found:
            part.close()
        if learner.stale and learner.features is not None and self._cache is not None:
            with contextlib.suppress(OSError, ValueError):
                self._cache.remove(learner.features.name)
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


def _check_order(model: keras.Model, tail: keras.Model) -> None:
    """Optimizers keep their averages of weights in a list; losses go by names of outputs."""
    outputs = getattr(model, "outputs", ())  # none of what is made around a model
    if len(outputs) > 1 and model.output_names != tail.output_names:
        raise NotExactError("its outputs would have other names.")
    orders = [[id(weight) for weight in x.trainable_variables] for x in (model, tail)]
    if orders[0] != orders[1]:
        raise NotExactError("its weights would come in another order.")


def _told(found: Sequence[Found]) -> str:
    rows, computed = sum(part.rows for part in found), sum(part.computed for part in found)
    size = in_units(sum(part.num_bytes for part in found))
    views = "views of pictures" if found[0].views > 1 else "examples"
    if not computed:
        return f"The frozen part need not run: features of {rows} {views} are cached ({size})."
    cached = f", {rows - computed} were cached" if computed < rows else ""
    return f"The frozen part ran once on {computed} {views}{cached} ({size} of features in all)."
