"""Requests that TF Serving answers before it serves a version, with the answers that Keras gave.

Reference: "SavedModel Warmup", TF Serving. A request that fails fails the load, and the version
before goes on serving. The answers stand in the records' responses, which TF Serving does not read.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
# TF Serving refuses more requests, and a request with more rows than its batches may have.
MOST_REQUESTS, MOST_ROWS = 1000, 8
Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Sample:
    """A request and its answer.

    Attributes:
        signature: str.
        inputs: arrays by name; strings are object arrays of bytes.
        outputs: arrays by name.
    """

    signature: str
    inputs: Arrays
    outputs: Arrays


def save_samples(version: pathlib.Path, samples: Iterable[Sample]) -> None:
    """Writes the samples as warm-up requests, in batches of at most eight rows.

    A server whose `max_batch_size` is smaller would refuse the version.

    Raises:
        ValueError: if they are more than TF Serving takes.
    """
    samples = [batch for sample in samples for batch in _batches(sample)]
    if len(samples) > MOST_REQUESTS:
        raise ValueError(
            f"Expected at most {MOST_REQUESTS:,} warm-up requests, as TF Serving does, of up to "
            f"{MOST_ROWS} rows each; give fewer samples. Received: {len(samples):,}."
        )
    (version / FILE).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(version / FILE)) as writer:
        for sample in samples:
            writer.write(_record(sample))


def load_samples(version: pathlib.Path) -> list[Sample]:
    """Reads what `save_samples` wrote.

    Raises:
        FileNotFoundError: if the version holds no samples.
        ValueError: if they are damaged.
    """
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    if not (version / FILE).is_file():
        raise FileNotFoundError(f"Expected warm-up requests. Received: no {version / FILE}.")
    try:
        records = list(tf.data.TFRecordDataset(str(version / FILE)).as_numpy_iterator())
        logs = [PredictionLog.FromString(record).predict_log for record in records]
        return [
            Sample(
                log.request.model_spec.signature_name,
                _arrays(log.request.inputs),
                _arrays(log.response.outputs),
            )
            for log in logs
        ]
    except (tf.errors.DataLossError, DecodeError, TypeError) as error:
        raise ValueError(f"The warm-up requests are damaged: {error}.") from error


def _batches(sample: Sample) -> Iterator[Sample]:
    rows = len(next(iter(sample.inputs.values())))
    for start in range(0, rows, MOST_ROWS):
        inputs, outputs = (
            {name: array[start : start + MOST_ROWS] for name, array in arrays.items()}
            for arrays in (sample.inputs, sample.outputs)
        )
        yield Sample(sample.signature, inputs, outputs)


def _record(sample: Sample) -> bytes:
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    log = PredictionLog()
    log.predict_log.request.model_spec.signature_name = sample.signature
    for name, array in sample.inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    for name, array in sample.outputs.items():
        log.predict_log.response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
    record: bytes = log.SerializeToString(deterministic=True)
    return record


def _arrays(tensors: dict[str, object]) -> Arrays:
    return {name: tf.make_ndarray(tensor) for name, tensor in tensors.items()}
