"""How well sentences are classified: a head on a frozen BERT, all of it, logistic regression.

`python -m benchmarks.text_classification [--seeds 3] [--domain movies] [--other products]`, about
five minutes a seed on two cores: MiniLM, the mean over tokens, trained on the train half of the
bundled reviews and evaluated on the test halves of both domains. The reference is scikit-learn's
logistic regression on the same frozen features. Prints mean and standard error over seeds; the
last line is JSON. `RATE` was chosen with `--validation --rate ...`, which trains on four fifths of
the train half and evaluates on its rest.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

import keras_transfer as kx
from benchmarks.over_seeds import mean_and_error

HANDLE = "minilm_l6"
SEQUENCE_LENGTH = 64
HEAD_EPOCHS = 10
EPOCHS = 2
RATE = 1e-4


def cases(data: kx.Splits, seed: int, rate: float) -> Iterator[tuple[str, object]]:
    """The head trained alone, logistic regression in its place, and then everything trained."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model = kx.Classifier(kx.load_backbone(HANDLE), data.class_names, pooling="mean")
    frozen = kx.FeatureExtraction()
    kx.fine_tune(model, data.train, strategy=frozen, epochs=HEAD_EPOCHS, verbose=0)
    yield "frozen, linear head", lambda part: kx.evaluate(model, part, verbose=False).accuracy
    frozen_part, _ = kx.split_frozen(model)
    regression = LogisticRegression(max_iter=2000).fit(*features(frozen_part, data.train))
    yield (
        "frozen, logistic regression",
        lambda part: float(regression.score(*features(frozen_part, part))),
    )
    options = {"strategy": kx.FineTuning(), "learning_rate": rate}
    kx.fine_tune(model, data.train, epochs=EPOCHS, verbose=0, **options)
    yield "then all of it", lambda part: kx.evaluate(model, part, verbose=False).accuracy


def features(frozen_part: keras.Model, part: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """What the frozen part gives for all of a dataset, and the labels."""
    found = kx.FeatureCache().features(frozen_part, part, verbose=False)
    batches = list(found.as_numpy_iterator())
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])


def main() -> None:
    """Runs every case over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--domain", default="movies")
    parser.add_argument("--other", default="products")
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--validation", action="store_true")
    arguments = parser.parse_args()
    preprocessor = kx.load_preprocessor(HANDLE, sequence_length=SEQUENCE_LENGTH)
    options = {"preprocessor": preprocessor, "validation_split": 0.2 * arguments.validation}
    values: dict[str, dict[str, list[float]]] = {}
    started = time.perf_counter()
    for seed in range(arguments.seeds):
        data = kx.review_domains(arguments.domain, seed=seed, **options)
        parts = {arguments.domain: data.validation if arguments.validation else data.test}
        if not arguments.validation:
            parts[arguments.other] = kx.review_domains(arguments.other, **options).test
        for case, accuracy in cases(data, seed, arguments.rate):
            of_case = values.setdefault(case, {})
            for name, part in parts.items():
                of_case.setdefault(name, []).append(accuracy(part))
    figures = {case: {name: summary(v) for name, v in x.items()} for case, x in values.items()}
    for case, by_domain in figures.items():
        told = (f"{n} {f['mean']:.3f} +- {f['standard_error']:.3f}" for n, f in by_domain.items())
        print(f"{case}: {', '.join(told)}")
    seconds = (time.perf_counter() - started) / arguments.seeds
    print(json.dumps({**vars(arguments), "seconds_a_seed": seconds, "accuracy": figures}))


def summary(values: list[float]) -> dict[str, object]:
    """Mean and standard error over seeds."""
    mean, error = mean_and_error(values)
    return {"mean": mean, "standard_error": error, "values": values}


if __name__ == "__main__":
    main()
