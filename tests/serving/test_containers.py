"""The container files, each against its schema; none of them needs a container here."""

import json
import pathlib
import re
import subprocess
import sys

import crossplane
import kubernetes_validate
import pytest
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

from keras_transfer.serving.client.load import Load, batching_parameters
from keras_transfer.serving.stand_in.server import StandIn
from keras_transfer.serving.versions.models_config import set_label

FOLDER = pathlib.Path(__file__).parents[2] / "serving"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
KUBERNETES = list(yaml.safe_load_all((FOLDER / "kubernetes" / "serving.yaml").read_text()))
# `main.cc` of TF Serving; those that are of use here.
FLAGS = {
    "port",
    "rest_api_port",
    "rest_api_timeout_in_ms",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "allow_version_labels_for_unavailable_models",
    "file_system_poll_wait_seconds",
    "max_num_load_retries",
    "load_retry_interval_micros",
    "num_load_threads",
    "num_unload_threads",
    "enable_batching",
    "batching_parameters_file",
    "monitoring_config_file",
    "enable_profiler",
}
METRICS = {
    ":tensorflow:serving:request_count",
    ":tensorflow:serving:request_latency_bucket",
    ":tensorflow:serving:runtime_latency_bucket",
    ":tensorflow:serving:batching_session:queuing_latency_bucket",
}


def _message(name, fields):
    """A message as TF Serving's proto files have it: its Python package does not ship these."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto",
        package="keras_transfer_tests",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name=name)
    for number, (field, (kind, repeated)) in enumerate(fields.items(), start=1):
        told = message.field.add(name=field, number=number)
        told.label = types.LABEL_REPEATED if repeated else types.LABEL_OPTIONAL
        if kind.startswith("."):
            told.type, told.type_name = types.TYPE_MESSAGE, kind
        else:
            told.type = getattr(types, f"TYPE_{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName(f"keras_transfer_tests.{name}")
    return message_factory.GetMessageClass(descriptor)()


def batching(text):
    number = ".google.protobuf.Int64Value"
    fields = dict.fromkeys(
        ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"),
        (number, False),
    )
    return text_format.Parse(
        text, _message("BatchingParameters", {**fields, "allowed_batch_sizes": ("INT64", True)})
    )


def check_batching(text):
    parameters = batching(text)
    sizes = list(parameters.allowed_batch_sizes)
    # `batching_session.cc`
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == parameters.max_batch_size.value
    assert parameters.num_batch_threads.value > 0


def test_compose_file_fits_its_schema():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    subprocess.run([*command, str(FOLDER / "compose.yaml")], check=True)


@pytest.mark.parametrize("resource", KUBERNETES, ids=lambda x: x["kind"])
def test_kubernetes_manifests_fit_their_schemas(resource):
    kubernetes_validate.validate(resource, "1.33", strict=True)


def test_kubernetes_has_the_same_configuration():
    data = KUBERNETES[0]["data"]
    assert set(data) == {path.name for path in (FOLDER / "config").iterdir()}
    for name, text in data.items():
        own = (FOLDER / "config" / name).read_text()
        assert _without_comments(own) == _without_comments(text)


def _without_comments(text):
    return [line for line in text.splitlines() if not re.match(r"# ", line)]


def test_proxy_s_configuration_can_be_read(tmp_path):
    text = (FOLDER / "proxy" / "nginx.conf").read_text()
    tokens = FOLDER / "proxy" / "tokens.example.conf"
    text = text.replace("/etc/nginx/tokens.conf", str(tokens))
    (tmp_path / "nginx.conf").write_text(text)
    found = crossplane.parse(str(tmp_path / "nginx.conf"), check_ctx=True, check_args=True)
    assert found["errors"] == []


def test_proxy_lets_through_what_clients_ask_and_no_more():
    text = (FOLDER / "proxy" / "nginx.conf").read_text()
    path = re.compile(re.search(r"location ~ (\S+) {", text)[1])
    for good in ("noto", "noto/metadata", "noto:predict", "noto/versions/3:predict"):
        assert path.match(f"/v1/models/{good}")
    assert path.match("/v1/models/noto/labels/stable:predict")
    for bad in ("/monitoring/prometheus/metrics", "/v1/models", "/v1/models/a/b", "/"):
        assert not path.match(bad)


@pytest.mark.parametrize("place", ["compose", "Dockerfile", "kubernetes"])
def test_flags_are_those_of_the_server(place):
    if place == "compose":
        flags = COMPOSE["services"]["serving"]["command"]
    elif place == "kubernetes":
        flags = KUBERNETES[1]["spec"]["template"]["spec"]["containers"][0]["args"]
    else:
        flags = re.findall(r'"(--.*?)"', (FOLDER / "Dockerfile").read_text())
    names = [flag.removeprefix("--").partition("=")[0] for flag in flags]
    assert len(names) == len(set(names)) > 5
    assert set(names) <= FLAGS


def test_containers_have_no_more_rights_than_they_need():
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "mem_limit" in service
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert not any(":8500" in port for port in service.get("ports", []))
    serving = COMPOSE["services"]["serving"]
    assert "ports" not in serving
    assert serving["user"] == "65534:65534"
    assert serving["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert serving["volumes"][0].endswith(":/models:ro")
    assert "USER 65534" in (FOLDER / "Dockerfile").read_text()


def test_images_have_a_tag_that_can_be_chosen():
    for service in COMPOSE["services"].values():
        assert re.fullmatch(r"[\w/-]+:\$\{[A-Z_]+_TAG:-[\w.-]+\}", service["image"])
    readme = (FOLDER / "README.md").read_text()
    for name in re.findall(r"\$\{([A-Z_]+):-", (FOLDER / "compose.yaml").read_text()):
        assert name in readme or name.endswith("_PORT")


def test_batching_parameters_are_ones_that_the_server_takes():
    check_batching((FOLDER / "config" / "batching_parameters.txt").read_text())
    loads = [Load(1, size, speed, 0.01, 0.1, 0.1, 9, 0) for size, speed in ((1, 10), (24, 90))]
    check_batching(batching_parameters(loads, cores=3))
    with pytest.raises(text_format.ParseError):
        batching("max_batch_sise { value: 3 }")


def test_metrics_are_those_that_the_server_has():
    text = (FOLDER / "config" / "monitoring.txt").read_text()
    path = re.search(r'path: "(.*)"', text)[1]
    [job] = yaml.safe_load((FOLDER / "prometheus" / "prometheus.yaml").read_text())[
        "scrape_configs"
    ]
    assert job["metrics_path"] == path
    assert job["static_configs"][0]["targets"] == ["serving:8501"]
    dashboard = json.loads((FOLDER / "grafana" / "dashboards" / "serving.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    alerts = yaml.safe_load((FOLDER / "prometheus" / "alerts.yaml").read_text())
    asked += [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    named = {name for expr in asked for name in re.findall(r":tensorflow:[\w:]+", expr)}
    assert named <= METRICS
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    [source] = yaml.safe_load(
        (FOLDER / "grafana/provisioning/datasources/prometheus.yaml").read_text()
    )["datasources"]
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}


def test_health_follows_the_models(small_version, tmp_path):
    base_path = tmp_path / "models" / "pets"
    base_path.mkdir(parents=True)
    (base_path / "1").symlink_to(small_version)
    set_label(base_path, "stable", 1)
    with StandIn(base_path.parent, rest_port=0, grpc_port=0) as server:
        port = server.rest_url.rpartition(":")[2]
        text = (FOLDER / "config" / "healthcheck.sh").read_text()
        text = text.replace("/8501", f"/{port}").replace("/models/models.config", "$CONFIG")

        def healthy(**environment):
            told = {"CONFIG": str(base_path.parent / "models.config"), **environment}
            command = ["bash", "-c", text]
            return subprocess.run(command, env=told, capture_output=True).returncode == 0

        assert healthy()
        assert healthy(MODELS="pets")
        assert not healthy(MODELS="pets dogs")
        assert not healthy(CONFIG="/none")
    assert not healthy()
