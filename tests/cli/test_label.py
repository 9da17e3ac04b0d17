import shutil

import pytest
import requests
from typer.testing import CliRunner

import keras_transfer as kx
from keras_transfer.cli import app
from keras_transfer.serving.stand_in.server import StandIn


@pytest.fixture
def exported(small_version):
    return small_version


@pytest.fixture
def base_path(exported, tmp_path):
    for number in (1, 2, 3):
        shutil.copytree(exported, tmp_path / "pets" / str(number))
    return tmp_path / "pets"


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_labels_are_given_taken_and_shown(base_path):
    assert "stable is version 2 of pets." in call("label", base_path, "stable", 2)
    call("label", base_path, "canary", 3)
    shown = call("label", base_path)
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("│")] == list("321")
    assert "canary" in shown
    assert "stable is version 1 of pets again." in call("rollback", base_path)
    assert kx.labels_of(base_path) == {"canary": 3, "stable": 1}


def test_nothing_to_roll_back_to_is_told(base_path):
    with pytest.raises(ValueError, match=r"labels \{\}, versions \[1, 2, 3\]"):
        call("rollback", base_path)
    call("label", base_path, "stable", 1)
    with pytest.raises(ValueError, match="before the one with the label 'stable'"):
        call("rollback", base_path)
    with pytest.raises(ValueError, match="no version"):
        call("label", base_path, "stable")


def test_a_running_server_follows(base_path):
    call("label", base_path, "stable", 2)
    with StandIn(base_path.parent, rest_port=0, grpc_port=0, poll_seconds=0.05) as server:

        def state(number):
            told = requests.get(f"{server.rest_url}/v1/models/pets/versions/{number}").json()
            return told.get("model_version_status", [{}])[0].get("state")

        assert state(3) is None
        call("label", base_path, "stable", 3, "--server", server.rest_url)
        assert state(3) == "AVAILABLE"
        call("rollback", base_path, "--server", server.rest_url)
        assert state(2) == "AVAILABLE"
        stable = f"{server.rest_url}/v1/models/pets/labels/stable"
        assert requests.get(stable).status_code == 200
