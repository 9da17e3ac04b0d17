import os
import shutil
import subprocess
import sys

import pytest
import requests
from typer.testing import CliRunner

import keras_transfer as kx
from keras_transfer.cli import app
from keras_transfer.serving.client import serving_client
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


def test_all_replicas_have_the_version_before_it_gets_the_label(base_path):
    call("label", base_path, "stable", 2)
    folder = base_path.parent
    with (
        StandIn(folder, rest_port=0, grpc_port=0, poll_seconds=0.05) as quick,
        StandIn(folder, rest_port=0, grpc_port=0, poll_seconds=2) as slow,
    ):
        urls = [f"grpc://{slow.grpc_address}", quick.rest_url]
        call("label", base_path, "stable", 3, *(x for url in urls for x in ("--server", url)))
        for url in urls:
            with kx.ServingClient(url) as client:
                assert client.versions("pets")[3] == "AVAILABLE"


@pytest.fixture
def waits(monkeypatch):
    """What servers are waited for, in place of waiting."""
    found = []

    class Client:
        def __init__(self, url, *, timeout, token):
            self.about = url, token

        def wait_until_available(self, name, version):
            found.append((*self.about, name, version))
            if self.about[0] == "http://failing":
                raise kx.ServingError(f"{name}/{version} failed to load", "FAILED_PRECONDITION")

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(serving_client, "ServingClient", Client)
    return found


def test_servers_get_the_token(base_path, waits, monkeypatch):
    call("label", base_path, "stable", 3, "--server", "http://a", "--token", "secret")
    monkeypatch.setenv("KX_SERVING_TOKEN", "other")
    call("rollback", base_path, "--server", "http://a", "--server", "http://b")
    assert waits == [
        ("http://a", "secret", "pets", 3),
        ("http://a", "other", "pets", 2),
        ("http://b", "other", "pets", 2),
    ]


def test_the_server_that_failed_is_named(base_path, waits):
    call("label", base_path, "stable", 1)
    servers = ["--server", "http://a", "--server", "http://failing"]
    with pytest.raises(kx.ServingError, match="http://failing: pets/2 failed to load"):
        call("label", base_path, "stable", 2, *servers)
    assert len(waits) == 2
    assert kx.labels_of(base_path) == {"stable": 1}


def test_a_link_is_the_model_of_its_own_name(base_path, waits):
    link = base_path.with_name("animals")
    link.symlink_to("pets")
    assert "stable is version 2 of animals." in call(
        "label", link, "stable", 2, "--server", "http://a"
    )
    assert waits == [("http://a", None, "animals", 2)]
    assert kx.labels_of(link) == {"stable": 2}


def test_a_model_may_have_another_name_than_its_folder(base_path, waits):
    (base_path.parent / "models.config").write_text(
        f'model_config_list {{ config {{ name: "cats" base_path: "{base_path}" }} }}'
    )
    call("label", base_path, "stable", 2, "--server", "http://a")
    assert waits == [("http://a", None, "cats", 2)]


def test_a_folder_without_versions_is_told(base_path):
    for folder in (base_path.with_name("typo"), base_path.parent):
        with pytest.raises(FileNotFoundError, match="no versions below it"):
            call("label", folder)


@pytest.mark.parametrize(
    "arguments",
    [
        ["label", "pets", "stable", "2"],
        *(
            pytest.param(further, marks=pytest.mark.slow)
            for further in (
                ["rollback", "pets", "canary"],
                ["label", "pets", "stable", "9", "--server", "grpc://127.0.0.1:1"],
                ["predict", "grpc://127.0.0.1:1", "pets", "no_such.png"],
                ["predict", "http://127.0.0.1:1", "pets", "folder"],
            )
        ),
    ],
)
def test_nothing_is_heard_of_tensorflow(base_path, arguments):
    call("label", base_path, "canary", 3)
    (base_path.parent / "folder").mkdir()
    code = "from keras_transfer.cli import main; main()"
    settings = {name: value for name, value in os.environ.items() if name[:3] != "TF_"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=base_path.parent,
        env=settings,
    )
    assert not [line for line in done.stderr.splitlines() if not line.startswith("Error: ")]
