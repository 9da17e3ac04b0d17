"""`keras-transfer verify`: would TF Serving serve this version as Keras evaluated it?"""

from __future__ import annotations

from rich.console import Console

from keras_transfer.cli._tensorflow import import_quietly
from keras_transfer.cli.options import Version


def verify(
    version: Version,
) -> None:
    """Check an exported version the way TF Serving loads it.

    A separate process loads it through TensorFlow's C API and runs the samples that were stored
    at export; the answers have to be those that Keras gave.

    Example: `keras-transfer verify models/noto/1`
    """
    import_quietly()
    import keras_transfer as kx

    with Console().status("Verifying"):
        kx.verify(version)
    print(f"{version} loads and answers as the Keras model did.")
