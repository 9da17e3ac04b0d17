"""`keras-transfer bench-serving`: throughput and latency of a server."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from keras_transfer._progress import track

_TEXT = "A film that nobody should miss, though it is far too long."


def bench_serving(
    url: Annotated[str, typer.Argument(help="http://HOST:8501 or grpc://HOST:8500.")],
    name: Annotated[str, typer.Argument(help="The model.")],
    pictures: Annotated[
        list[pathlib.Path] | None,
        typer.Argument(help="Picture files to send; else one of the bundled ones."),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="A text to send instead; several times.")
    ] = None,
    concurrency: Annotated[str, typer.Option(help="Numbers of clients, with commas.")] = "1,4,16",
    batch_size: Annotated[str, typer.Option(help="Examples in a request, with commas.")] = "1,8,32",
    seconds: Annotated[float, typer.Option(min=0.1, help="For each of them.")] = 3.0,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Of the server; else of this machine.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Measure throughput and latency of a server, and propose batching parameters.

    Each number of clients asks with each number of examples for some seconds; what is proposed is
    for `--batching_parameters_file` of TF Serving.

    Example: `keras-transfer bench-serving http://localhost:8501 noto picture.png`
    """
    from keras_transfer.serving.client.load import batching_parameters, measure_load

    inputs: list[Any] = [path.read_bytes() for path in pictures or []] or list(text or [])
    if not inputs:
        inputs = _made_up(url, name)
    loads = [
        measure_load(url, name, inputs, concurrency=clients, batch_size=size, seconds=seconds)
        for clients, size in track(
            [(x, y) for y in _numbers(batch_size) for x in _numbers(concurrency)], "Asking"
        )
    ]
    proposed = batching_parameters(loads, cores or os.cpu_count() or 1)
    if as_json:
        print(json.dumps({"loads": [vars(x) for x in loads], "batching_parameters": proposed}))
        return
    table = Table("clients", "examples a request", "examples a second", title=f"{url} {name}")
    for column in ("p50 ms", "p95 ms", "p99 ms", "errors"):
        table.add_column(column, justify="right")
    for x in loads:
        waits = [f"{1000 * wait:.1f}" for wait in (x.p50, x.p95, x.p99)]
        speed = f"{x.examples_per_second:.0f}"
        table.add_row(str(x.concurrency), str(x.batch_size), speed, *waits, str(x.errors))
    Console().print(table)
    if proposed is None:
        print("Larger batches gain less than a fifth: serve without batching.")
    else:
        print(f"For --enable_batching --batching_parameters_file:\n{proposed}", end="")


def _numbers(text: str) -> list[int]:
    try:
        numbers = sorted({int(part) for part in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise ValueError(f"Expected whole numbers from 1 with commas. Received: {text!r}.")
    return numbers


def _made_up(url: str, name: str) -> list[str] | list[bytes]:
    from keras_transfer.serving.client.serving_client import ServingClient

    with ServingClient(url) as client:
        [takes] = client.signatures(name)["serving_default"]
    if takes == "text":
        return [_TEXT]
    import keras_transfer as kx

    folder = kx.emoji_styles_folder("noto") / "test"
    return [next(iter(sorted(folder.rglob("*.png")))).read_bytes()]
