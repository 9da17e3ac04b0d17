import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx


def dataset(size, batch_size, start=0, *, parts="xy", dtype="float32", width=1):
    """Inputs, labels and weights are the numbers from `start` on."""
    numbers = np.arange(start, start + size)
    made = {"x": np.repeat(numbers[:, None], width, 1).astype(dtype), "y": numbers, "w": numbers}
    given = tuple(made[part] for part in parts)
    return tf.data.Dataset.from_tensor_slices(given if len(parts) > 1 else given[0]).batch(
        batch_size
    )


def lists(batches):
    return [{domain: np.ravel(x).tolist() for domain, x in batch.items()} for batch in batches]


@pytest.mark.parametrize("longer", ["source", "target"])
def test_epoch_is_as_long_as_the_longer_and_the_other_starts_again(longer):
    sizes = {"source": (10, 2), "target": (5, 2)}
    if longer == "target":
        sizes = {"source": (5, 2), "target": (10, 2)}
    pairs = kx.pair_domains(dataset(*sizes["source"]), dataset(*sizes["target"], parts="x"))
    assert int(pairs.cardinality()) == 5
    found = lists(inputs for inputs, _ in pairs)
    ones, others = [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]], [[0, 1], [2, 3], [4]]
    shorter = "source" if longer == "target" else "target"
    assert [batch[longer] for batch in found] == ones
    assert [batch[shorter] for batch in found] == (others + others)[:5]
    for inputs, labels in pairs:
        np.testing.assert_array_equal(inputs["source"][:, 0], labels["source"])
        assert list(labels) == ["source"]


def test_the_shorter_is_shuffled_anew():
    short = dataset(16, 16, parts="x").unbatch().shuffle(16, seed=0).batch(16)
    pairs = kx.pair_domains(dataset(3, 1), short)
    orders = [tuple(inputs["target"].numpy()[:, 0]) for _ in range(2) for inputs, _ in pairs]
    assert len(set(orders)) == 6
    assert all(sorted(order) == list(range(16)) for order in orders)


@pytest.mark.parametrize("parts", ["xy", "xyw"])
def test_labels_of_the_target_are_left_out_or_trained_on(parts):
    source, target = dataset(4, 2), dataset(2, 1, 7, parts=parts)
    for target_labels, expected in (
        ("ignore", [{"source": [0, 1]}, {"source": [2, 3]}]),
        ("train", [{"source": [0, 1], "target": [7]}, {"source": [2, 3], "target": [8]}]),
    ):
        pairs = kx.pair_domains(source, target, target_labels=target_labels)
        assert lists(pair[1] for pair in pairs) == expected


def test_sample_weights_of_either_domain_are_passed_on_and_are_1_elsewhere():
    of_source = kx.pair_domains(dataset(3, 2, parts="xyw"), dataset(4, 2, parts="x"))
    assert lists(w for *_, w in of_source) == [
        {"source": [0, 1], "target": [1, 1]},
        {"source": [2], "target": [1, 1]},
    ]
    weak = dataset(2, 2, 5, parts="xyw")
    of_target = kx.pair_domains(dataset(3, 3), weak, target_labels="ignore")
    assert lists(w for *_, w in of_target) == [{"source": [1, 1, 1], "target": [5, 6]}]
    assert of_target.element_spec[2]["target"].dtype == tf.float32


def test_a_target_of_tuples_of_inputs_alone_has_no_labels():
    target = tf.data.Dataset.from_tensors((np.ones([2, 1], "float32"),))
    [(inputs, labels)] = kx.pair_domains(dataset(2, 2), target)
    assert inputs["target"].shape == (2, 1)
    assert list(labels) == ["source"]


def test_inputs_of_several_tensors_of_other_lengths_are_taken():
    def tokens(rows, length):
        ids = np.ones([rows, length], "int32")
        x = {"token_ids": ids, "padding_mask": ids > 0}
        return tf.data.Dataset.from_tensors((x, np.zeros(rows)))

    def any_length(dataset):
        spec = tf.nest.map_structure(
            lambda x: tf.TensorSpec([None, *[None] * (x.shape.rank - 1)], x.dtype),
            dataset.element_spec,
        )
        return tf.data.Dataset.from_generator(lambda: iter(dataset), output_signature=spec)

    source, target = any_length(tokens(3, 6)), any_length(tokens(2, 4))
    [(inputs, _)] = kx.pair_domains(source, target, target_labels="ignore")
    assert inputs["source"]["token_ids"].shape == (3, 6)
    assert inputs["target"]["padding_mask"].shape == (2, 4)


def test_datasets_of_unknown_length_are_counted():
    odd = dataset(6, 1).filter(lambda x, y: y[0] % 2 == 1)
    assert int(kx.pair_domains(odd, dataset(1, 1, parts="x")).cardinality()) == 3


def test_what_is_noted_on_a_domain_is_noted_on_the_pairs(tiny_data):
    pairs = kx.pair_domains(tiny_data.train, tiny_data.test, target_labels="ignore")
    assert pairs.resize == "stretch"
    assert pairs.domains == (tiny_data.train, tiny_data.test)
    pictures = tiny_data.test.map(lambda x, y: x)
    assert kx.pair_domains(tiny_data.train, pictures).resize == "stretch"
    plain = dataset(2, 1)
    assert not hasattr(kx.pair_domains(plain, plain, target_labels="ignore"), "resize")


@pytest.mark.parametrize(
    ("source", "target", "options", "message"),
    [
        (dataset(2, 1, parts="x"), dataset(2, 1, parts="x"), {}, "source with labels.*Received"),
        (dataset(2, 1), dataset(2, 1), {}, "'ignore' leaves them out, 'train' adds.*Received"),
        (dataset(2, 1), dataset(2, 1, parts="x"), {"target_labels": "train"}, "with labels for"),
        (dataset(2, 1), dataset(2, 1), {"target_labels": "use"}, "target_labels='use'"),
        (dataset(2, 1).repeat(), dataset(2, 1, parts="x"), {}, "an infinite one for 'source'"),
        (dataset(2, 1), dataset(2, 1, parts="x").repeat(), {}, "an infinite one for 'target'"),
        (dataset(2, 1).take(0), dataset(2, 1, parts="x"), {}, "an empty one for 'source'"),
        (dataset(2, 1), dataset(2, 1, parts="x").take(0), {}, "an empty one for 'target'"),
        (dataset(2, 1), dataset(2, 1, parts="x", width=2), {}, r"one shape.*\(None, 2\)"),
        (dataset(2, 1), dataset(2, 1, parts="x", dtype="uint8"), {}, "one shape and dtype.*uint8"),
        (dataset(2, 1), dataset(2, 1, parts="x").map(lambda x: x[None]), {}, "one shape"),
        (dataset(2, 1), dataset(2, 1, parts="x").map(lambda x: {"a": x}), {}, "one shape"),
    ],
)
def test_domains_that_do_not_fit_together_are_refused(source, target, options, message):
    with pytest.raises(ValueError, match=message):
        kx.pair_domains(source, target, **options)


def test_pictures_resized_otherwise_are_refused(tiny_data):
    target = tiny_data.test.map(lambda x, y: x)
    target.resize = "crop"
    with pytest.raises(ValueError, match="resized alike.*Received: 'stretch' and 'crop'"):
        kx.pair_domains(tiny_data.train, target)


def test_texts_preprocessed_otherwise_are_refused():
    import keras

    source, target = dataset(2, 1), dataset(2, 1, parts="x")
    source.preprocessor = keras.layers.TextVectorization(vocabulary=["a", "b"])
    target.preprocessor = keras.layers.TextVectorization(vocabulary=["a", "c"])
    with pytest.raises(ValueError, match="preprocessed alike. Received"):
        kx.pair_domains(source, target)
    target.preprocessor = keras.layers.TextVectorization(vocabulary=["a", "b"])
    pairs = kx.pair_domains(source, target)
    assert pairs.preprocessor is source.preprocessor


def test_domains_of_the_same_things_are_not_paired_one_by_one():
    pictures = np.arange(40, dtype="uint8")[:, None, None, None] * np.ones([1, 4, 4, 3], "uint8")
    source, target = (
        kx.arrays(pictures, np.arange(40) % 2, batch_size=4, test_split=0.1).train for _ in "st"
    )
    own = [np.mean(one == other) for (one, _), (other, _) in zip(source, target, strict=True)]
    assert np.mean(own) == 1  # as they come
    pairs = kx.pair_domains(source, target, target_labels="ignore")
    alike = [np.mean(x["source"] == x["target"]) for x, _ in pairs]
    assert np.mean(alike) < 0.2
