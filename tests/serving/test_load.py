import json

import pytest
from typer.testing import CliRunner

import keras_transfer as kx
from keras_transfer.cli import app
from keras_transfer.serving.client.load import Load, batching_parameters, measure_load
from keras_transfer.serving.stand_in.server import StandIn


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


def test_batches_are_proposed_where_they_gain():
    loads = [load(1, 100), load(8, 390), load(8, 300), load(32, 400)]
    assert batching_parameters(loads, cores=2).splitlines() == [
        "max_batch_size { value: 8 }",
        "batch_timeout_micros { value: 2000 }",
        "num_batch_threads { value: 2 }",
        "max_enqueued_batches { value: 8 }",
        *(f"allowed_batch_sizes: {size}" for size in (1, 2, 4, 8)),
    ]
    assert "value: 10000" in batching_parameters([load(1, 10, p50=1.0), load(5, 90)], cores=2)
    assert batching_parameters([load(1, 100), load(32, 115)], cores=2) is None
    assert batching_parameters([load(1, 100)], cores=2) is None


def test_the_command_line_shows_a_table_and_json(url, tmp_path):
    small = ["--concurrency", "1,2", "--batch-size", "1,3", "--seconds", "0.2"]
    result = CliRunner().invoke(app, ["bench-serving", url, "pets", *small])
    assert result.exit_code == 0, result.exception
    assert "p99 ms" in result.output
    assert "batching" in result.output
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
    result = CliRunner().invoke(app, ["bench-serving", url, "dogs"])
    assert isinstance(result.exception, kx.ServingError)
