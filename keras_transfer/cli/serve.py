"""`keras-transfer serve --local`: TF Serving's APIs on a laptop, without a container."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import signal
import socket
import threading
from typing import Annotated

import typer
from rich.console import Console

from keras_transfer.cli._tensorflow import import_quietly

Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")]


def serve(
    models: Annotated[
        pathlib.Path,
        typer.Argument(help="A folder of models, such as models/, or of the versions of one."),
    ],
    local: Annotated[
        bool, typer.Option("--local", help="By the stand-in, which is not for production.")
    ] = False,
    rest_port: Port = 8501,
    grpc_port: Port = 8500,
) -> None:
    """Serve models on this machine by TF Serving's REST and gRPC APIs, until Ctrl+C.

    A stand-in for development and tests: it finds, loads, warms up and swaps versions as TF
    Serving does and gives the same answers and errors, without its batching, limits and
    monitoring. It listens on this machine alone.

    Example: `keras-transfer serve --local models/`
    """
    if not local:
        raise ValueError(
            "Expected `--local`: this is a stand-in for development. In production run TF Serving "
            "itself, the container tensorflow/serving. Received: no `--local`."
        )
    _check_free({"--rest-port": rest_port, "--grpc-port": grpc_port})
    import_quietly()
    from keras_transfer.serving.stand_in.server import StandIn

    logging.basicConfig(format="%(message)s")
    console = Console()
    with contextlib.ExitStack() as stack:
        with console.status("Loading"):
            server = stack.enter_context(StandIn(models, rest_port=rest_port, grpc_port=grpc_port))
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        console.print(f"REST: {server.rest_url}   gRPC: {server.grpc_address}")
        for name in server.models.names:
            console.print(f"{server.rest_url}/v1/models/{name}:predict")
        console.print("A stand-in for development; Ctrl+C ends it.")
        ended.wait()


def _check_free(ports: dict[str, int]) -> None:
    """Tells at once what the stand-in would tell when it has loaded all models."""
    with contextlib.ExitStack() as stack:
        for option, port in ports.items():
            try:
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError as error:
                raise OSError(
                    f"Expected a free port; choose another by {option}, or 0 for a free one. "
                    f"Received: {option} {port}: {error.strerror}."
                ) from error
