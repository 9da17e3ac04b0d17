import contextlib
import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

import keras_transfer as kx
from keras_transfer.cli import app
from keras_transfer.serving.client import load as load_module
from keras_transfer.serving.client import patience
from keras_transfer.serving.client.load import Load, batching_parameters, measure_load
from keras_transfer.serving.client.serving_client import ServingClient
from keras_transfer.serving.stand_in.server import StandIn
from keras_transfer.serving.versions import warmup


@pytest.fixture(scope="module")
def url(small_version):
    with StandIn(small_version.parent, rest_port=0, grpc_port=0) as server:
        yield server.rest_url


def load(batch_size, speed, p50=0.004, concurrency=1):
    return Load(concurrency, batch_size, speed, p50, 0.1, 0.2, 100, 0)


def test_load_is_what_clients_see(url):
    found = measure_load(url, "pets", [b"", b"x"], concurrency=3, batch_size=4, seconds=0.5)
    assert (found.concurrency, found.batch_size, found.errors) == (3, 4, 0)
    assert 0 < found.p50 <= found.p95 <= found.p99
    assert found.requests > 3
    # Each of three clients waits for its answer before it asks again.
    in_one_second = 3 * 4 / found.p50
    assert 0.1 * in_one_second < found.examples_per_second < 10 * in_one_second


@contextlib.contextmanager
def refusing(every):
    """A server whose queue is full at every so many requests; and which tokens it was shown."""
    asked, tokens = itertools.count(1), set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # which waits for 40 ms

        def do_GET(self):  # noqa: N802
            signature = {"inputs": {"image_bytes": {}}}
            told = {"signature_def": {"signature_def": {"serving_default": signature}}}
            self.send({"metadata": told}, 200)

        def do_POST(self):  # noqa: N802
            self.rfile.read(int(self.headers["Content-Length"]))
            full = next(asked) % every == 0
            self.send({"error": "full"} if full else {"outputs": [[1]]}, 503 if full else 200)

        def send(self, told, status):
            tokens.add(self.headers["Authorization"])
            data = json.dumps(told).encode()
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
            yield f"http://127.0.0.1:{server.server_port}", tokens
        finally:
            server.shutdown()
            thread.join()


def test_what_a_full_queue_refuses_is_an_error_and_no_latency():
    with refusing(every=2) as (url, _):
        found = measure_load(url, "pets", [b""], concurrency=1, batch_size=1, seconds=0.5)
    assert found.errors > 10
    assert abs(found.errors - found.requests) <= 1
    assert found.p50 < patience.FIRST_PAUSE / 2  # the shortest wait before a second try


def test_a_server_that_answers_nobody_is_told():
    class Full(ServingClient):
        """Patient where it asks first, as the queue is not always full."""

        def predict(self, *arguments, **options):
            if not self.retry:
                raise kx.ServingError("full", "RESOURCE_EXHAUSTED")
            return super().predict(*arguments, **options)

    with refusing(every=1000) as (url, _), pytest.MonkeyPatch.context() as patch:
        patch.setattr(load_module, "ServingClient", Full)
        with pytest.raises(kx.ServingError, match="errors, such as: full") as raised:
            measure_load(url, "pets", [b""], concurrency=2, batch_size=1, seconds=0.1)
    assert raised.value.status == "RESOURCE_EXHAUSTED"


def test_batches_are_proposed_where_they_gain():
    loads = [load(1, 100), load(16, 390), load(16, 300), load(32, 400)]
    assert batching_parameters(loads, cores=2).splitlines() == [
        "max_batch_size { value: 16 }",
        "batch_timeout_micros { value: 2000 }",
        "num_batch_threads { value: 2 }",
        "max_enqueued_batches { value: 8 }",
        *(f"allowed_batch_sizes: {size}" for size in (1, 2, 4, 8, 16)),
    ]
    assert "value: 10000" in batching_parameters([load(1, 10, p50=1.0), load(5, 90)], cores=2)
    assert batching_parameters([load(1, 100), load(32, 115)], cores=2) is None
    assert batching_parameters([load(1, 100)], cores=2) is None


def test_no_batch_is_proposed_that_refuses_the_warm_up_requests():
    proposed = batching_parameters([load(1, 100), load(4, 400)], cores=2).splitlines()
    assert proposed[0] == "max_batch_size { value: 8 }"
    assert proposed[-1] == "allowed_batch_sizes: 8"  # TF Serving wants the last one to be it
    assert load_module.SMALLEST_MAX_BATCH_SIZE == warmup.MOST_ROWS


@pytest.mark.parametrize(
    ("speeds", "told"),
    [
        ({1: 100, 8: 400}, "For --enable_batching --batching_parameters_file:\nmax_batch_size"),
        ({1: 100, 8: 110}, "over those of 1: serve without batching."),
        ({8: 100, 32: 110}, "over those of 8; measure 1, too."),
        ({8: 100}, "One --batch-size shows no gain"),
    ],
)
def test_what_is_proposed_is_what_was_measured(speeds, told, monkeypatch):
    def measured(*_, concurrency, batch_size, **options):
        return load(batch_size, speeds[batch_size], concurrency=concurrency)

    monkeypatch.setattr(load_module, "measure_load", measured)
    sizes = ",".join(map(str, speeds))
    command = ["bench-serving", "http://host", "pets", "--text", "a", "--batch-size", sizes]
    assert told in CliRunner().invoke(app, command).output


def test_the_command_line_shows_a_table_and_json(url, tmp_path):
    small = ["--concurrency", "1,2", "--batch-size", "1,3", "--seconds", "0.2"]
    result = CliRunner().invoke(app, ["bench-serving", url, "pets", *small])
    assert result.exit_code == 0, result.exception
    assert "p99 ms" in result.output
    (tmp_path / "a.png").write_bytes(b"none")
    file = str(tmp_path / "a.png")
    result = CliRunner().invoke(app, ["bench-serving", url, "pets", file, *small, "--json"])
    told = json.loads(result.stdout)
    assert [(x["batch_size"], x["concurrency"]) for x in told["loads"]] == [
        (1, 1),
        (1, 2),
        (3, 1),
        (3, 2),
    ]
    result = CliRunner().invoke(app, ["bench-serving", url, "pets", "--batch-size", "0"])
    assert "whole numbers from 1" in str(result.exception)
    for arguments, told in (
        ([file, "--text", "a"], "either picture files or texts"),
        ([str(tmp_path)], f"Expected picture files. Received: {tmp_path}, a folder."),
        ([f"{file}.gone"], f"Expected picture files. Received: {file}.gone, not there."),
    ):
        result = CliRunner().invoke(app, ["bench-serving", url, "pets", *arguments])
        assert told in str(result.exception)
    result = CliRunner().invoke(app, ["bench-serving", url, "dogs"])
    assert isinstance(result.exception, kx.ServingError)


def test_the_command_line_sends_a_token():
    small = ["--concurrency", "2", "--batch-size", "1", "--seconds", "0.1"]
    with refusing(every=1000) as (url, tokens):
        for pictures in ([], ["--text", "a"]):
            command = ["bench-serving", url, "pets", *pictures, *small]
            result = CliRunner().invoke(app, command, env={"KX_SERVING_TOKEN": "secret"})
            assert result.exit_code == 0, result.exception
    assert tokens == {"Bearer secret"}
