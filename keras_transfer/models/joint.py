"""Several tasks trained at once: a shared backbone and a head for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import keras

from keras_transfer.models.backbone_and_head import backbone_of
from keras_transfer.models.one_pass import head_of, one_pass
from keras_transfer.models.tasks import REGRESSION

Pictures = Literal["separate", "shared"]
Weighting = Literal["fixed", "uncertainty"]


class JointModel(keras.Model):
    """Trains several models on one backbone together, for instance source and target.

    A functional Keras model with a dict of outputs: `compile` with dicts `loss`, `loss_weights`
    and `metrics`, and strategies as well as `fit` work as on any other. It shares all layers
    with the models it is made of: once it is trained, so is each of them, for `kx.evaluate`,
    `kx.export` or to be saved. The backbone runs once, on the pictures of all tasks as one
    batch, so BatchNorm sees them together.

    `weighting="uncertainty"` learns how much each task counts. With a log variance `s` of each
    task, 0 at first, the loss is the sum of `exp(-s) * loss + s / 2` over classification tasks
    and `exp(-s) / 2 * loss + s / 2` over regression tasks. Give the optimizer no weight decay on
    them: `optimizer.exclude_from_weight_decay(var_names=["log_variance"])`. The losses that are
    logged for each task are without these weights, as Keras logs them.

    Reference: Caruana, "Multitask Learning", Machine Learning 1997. For the weighting, Kendall,
    Gal & Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics", CVPR 2018.

    Args:
        models: dict from the name of each task to its keras.Model, as made by `kx.Classifier` or
            `kx.Regressor` on one and the same backbone (to share several depths, build the
            others on `first.get_layer(backbone.name)`). At least two.
        pictures: "separate" if each task has pictures of its own: a dict from task to pixels, as
            from `kx.joint_data`, of any batch sizes. "shared" if all tasks are about the same
            pictures: pixels `(batch, height, width, 3)`, and a dict of labels.
        weighting: "fixed" for Keras's `loss_weights`, or "uncertainty".
        name: str.

    Attributes:
        backbone: the nested model that all tasks share.
        log_variances: dict from task to float32 variable, the `s` above; empty where the
            weighting is fixed.

    Raises:
        ValueError: if there are less than two models, they do not share a backbone, or a setting
            has another value.

    Example:

    >>> import keras
    >>> import keras_transfer as kx
    >>> backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3), weights=None)
    >>> models = {"style": kx.Classifier(backbone, 2), "kind": kx.Classifier(backbone, 5)}
    >>> joint = kx.JointModel(models, weighting="uncertainty")
    >>> kx.FineTuning(1).apply(joint)
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> joint.compile("adam", loss={"style": loss, "kind": loss})
    >>> {task: float(s) for task, s in joint.log_variances.items()}
    {'style': 0.0, 'kind': 0.0}
    """

    def __init__(
        self,
        models: Mapping[str, keras.Model],
        *,
        pictures: Pictures = "separate",
        weighting: Weighting = "fixed",
        name: str | None = None,
    ):
        _check(pictures, weighting)
        backbone = _shared_backbone(models)
        heads = {task: head_of(model, backbone, f"{task}_head") for task, model in models.items()}
        if pictures == "shared":
            pixels = keras.Input(backbone.input_shape[1:], name="pixels", dtype="float32")
            features = dict.fromkeys(models, backbone(pixels))
        else:
            pixels, features = one_pass(backbone, list(models))
        outputs = {task: head(features[task]) for task, head in heads.items()}
        super().__init__(inputs=pixels, outputs=outputs, name=name)
        self.models = models
        self.pictures = pictures
        self.weighting = weighting
        self.backbone = backbone
        self.log_variances = {}
        if weighting == "uncertainty":
            self.log_variances = {task: self._log_variance(task) for task in models}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Keras's total of all losses, after those of the tasks were given their weights."""
        losses = self._losses_to_weigh()
        total = super().compute_loss(x, y, y_pred, sample_weight, training)
        for task, loss in losses.items():
            weights = sample_weight[task] if isinstance(sample_weight, dict) else sample_weight
            # Keras has counted it once, and logged it. The `s / 2` is a regularizer, so that
            # Keras shares it out among replicas as it does the losses.
            total += (self._weight(task) - 1) * loss(y[task], y_pred[task], weights)
        return total

    def get_config(self) -> dict[str, Any]:
        """Not to be had: Keras cannot save that the models share a backbone.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "Expected `save_weights` of a joint model, or `save` of the models it is made of: "
            f"{list(self.models)}. Received: a call that needs the configuration of {self.name!r}."
        )

    def _log_variance(self, task: str) -> keras.Variable:
        return self.add_weight(
            shape=(),
            initializer="zeros",
            regularizer=_Half(),
            autocast=False,
            name=f"{task}_log_variance",
        )

    def _weight(self, task: str) -> Any:
        regression = self.models[task].layers[-1].name == REGRESSION.output_name
        return keras.ops.exp(-self.log_variances[task]) / (2 if regression else 1)

    def _losses_to_weigh(self) -> dict[str, keras.losses.Loss]:
        if self.weighting == "fixed":
            return {}
        # Keras has no public name for the loss weights that `compile` was given.
        fixed = self._compile_config.config.get("loss_weights")
        losses = self.loss if isinstance(self.loss, dict) else {}
        if fixed is not None or not all(
            isinstance(losses.get(task), keras.losses.Loss) for task in self.models
        ):
            raise ValueError(
                "Expected a model with learned weights to be compiled without `loss_weights`, and "
                f"with a `keras.losses.Loss` for each of {list(self.models)} in a dict. "
                f"Received: loss={self.loss}, loss_weights={fixed}."
            )
        return losses


class _Half(keras.regularizers.Regularizer):
    def __call__(self, log_variance: Any) -> Any:
        return log_variance / 2


def _shared_backbone(models: Mapping[str, keras.Model]) -> keras.Model:
    backbones = {task: backbone_of(model) for task, model in models.items()}
    backbone = next(iter(backbones.values()), None)
    if len(models) < 2 or backbone is None or any(b is not backbone for b in backbones.values()):
        found = {task: getattr(b, "name", None) for task, b in backbones.items()}
        raise ValueError(
            "Expected at least two models made on one and the same backbone. "
            f"Received: models whose backbones are {found}, the same ones or others of that name."
        )
    return backbone


def _check(pictures: Pictures, weighting: Weighting) -> None:
    for name, value, known in (
        ("pictures", pictures, get_args(Pictures)),
        ("weighting", weighting, get_args(Weighting)),
    ):
        if value not in known:
            raise ValueError(f"Expected `{name}` to be one of {known}. Received: {value!r}.")
