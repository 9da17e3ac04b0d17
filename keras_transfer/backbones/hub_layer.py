"""A TF Hub module as a layer of Keras 3, whose weights train, freeze and are saved."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_transfer.backbones.adopted_variable import AdoptedVariable, placeholder
from keras_transfer.backbones.module_folder import ModuleFolder, at_hand, kept_copy
from keras_transfer.backbones.saved_module import SavedModule
from keras_transfer.backbones.tensor_specs import from_specs, to_specs
from keras_transfer.backbones.tf_hub_handles import resolve


@keras.saving.register_keras_serializable("keras_transfer")
class HubLayer(keras.layers.Layer):
    """A SavedModel, such as those of TF Hub, as a layer that trains.

    The layer's weights are the module's own variables, so what trains the one trains the other;
    they move under every optimizer and strategy of Keras, and stay where `trainable` is off. A
    frozen module runs as in inference, whatever `fit` says. A `.keras` file holds the module's
    graph, too: it is loaded where the module itself is not.

    Floats are given to the module in the dtypes that it was saved with, and come out in the
    layer's compute dtype; so half precision ends at its borders. Its regularization losses are
    added to those of the model while it trains.

    A module is one block: what it holds cannot be frozen in part. Modules that were saved by
    TensorFlow 1, and those that are called by a signature, are for feature extraction alone.

    Reference: "Reusable SavedModels", TF Hub, tensorflow.org/hub/reusable_saved_models.

    Args:
        handle: str or path. A folder, a local archive (.tar, .tar.gz, .tgz, .zip), or a URL that
            `tensorflow_hub` resolves, such as those of Kaggle and tfhub.dev.
        signature: str. Which of the module's signatures to call. None calls the module itself,
            or "default" or "serving_default" where it cannot be called.
        output_key: str. Which of a dict of outputs is taken; None takes all, as a dict where they
            are several.
        training_mode: bool. Whether the module is told when it is trained, so that its dropout
            acts and its BatchNorm moves. Strategies with `batch_norm="frozen"`, the default, set
            it to False on modules that have weights which are not trained, as BatchNorm has.
        trainable: bool. Defaults to whether the module has weights that can be trained.
        module: dict. What a saved layer tells of its module; for `from_config`.
        options: `name` and `dtype` of any Keras layer.

    Raises:
        ValueError: if there is no SavedModel, TensorFlow cannot load it, it has no such signature
            or output, or is to be trained and cannot.
        FileNotFoundError: if there is no such folder or file.
        ConnectionError: if a URL cannot be resolved.

    Example:

    >>> import tempfile
    >>> import keras
    >>> import keras_transfer as kx
    >>> trained = keras.Sequential([keras.Input([8]), keras.layers.Dense(2)])
    >>> folder = tempfile.mkdtemp()
    >>> trained.export(folder, verbose=False)
    >>> features = kx.HubLayer(folder, signature="serving_default")
    >>> inputs = keras.Input([8])
    >>> model = keras.Model(inputs, keras.layers.Dense(1)(features(inputs)))
    >>> model.output_shape, features.cannot_train
    ((None, 1), "its signature 'serving_default' is for inference alone")
    """

    def __init__(
        self,
        handle: str | os.PathLike[str],
        *,
        signature: str | None = None,
        output_key: str | None = None,
        training_mode: bool = True,
        trainable: bool | None = None,
        module: Mapping[str, Any] | None = None,
        **options: Any,
    ):
        super().__init__(autocast=False, **options)
        self.handle = os.fspath(handle)
        self.signature = signature
        self.output_key = output_key
        self.training_mode = training_mode
        self._module: SavedModule | None = None
        if module is None:
            self._open(resolve(handle))
        else:
            self._await(module)
        if trainable and self.cannot_train:
            raise ValueError(
                f"Expected no `trainable=True`: the module is for feature extraction alone, as "
                f"{self.cannot_train}. Received: trainable=True for {self.handle}."
            )
        self.trainable = self.cannot_train is None if trainable is None else trainable
        self.built = True

    @property
    def cannot_train(self) -> str | None:
        """Why no weight of the module can be trained; None if some can."""
        return self._described["cannot_train"]

    @property
    def keeps_statistics(self) -> bool:
        """Whether it has weights that are not for an optimizer, such as those of BatchNorm."""
        return any(not trainable for *_, trainable in self._described["weights"])

    @property
    def takes(self) -> Any:
        """What the module takes: a tf.TensorSpec, or a list or dict of them."""
        return self._loaded().takes

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Runs the module."""
        module = self._loaded()
        if training and self.trainable and self.cannot_train:
            raise ValueError(
                f"Expected `trainable = False` on layer {self.name!r}: the module is for feature "
                f"extraction alone, as {self.cannot_train}. Received: trainable=True."
            )
        trained = bool(training) and bool(self.trainable_variables)
        outputs = module(inputs, training=trained and self.training_mode)
        if trained:
            for loss in module.regularization_losses:
                self.add_loss(loss())
        return keras.tree.map_structure(self._made, self._chosen(outputs))

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """What comes out, found by tracing, or as it was when the layer was saved."""
        told = to_specs(inputs)
        if self._module is None:
            known = {str(given): made for given, made in self._described["calls"]}
            if str(told) in known:
                return from_specs(known[str(told)])
        outputs = super().compute_output_spec(inputs, training=training)
        call = [told, to_specs(outputs)]
        if call not in self._described["calls"]:
            self._described["calls"].append(call)
        return outputs

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "handle": self.handle,
            "signature": self.signature,
            "output_key": self.output_key,
            "training_mode": self.training_mode,
            "module": self._described,
        }

    def save_assets(self, dir_path: str) -> None:
        """Writes the module's graph; its weights are saved as those of any layer."""
        if self._module is not None:
            self._module.folder.copy_to(pathlib.Path(dir_path))

    def load_assets(self, dir_path: str) -> None:
        """Reads the module's graph, in which the layer's weights take effect."""
        if self._module is None:
            self._receive(kept_copy(pathlib.Path(dir_path)))

    def _open(self, folder: ModuleFolder) -> None:
        module = SavedModule(folder, self.signature)
        self._described = module.description()
        self._adopted = [
            AdoptedVariable(variable, trainable=id(variable) in module.trainable)
            for variable in module.variables
        ]
        self._use(module)

    def _await(self, described: Mapping[str, Any]) -> None:
        """Weights as they were described; the module if it is at hand, else with the assets."""
        self._described = {**described, "calls": list(described["calls"])}
        self._adopted = [placeholder(*weight) for weight in described["weights"]]
        folder = at_hand(described["digest"], self.handle)
        if folder is not None:
            self._receive(folder)

    def _loaded(self) -> SavedModule:
        if self._module is None:
            raise ValueError(
                f"Expected the module of layer {self.name!r}: load the whole `.keras` file, which "
                "holds it, instead of a config or weights alone, or put the module back at "
                f"{self.handle}. Received: no SavedModel of that content there."
            )
        return self._module

    def _receive(self, folder: ModuleFolder) -> None:
        """Takes a module; where the folder holds no values, its variables get this layer's."""
        restore = folder.has_values
        module = SavedModule(folder, self.signature, restore=restore)
        for adopted, variable in zip(self._adopted, module.variables, strict=True):
            if not restore:
                variable.assign(adopted.value)
            adopted.adopt(variable)
        self._use(module)

    def _use(self, module: SavedModule) -> None:
        self._module = module
        # Tracked by TensorFlow: vocabularies and tables go into what is exported.
        self._saved_model = module.trackable

    def _chosen(self, outputs: Any) -> Any:
        if self.output_key is None:
            alone = isinstance(outputs, dict) and len(outputs) == 1
            return next(iter(outputs.values())) if alone else outputs
        if not isinstance(outputs, dict) or self.output_key not in outputs:
            raise ValueError(
                "Expected `output_key` to be one of the outputs of the module. "
                f"Received: output_key={self.output_key!r}, "
                f"outputs={sorted(outputs) if isinstance(outputs, dict) else 'no dict'}."
            )
        return outputs[self.output_key]

    def _made(self, tensor: tf.Tensor) -> tf.Tensor:
        return tf.cast(tensor, self.compute_dtype) if tensor.dtype.is_floating else tensor
