"""The container files, each against its schema; none of them needs a container here."""

import json
import pathlib
import re
import secrets
import shlex
import subprocess
import sys

import crossplane
import kubernetes_validate
import pytest
import typer
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

from keras_transfer.cli import app
from keras_transfer.serving.client.load import Load, batching_parameters
from keras_transfer.serving.stand_in.server import StandIn
from keras_transfer.serving.versions.labels import set_label
from keras_transfer.serving.versions.warmup import MOST_ROWS

FOLDER = pathlib.Path(__file__).parents[2] / "serving"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
README = (FOLDER / "README.md").read_text()
KUBERNETES = list(yaml.safe_load_all((FOLDER / "kubernetes" / "serving.yaml").read_text()))
# `main.cc` of TF Serving; those that are of use here.
FLAGS = {
    "port",
    "rest_api_port",
    "rest_api_num_threads",
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


@pytest.fixture
def proxy(tmp_path):
    """The directives of `http`, with the example's tokens in their place."""
    text = (FOLDER / "proxy" / "nginx.conf").read_text()
    tokens = FOLDER / "proxy" / "tokens.example.conf"
    (tmp_path / "nginx.conf").write_text(text.replace("/etc/nginx/tokens.conf", str(tokens)))
    found = crossplane.parse(
        str(tmp_path / "nginx.conf"), check_ctx=True, check_args=True, combine=True
    )
    assert found["errors"] == []
    [directives] = [x["block"] for x in found["config"][0]["parsed"] if x["directive"] == "http"]
    return directives


def test_proxy_takes_tokens_as_they_are_made(proxy):
    token = secrets.token_hex(32)
    names = [x["directive"] for x in proxy]
    # `nginx_hash.c`: a bucket holds a pointer, the length, the key, and a pointer that ends it.
    size = 8 + -(-(2 + len(f"Bearer {token}")) // 8) * 8 + 8
    # A map is made where it ends, with what has been set by then.
    given = names.index("map_hash_bucket_size")
    assert given < names.index("map")
    assert int(proxy[given]["args"][0]) >= size

    [[key]] = [
        [x["directive"] for x in block["block"] if x["directive"] != "default"]
        for block in proxy
        if block["directive"] == "map"
    ]
    made = re.search(r"printf '\"(.*)\" 1;", README)[1]
    assert key.replace("replace-me", "%s") == made
    known = re.compile((made % token).removeprefix("~"))
    assert known.search(f"Bearer {token}")
    for other in (f"Bearer {token.upper()}", f"Bearer {token}0", f"Bearer {token[:-1]}", ""):
        assert not known.search(other)


def test_proxy_does_not_tell_clients_to_ask_again_after_a_timeout(proxy):
    servers = [x["block"] for x in proxy if x["directive"] == "server"]
    [server] = [x for x in servers if "error_page" in {y["directive"] for y in x}]
    answers = {
        x["args"][0]: next(y["args"] for y in x["block"] if y["directive"] == "return")
        for x in server
        if x["directive"] == "location" and x["args"][0].startswith("@")
    }
    pages = [x["args"] for x in server if x["directive"] == "error_page"]
    told = {code: answers[args[-1]] for args in pages for code in args if code.isdigit()}
    same = {code: code for code in ("401", "413", "429", "504")}
    assert {code: status for code, (status, _) in told.items()} == {**same, "502": "503"}
    texts = {json.loads(text)["error"] for _, text in told.values()}
    assert len(texts) == len(told)


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


def test_containers_have_room_for_their_threads_and_temporary_files():
    serving = COMPOSE["services"]["serving"]
    [rest] = [x for x in serving["command"] if x.startswith("--rest_api_num_threads=")]
    # `server_core.h`: four for each processor load the first models; TensorFlow has two pools.
    assert int(rest.partition("=")[2]) + (4 + 2) * 128 <= serving["pids_limit"]
    for service in COMPOSE["services"].values():
        for mount in service.get("tmpfs", []):
            temporary = re.search(r"size=(\d+[kmg])", mount)[1]
            memory = re.fullmatch(r"(?:\$\{MEMORY:-)?(\d+[kmg])\}?", service["mem_limit"])[1]
            assert 2 * _bytes(temporary) <= _bytes(memory)


def _bytes(text):
    return int(text[:-1]) * 1024 ** ("kmg".index(text[-1]) + 1)


def test_proxy_starts_again_with_a_new_server():
    needed = COMPOSE["services"]["proxy"]["depends_on"]["serving"]
    assert needed == {"condition": "service_healthy", "restart": True}


def test_pods_start_with_every_model_and_stay_ready_without():
    [container] = KUBERNETES[1]["spec"]["template"]["spec"]["containers"]
    assert container["startupProbe"]["exec"]["command"][-1] == "/config/healthcheck.sh"
    assert container["readinessProbe"]["tcpSocket"] == {"port": "rest"}
    assert "exec" not in container["readinessProbe"]


def test_images_have_a_tag_that_can_be_chosen():
    for service in COMPOSE["services"].values():
        assert re.fullmatch(r"[\w/-]+:\$\{[A-Z_]+_TAG:-[\w.-]+\}", service["image"])


def test_settings_are_told():
    table = README[README.index("## Settings") :]
    for name in re.findall(r"\$\{([A-Z_]+):-", (FOLDER / "compose.yaml").read_text()):
        assert f"`{name}`" in table


def _told_commands():
    """What the README tells to type, without what the shell makes of it."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in found if words[:1] == ["keras-transfer"]]


@pytest.mark.parametrize("words", _told_commands(), ids=" ".join)
def test_commands_in_the_readme_are_ones_that_there_are(words):
    words = [x for word in words for x in (["--server", "a"] if "servers[@]" in word else [word])]
    name, *rest = words
    command = typer.main.get_command(app).commands[name]
    command.make_context(name, rest)


def test_labels_move_through_the_proxy_in_the_readme():
    moves = [words for words in _told_commands() if words[0] in ("label", "rollback")]
    first, *later = moves
    assert first == ["label", "models/noto", "stable", "1"]
    port = re.search(r"HTTPS_PORT:-(\d+)", (FOLDER / "compose.yaml").read_text())[1]
    servers = [f"--server https://localhost:{port}", "${servers[@]}"]
    assert all(" ".join(words).endswith(tuple(servers)) for words in later)


def test_batching_parameters_are_ones_that_the_server_takes():
    shipped = (FOLDER / "config" / "batching_parameters.txt").read_text()
    check_batching(shipped)
    # The server runs warm-up requests as they are, and refuses larger ones.
    assert batching(shipped).max_batch_size.value >= MOST_ROWS
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
    base_path = tmp_path / "models" / "noto"
    base_path.mkdir(parents=True)
    (base_path / "1").symlink_to(small_version)
    set_label(base_path, "stable", 1)
    by_hand = re.search(r"```\n(model_config_list.*?)```", README, re.DOTALL)[1]
    labels = 'version_labels { key: "stable" value: 1 }'
    more = '# config { name: "gone" }\nmodel_config_list { config {name:"dogs" base_path: "/a" } '
    with StandIn(base_path.parent, rest_port=0, grpc_port=0) as server:
        port = server.rest_url.rpartition(":")[2]
        text = (FOLDER / "config" / "healthcheck.sh").read_text()
        text = text.replace("/8501", f"/{port}").replace("/models/models.config", "$CONFIG")

        def healthy(**environment):
            told = {"CONFIG": str(base_path.parent / "models.config"), **environment}
            command = ["bash", "-c", text]
            return subprocess.run(command, env=told, capture_output=True).returncode == 0

        def healthy_by(text):
            (tmp_path / "by_hand.config").write_text(text)
            return healthy(CONFIG=str(tmp_path / "by_hand.config"))

        assert healthy()
        assert healthy(MODELS="noto")
        assert not healthy(MODELS="noto dogs")
        assert not healthy(CONFIG="/none")
        assert healthy_by(by_hand)
        assert healthy_by(by_hand.replace("model_platform", f"{labels} model_platform"))
        assert healthy_by(more.replace("dogs", "noto") + "}")
        assert not healthy_by(more + "}")
        assert not healthy_by(by_hand.replace('"noto"', '"noto_2"'))
        assert not healthy_by(f"{by_hand}\n{more}}}")
        assert not healthy_by("")
    assert not healthy()
