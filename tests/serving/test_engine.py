import concurrent.futures
import os
import pathlib
import signal

import numpy as np
import pytest
import tensorflow as tf

from keras_transfer.serving.c_api.engine import Engine
from keras_transfer.serving.c_api.session import ModelError
from keras_transfer.serving.signatures.strings import as_strings


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """Doubles numbers, and joins texts to themselves."""
    module = tf.Module()
    module.two = tf.Variable(2.0)
    serve = tf.function(
        lambda x, text: {"y": x * module.two, "twice": text + text},
        input_signature=[
            tf.TensorSpec([None, 3], tf.float32, "x"),
            tf.TensorSpec([None], tf.string, "text"),
        ],
    )
    folder = tmp_path_factory.mktemp("models") / "1"
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    session = tf.compat.v1.Session(graph=tf.Graph())
    graph = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
    signature = graph.signature_def["serving_default"]
    names = {k: v.name for k, v in [*signature.inputs.items(), *signature.outputs.items()]}
    return folder, names


def ask(engine, names, number, rows=4):
    x = np.full([rows, 3], number, "float32")
    texts = as_strings([b"long enough to be kept elsewhere " * (number + 1)] * rows)
    found = engine.run("m", {names["x"]: x, names["text"]: texts}, [names["y"], names["twice"]])
    np.testing.assert_array_equal(found[names["y"]], 2 * x)
    assert found[names["twice"]].tolist() == [text * 2 for text in texts]


def test_many_threads_get_their_own_answers(version):
    folder, names = version
    with Engine() as engine, concurrent.futures.ThreadPoolExecutor(16) as threads:
        engine.load("m", folder, [])
        list(threads.map(lambda number: ask(engine, names, number), range(200)))


@pytest.mark.slow
def test_memory_is_given_back(version):
    folder, names = version
    with Engine() as engine:
        engine.load("m", folder, [])
        x = np.ones([100_000, 3], "float32")
        texts = as_strings([b"x" * 40] * 100_000)

        def run():
            engine.run("m", {names["x"]: x, names["text"]: texts}, [names["y"], names["twice"]])

        for _ in range(3):
            run()
        before = _resident(engine)
        for _ in range(20):
            run()
        # Each run has 10 MB of arrays and of strings each.
        assert _resident(engine) - before < 60_000_000


def _resident(engine):
    pages = pathlib.Path(f"/proc/{engine._process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_versions_come_and_go(version):
    folder, names = version
    with Engine() as engine:
        engine.load("m", folder, [])
        engine.load("other", folder, [])
        engine.unload("other")
        ask(engine, names, 1)
        with pytest.raises(ModelError, match="other"):
            engine.run("other", {}, [])


def test_errors_are_tensorflow_s_own(version, tmp_path):
    folder, names = version
    with Engine() as engine:
        with pytest.raises(ModelError, match="Could not find SavedModel") as raised:
            engine.load("m", tmp_path, [])
        assert raised.value.code == 5  # NOT_FOUND
        engine.load("m", folder, [])
        wrong = {names["x"]: np.ones([2, 3], "int32"), names["text"]: as_strings([b"", b""])}
        with pytest.raises(ModelError) as raised:
            engine.run("m", wrong, [names["y"]])
        assert raised.value.code == 3  # INVALID_ARGUMENT
        ask(engine, names, 0)


def test_a_process_that_dies_is_told_to_all_who_wait(version):
    folder, names = version
    with Engine() as engine:
        engine.load("m", folder, [])
        os.kill(engine._process.pid, signal.SIGKILL)
        with pytest.raises(ModelError, match="has ended with status -9") as raised:
            ask(engine, names, 0)
        assert raised.value.code == 14  # UNAVAILABLE
        assert not engine.alive


def test_an_interpreter_without_tensorflow_is_told(version, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no such module >&2\nexit 3\n")
    python.chmod(0o755)
    with Engine(python) as engine, pytest.raises(ModelError, match="3. no such module"):
        engine.load("m", version[0], [])
