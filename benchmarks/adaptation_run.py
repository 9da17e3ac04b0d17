"""One training of the benchmark of adaptation, on features that were computed once."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_transfer as kx

SIZE = (128, 128)
PICTURES = ("noto", "twemoji", "openmoji")
METHODS: dict[str, Callable[[], Any]] = {
    "MMD": kx.MaximumMeanDiscrepancy,
    "joint MMD": kx.JointMMD,
    "local MMD": kx.LocalMMD,
    "Deep CORAL": kx.DeepCoral,
    "DANN": kx.DomainAdversarial,
    "CDAN": kx.ConditionalAdversarial,
    "MCC": kx.MinimumClassConfusion,
    "information max.": kx.InformationMaximization,
    "nuclear norm": kx.BatchNuclearNorm,
    "self-training": kx.SelfTraining,
    "reconstruction": kx.Reconstruction,
}
SOURCE_ONLY, JOINT_ONLY, ORACLE = "source only", "joint BatchNorm alone", "oracle"
BATCH_SIZE, RATE, HIDDEN = 64, 1e-3, 768
STEPS, STEPS_AN_EPOCH = 300, 20


@dataclasses.dataclass
class Domain:
    """Features of a domain's parts, and their labels.

    Attributes:
        train: `(features, labels)`, four fifths of the train half.
        held_out: the same of the rest of it.
        test: of the test half.
        class_names: list of str.
    """

    train: tuple[np.ndarray, np.ndarray]
    held_out: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    class_names: list[str]


@functools.cache
def load(name: str) -> Domain:
    """A domain's features, in an order of their own whatever ran before."""
    keras.utils.set_random_seed(0)
    if name in PICTURES:
        data = kx.emoji_styles(name, image_size=SIZE)
        backbone = kx.load_backbone("efficientnet_lite0", input_shape=(*SIZE, 3))
        model = kx.Classifier(backbone, data.class_names, depths=5)
    else:
        preprocessor = kx.load_preprocessor("minilm_l6", sequence_length=64)
        data = kx.review_domains(name, preprocessor=preprocessor)
        model = kx.Classifier(kx.load_backbone("minilm_l6"), data.class_names, pooling="mean")
    kx.FeatureExtraction().apply(model)
    frozen_part, _ = kx.split_frozen(model)
    cache = kx.FeatureCache()

    def arrays(part: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
        found = cache.features(frozen_part, part, verbose=False)
        x, y = zip(*found.as_numpy_iterator(), strict=True)
        return np.concatenate(x), np.concatenate(y)

    parts = (arrays(part) for part in (data.train, data.validation, data.test))
    return Domain(*parts, class_names=data.class_names)


class TestAccuracy(keras.callbacks.Callback):
    """The oracle: accuracy on the test half after each epoch, which nothing is chosen by."""

    def __init__(self, test: tuple[np.ndarray, np.ndarray]):
        super().__init__()
        self.test = test
        self.values: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measures it."""
        self.values.append(accuracy(self.model, self.test))


def accuracy(model: keras.Model, part: tuple[np.ndarray, np.ndarray]) -> float:
    """The share of examples whose class is predicted."""
    logits = model(tf.constant(part[0]), training=False)
    return float(np.mean(logits.numpy().argmax(1) == part[1]))


def head(domain: Domain) -> keras.Model:
    """What is trained on the features."""
    shape = domain.train[0].shape[1:]
    features = keras.Sequential([keras.Input(shape), keras.layers.Identity()])
    return kx.Classifier(features, domain.class_names, standardize=True, hidden=[HIDDEN])


def batches(part: tuple[np.ndarray, np.ndarray], seed: int) -> tf.data.Dataset:
    """Shuffled, without a smaller last batch; several passes an epoch over few examples.

    The domains have the same emoji: by one seed, each would stand beside its counterpart.
    """
    data = tf.data.Dataset.from_tensor_slices(part).shuffle(len(part[1]), seed=seed)
    data = data.batch(BATCH_SIZE, drop_remainder=True)
    return data.repeat(max(1, STEPS_AN_EPOCH // int(data.cardinality())))


def run(
    case: str, source: Domain, target: Domain, evaluated: str, seed: int, guard: kx.CollapseGuard
) -> dict[str, Any]:
    """Trains one case from one seed; its accuracy, regret, scores and seconds."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model = head(source)
    test = getattr(target, evaluated)
    labeled = target if case == ORACLE else source
    data = batches(labeled.train, seed)
    oracle = TestAccuracy(test)
    held_out = [
        tf.data.Dataset.from_tensor_slices(part).batch(256)
        for part in (target.held_out[0], source.held_out)
    ]
    learner, callbacks = model, [oracle]
    if case not in (SOURCE_ONLY, ORACLE):
        method = METHODS[case]() if case in METHODS else kx.InformationMaximization()
        weight = None if case in METHODS else 0.0
        learner = kx.DomainAdaptation(model, method, weight=weight)
        data = kx.pair_domains(data, batches(target.train, seed + 1000), target_labels="ignore")
        best = {"monitor": "val_target_score", "mode": "max", "restore_best_weights": True}
        callbacks += [
            kx.TargetScore(*held_out, guard=guard),
            keras.callbacks.EarlyStopping(patience=1000, **best),
        ]
    steps = int(data.cardinality())
    epochs = max(1, round(STEPS / steps))
    learner.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(RATE, epochs * steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    started = time.perf_counter()
    learner.fit(data, epochs=epochs, verbose=0, callbacks=callbacks, shuffle=False)
    seconds = time.perf_counter() - started
    found = accuracy(model, test)
    return {
        "accuracy": found,
        "regret": max(oracle.values) - found,
        "seconds": seconds,
        "probabilities": tf.nn.softmax(model(tf.constant(target.held_out[0]))).numpy(),
        "scores": final_scores(learner, held_out, guard),
    }


def final_scores(
    learner: keras.Model, held_out: list[tf.data.Dataset], guard: kx.CollapseGuard
) -> dict[str, float]:
    """What tells of a finished run without target labels."""
    score = kx.TargetScore(*held_out, scores=["discrepancy"], guard=guard)
    score.set_model(learner)
    logs: dict[str, float] = {}
    score.on_train_begin()
    score.on_epoch_end(0, logs)
    return {
        "discrepancy": logs["val_target_discrepancy"],
        "source_accuracy": logs["val_source_accuracy"],
    }
