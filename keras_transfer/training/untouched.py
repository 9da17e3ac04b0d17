"""Everything that a trial run of training changes, put back bit for bit."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

# Private: the public functions that reach these states draw from them.
from keras.src.backend.common import global_state
from tensorflow.python.eager import context as eager

from keras_transfer.models.blocks import flatten

_SEEDS = "global_seed_generator"  # Keras's name for its own


@contextlib.contextmanager
def untouched(model: keras.Model) -> Iterator[None]:
    """Lets the model be compiled and fitted inside, and then puts back what it was.

    That is its weights, the state of dropout and metrics, `trainable` flags, optimizer, compiled
    functions and history; and the random states of Python, NumPy, TensorFlow and Keras. It does
    so after an error or Ctrl-C as well. The optimizer given to `compile` inside has to be a new
    one.

    Args:
        model: a built keras.Model, compiled or not.
    """
    undo = [_attributes(model), _flags(model), _values(model), _random_states()]
    try:
        yield
    finally:
        for put_back in undo:
            put_back()


def _attributes(model: keras.Model) -> Callable[[], None]:
    """What `compile` and `fit` set, and the lists in which TensorFlow keeps what to checkpoint."""
    attributes = vars(model)
    containers = [attributes, *(v for v in attributes.values() if type(v) in (dict, list))]
    contents = [container.copy() for container in containers]

    def put_back() -> None:
        for container, content in zip(containers, contents, strict=True):
            container.clear()
            (container.update if isinstance(content, dict) else container.extend)(content)

    return put_back


def _flags(model: keras.Model) -> Callable[[], None]:
    """Layers from outside in, as each sets those inside, and then variables."""
    holders = [*flatten(model), *model.variables]
    flags = [holder.trainable for holder in holders]

    def put_back() -> None:
        for holder, flag in zip(holders, flags, strict=True):
            if holder.trainable != flag:
                holder.trainable = flag

    return put_back


def _values(model: keras.Model) -> Callable[[], None]:
    variables = [*model.variables, *model.metrics_variables]
    values = [np.array(variable.numpy()) for variable in variables]

    def put_back() -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    return put_back


def _random_states() -> Callable[[], None]:
    python, numpy = random.getstate(), np.random.get_state()
    tensorflow, operations = _tensorflow_generator(), getattr(eager.context(), "_rng", None)
    operations_state = operations and operations.getstate()
    tensorflow_state = None if tensorflow is None else tensorflow.state.numpy().copy()
    seeds = global_state.get_global_attribute(_SEEDS)
    seeds_state = None if seeds is None else np.array(seeds.state.numpy())

    def put_back() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        if tensorflow is not None:
            tensorflow.state.assign(tensorflow_state)
        if operations:
            operations.setstate(operations_state)
        global_state.set_global_attribute(_SEEDS, seeds)
        if seeds is not None:
            seeds.state.assign(seeds_state)

    return put_back


def _tensorflow_generator() -> tf.random.Generator | None:
    """TensorFlow's global generator; it refuses to be made while ops have to be deterministic."""
    with contextlib.suppress(RuntimeError):
        return tf.random.get_global_generator()
    return None
