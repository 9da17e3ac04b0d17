"""What a version says of its signatures."""

from __future__ import annotations

from typing import Any

from keras_transfer.serving.stand_in.served_versions import ServedVersion


def signature_defs(version: ServedVersion) -> Any:
    """A SignatureDefMap."""
    from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap

    found = SignatureDefMap()
    for name, signature in version.signatures.items():
        found.signature_def[name].CopyFrom(signature)
    return found
