"""Apply a strategy, compile with good defaults, fit, stage by stage; resumable."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import tensorflow as tf

from keras_transfer.caching.feature_cache import FeatureCache
from keras_transfer.data.length import counted
from keras_transfer.data.mixing import Mixing
from keras_transfer.models.notes import note_data
from keras_transfer.strategies.freezing import FeatureExtraction
from keras_transfer.strategies.proximal import Proximal
from keras_transfer.strategies.regularizers import WeightRegularizer
from keras_transfer.strategies.strategy import Strategy
from keras_transfer.training.arguments import (
    check_cache,
    check_early_stopping,
    check_one_output,
    check_solver,
    check_types,
)
from keras_transfer.training.checkpoints import Checkpoints
from keras_transfer.training.class_weights import ClassWeight, class_weights
from keras_transfer.training.compiling import compile_for_use, compile_options
from keras_transfer.training.early_stopping import EarlyStopping
from keras_transfer.training.frozen_part import FrozenPart
from keras_transfer.training.identity import IDENTITY, adaptation_of, described
from keras_transfer.training.inputs import categorical, preparation, prepared, ready
from keras_transfer.training.learner import Learner
from keras_transfer.training.linear_head import solve_linear_head
from keras_transfer.training.loop import StageLoop
from keras_transfer.training.optimizers import OptimizerChain, Updates
from keras_transfer.training.pull import pulled, start_weights
from keras_transfer.training.stages import plan_stages
from keras_transfer.training.trained_model import check_pairs, trained_model


def fine_tune(
    model: keras.Model,
    train: tf.data.Dataset,
    validation_data: tf.data.Dataset | None = None,
    *,
    strategy: Strategy | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    layer_decay: float = 1.0,
    block_rates: Mapping[str, float] | None = None,
    schedule: Any = "cosine",
    optimizer: keras.optimizers.Optimizer | None = None,
    regularizer: WeightRegularizer | Proximal | None = None,
    augmentation: keras.Model | None = None,
    mixing: Mixing | None = None,
    label_smoothing: float = 0.0,
    class_weight: ClassWeight = None,
    early_stopping: int | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    cache: FeatureCache | Literal["auto"] | None = "auto",
    solver: Literal["lbfgs"] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> list[keras.callbacks.History]:
    """Applies a strategy, compiles the model and fits it, stage by stage.

    The optimizer is AdamW (no weight decay on biases and normalization) on a cosine that falls to
    zero, after a linear warm-up over the first tenth of the steps; each stage has a cosine of its
    own, and weights that go on being trained keep the optimizer's state. A model that was
    compiled before keeps its loss, metrics and other settings; else they follow from its head.
    Afterwards it is compiled with a new optimizer of that kind, at the last stage's peak, so that
    it loads without this package.

    Args:
        model: keras.Model, changed in place. Of a `kx.DomainAdaptation` strategies, rates by depth
            and regularizers are for its model; the method's own weights train at the head's rate.
        train: tf.data.Dataset of batches `(pictures, labels)`, finite; with a
            `kx.DomainAdaptation`, what `kx.pair_domains` makes.
        validation_data: tf.data.Dataset of the same, or of one domain, or None.
        strategy: a `kx.Strategy`. Defaults to `kx.FeatureExtraction()`.
        epochs: int, at least 1. For all stages together that have no number of their own, divided
            evenly. Defaults to 10.
        learning_rate: float, the peak of the schedule. Defaults to that of `optimizer`, else to
            the strategy's own.
        layer_decay: float above 0 up to 1. Each block's learning rate is this share of that of the
            block above it; see `kx.layerwise`.
        block_rates: dict from names of blocks, or "head", to factors of the learning rate.
        schedule: "cosine", "one_cycle", "triangular", "triangular2", "constant" (which callbacks
            such as `ReduceLROnPlateau` can change), or a function from the peak and the number
            of steps of a stage to a Keras schedule or a float.
        optimizer: keras.optimizers.Optimizer whose class and settings to take instead of AdamW,
            the weights that it does not decay included.
        regularizer: `kx.L2SP`, `kx.L2` or `kx.Proximal`: a pull towards the weights that the model
            has now, or towards zero.
        augmentation: keras.Model that changes training pictures, such as `kx.augmentation(...)`;
            those of both domains.
        mixing: `keras.layers.MixUp(0.2)`, `keras.layers.CutMix()`, or a list of which each batch
            goes through one. Labels become shares of classes; a model that was
            compiled before needs a loss for these, such as `keras.losses.CategoricalCrossentropy`.
        label_smoothing: float from 0 to below 1. The share of each label that is spread evenly
            over all classes (Szegedy et al., "Rethinking the Inception Architecture for Computer
            Vision", CVPR 2016), in the losses that are shown, too. For classifiers of one class a
            picture that were not compiled before.
        class_weight: dict from label to weight; "balanced" weighs classes by one over their
            share among the training labels; None weighs all pictures alike.
        early_stopping: int, the number of epochs without a lower validation loss after which
            a stage stops and its best weights are restored; None to train all epochs.
        checkpoints: folder for the state after every epoch. Called again with the same
            settings, training goes on where it was killed, in the same stage. Remove the folder
            to train anew, also with other data: of the data only shapes and the number of
            batches are compared. What callbacks have changed (the rate, logs, the end of training)
            is kept, their own counts are not.
        cache: "auto" runs the frozen part of the model once for each picture wherever that is
            exact, says in one line for each stage what it did, and goes without where the features
            do not fit. `kx.FeatureCache` chooses where they are kept; None runs the frozen part in
            every epoch. Weights end up the same either way, from the same seed.
        solver: "lbfgs" finds the best weights of a single dense layer on frozen features by L-BFGS
            (Liu and Nocedal, "On the limited memory BFGS method for large scale optimization",
            Mathematical Programming 1989) in place of epochs, rates and optimizer; needs a cache.
            Without `regularizer` 50 times the squared kernel over the number of examples is added
            to the loss. The history has one epoch. None trains by steps.
        callbacks: further Keras callbacks. Each stage is a `fit` of its own, whose epochs count
            from 0 (`keras.callbacks.CSVLogger` wants `append=True`). One that ends a stage at a
            loss that is no number, such as `TerminateOnNaN`, ends them all.
        verbose: as in `keras.Model.fit`.

    Returns:
        A list with one `keras.callbacks.History` a stage, including the epochs before a resume.

    Raises:
        ValueError: if a setting is out of range, the model has not the blocks that the strategy
            asks for, the data is infinite or its labels are out of range, the loss cannot be told
            from the model, or the checkpoints are of another training.
        TypeError: if `train` is no dataset or `strategy` no object of a strategy.

    Example:

    >>> import numpy as np
    >>> import keras_transfer as kx
    >>> data = kx.arrays(np.zeros([8, 32, 32, 3], "uint8"), [0, 1] * 4, validation_split=0.25)
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3))
    >>> model = kx.Classifier(backbone, data.class_names)
    >>> [history] = kx.fine_tune(model, data.train, data.validation, epochs=1, verbose=0)
    >>> sorted(history.history)
    ['accuracy', 'loss', 'val_accuracy', 'val_loss']
    """
    trained = trained_model(model)
    strategy = FeatureExtraction() if strategy is None else strategy
    check_types(strategy, train)
    check_cache(cache)
    not_for_pairs = {"mixing": mixing, "class_weight": class_weight, "solver": solver}
    check_pairs(model, train, validation_data, not_for_pairs)
    note_data(trained, train)
    train = counted(train)
    adaptation = adaptation_of(model)
    identity = {name: value for name, value in locals().items() if name in IDENTITY}
    check_early_stopping(early_stopping, validation_data)
    check_one_output(trained, augmentation, mixing, class_weight, label_smoothing)
    proximal = regularizer if isinstance(regularizer, Proximal) else None
    updates = Updates(optimizer, schedule, layer_decay, block_rates or {}, proximal)
    stages = plan_stages(strategy, epochs, learning_rate, updates.learning_rate)
    for stage in stages:
        stage.batches(train)  # tells now, not after hours, that it cannot be done
    weights = class_weights(model, train, class_weight)
    features = FeatureCache() if cache == "auto" else cache
    options = compile_options(
        model, mixed_labels=mixing is not None, label_smoothing=label_smoothing
    )
    if solver is not None:
        with pulled(trained, regularizer, start_weights(trained, regularizer, None)):
            histories = solve_linear_head(
                model,
                strategy,
                train,
                validation_data,
                cache=check_solver(solver, features, locals()),
                options=options,
                weights=weights,
                penalized=regularizer is not None,
                verbose=bool(verbose),
            )
        compile_for_use(model, lambda: updates.plain_optimizer(stages[-1]))
        return histories
    stopping = None if early_stopping is None else EarlyStopping(early_stopping)
    if mixing is not None and validation_data is not None:
        validation_data = categorical(validation_data, model.output_shape[-1])
    keeping = None
    if checkpoints is not None:
        settings = described({**identity, "weights": [weight.shape for weight in model.weights]})
        keeping = Checkpoints(pathlib.Path(checkpoints), settings, stopping)
    start = start_weights(trained, regularizer, keeping)

    def prepare(learner: Learner, steps: int) -> tf.data.Dataset:
        if learner.found:
            return ready(learner.found[0].through(preparation(model, None, None, weights)), steps)
        return prepared(model, learner.train, augmentation, mixing, steps, weights=weights)

    loop = StageLoop(
        model,
        train,
        chain=OptimizerChain(updates, len(stages), start),
        prepare=prepare,
        frozen_part=FrozenPart(
            features, augmentation, mixing=mixing is not None, verbose=bool(verbose)
        ),
        validation=validation_data,
        compile_options=options,
        keeping=keeping,
        fit_options={
            "callbacks": [c for c in (stopping, *callbacks, keeping) if c is not None],
            "verbose": verbose,
        },
    )
    with pulled(trained, regularizer, start):
        histories = loop.run(stages)
    compile_for_use(model, lambda: updates.plain_optimizer(stages[-1]))
    return histories
