import threading

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from keras_transfer.serving.versions import locks
from keras_transfer.serving.versions.labels import labels_of, set_label
from keras_transfer.serving.versions.models_config import pinned_versions


@pytest.fixture
def base_path(tmp_path):
    for number in (1, 2, 3):
        (tmp_path / "flowers" / str(number)).mkdir(parents=True)
    return tmp_path / "flowers"


def parsed(base_path):
    text = (base_path.parent / "models.config").read_text()
    return text_format.Parse(text, ModelServerConfig())


def test_a_label_names_a_version_that_is_served(base_path):
    set_label(base_path, "stable", 2)
    set_label(base_path, "canary", 3)
    [model] = parsed(base_path).model_config_list.config
    assert (model.name, model.base_path) == ("flowers", "/models/flowers")
    assert model.model_platform == "tensorflow"
    assert dict(model.version_labels) == {"stable": 2, "canary": 3}
    assert list(model.model_version_policy.specific.versions) == [2, 3]
    assert labels_of(base_path) == {"canary": 3, "stable": 2}


def test_a_version_is_loaded_before_it_gets_the_label(base_path):
    # TF Serving refuses a file in which a label names a version that it has not loaded.
    set_label(base_path, "stable", 1)
    seen = []

    def loaded(version):
        [model] = parsed(base_path).model_config_list.config
        served = list(model.model_version_policy.specific.versions)
        seen.append((version, served, dict(model.version_labels)))

    set_label(base_path, "stable", 3, loaded=loaded)
    assert seen == [(3, [1, 3], {"stable": 1})]
    assert pinned_versions(base_path) == {3}


def test_a_server_that_does_not_load_it_leaves_the_label(base_path):
    set_label(base_path, "stable", 1)

    def loaded(version):
        raise TimeoutError("not loaded")

    with pytest.raises(TimeoutError):
        set_label(base_path, "stable", 3, loaded=loaded)
    assert labels_of(base_path) == {"stable": 1}
    assert pinned_versions(base_path) == {1}


def test_other_models_and_settings_stay(base_path):
    (base_path.parent / "models.config").write_text(
        """model_config_list {
          config { name: "cats" base_path: "/models/cats" model_platform: "tensorflow"
                   model_version_policy { all {} } }
          config { name: "flowers" base_path: "/elsewhere" model_platform: "tensorflow"
                   model_version_policy { latest { num_versions: 2 } } }
        }"""
    )
    assert labels_of(base_path) == {}
    set_label(base_path, "stable", 1)
    cats, flowers = parsed(base_path).model_config_list.config
    assert cats.model_version_policy.WhichOneof("policy_choice") == "all"
    assert flowers.base_path == "/elsewhere"
    assert flowers.model_version_policy.WhichOneof("policy_choice") == "specific"


def test_without_a_file_nothing_is_pinned(base_path):
    assert pinned_versions(base_path) == set()
    assert labels_of(base_path) == {}


def test_bad_labels_versions_and_files_are_refused(base_path):
    with pytest.raises(ValueError, match="label='no spaces'"):
        set_label(base_path, "no spaces", 1)
    with pytest.raises(FileNotFoundError, match="version=7"):
        set_label(base_path, "stable", 7)
    (base_path.parent / "models.config").write_text("model_config_list {")
    with pytest.raises(ValueError, match=r"text format in .*models.config; mend it"):
        set_label(base_path, "stable", 1)


def test_edits_of_two_models_wait_for_each_other(base_path):
    other = base_path.with_name("cats")
    (other / "1").mkdir(parents=True)
    loading, go_on = threading.Event(), threading.Event()

    def loaded(version):
        loading.set()
        go_on.wait(10)

    label = threading.Thread(
        target=set_label, args=(base_path, "stable", 1), kwargs={"loaded": loaded}
    )
    label.start()
    assert loading.wait(10)
    threading.Timer(0.3, go_on.set).start()
    set_label(other, "stable", 1)
    label.join()
    assert (labels_of(base_path), labels_of(other)) == ({"stable": 1}, {"stable": 1})


def test_somebody_who_edits_for_long_is_told_of(base_path, monkeypatch):
    monkeypatch.setattr(locks, "_SECONDS_TO_WAIT", 0)
    held = locks.config_lock(base_path.parent)
    with held, pytest.raises(TimeoutError, match="models.config.lock.*somebody else holds"):
        set_label(base_path, "stable", 1)


def test_the_folder_one_is_in_has_a_name(base_path, monkeypatch):
    monkeypatch.chdir(base_path)
    set_label(".", "stable", 1)
    assert labels_of(".") == labels_of(base_path) == {"stable": 1}
    assert pinned_versions(base_path) == {1}


def test_a_version_that_is_in_the_file_may_still_have_to_be_loaded(base_path):
    set_label(base_path, "canary", 3)
    seen = []
    set_label(base_path, "stable", 3, loaded=seen.append)
    assert seen == [3]
    assert labels_of(base_path) == {"canary": 3, "stable": 3}


def test_a_model_under_another_name_is_found_by_its_folder(base_path):
    (base_path.parent / "models.config").write_text(
        """model_config_list {
          config { name: "prod" base_path: "/models/flowers" model_platform: "tensorflow"
                   model_version_policy { specific { versions: 2 } } }
        }"""
    )
    assert pinned_versions(base_path) == {2}
    set_label(base_path, "stable", 1)
    [prod] = parsed(base_path).model_config_list.config
    assert (prod.name, dict(prod.version_labels)) == ("prod", {"stable": 1})


def test_a_version_that_is_not_there_is_told_with_those_that_are(base_path):
    with pytest.raises(FileNotFoundError, match=r"one of the versions \[1, 2, 3\].*version=7"):
        set_label(base_path, "stable", 7)
    assert not (base_path.parent / "models.config").exists()
