"""`keras-transfer label` and `rollback`: which version of a model clients get."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keras_transfer.cli._tensorflow import import_quietly
from keras_transfer.cli.options import Token

_SECONDS_TO_LOAD = 600
BasePath = Annotated[
    pathlib.Path, typer.Argument(help="The model's folder, such as models/flowers.")
]
Servers = Annotated[
    list[str] | None,
    typer.Option(
        "--server",
        help="URL of a server that watches models.config: it has to have loaded the version "
        "before it may get the label. Several times for several replicas.",
    ),
]


def label(
    base_path: BasePath,
    name: Annotated[str | None, typer.Argument(help="The label, such as stable or canary.")] = None,
    version: Annotated[int | None, typer.Argument(help="The version that is to have it.")] = None,
    servers: Servers = None,
    token: Token = None,
) -> None:
    """Show the labels of a model's versions, or give one to a version.

    Labels stand in models.config beside the model's folder, which TF Serving watches; clients ask
    for them by /v1/models/NAME/labels/LABEL. A running server refuses a file in which a label
    goes to a version that it has not loaded, so name it by `--server`, and each of its replicas.

    Example: `keras-transfer label models/flowers stable 3 --server http://localhost:8501`
    """
    from keras_transfer.serving.versions.labels import labels_of, set_label
    from keras_transfer.serving.versions.numbers import versions

    if name is None:
        found = versions(base_path)
        if not found:
            raise FileNotFoundError(
                "Expected a model's folder with versions, such as models/flowers. "
                f"Received: {base_path}, no versions below it."
            )
        labels = labels_of(base_path)
        table = Table("Version", "Labels")
        for number in reversed(found):
            table.add_row(str(number), ", ".join(x for x, n in labels.items() if n == number))
        Console().print(table)
        return
    if version is None:
        raise ValueError(f"Expected a label and a version. Received: {name} and no version.")
    with _loaded(base_path, servers, token) as loaded:
        set_label(base_path, name, version, loaded=loaded)
    print(f"{name} is version {version} of {_model(base_path)}.")


def rollback(
    base_path: BasePath,
    name: Annotated[str, typer.Argument(help="The label.")] = "stable",
    servers: Servers = None,
    token: Token = None,
) -> None:
    """Give a label to the version before the one that has it.

    Example: `keras-transfer rollback models/flowers --server http://localhost:8501`
    """
    from keras_transfer.serving.versions.labels import roll_back

    with _loaded(base_path, servers, token) as loaded:
        version = roll_back(base_path, name, loaded=loaded)
    print(f"{name} is version {version} of {_model(base_path)} again.")


def _model(base_path: pathlib.Path) -> str:
    """What servers call it: by models.config, else by its folder, which may be a link."""
    from keras_transfer.serving.versions.models_config import absolute, entry_of, read_config

    path = absolute(base_path)
    entry = entry_of(read_config(path.parent), path)
    return path.name if entry is None else str(entry.name)


@contextlib.contextmanager
def _loaded(
    base_path: pathlib.Path, servers: list[str] | None, token: str | None
) -> Iterator[Callable[[int], None] | None]:
    """What waits until all servers have a version."""
    if not servers:
        yield None
        return
    if any(url.startswith("grpc://") for url in servers):
        import_quietly()
    from keras_transfer.serving.client.errors import ServingError
    from keras_transfer.serving.client.serving_client import ServingClient

    with contextlib.ExitStack() as stack:
        clients = {
            url: stack.enter_context(ServingClient(url, timeout=_SECONDS_TO_LOAD, token=token))
            for url in servers
        }

        def wait(version: int) -> None:
            for url, client in clients.items():
                with Console(stderr=True).status(f"Loading by {escape(url)}"):
                    try:
                        client.wait_until_available(_model(base_path), version)
                    except ServingError as error:
                        raise ServingError(f"{url}: {error}", error.status) from error

        yield wait
