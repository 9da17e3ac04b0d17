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
from keras_transfer.cli._tensorflow import import_quietly
from keras_transfer.cli.options import Token

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
    token: Token = None,
) -> None:
    """Measure throughput and latency of a server, and propose batching parameters.

    Each number of clients asks with each number of examples for some seconds. They send nothing
    again, so what the server refuses shows under errors. What is proposed is for
    `--batching_parameters_file` of TF Serving.

    Example: `keras-transfer bench-serving http://localhost:8501 noto picture.png`
    """
    if url.startswith("grpc://"):
        import_quietly()
    from keras_transfer.serving.client.load import batching_parameters, measure_load

    sizes = _numbers(batch_size)
    cases = [(clients, size) for size in sizes for clients in _numbers(concurrency)]
    inputs = _given(pictures or [], text or []) or _made_up(url, name, token)
    loads = [
        measure_load(
            url, name, inputs, concurrency=clients, batch_size=size, seconds=seconds, token=token
        )
        for clients, size in track(cases, "Asking")
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
    print(_advice(sizes, proposed))


def _advice(sizes: list[int], proposed: str | None) -> str:
    if len(sizes) == 1:
        return "One --batch-size shows no gain: measure at least two for a proposal."
    if proposed is not None:
        return f"For --enable_batching --batching_parameters_file:\n{proposed}".rstrip()
    gain = f"Batches of up to {sizes[-1]} gain less than a fifth over those of {sizes[0]}"
    return f"{gain}: serve without batching." if sizes[0] == 1 else f"{gain}; measure 1, too."


def _given(pictures: list[pathlib.Path], texts: list[str]) -> list[Any]:
    if pictures and texts:
        raise ValueError("Expected either picture files or texts (--text). Received: both.")
    for path in pictures:
        if not path.is_file():
            what = "a folder" if path.is_dir() else "not there"
            raise FileNotFoundError(f"Expected picture files. Received: {path}, {what}.")
    return [path.read_bytes() for path in pictures] or list(texts)


def _numbers(text: str) -> list[int]:
    try:
        numbers = sorted({int(part) for part in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise ValueError(f"Expected whole numbers from 1 with commas. Received: {text!r}.")
    return numbers


def _made_up(url: str, name: str, token: str | None) -> list[Any]:
    from keras_transfer.serving.client.input_names import only_input
    from keras_transfer.serving.client.serving_client import ServingClient
    from keras_transfer.serving.signatures.names import DEFAULT

    with ServingClient(url, token=token) as client:
        takes = only_input(client.signatures(name), DEFAULT)
    if takes == "text":
        return [_TEXT]
    import_quietly()
    import keras_transfer as kx

    folder = kx.emoji_styles_folder("noto") / "test"
    return [next(iter(sorted(folder.rglob("*.png")))).read_bytes()]
