"""d-SNE: a target example is nearer to all of its class than to any of another."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from keras_transfer.adaptation.methods.centered_distances import centered_squared_distances
from keras_transfer.adaptation.methods.method import DomainBatch, Method
from keras_transfer.adaptation.methods.weighted_mean import weighted_mean


def neighborhood_hinge(
    squares: tf.Tensor, same: tf.Tensor, different: tf.Tensor, margin: float, weights: tf.Tensor
) -> tf.Tensor:
    """By how much the farthest example of the same class is not nearer than any other, by a margin.

    Args:
        squares: float tensor `[n, m]` of squared distances, source times target.
        same: bool `[n, m]`: which pairs are of the same class.
        different: bool `[n, m]`: which are of different ones.
        margin: in the unit of `squares`.
        weights: `[m]`, at least 0, of the target's examples.

    Returns:
        A scalar, at least 0: the mean over the target's examples that have pairs of both kinds.
    """
    both = tf.reduce_any(same, axis=0) & tf.reduce_any(different, axis=0)
    farthest = tf.reduce_max(tf.where(same, squares, 0.0), axis=0)
    nearest = tf.reduce_min(tf.where(different, squares, squares.dtype.max), axis=0)
    losses = tf.nn.relu(farthest - tf.where(both, nearest, 0.0) + margin)
    return weighted_mean(losses, weights * tf.cast(both, weights.dtype))


class StochasticNeighborhoodEmbedding(Method):
    """d-SNE, for a target with few labels.

    For each target example with a label, the squared distance to the farthest source example of
    its class in the batch shall be smaller than that to the nearest one of another class, by a
    margin: a hinge on the hardest pairs, where `kx.ContrastiveSemanticAlignment` takes the mean
    over all. Distances are between the deepest compared features as they are: choose the margin
    in their square. Labels that are shares count where more than half is of the same class.

    Reference: Xu, Zhou, Venkatesan, Swaminathan and Majumder, "d-SNE: Domain Adaptation using
    Stochastic Neighborhood Embedding", CVPR 2019, equation 8.

    Args:
        margin: float above 0. Defaults to 1.0.
        name: str, as for every Keras layer.

    Raises:
        ValueError: if `margin` is not above 0, or later if the target has no labels.

    Example:

    >>> import keras_transfer as kx
    >>> kx.StochasticNeighborhoodEmbedding(margin=10.0).needs_target_labels
    True
    """

    needs_target_labels: ClassVar[bool] = True

    def __init__(self, margin: float = 1.0, *, name: str = "stochastic_neighborhood_embedding"):
        if not margin > 0:
            raise ValueError(f"Expected `margin` above 0. Received: margin={margin}.")
        super().__init__(name=name)
        self.margin = margin

    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """The mean hinge of the target's examples."""
        if source.labels is None or target.labels is None:
            raise ValueError(
                "Expected source and target with labels, of some examples at least. Received: "
                f"no labels of the {'source' if source.labels is None else 'target'}."
            )
        squares = centered_squared_distances(source.features[-1], target.features[-1])
        labeled = tf.reduce_sum(target.labels, axis=1) > 0
        counts = (tf.reduce_sum(source.labels, axis=1) > 0) & (source.weights > 0)
        pairs = counts[:, tf.newaxis] & labeled[tf.newaxis, :]
        same = tf.matmul(source.labels, target.labels, transpose_b=True) > 0.5
        return neighborhood_hinge(squares, pairs & same, pairs & ~same, self.margin, target.weights)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"margin": self.margin, **super().get_config()}
