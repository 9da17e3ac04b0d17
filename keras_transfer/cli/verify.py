"""`keras-transfer verify`: would TF Serving serve this version as Keras evaluated it?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from keras_transfer.cli._tensorflow import import_quietly
from keras_transfer.cli.options import Version


def verify(
    version: Version,
    tensorflow: Annotated[
        list[str] | None,
        typer.Option(help="Load it by this TensorFlow, too, which pip installs; several times."),
    ] = None,
    protocol: Annotated[
        bool, typer.Option("--protocol", help="Ask the stand-in for TF Serving, too.")
    ] = False,
    rest: Annotated[
        str | None,
        typer.Option(envvar="KX_SERVING_REST", help="Ask a real server, too: its REST URL."),
    ] = None,
    grpc: Annotated[
        str | None,
        typer.Option(envvar="KX_SERVING_GRPC", help="The address of its gRPC, host:port."),
    ] = None,
) -> None:
    """Check an exported version the way TF Serving loads it.

    Every file has to be the one that was exported, by its SHA-256; the graph has to be one that
    TF Serving can load and batch. Then a separate process loads it through TensorFlow's C API and
    answers the warm-up requests, as Keras did at export. Each step is printed as it is passed.
    `--tensorflow 2.20.0` does so by an older one, as a server may be. `--protocol` asks it nearly a
    hundred good and malformed requests by REST and gRPC; `--rest` and `--grpc` ask these of a real
    server.

    Example: `keras-transfer verify models/noto/1`
    """
    import_quietly()
    import keras_transfer as kx

    if (rest is None) != (grpc is None):
        raise ValueError(f"Expected both --rest and --grpc. Received: {rest=}, {grpc=}.")
    console = Console()
    servers = None if rest is None or grpc is None else (rest, grpc)
    with console.status("Verifying"):
        kx.verify(
            version,
            tensorflow=tensorflow or [],
            protocol=protocol,
            servers=servers,
            on_step=lambda step: console.print(f"passed: {step}"),
        )
    print(f"{version} is what was exported.")
