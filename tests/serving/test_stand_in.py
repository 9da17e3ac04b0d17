import concurrent.futures
import contextlib
import json
import os
import shutil
import signal
import socket
import threading
import time

import keras
import numpy as np
import pytest
import requests
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.serving.c_api.session import ModelError
from keras_transfer.serving.protocol.suite import run_suite
from keras_transfer.serving.protocol.target import target_of
from keras_transfer.serving.stand_in import served_models
from keras_transfer.serving.stand_in.json_tensors import read_request, write_answer
from keras_transfer.serving.stand_in.served_versions import ServedVersion
from keras_transfer.serving.stand_in.server import StandIn
from keras_transfer.serving.stand_in.sources import sources_in
from keras_transfer.serving.versions.labels import set_label


@pytest.fixture
def exported(small_version):
    return small_version


@pytest.fixture
def base_path(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "models" / "flowers" / "1")
    return tmp_path / "models" / "flowers"


@contextlib.contextmanager
def serving(base_path):
    with StandIn(base_path.parent, rest_port=0, grpc_port=0, poll_seconds=0.05) as server:
        yield server


def add_version(base_path, exported, number):
    staging = base_path / f".staging-{number}"
    shutil.copytree(exported, staging)
    os.rename(staging, base_path / str(number))


def states(server):
    told = requests.get(f"{server.rest_url}/v1/models/flowers").json()
    return {one["version"]: one["state"] for one in told["model_version_status"]}


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(server, path="flowers"):
    body = {"signature_name": "pixels", "instances": np.zeros([1, 8, 8, 3]).tolist()}
    return requests.post(f"{server.rest_url}/v1/models/{path}:predict", json=body)


def test_it_answers_as_tf_serving_does(base_path):
    with serving(base_path) as server:
        target = target_of(base_path / "1", server.rest_url, server.grpc_address, is_stand_in=True)
        problems = run_suite(target, lambda name, problem: None)
    assert len(problems) > 95
    assert "REST: lists within 100,000 lists" in problems  # of no real server: it may crash
    assert {name: problem for name, problem in problems.items() if problem} == {}


@pytest.mark.slow
def test_it_answers_for_texts_as_tf_serving_does(tmp_path):
    ids = keras.Input([None], dtype="int32", name="token_ids")
    mask = keras.Input([None], dtype="int32", name="padding_mask")
    vectors = keras.layers.Embedding(5, 2)(ids)
    backbone = keras.Model({"token_ids": ids, "padding_mask": mask}, vectors)
    model = kx.Classifier(backbone, ["good", "bad"], pooling="mean")
    words = kx.Words(["good", "bad", "film"], sequence_length=8)
    version = kx.export(model, tmp_path / "reviews", preprocessor=words)
    with serving(tmp_path / "reviews") as server:
        target = target_of(version, server.rest_url, server.grpc_address)
        problems = run_suite(target, lambda name, problem: None)
    assert {name: problem for name, problem in problems.items() if problem} == {}


@pytest.mark.slow
def test_the_suite_finds_what_is_wrong(base_path, monkeypatch):
    monkeypatch.setattr("keras_transfer.serving.stand_in.rest._STATUS", {})
    with serving(base_path) as server:
        target = target_of(base_path / "1", server.rest_url, server.grpc_address)
        problems = run_suite(target, lambda name, problem: None)
    assert problems["REST: an empty body"].startswith("status 500, not 400")
    assert not problems["gRPC: no input"]


@pytest.mark.slow
def test_a_new_version_takes_over_and_nobody_notices(base_path, exported):
    failed, ended = [], threading.Event()
    with serving(base_path) as server:

        def keep_asking():
            while not ended.is_set():
                answer = ask(server)
                if answer.status_code != 200:
                    failed.append(answer.text)

        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            for _ in range(8):
                threads.submit(keep_asking)
            for number in (2, 3, 4):
                add_version(base_path, exported, number)
                wait_for(lambda number=number: states(server).get(str(number)) == "AVAILABLE")
            wait_for(lambda: states(server)["3"] == "END")
            ended.set()
    assert failed == []


def test_a_broken_version_leaves_the_one_before(base_path, exported):
    with serving(base_path) as server:
        broken = base_path / ".broken"
        shutil.copytree(exported, broken)
        shutil.rmtree(broken / "variables")
        os.rename(broken, base_path / "2")
        wait_for(lambda: states(server).get("2") == "END")
        assert ask(server).status_code == 200
        assert ask(server, "flowers/versions/2").status_code == 404
        told = requests.get(f"{server.rest_url}/v1/models/flowers/versions/2").json()
        [status] = told["model_version_status"]
        assert status["status"]["error_code"] != "OK"
        assert states(server)["1"] == "AVAILABLE"


def test_a_version_without_variables_fails_by_its_warm_up_alone(base_path):
    shutil.rmtree(base_path / "1" / "variables")
    (base_path / "1" / "assets.extra" / "tf_serving_warmup_requests").unlink()
    with serving(base_path) as server:
        assert states(server) == {"1": "AVAILABLE"}  # which is why every version has requests
        assert ask(server).status_code == 400


@pytest.mark.slow
def test_a_version_that_goes_is_unloaded(base_path, exported):
    add_version(base_path, exported, 2)
    with serving(base_path) as server:
        assert states(server) == {"2": "AVAILABLE"}
        os.rename(base_path / "2", base_path / ".trash-2")
        wait_for(lambda: states(server) == {"2": "END", "1": "AVAILABLE"})
        assert ask(server).status_code == 200


def test_labels_are_those_of_the_file(base_path, exported):
    add_version(base_path, exported, 2)
    set_label(base_path, "stable", 1)
    with serving(base_path) as server:
        assert states(server) == {"1": "AVAILABLE"}
        assert ask(server, "flowers/labels/stable").status_code == 200
        assert ask(server, "flowers/labels/canary").status_code == 400
        # Refused, for the label would go to a version that is not there: all stays.
        set_label(base_path, "stable", 2)
        time.sleep(0.3)
        assert states(server) == {"1": "AVAILABLE"}
        assert ask(server, "flowers/labels/stable").status_code == 200
        set_label(base_path, "stable", 1)

        def loaded(number):
            wait_for(lambda: states(server).get(str(number)) == "AVAILABLE")

        set_label(base_path, "stable", 2, loaded=loaded)
        wait_for(lambda: states(server)["1"] == "END")
        assert ask(server, "flowers/labels/stable").status_code == 200


def test_a_process_that_dies_is_started_again(base_path):
    with serving(base_path) as server:
        os.kill(server.models._engine._process.pid, signal.SIGKILL)
        wait_for(lambda: ask(server).status_code == 200)


def test_a_version_that_ends_the_process_leaves_the_one_before(base_path, exported, monkeypatch):
    load, tried = ServedVersion.load, []

    def load_or_crash(version, engine):
        if version.number == 2:
            tried.append(version.number)
            engine._process.kill()
        load(version, engine)

    monkeypatch.setattr(ServedVersion, "load", load_or_crash)
    with serving(base_path) as server:
        add_version(base_path, exported, 2)
        wait_for(lambda: states(server) == {"1": "AVAILABLE", "2": "END"})
        add_version(base_path, exported, 3)
        wait_for(lambda: states(server).get("3") == "AVAILABLE")
        assert ask(server).status_code == 200
    assert tried == [2]


def test_a_base_path_alone_is_one_model(base_path):
    [source] = sources_in(base_path)
    assert (source.name, source.policy) == ("flowers", "latest")
    assert source.wanted([1, 3, 2]) == [3]


def test_several_models_and_policies(base_path, tmp_path):
    (tmp_path / "models" / "cats" / "3").mkdir(parents=True)
    (tmp_path / "models" / "notes").mkdir()
    assert [one.name for one in sources_in(tmp_path / "models")] == ["cats", "flowers"]
    (tmp_path / "models" / "models.config").write_text(
        """model_config_list {
          config { name: "c" base_path: "/models/cats" model_version_policy { all {} } }
          config { name: "f" base_path: "/models/flowers"
                   model_version_policy { latest { num_versions: 2 } } }
          config { name: "s" base_path: "/models/flowers"
                   model_version_policy { specific { versions: 1 versions: 7 } } }
        }"""
    )
    cats, flowers, some = sources_in(tmp_path / "models")
    assert cats.base_path == tmp_path / "models" / "cats"
    assert cats.wanted([2, 1]) == [1, 2]
    assert flowers.wanted([1, 2, 3]) == [2, 3]
    assert some.wanted([1, 2]) == [1]


def test_no_models_and_a_port_that_is_taken_are_told(base_path, tmp_path):
    with pytest.raises(FileNotFoundError, match="folder of models"), serving(tmp_path / "no"):
        pass
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(OSError, match=str(port)),
            StandIn(base_path, rest_port=port, grpc_port=0),
        ):
            pass
        with (
            pytest.raises(OSError, match=f"grpc_port={port}"),
            StandIn(base_path, rest_port=0, grpc_port=port),
        ):
            pass


@pytest.mark.slow
def test_too_many_warm_up_requests_fail_the_load(base_path, monkeypatch):
    monkeypatch.setattr("keras_transfer.serving.stand_in.served_versions.MOST_REQUESTS", 3)
    with serving(base_path) as server:
        assert states(server) == {"1": "END"}


@pytest.mark.slow
def test_polls_go_on_after_an_error(base_path, monkeypatch):
    errors = []
    monkeypatch.setattr(served_models._log, "error", lambda *told: errors.append(told))
    with serving(base_path) as server:
        config = base_path.parent / "models.config"
        config.write_text("model_config_list {")
        wait_for(lambda: errors)
        config.unlink()
        assert ask(server).status_code == 200


TYPES = {"x": "float32"}


def read(document, types=TYPES):
    return read_request(json.dumps(document).encode(), lambda name: types)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"instances": [1, 2.5]}, [1, 2.5]),
        ({"instances": [[1, 2], [3, 4]]}, [[1, 2], [3, 4]]),
        ({"instances": [{"x": [1]}, {"x": [2]}]}, [[1], [2]]),
        ({"inputs": [[1], [2]]}, [[1], [2]]),
        ({"inputs": {"x": [[1], [2]]}}, [[1], [2]]),
        ({"inputs": 3}, 3),
        ({"instances": [[], []]}, np.zeros([2, 0])),
    ],
)
def test_json_becomes_arrays(document, expected):
    _, inputs, _ = read(document)
    np.testing.assert_array_equal(inputs["x"], np.array(expected, "float32"))
    assert inputs["x"].shape == np.shape(expected)
    assert inputs["x"].dtype == np.float32


def test_json_s_numbers_that_are_none_go_both_ways():
    _, inputs, _ = read_request(
        b'{"instances": [NaN, Infinity, -Infinity]} ignored', lambda _: TYPES
    )
    np.testing.assert_array_equal(inputs["x"], [np.nan, np.inf, -np.inf])
    assert b"[NaN, Infinity, -Infinity]" in write_answer({"y": inputs["x"]}, rows=True)


def test_strings_go_both_ways():
    text = {"x": "object"}
    _, inputs, rows = read({"instances": ["caf\u00e9", {"b64": "/w"}, {"b64": "/w=="}]}, text)
    assert rows
    assert inputs["x"].tolist() == ["caf\u00e9".encode(), b"\xff", b"\xff"]
    answer = json.loads(write_answer({"y": inputs["x"], "y_bytes": inputs["x"]}, rows=True))
    assert answer["predictions"][1] == {"y": "\ufffd", "y_bytes": {"b64": "/w=="}}


def test_types_that_rest_does_not_know_are_refused():
    with pytest.raises(ModelError) as raised:
        read({"instances": [1]}, {"x": "float16"})
    assert raised.value.code == ModelError.UNIMPLEMENTED
    with pytest.raises(ModelError):
        write_answer({"y": np.zeros([1], np.float16)}, rows=True)
    with pytest.raises(ModelError, match="inconsistent"):
        write_answer({"y": np.zeros([1]), "z": np.zeros([2])}, rows=True)


def test_a_request_over_grpc_that_claims_much_is_refused(base_path):
    from keras_transfer.serving.stand_in.grpc_services import _array

    tensor = tf.make_tensor_proto([1.0])
    tensor.tensor_shape.dim[0].size = 2**62
    with pytest.raises(ModelError, match="Tensor parsing error"):
        _array(tensor)
