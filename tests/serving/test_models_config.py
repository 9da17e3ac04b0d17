import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from keras_transfer.serving.versions.models_config import labels_of, pinned_versions, set_label


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
