import contextlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import keras
import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

import keras_transfer as kx
from keras_transfer.cli import app
from keras_transfer.serving.client import patience, waiting
from keras_transfer.serving.client.question import State
from keras_transfer.serving.stand_in.server import StandIn


@pytest.fixture(scope="module")
def models(tmp_path_factory, learnt):
    folder = tmp_path_factory.mktemp("models")
    pixels = keras.Input([8, 8, 3])
    backbone = keras.Model(pixels, keras.layers.Conv2D(4, 3)(pixels))
    model = learnt(kx.Classifier(backbone, ["cat", "dog"]))
    kx.export(model, folder / "pets", resize="crop")
    ids = keras.Input([None], dtype="int32", name="token_ids")
    mask = keras.Input([None], dtype="int32", name="padding_mask")
    vectors = keras.layers.Embedding(5, 2)(ids)
    texts = kx.Classifier(
        keras.Model({"token_ids": ids, "padding_mask": mask}, vectors), 2, pooling="mean"
    )
    words = kx.Words(["good", "bad", "film"], sequence_length=8)
    kx.export(texts, folder / "reviews", preprocessor=words)
    return folder


@pytest.fixture(scope="module")
def server(models):
    with StandIn(models, rest_port=0, grpc_port=0) as server:
        yield server


@pytest.fixture(params=["rest", "grpc"])
def client(server, request):
    url = server.rest_url if request.param == "rest" else f"grpc://{server.grpc_address}"
    with kx.ServingClient(url) as client:
        yield client


@pytest.fixture
def pictures(encode):
    random = np.random.default_rng(0)
    return [encode(random.integers(0, 255, (9, 9, 3)).astype("uint8")) for _ in range(5)]


def test_pictures_arrays_and_texts_get_the_version_s_answers(client, models, pictures, tmp_path):
    loaded = tf.saved_model.load(str(models / "pets" / "1")).signatures
    expected = loaded["serving_default"](image_bytes=tf.constant([*pictures, b"none"]))
    found = client.predict("pets", [*pictures, b"none"])
    assert found.keys() == expected.keys()
    assert found["label"].tolist() == expected["label"].numpy().tolist()
    assert found["valid"].tolist() == [True] * 5 + [False]
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-6)
    assert found["probabilities"].dtype == np.float32
    (tmp_path / "picture.png").write_bytes(pictures[0])
    [label] = client.predict("pets", [tmp_path / "picture.png"])["label"]
    assert label == found["label"][0]
    pixels = np.zeros([3, 8, 8, 3], "uint8")
    of_pixels = client.predict("pets", pixels)["probabilities"]
    expected = loaded["pixels"](pixels=tf.constant(pixels, tf.float32))["probabilities"]
    np.testing.assert_allclose(of_pixels, expected, atol=1e-6)
    assert client.predict("reviews", ["good film", ""])["valid"].tolist() == [True, False]
    tokens = {"token_ids": np.array([[2, 4]], "int32"), "padding_mask": np.ones([1, 2], "int32")}
    assert client.predict("reviews", tokens, signature="tokens")["valid"].tolist() == [True]


def test_large_inputs_go_in_batches(client, pictures):
    seen = []
    client.batch_size = 2
    found = client.predict("pets", pictures, on_batch=seen.append)
    assert seen == [2, 2, 1]
    client.batch_size = 64
    whole = client.predict("pets", pictures)
    np.testing.assert_allclose(found["probabilities"], whole["probabilities"], atol=1e-6)


def test_versions_and_labels_can_be_asked_for(client):
    assert client.versions("pets") == {1: "AVAILABLE"}
    client.wait_until_available("pets", 1)
    assert len(client.predict("pets", [b""], version=1)["valid"]) == 1
    with pytest.raises(kx.ServingError, match="label") as raised:
        client.predict("pets", [b""], label="stable")
    assert raised.value.status == "INVALID_ARGUMENT"


def test_what_is_not_there_is_told_at_once(client):
    started = time.monotonic()
    with pytest.raises(kx.ServingError) as raised:
        client.predict("dogs", [b""])
    assert raised.value.status == "NOT_FOUND"
    with pytest.raises(kx.ServingError) as raised:
        client.predict("pets", [b""], version=9)
    assert raised.value.status == "NOT_FOUND"
    assert time.monotonic() - started < 25  # not until its time is over
    with pytest.raises(ValueError, match="Received: signature='no_such'"):
        client.predict("pets", [b""], signature="no_such")
    with pytest.raises(ValueError, match=r"\['padding_mask', 'token_ids'\]"):
        client.predict("reviews", [b""], signature="tokens")


def test_what_never_becomes_available_is_told(server):
    with kx.ServingClient(server.rest_url, timeout=0.3) as client:
        for name, version in (("pets", 3), ("dogs", None)):
            with pytest.raises(kx.ServingError, match="to become available") as raised:
                client.wait_until_available(name, version)
            assert raised.value.status == "DEADLINE_EXCEEDED"


def test_bad_inputs_are_told(client):
    for inputs, message in (
        ([], "one length from 1"),
        (b"one", "a list of inputs. Received: one bytes"),
        ([3], "Received: int"),
        ({"image_bytes": np.zeros([0])}, "one length from 1"),
    ):
        with pytest.raises(ValueError, match=message):
            client.predict("pets", inputs)
    for url in ("localhost:8501", "ftp://host", "http://"):
        with pytest.raises(ValueError, match="Expected a URL"):
            kx.ServingClient(url)
    with pytest.raises(ValueError, match="batch_size=0"):
        kx.ServingClient("http://host", batch_size=0)


def posts(asked):
    return [rows for rows, _ in asked if rows != "GET"]


METADATA = {"serving_default": {"inputs": {"image_bytes": {}}}}


@contextlib.contextmanager
def answering(answers):
    """A server that gives these answers, one after the other; and what it was asked.

    An answer is a status and a body, or a function of the handler, which answers by itself.
    """
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            asked.append(("GET", self.headers["Authorization"]))
            self.send({"metadata": {"signature_def": {"signature_def": METADATA}}}, 200)

        def do_POST(self):  # noqa: N802
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            rows = len(body["inputs"]["image_bytes"])
            asked.append((rows, self.headers["Authorization"]))
            assert self.headers["Content-Type"] == "application/json"
            answer = answers.pop(0)
            if callable(answer):
                answer(self)
            else:
                outputs = {"outputs": {"valid": [True] * rows, "score": [0.5] * rows}}
                self.send(answer[1] or outputs, answer[0])

        def send(self, told, status):
            data = json.dumps(told).encode() if isinstance(told, dict) else told
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *told):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)


@pytest.mark.usefixtures("quick")
def test_a_busy_server_is_asked_again():
    answers = [(503, {"error": "busy"}), (429, {"error": "full"}), (200, None)]
    with answering(answers) as (url, asked), kx.ServingClient(url, token="secret") as client:
        assert client.predict("pets", [b"", b""])["valid"].tolist() == [True, True]
    assert asked == [("GET", "Bearer secret"), *[(2, "Bearer secret")] * 3]


def test_without_retry_the_first_failure_is_told():
    with (
        answering([(503, {"error": "busy"})]) as (url, asked),
        kx.ServingClient(url, retry=False) as client,
        pytest.raises(kx.ServingError, match="busy"),
    ):
        client.predict("pets", [b""])
    assert posts(asked) == [1]


def test_the_token_goes_before_what_netrc_has(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with answering([(200, None)]) as (url, asked), kx.ServingClient(url, token="a") as client:
        client.predict("pets", [b""])
    assert {token for _, token in asked} == {"Bearer a"}


def test_a_token_that_no_header_holds_is_refused_and_not_shown():
    with pytest.raises(ValueError, match="line break at its end. Received: 7 characters") as raised:
        kx.ServingClient("http://host", token="secret\n")
    assert "secret" not in str(raised.value)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("status", "body", "name"),
    [
        (400, {"error": "bad"}, "INVALID_ARGUMENT"),
        (401, b"who are you?", "UNAUTHENTICATED"),
        (413, b"too large", "OUT_OF_RANGE"),
        (500, b'"a page"', "INTERNAL"),
        (500, {"error": "oh"}, "INTERNAL"),
        (504, {"error": "late"}, "DEADLINE_EXCEEDED"),
    ],
)
def test_other_errors_are_not_asked_again(status, body, name):
    with answering([(status, body)]) as (url, asked), kx.ServingClient(url) as client:
        with pytest.raises(kx.ServingError) as raised:
            client.predict("pets", [b""])
        assert raised.value.status == name
    assert posts(asked) == [1]


@pytest.mark.usefixtures("quick")
def test_a_server_s_limit_is_learnt():
    # As TF Serving words it without `enable_large_batch_splitting`.
    told = {"error": "Task size 5 was larger than maximum input batch size 2"}
    answers = [(400, told), *[(200, None)] * 3]
    with answering(answers) as (url, asked), kx.ServingClient(url) as client:
        assert len(client.predict("pets", [b""] * 5)["valid"]) == 5
    assert posts(asked) == [5, 2, 2, 1]


def break_off(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"outputs": ')


def break_off_a_chunk(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"ff\r\n{")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("dying", [break_off, break_off_a_chunk])
def test_a_server_that_dies_while_it_answers_is_asked_again(dying):
    with answering([dying, (200, None)]) as (url, asked), kx.ServingClient(url) as client:
        assert client.predict("pets", [b""])["valid"].tolist() == [True]
    assert posts(asked) == [1, 1]
    with answering([dying]) as (url, _), kx.ServingClient(url, retry=False) as client:
        with pytest.raises(kx.ServingError, match="broke off its answer") as raised:
            client.predict("pets", [b""])
        assert raised.value.status == "UNAVAILABLE"


def test_a_server_that_falls_silent_while_it_answers_is_late():
    ended = threading.Event()

    def fall_silent(handler):
        break_off(handler)
        ended.wait(20)

    with (
        answering([fall_silent]) as (url, asked),
        kx.ServingClient(url, timeout=0.5) as client,
    ):
        with pytest.raises(kx.ServingError, match="No answer within") as raised:
            client.predict("pets", [b""])
        ended.set()
    assert raised.value.status == "DEADLINE_EXCEEDED"
    assert posts(asked) == [1]


def test_a_server_without_a_trusted_certificate_is_told_at_once():
    with answering([]) as (url, _):  # which speaks no TLS at all
        with kx.ServingClient(url.replace("http:", "https:"), timeout=5) as client:
            started = time.monotonic()
            with pytest.raises(kx.ServingError, match="REQUESTS_CA_BUNDLE") as raised:
                client.predict("pets", [b""])
        assert raised.value.status == "FAILED_PRECONDITION"
        assert time.monotonic() - started < 4


def answer_what_is_no_gzip(handler):
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", "3")
    handler.end_headers()
    handler.wfile.write(b"abc")


def test_whatever_else_goes_wrong_is_a_serving_error():
    with answering([answer_what_is_no_gzip]) as (url, _):
        for asked, status in (("http://host:port", "INVALID_ARGUMENT"), (url, "INTERNAL")):
            with kx.ServingClient(asked) as client:
                with pytest.raises(kx.ServingError, match="cannot be asked") as raised:
                    client.predict("pets", [b""])
                assert raised.value.status == status


def test_the_names_of_inputs_are_asked_once_and_again_after_an_error():
    answers = [(200, None), (200, None), (500, {"error": "oh"}), (200, None)]
    with answering(answers) as (url, asked), kx.ServingClient(url) as client:
        client.predict("pets", [b""])
        client.predict("pets", [b""])
        with pytest.raises(kx.ServingError, match="oh"):
            client.predict("pets", [b""])
        client.predict("pets", [b""])
    assert [what for what, _ in asked] == ["GET", 1, 1, 1, "GET", 1]


def test_a_request_that_the_same_version_refused_is_not_sent_again():
    answers = [(200, None), (400, {"error": "bad"})]
    with answering(answers) as (url, asked), kx.ServingClient(url) as client:
        client.predict("pets", [b""])
        with pytest.raises(kx.ServingError, match="bad"):
            client.predict("pets", [b""])
    assert [what for what, _ in asked] == ["GET", 1, 1, "GET"]


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_a_newer_version_may_have_other_inputs(models, pictures, tmp_path, transport):
    base_path = tmp_path / "served"
    shutil.copytree(models / "pets" / "1", base_path / "1")
    with StandIn(base_path, rest_port=0, grpc_port=0, poll_seconds=0.05) as server:
        url = server.rest_url if transport == "rest" else f"grpc://{server.grpc_address}"
        with kx.ServingClient(url, timeout=120) as client:
            assert client.predict("served", pictures)["valid"].all()
            assert client.predict("served", np.zeros([1, 8, 8, 3]))["valid"].all()
            shutil.copytree(models / "reviews" / "1", tmp_path / "2")
            (tmp_path / "2").rename(base_path / "2")
            client.wait_until_available("served", 2)
            seen = []
            assert client.predict("served", ["good film"], on_batch=seen.append)["valid"].all()
            assert seen == [1]
            with pytest.raises(ValueError, match="signature='pixels'"):
                client.predict("served", np.zeros([1, 8, 8, 3]))


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_why_a_version_failed_to_load_is_told(models, tmp_path, monkeypatch, transport):
    shutil.copytree(models / "pets" / "1", tmp_path / "served" / "2")
    (tmp_path / "served" / "2" / "saved_model.pb").write_bytes(b"nothing")
    with StandIn(tmp_path / "served", rest_port=0, grpc_port=0) as server:
        url = server.rest_url if transport == "rest" else f"grpc://{server.grpc_address}"
        with kx.ServingClient(url, timeout=0.5) as client:
            assert client.versions("served") == {2: "END"}
            for version in (2, None):
                with pytest.raises(kx.ServingError, match=r"saved_model.pb is damaged") as raised:
                    client.wait_until_available("served", version)
                assert raised.value.status == "DEADLINE_EXCEEDED"
            monkeypatch.setattr(waiting, "_SECONDS_TO_BEGIN", 0)
            told = r"(?s)served/2 failed to load: .*damaged.*; run keras-transfer verify on it"
            with pytest.raises(kx.ServingError, match=told) as raised:
                client.wait_until_available("served", 2)
            assert raised.value.status == "FAILED_PRECONDITION"


def test_a_version_that_the_server_let_go_did_not_fail(monkeypatch):
    monkeypatch.setattr(waiting, "_SECONDS_TO_BEGIN", 0)
    with pytest.raises(kx.ServingError, match="pets/2 was unloaded"):
        waiting.wait_until_available(lambda *_: {2: State("END")}, "pets", 2, 0.5)


def test_a_pixel_that_is_no_number_makes_its_row_alone_not_valid(client):
    pixels = np.zeros([3, 8, 8, 3])
    pixels[1, 0, 0, 0] = np.nan
    assert client.predict("pets", pixels)["valid"].tolist() == [True, False, True]


def test_patience_has_an_end():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", f"grpc://127.0.0.1:{port}"):
        started = time.monotonic()
        with kx.ServingClient(url, timeout=1) as client:
            with pytest.raises(kx.ServingError) as raised:
                client.predict("pets", [b""])
            assert raised.value.status in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
        assert 0.2 < time.monotonic() - started < 20


def test_rest_takes_no_tensorflow():
    code = """
import sys, keras_transfer as kx
with kx.ServingClient("http://127.0.0.1:1", timeout=0.01) as client:
    try:
        client.predict("pets", [b""])
    except kx.ServingError:
        print([name for name in sys.modules if name in ("tensorflow", "keras", "grpc")])
"""
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_command_line_asks_a_server(server, pictures, tmp_path):
    for number, data in enumerate([*pictures[:2], b"none"]):
        (tmp_path / f"{number}.png").write_bytes(data)
    files = [str(tmp_path / f"{number}.png") for number in range(3)]
    result = CliRunner().invoke(app, ["predict", server.rest_url, "pets", *files, "--json"])
    assert result.exit_code == 1  # one of them cannot be read
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["file"] for row in rows] == files
    assert rows[2] == {"file": files[2], "error": "cannot be decoded"}
    assert {row["label"] for row in rows[:2]} <= {"cat", "dog"}
    texts = ["--text", "good film"]
    result = CliRunner().invoke(app, ["predict", server.rest_url, "reviews", *texts])
    assert result.exit_code == 0
    assert "good film" in result.stdout
    result = CliRunner().invoke(app, ["predict", server.rest_url])
    assert "name of a model" in str(result.exception)


def test_the_command_line_sends_a_token(pictures, tmp_path):
    (tmp_path / "a.png").write_bytes(pictures[0])
    for given in ({"args": ["--token", "secret"]}, {"env": {"KX_SERVING_TOKEN": "secret"}}):
        with answering([(200, None)]) as (url, asked):
            command = ["predict", url, "pets", str(tmp_path / "a.png"), "--json"]
            command += given.get("args", [])
            result = CliRunner().invoke(app, command, env=given.get("env"))
        assert result.exit_code == 0, result.exception
        assert asked == [("GET", "Bearer secret"), (1, "Bearer secret")]
