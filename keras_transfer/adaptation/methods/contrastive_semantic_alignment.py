"""CCSA: pairs across the domains, together if of one class and apart if not."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from keras_transfer.adaptation.methods.centered_distances import centered_squared_distances
from keras_transfer.adaptation.methods.method import DomainBatch, Method
from keras_transfer.adaptation.methods.weighted_mean import weighted_mean


def contrastive_alignment(
    squares: tf.Tensor, same: tf.Tensor, different: tf.Tensor, margin: float
) -> tf.Tensor:
    """Half the squared distance of pairs of one class, and of what others lack to the margin.

    Args:
        squares: float tensor `[n, m]` of squared distances.
        same: `[n, m]`, at least 0: how much a pair counts as one of the same class.
        different: `[n, m]`, likewise for different classes.
        margin: the distance from which different classes are far enough apart.

    Returns:
        A scalar, at least 0: the mean over the pairs of one class plus that over the others.
    """
    apart = squares > 0
    # The root's gradient at 0 is infinite, and times 0 no number: hence 1 below the root as well.
    distances = tf.where(apart, tf.sqrt(tf.where(apart, squares, 1.0)), 0.0)
    lacking = tf.nn.relu(margin - distances)
    return (weighted_mean(squares, same) + weighted_mean(lacking**2, different)) / 2


class ContrastiveSemanticAlignment(Method):
    """Classification and contrastive semantic alignment (CCSA), for a target with few labels.

    Pairs of a source and a target example with labels: those of one class are pulled together by
    half their squared distance, others pushed apart by half the square of what their distance
    lacks to the margin. All pairs of a batch take part, each kind with its mean, so that the rare
    pairs of one class count as much as the others. Distances are between the deepest compared
    features as they are: choose the margin in their unit. Examples without a label are left out.

    Reference: Motiian, Piccirilli, Adjeroh and Doretto, "Unified Deep Supervised Domain Adaptation
    and Generalization", ICCV 2017.

    Args:
        margin: float above 0. Defaults to 1.0, as in the authors' code.
        name: str, as for every Keras layer.

    Raises:
        ValueError: if `margin` is not above 0, or later if the target has no labels.

    Example:

    >>> import keras_transfer as kx
    >>> kx.ContrastiveSemanticAlignment(margin=10.0).needs_target_labels
    True
    """

    needs_target_labels: ClassVar[bool] = True

    def __init__(self, margin: float = 1.0, *, name: str = "contrastive_semantic_alignment"):
        if not margin > 0:
            raise ValueError(f"Expected `margin` above 0. Received: margin={margin}.")
        super().__init__(name=name)
        self.margin = margin

    def term(self, source: DomainBatch, target: DomainBatch) -> tf.Tensor:
        """The mean over pairs of one class plus that over the others."""
        if source.labels is None or target.labels is None:
            raise ValueError(
                "Expected source and target with labels, of some examples at least. Received: "
                f"no labels of the {'source' if source.labels is None else 'target'}."
            )
        squares = centered_squared_distances(source.features[-1], target.features[-1])
        ours, theirs = (batch.labels * batch.weights[:, tf.newaxis] for batch in (source, target))
        same = tf.matmul(ours, theirs, transpose_b=True)
        pairs = tf.reduce_sum(ours, 1)[:, tf.newaxis] * tf.reduce_sum(theirs, 1)[tf.newaxis, :]
        return contrastive_alignment(squares, same, tf.nn.relu(pairs - same), self.margin)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"margin": self.margin, **super().get_config()}
