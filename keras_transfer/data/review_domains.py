"""The texts that ship with the package: reviews of movies and of products."""

from __future__ import annotations

import pathlib

import keras

from keras_transfer.data.splits import Splits
from keras_transfer.data.stratified import split_off
from keras_transfer.data.table_rows import table_rows
from keras_transfer.data.text_tables import labelled_parts
from keras_transfer.data.texts import make_text_splits

TABLE = pathlib.Path(__file__).parent / "samples" / "review_domains.csv.gz"
DOMAINS = ("movies", "products")


def review_domains(
    domain: str,
    *,
    preprocessor: keras.layers.Layer | None = None,
    batch_size: int = 32,
    validation_split: float = 0.2,
    seed: int = 0,
) -> Splits:
    """The bundled sentences of reviews of one domain: are they positive or negative?

    Use it to try things offline, and as source and target of domain adaptation: the classes are
    the same in both. Of movies there are 8,076 texts to train on and 1,995 to test, of products
    2,609 and 375; no review has sentences in both halves.

    Reference: Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of
    Social Media Text", ICWSM 2014, whose raters gave the labels.

    Args:
        domain: "movies" or "products".
        preprocessor: see `kx.text_table`, as the other arguments.
        batch_size: see there.
        validation_split: see there; it is taken from the train half.
        seed: see there.

    Returns:
        `kx.Splits`.

    Raises:
        ValueError: if there is no such domain, or an argument is out of range.

    Example:

    >>> import keras_transfer as kx
    >>> data = kx.review_domains("products", batch_size=8)
    >>> texts, labels = next(iter(data.test))
    >>> texts.shape, data.class_names, data.num_train
    (TensorShape([8]), ['negative', 'positive'], 2087)
    """
    if domain not in DOMAINS:
        raise ValueError(f"Expected `domain` to be one of {DOMAINS}. Received: domain={domain!r}.")
    rows = table_rows(TABLE, ["text", "label", "split", "domain"])
    chosen = ((line, row[:3]) for line, row in rows if row[3] == domain)
    parts, class_names = labelled_parts(chosen, TABLE.name)
    return make_text_splits(
        split_off(parts, class_names, {"validation": validation_split}, seed),
        class_names=class_names,
        preprocessor=preprocessor,
        batch_size=batch_size,
        seed=seed,
    )
