"""What goes into a classifier's last dense layer, beside what comes out of it."""

from __future__ import annotations

import keras

from keras_transfer.models.graph import is_graph, trace


def deepest_features(model: keras.Model) -> keras.Model:
    """A model of the same layers that gives `[features, logits]`.

    Args:
        model: functional or sequential keras.Model whose last layer is a dense one, such as
            `kx.Classifier` makes.

    Returns:
        keras.Model of two outputs: what the last layer takes, and the model's own.

    Raises:
        ValueError: if the model is subclassed, has several outputs or ends in another layer.
    """
    if is_graph(model) and len(model.outputs) == 1:
        same, calls = trace(model)
        last = next(call for call in reversed(calls) if call.outputs is same.outputs[0])
        if isinstance(last.layer, keras.layers.Dense):
            return keras.Model(same.input, [last.inputs[0], same.outputs[0]])
    raise ValueError(
        "Expected a functional model that ends in a dense layer, such as kx.Classifier makes, to "
        f"take the features in front of it. Received: {type(model).__name__} {model.name!r}."
    )
