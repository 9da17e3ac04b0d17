import signal
import socket
import subprocess
import sys

import pytest
import requests
from typer.testing import CliRunner

import keras_transfer as kx
from keras_transfer.cli import app


@pytest.fixture
def version(small_version):
    return small_version


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_it_serves_until_it_is_interrupted(version, number):
    command = [
        sys.executable,
        "-c",
        "from keras_transfer.cli import main; main()",
        *("serve", "--local", str(version.parent.parent), "--rest-port=0", "--grpc-port=0"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url = next(line for line in process.stdout if "/v1/models/" in line).split()[-1]
        assert url.endswith("/v1/models/pets:predict")
        answer = requests.get(url.removesuffix(":predict"), timeout=30).json()
        assert answer["model_version_status"][0]["state"] == "AVAILABLE"
        try:
            process.send_signal(number)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_nobody_takes_it_for_production(version):
    result = CliRunner().invoke(app, ["serve", str(version.parent)])
    assert "container tensorflow/serving" in str(result.exception)


def test_ports_that_are_none_are_refused(version):
    for option in ("--rest-port", "--grpc-port"):
        result = CliRunner().invoke(app, ["serve", "--local", str(version.parent), option, "70000"])
        assert result.exit_code == 2
        assert "65535" in result.output


def test_a_port_that_is_taken_is_told_with_what_to_do(version):
    command = ["serve", "--local", str(version.parent)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for option, other in (("--rest-port", "--grpc-port"), ("--grpc-port", "--rest-port")):
            result = CliRunner().invoke(app, [*command, option, port, other, "0"])
            told = f"choose another by {option}, or 0 for a free one. Received: {option} {port}"
            assert told in str(result.exception)
    result = CliRunner().invoke(app, [*command, "--rest-port", port, "--grpc-port", port])
    assert "choose another by --grpc-port" in str(result.exception)


def test_verify_asks_the_stand_in(version):
    result = CliRunner().invoke(app, ["verify", str(version), "--protocol"])
    assert result.exit_code == 0
    assert result.output.count("passed:") == 4


def test_verify_asks_a_server_by_both_apis(version):
    result = CliRunner().invoke(app, ["verify", str(version), "--rest", "http://localhost:1"])
    assert "Expected both --rest and --grpc" in str(result.exception)
    with pytest.raises(kx.VerificationError, match="REST: an empty body: Connection"):
        kx.verify(version, servers=("http://127.0.0.1:1", "127.0.0.1:1"))
