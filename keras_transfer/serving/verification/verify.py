"""Checks an exported version the way TF Serving would meet it, step by step."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

from keras_transfer.serving.verification.answers import answer_problems
from keras_transfer.serving.verification.graph_checks import graph_problems
from keras_transfer.serving.verification.problems import VerificationError
from keras_transfer.serving.verification.saved_graph import served_graph
from keras_transfer.serving.versions.manifest import manifest_problems

# What each step shows, as it is printed.
FILES = "every file is the one that was exported"
GRAPH = "TF Serving knows the graph's operations and can batch its signatures"
OTHER = "so it does through the C API of TensorFlow"
PROTOCOL = "the stand-in answers good and malformed requests by REST and gRPC with it as it should"
SERVER = "the server answers good and malformed requests by REST and gRPC with it as it should"
ANSWERS = "loaded through TensorFlow's C API it answers as Keras did"


def verify(
    version_path: str | os.PathLike[str],
    *,
    tensorflow: Sequence[str] = (),
    protocol: bool = False,
    servers: tuple[str, str] | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> list[str]:
    """Loads a version as TF Serving loads it and compares its answers with Keras's.

    First every file is compared with the SHA-256 in the version's manifest. Then the graph is
    checked for what TF Serving can serve: signatures with the batch first and types that its REST
    API knows, operations that it links, no calls of Python, no access to files, nothing that XLA
    would have to compile, nothing bound to a GPU. Then a separate process loads the version
    through TensorFlow's C API (which `tf.saved_model.load` does not use) and answers the warm-up
    requests; the answers that Keras gave are stored beside them. On request it is asked over the
    network: nearly a hundred good and malformed requests by REST and gRPC, each of which has to
    be answered with Keras's answer or TF Serving's status, and to leave the server as it was. And
    it is loaded by other versions of TensorFlow, those of older servers.

    Args:
        version_path: a version made by `kx.export`, `base_path/N`.
        tensorflow: versions such as "2.20.0", each of which pip installs once into an environment
            of its own below Keras's home.
        protocol: whether to ask the stand-in for TF Serving with this version. Needs
            `pip install 'keras-transfer[serving]'`.
        servers: URL of REST and address of gRPC of a real server that has this version under the
            name of its base path, such as ("http://localhost:8501", "localhost:8500"); None for
            none.
        on_step: called with the name of each step that was passed.

    Returns:
        list of str, the steps.

    Raises:
        FileNotFoundError: if there is no such folder.
        VerificationError: if anything is off; it lists all that the first failing step found.

    Example:

    >>> import keras, tempfile
    >>> import keras_transfer as kx
    >>> pixels = keras.Input([32, 32, 3])
    >>> model = kx.Classifier(keras.Model(pixels, keras.layers.Conv2D(8, 3)(pixels)), 2)
    >>> version = kx.export(model, tempfile.mkdtemp(), resize="crop")
    >>> kx.verify(version)[0]
    'every file is the one that was exported'
    """
    version = pathlib.Path(version_path)
    if not version.is_dir():
        raise FileNotFoundError(f"Expected the folder of an exported version. Received: {version}.")
    raise_problems(version, manifest_problems(version))
    on_step(FILES)
    passed = [FILES]
    for step in verify_unpublished(version):
        on_step(step)
        passed.append(step)
    for other in tensorflow:
        raise_problems(version, answer_problems(version, served_graph(version), other))
        on_step(f"{OTHER} {other}")
        passed.append(f"{OTHER} {other}")
    asked = [(PROTOCOL, None)] * protocol + ([] if servers is None else [(SERVER, servers)])
    for step, which in asked:
        from keras_transfer.serving.protocol.asking import protocol_problems

        raise_problems(version, protocol_problems(version, which))
        on_step(step)
        passed.append(step)
    return passed


def verify_unpublished(version: pathlib.Path) -> Iterator[str]:
    """The steps for a version that has no manifest yet; gives the name of each that is passed.

    Raises:
        VerificationError: if anything is off.
    """
    raise_problems(version, _missing_files(version))
    graph = served_graph(version)
    raise_problems(version, graph_problems(graph))
    yield GRAPH
    raise_problems(version, answer_problems(version, graph))
    yield ANSWERS


def raise_problems(version: pathlib.Path, problems: list[str]) -> None:
    """Raises a VerificationError if there are any."""
    if problems:
        raise VerificationError(version, problems)


def _missing_files(version: pathlib.Path) -> list[str]:
    """A version without its variables loads without an error, and fails when it is asked."""
    needed = ["saved_model.pb", "variables/variables.index"]
    return [f"There is no {name}." for name in needed if not (version / name).is_file()]
