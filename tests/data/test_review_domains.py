"""The reviews that ship with the package."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.data.review_domains import TABLE


def rows_of(domain, part):
    with gzip.open(TABLE, "rt", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["domain"] == domain]
    return sorted((row["text"], row["label"]) for row in rows if row["split"] == part)


def pairs(dataset, class_names):
    return [
        (text.decode(), class_names[label])
        for texts, labels in dataset
        for text, label in zip(texts.numpy(), labels.numpy(), strict=True)
    ]


@pytest.mark.parametrize(("domain", "sizes"), [("movies", (8076, 1995)), ("products", (2609, 375))])
def test_reviews_are_those_of_the_table(domain, sizes):
    data = kx.review_domains(domain, validation_split=0.25, batch_size=100)
    assert data.class_names == ["negative", "positive"]
    test = pairs(data.test, data.class_names)
    assert sorted(test) == rows_of(domain, "test")
    train, validation = (pairs(x, data.class_names) for x in (data.train, data.validation))
    assert sorted(train + validation) == rows_of(domain, "train")
    assert (len(train) + len(validation), len(test)) == sizes
    assert len(validation) == round(sizes[0] / 4)
    shares = [np.mean([name == "positive" for _, name in part]) for part in (train, validation)]
    assert abs(shares[0] - shares[1]) < 0.001


def test_without_a_share_all_is_for_training():
    data = kx.review_domains("products", validation_split=0.0)
    assert data.validation is None
    assert data.num_train == 2609


def test_another_domain_is_refused():
    with pytest.raises(ValueError, match=r"'movies', 'products'.*domain='books'"):
        kx.review_domains("books")
