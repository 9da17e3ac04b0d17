"""A SavedModel as something to call: its function, its variables, what it takes."""

from __future__ import annotations

import pathlib
from typing import Any

import tensorflow as tf

from keras_transfer.backbones.module_folder import ModuleFolder

# What TF Hub calls the file that marks a module of TensorFlow 1.
_TF1_MARK = "tfhub_module.pb"
_DEFAULT_SIGNATURES = ("default", "serving_default")


class SavedModule:
    """A loaded SavedModel.

    Args:
        folder: where it lies.
        signature: name of the signature to call. None calls the object itself where that can be
            called, as TF Hub's modules of TensorFlow 2 can.
        restore: whether variables get the values in the folder; else they have none yet.

    Attributes:
        folder: as given.
        trackable: what TensorFlow has loaded.
        variables: list of tf.Variable, all that calls read.
        trainable: set of the ids of those that may be trained.
        takes_training: whether calls are told if they are for training.
        cannot_train: str. Why no variable may be trained; None if some may.
        regularization_losses: list of functions.

    Raises:
        ValueError: if it cannot be loaded, or there is no such signature.
    """

    def __init__(self, folder: ModuleFolder, signature: str | None = None, *, restore: bool = True):
        self.folder = folder
        self.trackable = _load(folder.path, restore)
        self._signature = _signature(self.trackable, signature)
        if self._signature is None:
            self._function = self.trackable.__call__
            self._concrete = self._function.concrete_functions
            listed = list(getattr(self.trackable, "variables", []))
            self.trainable = {id(v) for v in getattr(self.trackable, "trainable_variables", [])}
            self.regularization_losses = list(getattr(self.trackable, "regularization_losses", []))
        else:
            self._function = self.trackable.signatures[self._signature]
            self._concrete = [self._function]
            listed, self.trainable, self.regularization_losses = [], set(), []
        self.variables = _once([*listed, *(v for f in self._concrete for v in f.variables)])
        self.takes_training = "training" in self._concrete_arguments()
        self.cannot_train = None if self.trainable else self._why_fixed()

    def __call__(self, inputs: Any, *, training: bool) -> Any:
        """Runs it on tensors in the structure that it takes, of any dtypes."""
        inputs = self._given(inputs)
        if self._signature is not None:
            names = list(self._function.structured_input_signature[1])
            if not isinstance(inputs, dict):
                inputs = dict(zip(names, tf.nest.flatten(inputs), strict=True))
            return self._function(**inputs)
        return self._function(inputs, **({"training": training} if self.takes_training else {}))

    @property
    def takes(self) -> Any:
        """What a call takes: a tf.TensorSpec, or a list or dict of them."""
        if self._signature is not None:
            specs = dict(self._function.structured_input_signature[1])
            return next(iter(specs.values())) if len(specs) == 1 else specs
        first = [function.structured_input_signature[0][0] for function in self._concrete]
        return max(first, key=_freedom)

    def _given(self, inputs: Any) -> Any:
        """In the structure and the dtypes that it takes."""
        takes = self.takes
        if not isinstance(takes, dict):
            return tf.nest.map_structure(_cast, takes, inputs)
        if not isinstance(inputs, dict) or not takes.keys() <= inputs.keys():
            received = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
            raise ValueError(
                f"Expected a dict of inputs with {sorted(takes)}, which the module takes. "
                f"Received: {received}."
            )
        return {name: _cast(spec, inputs[name]) for name, spec in takes.items()}

    def description(self) -> dict[str, Any]:
        """What has to be known where the module itself is not, in the form of JSON."""
        return {
            "digest": self.folder.digest,
            "weights": [
                [v.name.partition(":")[0], list(v.shape), v.dtype.name, id(v) in self.trainable]
                for v in self.variables
            ],
            "cannot_train": self.cannot_train,
            "calls": [],
        }

    def _concrete_arguments(self) -> list[str]:
        if self._signature is not None:
            return []
        return list(self._function.function_type.parameters)

    def _why_fixed(self) -> str:
        if hasattr(self.trackable, "prune"):  # how TensorFlow 2 shows what TensorFlow 1 has saved
            return "it was saved by TensorFlow 1, as a graph for inference alone"
        if self._signature is not None:
            return f"its signature {self._signature!r} is for inference alone"
        return "it lists no `trainable_variables`"


def _load(path: pathlib.Path, restore: bool) -> Any:
    tags: list[str] | None = [] if (path / _TF1_MARK).is_file() else None
    options = tf.saved_model.LoadOptions(experimental_skip_checkpoint=not restore)
    try:
        return tf.saved_model.load(str(path), tags=tags, options=options)
    except (ValueError, OSError, RuntimeError, tf.errors.OpError) as error:
        raise ValueError(
            f"Expected a SavedModel that TensorFlow {tf.__version__} loads. Received: {path}, "
            f"where it says: {error}"
        ) from error


def _signature(module: Any, wanted: str | None) -> str | None:
    """The name of the signature to call; None to call the module itself."""
    names = list(getattr(module, "signatures", {}))
    if wanted is None and callable(module):
        return None
    if wanted is None:
        wanted = next((name for name in _DEFAULT_SIGNATURES if name in names), None)
    if wanted not in names:
        raise ValueError(
            "Expected a module that can be called, or the name of one of its signatures as "
            f"`signature`. Received: signature={wanted!r}, with signatures {names}."
        )
    return wanted


def _freedom(specs: Any) -> int:
    """How many sizes are open."""
    shapes = [spec.shape for spec in tf.nest.flatten(specs) if isinstance(spec, tf.TensorSpec)]
    return sum(size is None for shape in shapes if shape.rank is not None for size in shape)


def _once(variables: list[tf.Variable]) -> list[tf.Variable]:
    return list({id(variable): variable for variable in variables}.values())


def _cast(spec: Any, value: Any) -> Any:
    return tf.cast(value, spec.dtype) if isinstance(spec, tf.TensorSpec) else value
