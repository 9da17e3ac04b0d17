"""`keras-transfer label` and `rollback`: which version of a model clients get."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

BasePath = Annotated[
    pathlib.Path, typer.Argument(help="The model's folder, such as models/flowers.")
]
Server = Annotated[
    str | None,
    typer.Option(
        help="URL of a server that watches models.config: it has to have loaded the version "
        "before it may get the label."
    ),
]


def label(
    base_path: BasePath,
    name: Annotated[str | None, typer.Argument(help="The label, such as stable or canary.")] = None,
    version: Annotated[int | None, typer.Argument(help="The version that is to have it.")] = None,
    server: Server = None,
) -> None:
    """Show the labels of a model's versions, or give one to a version.

    Labels stand in models.config beside the model's folder, which TF Serving watches; clients ask
    for them by /v1/models/NAME/labels/LABEL. A running server refuses a file in which a label
    goes to a version that it has not loaded, so name it by `--server`.

    Example: `keras-transfer label models/flowers stable 3 --server http://localhost:8501`
    """
    from keras_transfer.serving.versions.models_config import labels_of, set_label
    from keras_transfer.serving.versions.numbers import versions

    if name is None:
        labels = labels_of(base_path)
        table = Table("Version", "Labels")
        for number in reversed(versions(base_path)):
            table.add_row(str(number), ", ".join(x for x, n in labels.items() if n == number))
        Console().print(table)
        return
    if version is None:
        raise ValueError(f"Expected a label and a version. Received: {name} and no version.")
    with _loaded(base_path, server) as loaded:
        set_label(base_path, name, version, loaded=loaded)
    print(f"{name} is version {version} of {base_path.resolve().name}.")


def rollback(
    base_path: BasePath,
    name: Annotated[str, typer.Argument(help="The label.")] = "stable",
    server: Server = None,
) -> None:
    """Give a label to the version before the one that has it.

    Example: `keras-transfer rollback models/flowers --server http://localhost:8501`
    """
    from keras_transfer.serving.versions.models_config import roll_back

    with _loaded(base_path, server) as loaded:
        version = roll_back(base_path, name, loaded=loaded)
    print(f"{name} is version {version} of {base_path.resolve().name} again.")


@contextmanager
def _loaded(base_path: pathlib.Path, server: str | None) -> Iterator[Callable[[int], None] | None]:
    """What waits until the server has a version."""
    if server is None:
        yield None
        return
    from keras_transfer.serving.client.serving_client import ServingClient

    model = base_path.resolve().name
    with ServingClient(server, timeout=600) as client, Console(stderr=True).status("Loading"):
        yield lambda version: client.wait_until_available(model, version)
