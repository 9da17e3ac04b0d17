import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.serving.c_api import LoadError
from keras_transfer.serving.clean_process import run
from keras_transfer.serving.samples import FILE, as_strings, load_samples, save_samples


@pytest.fixture(scope="module")
def exported(tmp_path_factory, learnt):
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(32, 32, 3))
    folder = tmp_path_factory.mktemp("models")
    return kx.export(learnt(kx.Classifier(backbone, ["cat", "dog"])), folder, resize="stretch")


@pytest.fixture
def version(exported, tmp_path):
    return pathlib.Path(shutil.copytree(exported, tmp_path / "1"))


def problems(version):
    with pytest.raises(kx.VerificationError) as raised:
        kx.verify(version)
    return " ".join(raised.value.problems)


def test_whole_version_passes(version):
    kx.verify(version)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", str(FILE)])
def test_missing_file_is_found(version, name):
    (version / name).unlink()
    assert name in problems(version)


@pytest.mark.parametrize(
    "name",
    [
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        str(FILE),
    ],
)
def test_file_cut_short_is_found(version, name):
    data = (version / name).read_bytes()
    (version / name).write_bytes(data[: len(data) // 2])
    assert problems(version)


def test_version_without_variables_loads_and_fails_when_run(version):
    # Why verify runs the samples: TF Serving would load this and fail at the first request.
    shutil.rmtree(version / "variables")
    assert run(version, []) == []
    samples = load_samples(version)
    name = "pixels_pixels:0"
    with pytest.raises(LoadError):
        run(version, [({name: samples["pixels"][0]["pixels"]}, ["StatefulPartitionedCall:0"])])
    assert "variables.index" in problems(version)


def test_changed_weights_are_found(version):
    path = version / "variables" / "variables.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = np.full(1000, 3.0, "float32").tobytes()
    path.write_bytes(data)
    assert problems(version)


def test_answers_that_differ_from_keras_are_found(version):
    samples = load_samples(version)
    inputs, outputs = samples["pixels"]
    outputs["probabilities"] = outputs["probabilities"] + np.float32(3e-5)
    save_samples(version, samples)
    assert "pixels: probabilities differs from Keras by" in problems(version)


def test_samples_that_compare_nothing_are_found(version):
    samples = load_samples(version)
    for kept in ({}, {"pixels": samples["pixels"]}, samples | {"other": samples["pixels"]}):
        save_samples(version, kept)
        assert "There are samples for" in problems(version)


def test_other_labels_are_found(version):
    samples = load_samples(version)
    outputs = samples["serving_default"][1]
    outputs["label"] = as_strings([b"emu"] * len(outputs["label"]))
    save_samples(version, samples)
    assert "labels differ" in problems(version)


@pytest.mark.parametrize(
    ("spec", "result", "message"),
    [
        (tf.TensorSpec([], tf.float32, "x"), lambda x: x[None], "not the batch first"),
        (tf.TensorSpec([None], tf.float16, "x"), lambda x: x, "float16"),
        (tf.TensorSpec([None], tf.float32, "x"), lambda x: tf.constant(["a", "b"]), "batch first"),
    ],
)
def test_what_tf_serving_cannot_serve_is_found(version, spec, result, message):
    module = tf.Module()
    serve = tf.function(lambda x: {"y": result(x)}, input_signature=[spec])
    samples = load_samples(version)
    shutil.rmtree(version)
    module.variable = tf.Variable(1.0)
    tf.saved_model.save(module, str(version), signatures={"serving_default": serve})
    save_samples(version, {"serving_default": samples["pixels"]})
    assert message in problems(version)


def test_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="exported version"):
        kx.verify(tmp_path / "3")


def test_checking_process_never_imports_tensorflow():
    code = "import sys, keras_transfer.serving.c_api; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_c_api_carries_every_type_there_and_back(tmp_path):
    values = {
        "float32": np.array([[1.5, -2]], "float32"),
        "int64": np.array([2**40], "int64"),
        "int32": np.zeros([0, 3], "int32"),
        "bool": np.array([True, False]),
        "uint8": np.array([255], "uint8"),
        "string": as_strings([b"", b"\0a\0", b"x" * 1000]),
    }

    def echo(**tensors):
        return {f"{name}_out": tf.identity(tensor) for name, tensor in tensors.items()}

    specs = {
        name: tf.TensorSpec([None, *value.shape[1:]], tf.as_dtype(name), name)
        for name, value in values.items()
    }
    module = tf.Module()
    module.variable = tf.Variable(1.0)
    module.echo = tf.function(echo).get_concrete_function(**specs)
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": module.echo})
    loaded = tf.compat.v1.Session(graph=tf.Graph())
    signature = tf.compat.v1.saved_model.load(loaded, ["serve"], str(tmp_path / "1"))
    signature = signature.signature_def["serving_default"]
    inputs = {signature.inputs[name].name: value for name, value in values.items()}
    outputs = {name: signature.outputs[f"{name}_out"].name for name in values}
    [result] = run(tmp_path / "1", [(inputs, list(outputs.values()))])
    for name, value in values.items():
        np.testing.assert_array_equal(result[outputs[name]], value)


def test_c_api_reports_what_is_not_in_the_graph(version):
    with pytest.raises(LoadError, match="no operation 'nothing'"):
        run(version, [({}, ["nothing:0"])])
