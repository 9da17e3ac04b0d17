import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx
from keras_transfer.serving.c_api.engine import Engine, run
from keras_transfer.serving.c_api.session import ModelError
from keras_transfer.serving.local import LocalModel
from keras_transfer.serving.signatures.strings import as_strings
from keras_transfer.serving.verification.decided import wrong_strings
from keras_transfer.serving.verification.problems import VerificationError
from keras_transfer.serving.verification.saved_graph import served_graph, signatures_of
from keras_transfer.serving.versions.manifest import FILE as MANIFEST
from keras_transfer.serving.versions.manifest import write_manifest
from keras_transfer.serving.versions.warmup import FILE, load_samples, save_samples


@pytest.fixture(scope="module")
def exported(tmp_path_factory, learnt):
    pixels = keras.Input([32, 32, 3])
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3, strides=2)(pixels))
    backbone = keras.Model(pixels, keras.layers.ReLU()(x))
    folder = tmp_path_factory.mktemp("models")
    return kx.export(learnt(kx.Classifier(backbone, ["cat", "dog"])), folder, resize="stretch")


@pytest.fixture
def version(exported, tmp_path):
    return pathlib.Path(shutil.copytree(exported, tmp_path / "1"))


def sealed(version):
    """With a manifest of what is there now, so that later steps have to find what is wrong."""
    (version / MANIFEST).unlink(missing_ok=True)
    write_manifest(version, {})
    return version


def sample_of(version, signature):
    return next(x for x in load_samples(version) if x.signature == signature)


def problems(version):
    with pytest.raises(kx.VerificationError) as raised:
        kx.verify(version)
    return " ".join(raised.value.problems)


FILES = [
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    str(FILE),
    str(MANIFEST),
]


def test_whole_version_passes(version):
    seen = []
    steps = kx.verify(version, on_step=seen.append)
    assert seen == steps
    assert len(steps) == 3


def test_all_files_of_a_version_are_told(version):
    there = {str(x.relative_to(version)) for x in version.rglob("*") if x.is_file()}
    assert there == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_found(version, name):
    (version / name).unlink()
    assert name in problems(version)


@pytest.mark.parametrize("name", FILES)
def test_file_cut_short_is_found(version, name):
    os.truncate(version / name, (version / name).stat().st_size // 2)
    assert name in problems(version)


@pytest.mark.parametrize("name", FILES)
def test_flipped_bit_is_found(version, name):
    data = bytearray((version / name).read_bytes())
    for place in (0, len(data) // 2, len(data) - 1):
        data[place] ^= 4
        (version / name).write_bytes(data)
        assert name in problems(version)
        data[place] ^= 4


def test_file_too_many_is_found(version):
    (version / "assets.extra" / "more").write_text("")
    assert "more is not in the manifest" in problems(version)


def test_version_without_variables_loads_and_fails_when_run(version):
    # Why warm-up requests: TF Serving would load this and fail at the first request.
    shutil.rmtree(version / "variables")
    assert run(version, []) == []
    name = "pixels_pixels:0"
    pixels = sample_of(version, "pixels").inputs["pixels"]
    with pytest.raises(ModelError):
        run(version, [({name: pixels}, ["StatefulPartitionedCall:0"])])
    assert "variables.index" in problems(sealed(version))


def test_changed_weights_are_found(version):
    path = version / "variables" / "variables.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = np.full(1000, 3.0, "float32").tobytes()
    path.write_bytes(data)
    assert problems(sealed(version))


def changed(version, signature, name, change):
    """The version with another answer of Keras's noted."""
    samples = [
        dataclasses.replace(x, outputs={**x.outputs, name: change(x.outputs[name])})
        if x.signature == signature
        else x
        for x in load_samples(version)
    ]
    save_samples(version, samples)
    return sealed(version)


def test_answers_that_differ_from_keras_are_found(version):
    changed(version, "pixels", "probabilities", lambda value: value + np.float32(3e-5))
    assert "pixels: probabilities differs from Keras by" in problems(version)


def test_samples_that_compare_nothing_are_found(version):
    samples = load_samples(version)
    pixels = [x for x in samples if x.signature == "pixels"]
    other = [dataclasses.replace(pixels[0], signature="other")]
    for kept in ([], pixels, samples + other):
        save_samples(version, kept)
        assert "There are samples for" in problems(sealed(version))


def test_other_labels_are_found(version):
    changed(version, "serving_default", "label", lambda value: as_strings([b"emu"] * len(value)))
    assert "serving_default: label: " in problems(version)


def test_other_best_labels_are_found(version):
    changed(version, "top_k", "labels", lambda value: value[:, ::-1])
    assert "strings differ from Keras" in problems(version)


def test_other_rows_that_are_valid_are_found(version):
    changed(version, "top_k", "valid", lambda value: ~value)
    assert "top_k: valid differs from Keras in" in problems(version)


def test_requests_of_another_signature_are_found(version):
    samples = load_samples(version)
    inputs = {"nothing": samples[0].inputs["image_bytes"]}
    save_samples(version, [dataclasses.replace(samples[0], inputs=inputs), *samples[1:]])
    wanted = "A sample of serving_default has ['nothing'], not ['image_bytes']"
    assert wanted in problems(sealed(version))


def test_an_answer_that_nobody_compares_is_found(version):
    samples = load_samples(version)
    outputs = {"valid": samples[0].outputs["valid"]}
    save_samples(version, [dataclasses.replace(samples[0], outputs=outputs), *samples[1:]])
    assert "A sample of serving_default has ['valid'], not" in problems(sealed(version))


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
    shutil.rmtree(version)
    module.variable = tf.Variable(1.0)
    tf.saved_model.save(module, str(version), signatures={"serving_default": serve})
    assert message in problems(sealed(version))


def _print(x):
    with tf.control_dependencies([tf.io.write_file("/tmp/never-written", "x")]):
        return tf.identity(x)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: tf.numpy_function(np.sin, [x], tf.float32), "PyFunc"),
        (lambda x: tf.py_function(tf.sin, [x], tf.float32), "EagerPyFunc"),
        (lambda x: tf.map_fn(tf.function(_print), x), "WriteFile"),
        (tf.function(tf.sin, jit_compile=True), "compiled by XLA"),
    ],
)
def test_what_has_no_place_on_a_server_is_found(version, function, message):
    module = tf.Module()
    module.variable = tf.Variable(1.0)
    serve = tf.function(
        lambda x: {"y": tf.ensure_shape(function(x), [None]) * module.variable},
        input_signature=[tf.TensorSpec([None], tf.float32)],
    )
    shutil.rmtree(version)
    tf.saved_model.save(module, str(version), signatures={"serving_default": serve})
    assert message in problems(sealed(version))


def test_a_device_is_found(version):
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    for node in saved_model.meta_graphs[0].graph_def.node:
        node.device = "/device:GPU:0"
    (version / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    assert "bound to the devices ['/device:GPU:0']" in problems(sealed(version))


def test_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="exported version"):
        kx.verify(tmp_path / "3")


@pytest.mark.parametrize(
    ("signature", "value"),
    [
        ("pixels", np.zeros([2, 31, 32, 3], "float32")),
        ("serving_default", np.full([2, 2], b"", object)),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("pixels", np.zeros([2, 64, 32, 3], "float32")),
                ("pixels", np.zeros([32, 32, 3], "float32")),
                ("top_k", np.array(b"", object)),
            )
        ),
    ],
)
def test_requests_of_another_shape_are_refused(version, signature, value):
    found = signatures_of(served_graph(version))[signature]
    [name] = [tensor.name for tensor in found.inputs.values()]
    with pytest.raises(ModelError, match="[Ss]hape") as raised:
        run(version, [({name: value}, [found.outputs["valid"].name])])
    assert raised.value.code == ModelError.INVALID_ARGUMENT


def test_checking_process_never_imports_tensorflow():
    module = "keras_transfer.serving.c_api.worker"
    code = f"import sys, {module}; print('tensorflow' in sys.modules)"
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
    with pytest.raises(ModelError, match="no operation 'nothing'"):
        run(version, [({}, ["nothing:0"])])


def test_warm_up_requests_fit_into_small_batches(version):
    sample = sample_of(version, "pixels")
    rows = {name: np.concatenate([x] * 3) for name, x in sample.inputs.items()}
    many = dataclasses.replace(
        sample, inputs=rows, outputs={"valid": np.ones(len(rows["pixels"]), bool)}
    )
    save_samples(version, [many])
    found = load_samples(version)
    assert [len(x.inputs["pixels"]) for x in found] == [8] * (len(rows["pixels"]) // 8)
    assert all(len(x.outputs["valid"]) == 8 for x in found)
    with pytest.raises(ValueError, match="at most 1,000 warm-up requests.*give fewer samples"):
        save_samples(version, [sample] * 1001)


def test_a_damaged_graph_is_told_to_who_asks_it_locally(version):
    (version / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(VerificationError, match="saved_model.pb is damaged"):
        LocalModel(version)


def test_strings_are_compared_where_scores_are_decided():
    scores = np.array([[0.6, 0.3, 0.1], [0.45, 0.45, 0.1]])
    expected = {"labels": np.array([["a", "b", "c"]] * 2, object), "scores": scores}
    other = {"labels": np.array([["b", "a", "c"]] * 2, object), "scores": scores}
    assert wrong_strings(expected, expected, 1e-3) == {}
    assert wrong_strings(expected, other, 1e-3) == {"labels": 2}  # of the first row


@pytest.mark.parametrize("kind", ["complex64", "bfloat16"])
def test_types_that_no_version_takes_are_refused_and_end_nothing(version, kind):
    sample = sample_of(version, "pixels")
    tensors = signatures_of(served_graph(version))["pixels"]
    name, wanted = tensors.inputs["pixels"].name, [tensors.outputs["valid"].name]
    with Engine() as engine:
        engine.load("", version, [])
        wrong = tf.cast(sample.inputs["pixels"], kind).numpy()
        with pytest.raises(ModelError, match=f"No version takes {kind}") as refused:
            engine.run("", {name: wrong}, wanted)
        assert refused.value.code == ModelError.INVALID_ARGUMENT
        assert engine.run("", {name: sample.inputs["pixels"]}, wanted)
