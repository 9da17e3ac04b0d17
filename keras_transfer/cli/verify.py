"""`keras-transfer verify`: would TF Serving serve this version as Keras evaluated it?"""

from __future__ import annotations

from rich.console import Console

from keras_transfer.cli._tensorflow import import_quietly
from keras_transfer.cli.options import Version


def verify(
    version: Version,
) -> None:
    """Check an exported version the way TF Serving loads it.

    Every file has to be the one that was exported, by its SHA-256; the graph has to be one that
    TF Serving can load and batch. Then a separate process loads it through TensorFlow's C API and
    answers the warm-up requests, as Keras did at export. Each step is printed as it is passed.

    Example: `keras-transfer verify models/noto/1`
    """
    import_quietly()
    import keras_transfer as kx

    console = Console()
    with console.status("Verifying"):
        kx.verify(version, on_step=lambda step: console.print(f"passed: {step}"))
    print(f"{version} is what was exported.")
