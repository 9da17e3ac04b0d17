import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_transfer as kx

RANDOM = np.random.default_rng(0)
PIXELS = {
    "one": RANDOM.uniform(0, 255, (6, 32, 32, 3)).astype("float32"),
    "two": RANDOM.uniform(0, 99, (3, 32, 32, 3)).astype("float32"),
}
LABELS = {"one": np.array([0, 1, 1, 0, 1, 0]), "two": RANDOM.normal(size=(3, 2)).astype("float32")}
WEIGHTS = {"one": RANDOM.uniform(0, 2, 6), "two": RANDOM.uniform(0, 2, 3)}


@pytest.fixture
def models(tiny_backbone, learnt):
    """A classifier and a regressor."""
    return {
        "one": learnt(kx.Classifier(tiny_backbone, ["a", "b"])),
        "two": learnt(kx.Regressor(tiny_backbone, 2, hidden=[5])),
    }


def losses():
    return {
        "one": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "two": keras.losses.MeanSquaredError(),
    }


def batches(*parts):
    return tf.data.Dataset.from_tensors(parts)


def fit(joint, *parts, **settings):
    joint.compile(settings.pop("optimizer", keras.optimizers.SGD(0.0)), **settings)
    history = joint.fit(batches(*parts), verbose=0, shuffle=False).history
    return {name: values[0] for name, values in history.items()}


def expected_losses(models, weights):
    """Cross-entropy and squared error, weighted, as means over the batch."""
    logits = models["one"](PIXELS["one"]).numpy().astype("float64")
    log_sums = np.log(np.exp(logits).sum(axis=1))
    entropy = (log_sums - logits[np.arange(6), LABELS["one"]]) * weights["one"]
    errors = (models["two"](PIXELS["two"]).numpy() - LABELS["two"]).astype("float64") ** 2
    return entropy.mean(), (errors.mean(axis=1) * weights["two"]).mean()


def test_each_head_gives_what_its_model_gives(models):
    joint = kx.JointModel(models)
    outputs = joint(PIXELS)
    for task, model in models.items():
        np.testing.assert_allclose(outputs[task], model(PIXELS[task]), atol=1e-5)
    assert joint.layers[-1].name in ("one_head", "two_head")
    assert len({id(w) for w in joint.weights}) == len(joint.weights)


def test_features_of_several_depths_are_shared(tiny_backbone):
    names = [block.name for block in kx.split_into_blocks(tiny_backbone)]
    one = kx.Classifier(tiny_backbone, 2, depths=names, fusion="attention")
    two = kx.Classifier(one.get_layer("tiny"), 3)
    outputs = kx.JointModel({"one": one, "two": two})(PIXELS)
    np.testing.assert_allclose(outputs["one"], one(PIXELS["one"]), atol=1e-5)
    np.testing.assert_allclose(outputs["two"], two(PIXELS["two"]), atol=1e-5)


def test_tasks_may_share_pictures(models):
    joint = kx.JointModel(models, pictures="shared", weighting="uncertainty")
    outputs = joint(PIXELS["two"])
    for task, model in models.items():
        np.testing.assert_allclose(outputs[task], model(PIXELS["two"]), atol=1e-5)
    labels = {"one": LABELS["one"][:3], "two": LABELS["two"]}
    logs = fit(joint, PIXELS["two"], labels, WEIGHTS["two"], loss=losses())
    assert np.isfinite(list(logs.values())).all()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_are_float32_under_any_policy(policy):
    keras.config.set_dtype_policy(policy)
    pixels = keras.Input((32, 32, 3), dtype="float32")
    x = keras.layers.Conv2D(4, 3, 4)(keras.layers.Rescaling(1 / 255)(pixels))
    backbone = keras.Model(pixels, keras.layers.BatchNormalization()(x), name="small")
    models = {"one": kx.Classifier(backbone, 2), "two": kx.Regressor(backbone, 2)}
    joint = kx.JointModel(models, weighting="uncertainty")
    assert joint.get_layer("joint_batch").compute_dtype == "float32"
    for task, output in joint(PIXELS).items():
        assert output.dtype == "float32"
        np.testing.assert_allclose(output, models[task](PIXELS[task]), atol=0.05)
    logs = fit(joint, PIXELS, LABELS, loss=losses(), optimizer="sgd")
    assert np.isfinite(list(logs.values())).all()


def test_batch_norm_sees_the_joint_batch(models, tiny_backbone):
    joint = kx.JointModel(models)
    kx.FineTuning(batch_norm="trainable").apply(joint)
    before_norm = keras.Model(tiny_backbone.input, tiny_backbone.get_layer("first").output)
    features = before_norm(np.concatenate(list(PIXELS.values()))).numpy()
    fit(joint, PIXELS, LABELS, loss=losses())
    layer = tiny_backbone.get_layer("first_bn")
    expected = (1 - layer.momentum) * features.astype("float64").mean(axis=(0, 1, 2))
    np.testing.assert_allclose(layer.moving_mean, expected, rtol=1e-4)


def test_three_tasks_share_a_backbone_and_learn(models, tiny_backbone):
    models["three"] = kx.Classifier(tiny_backbone, 3, hidden=[4])
    joint = kx.JointModel(models, weighting="uncertainty")
    pixels = {**PIXELS, "three": PIXELS["one"][:2]}
    labels = {**LABELS, "three": np.array([2, 0])}
    for task, output in joint(pixels).items():
        np.testing.assert_allclose(output, models[task](pixels[task]), atol=1e-5)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    joint.compile(keras.optimizers.Adam(0.01), {**losses(), "three": cross_entropy})
    data = batches(pixels, labels)
    logs = joint.fit(data, epochs=20, verbose=0, shuffle=False).history
    assert all(logs[f"{task}_loss"][-1] < logs[f"{task}_loss"][0] for task in models)


def test_proximal_step_leaves_the_weights_of_the_losses(models):
    moved = []
    for head in (0.0, 100.0):
        joint = kx.JointModel(models, weighting="uncertainty")
        for variable in joint.log_variances.values():
            variable.assign(-1.0)
        kx.FeatureExtraction().apply(joint)
        proximal = kx.Proximal(0.0, head)
        optimizer = kx.layerwise(keras.optimizers.SGD(1e-3), joint, proximal=proximal)
        fit(joint, PIXELS, LABELS, loss=losses(), optimizer=optimizer)
        moved.append([float(variable) for variable in joint.log_variances.values()])
    assert moved[0] == pytest.approx(moved[1], abs=1e-2)


@pytest.mark.parametrize("regularizer", [kx.L2SP(0.5, 0.5), kx.L2(0.5, 0.5)])
def test_pull_to_zero_leaves_the_weights_of_the_losses(models, regularizer):
    joint = kx.JointModel(models, weighting="uncertainty")
    before = float(sum(joint.losses))
    regularizer.apply(joint)
    after = float(sum(joint.losses))
    for variable in joint.log_variances.values():
        variable.assign(2.0)
    assert after > before
    # Only the s / 2 of each task in the loss of the paper.
    assert float(sum(joint.losses)) == pytest.approx(after + 2 * 1.0, rel=1e-5)


def test_fixed_weights_are_those_of_keras(models):
    entropy, error = expected_losses(models, WEIGHTS)
    joint = kx.JointModel(models)
    assert joint.log_variances == {}
    weights = {"one": 2.0, "two": 0.5}
    kx.FeatureExtraction().apply(joint)
    logs = fit(joint, PIXELS, LABELS, WEIGHTS, loss=losses(), loss_weights=weights)
    np.testing.assert_allclose(logs["loss"], 2 * entropy + 0.5 * error, rtol=1e-5)
    np.testing.assert_allclose((logs["one_loss"], logs["two_loss"]), (entropy, error), rtol=1e-5)


@pytest.mark.parametrize(("weights", "scaled"), [(None, False), (WEIGHTS, True)])
def test_learned_weights_give_the_loss_and_gradient_of_the_paper(models, weights, scaled):
    entropy, error = expected_losses(models, weights or {"one": np.ones(6), "two": np.ones(3)})
    joint = kx.JointModel(models, weighting="uncertainty")
    kx.FeatureExtraction().apply(joint)  # as in use, BatchNorm keeps its statistics
    s, t = 0.7, -0.4
    joint.log_variances["one"].assign(s)
    joint.log_variances["two"].assign(t)
    optimizer = keras.optimizers.SGD(0.1)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0)
    parts = (PIXELS, LABELS) if weights is None else (PIXELS, LABELS, weights)
    logs = fit(joint, *parts, loss=losses(), optimizer=optimizer)
    total = np.exp(-s) * entropy + s / 2 + np.exp(-t) / 2 * error + t / 2
    np.testing.assert_allclose(logs["loss"], total, rtol=1e-5)
    np.testing.assert_allclose((logs["one_loss"], logs["two_loss"]), (entropy, error), rtol=1e-5)
    new = [float(variable) for variable in joint.log_variances.values()]
    expected = (
        s - 0.1 * (0.5 - np.exp(-s) * entropy),
        t - 0.1 * (0.5 - np.exp(-t) / 2 * error),
    )
    np.testing.assert_allclose(new, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": losses(), "loss_weights": {"one": 1.0, "two": 2.0}},
        {"loss": {"one": losses()["one"]}},
        {"loss": {"one": losses()["one"], "two": "mse"}},
        {"loss": "mse"},
    ],
)
def test_learned_weights_need_a_loss_of_each_task_and_no_other_weights(models, settings):
    joint = kx.JointModel(models, weighting="uncertainty")
    joint.compile(**settings)
    with pytest.raises(ValueError, match=r"without `loss_weights`.*\['one', 'two'\] in a dict"):
        joint.compute_loss(PIXELS, LABELS, joint(PIXELS))


@pytest.mark.parametrize(
    ("strategy", "moving"),
    [
        (kx.FeatureExtraction(), []),
        (kx.FineTuning(1), ["third"]),
        (kx.FineTuning(2, batch_norm="trainable"), ["second", "second_bn", "third", "third_bn"]),
    ],
)
def test_strategies_freeze_the_shared_backbone_bit_for_bit(strategy, moving, tiny_backbone):
    # A head with more weights than the backbone is still a head.
    models = {
        "one": kx.Classifier(tiny_backbone, 2, hidden=[64]),
        "two": kx.Regressor(tiny_backbone, 2),
    }
    joint = kx.JointModel(models)
    strategy.apply(joint)
    before = {id(weight): weight.numpy() for weight in joint.weights}
    # A head begins at zero, and then takes a step until the backbone gets a gradient.
    for _ in range(2):
        fit(joint, PIXELS, LABELS, loss=losses(), optimizer=keras.optimizers.SGD(1e-3))
    for layer in tiny_backbone.layers:
        for weight in layer.weights:
            same = np.array_equal(before[id(weight)], weight.numpy())
            assert same != (layer.name in moving), weight.path
    for model in models.values():
        kernel = model.layers[-1].kernel
        assert not np.array_equal(before[id(kernel)], kernel.numpy())


@pytest.mark.slow
def test_trained_heads_are_ordinary_models(tiny_backbone, tiny_data, tmp_path):
    models = {task: kx.Classifier(tiny_backbone, ["dark", "bright"]) for task in ("one", "two")}
    joint = kx.JointModel(models, weighting="uncertainty")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    joint.compile(loss=dict.fromkeys(models, loss), metrics=dict.fromkeys(models, ["accuracy"]))
    data = kx.joint_data({"one": tiny_data.train, "two": tiny_data.test})
    kx.fine_tune(joint, data, data, strategy=kx.FineTuning(), epochs=1, verbose=0)
    report = kx.evaluate(models["two"], tiny_data.test, verbose=False)
    logged = joint.evaluate(data, verbose=0, return_dict=True)
    np.testing.assert_allclose(report.accuracy, logged["two_accuracy"])
    assert kx.export(models["two"], tmp_path / "models").name == "1"
    models["two"].save(tmp_path / "two.keras")
    loaded = keras.models.load_model(tmp_path / "two.keras")
    np.testing.assert_allclose(loaded(PIXELS["two"]), models["two"](PIXELS["two"]), atol=1e-5)
    assert "keras_transfer" not in str(loaded.get_config())


def test_weights_of_a_joint_model_are_saved_and_the_model_is_not(models, tmp_path):
    joint = kx.JointModel(models, weighting="uncertainty")
    joint.log_variances["two"].assign(0.3)
    joint.save_weights(tmp_path / "joint.weights.h5")
    before = [weight.numpy() for weight in joint.weights]
    for weight in joint.weights:
        weight.assign(weight + 1)
    joint.load_weights(tmp_path / "joint.weights.h5")
    for weight, value in zip(joint.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    with pytest.raises(NotImplementedError, match=r"`save` of the models.*\['one', 'two'\]"):
        joint.save(tmp_path / "joint.keras")


def test_models_that_cannot_be_joined_are_refused(models, tiny_backbone):
    with pytest.raises(ValueError, match="at least two models.*'one': 'tiny'"):
        kx.JointModel({"one": models["one"]})
    other = keras.models.clone_model(tiny_backbone)
    with pytest.raises(ValueError, match="the same ones or others of that name"):
        kx.JointModel({"one": models["one"], "two": kx.Classifier(other, 2)})
    flat = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten()], name="flat")
    with pytest.raises(ValueError, match="'one': None, 'two': 'tiny'"):
        kx.JointModel({"one": flat, "two": models["two"]})
    pixels = keras.Input((32, 32, 3))
    flipped = keras.layers.RandomFlip()(pixels)
    changing = keras.Model(pixels, tiny_backbone(flipped), name="changing")
    with pytest.raises(ValueError, match="once, on their input.*'changing'"):
        kx.JointModel({"one": models["one"], "two": changing})
    with pytest.raises(ValueError, match="`pictures`.*Received: 'same'"):
        kx.JointModel(models, pictures="same")
    with pytest.raises(ValueError, match="`weighting`.*Received: 'learned'"):
        kx.JointModel(models, weighting="learned")


REPLICAS = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_transfer as kx

def train():
    keras.utils.set_random_seed(0)
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, 2, name="low")(pixels / 255)
    backbone = keras.Model(pixels, keras.layers.Conv2D(4, 3, name="high")(x), name="backbone")
    models = {"one": kx.Classifier(backbone, 2), "two": kx.Regressor(backbone, 2)}
    joint = kx.JointModel(models, weighting="uncertainty")
    kx.FineTuning(1).apply(joint)
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    loss = {"one": entropy, "two": keras.losses.MeanSquaredError()}
    joint.compile(keras.optimizers.SGD(0.05), loss=loss, jit_compile=False)
    random = np.random.default_rng(0)
    def data(n, labels, size):
        x = random.uniform(0, 255, (n, 8, 8, 3)).astype("float32")
        return tf.data.Dataset.from_tensor_slices((x, labels)).batch(size)
    both = kx.joint_data({
        "one": data(16, np.arange(16) % 2, 8),
        "two": data(8, random.normal(size=(8, 2)).astype("float32"), 4),
    })
    history = joint.fit(both, epochs=2, verbose=0, shuffle=False).history
    return history["loss"] + [w.numpy().ravel() for w in joint.trainable_weights]

alone = train()
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    together = train()
assert strategy.num_replicas_in_sync == 2 and len(alone) == 2 + 8
print(max(np.abs(a - b).max() for a, b in zip(alone, together)))
"""


@pytest.mark.slow
def test_two_replicas_train_as_one_device_does():
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.strip().splitlines()[-1]) < 1e-6
