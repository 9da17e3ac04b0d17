"""A worker's connection to its chief, which outlives the chief."""

from __future__ import annotations

import json
import os

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_client import OracleClient

# A call that the chief's death cuts off is made again; the chief takes it only once. Five are as
# many as gRPC allows.
_SERVICE = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.5s",
                "maxBackoff": "5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_OPTIONS = [
    ("grpc.service_config", json.dumps(_SERVICE)),
    # Else a worker looks for a chief that has been away for long every two minutes.
    ("grpc.max_reconnect_backoff_ms", 1000),
]

ConnectionLostError = grpc.RpcError


def keep_calling(client: OracleClient) -> None:
    """From now on the client waits for a chief that comes back, an hour at most.

    KerasTuner's own client ends with an error that would be taken for one of its trial.

    Args:
        client: what a worker has in the place of an oracle.
    """
    address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
    channel = grpc.insecure_channel(address, options=_OPTIONS)
    client.stub = protos.get_service_grpc().OracleStub(channel)
