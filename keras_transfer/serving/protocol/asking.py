"""The protocol suite for one version, asked of a server or of the stand-in."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from collections.abc import Callable, Iterator

from keras_transfer.serving.protocol.suite import run_suite
from keras_transfer.serving.protocol.target import Target, target_of


def protocol_problems(
    version: pathlib.Path,
    servers: tuple[str, str] | None = None,
    on_case: Callable[[str, str], None] = lambda name, problem: None,
) -> list[str]:
    """One sentence for each case that is answered otherwise than TF Serving answers it.

    Args:
        version: a version made by `kx.export`, `models/NAME/N`.
        servers: the REST URL and the gRPC address of a server that has it under that name; None
            asks the stand-in.
        on_case: called with the name of each case and its problem, empty where there is none.
    """
    with _target(version, servers) as target:
        found = run_suite(target, on_case)
    return [f"{name}: {problem}" for name, problem in found.items() if problem]


@contextlib.contextmanager
def _target(version: pathlib.Path, servers: tuple[str, str] | None) -> Iterator[Target]:
    if servers is not None:
        yield target_of(version, *servers)
        return
    from keras_transfer.serving.stand_in.server import StandIn

    # This version alone, whatever others there are.
    with tempfile.TemporaryDirectory() as folder:
        base_path = pathlib.Path(folder, version.resolve().parent.name)
        base_path.mkdir()
        (base_path / version.name).symlink_to(version.resolve())
        with StandIn(base_path, rest_port=0, grpc_port=0) as server:
            yield target_of(
                base_path / version.name,
                server.rest_url,
                server.grpc_address,
                base_path.name,
                is_stand_in=True,
            )
