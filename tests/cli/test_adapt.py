"""`keras-transfer adapt` as a user would call it, on bright pictures and dimmed ones."""

import csv
import io
import json

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import keras_transfer as kx
from keras_transfer.cli import app
from keras_transfer.cli.adaptation_cases import Cases

QUICK = ["--image-size", "32", "--batch-size", "8", "--epochs", "6", "--depths", "1"]
QUICK += [
    "--learning-rate",
    "0.02",
    "--weight",
    "0.01",
    "--hidden",
    "8",
    "--validation-split",
    "0.25",
]
WORDS = {"good": ["great", "fine"], "bad": ["awful", "boring"]}


def call(*arguments, fails=False):
    """Runs a command in this process; errors are raised as they are."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=fails)
    assert (result.exit_code != 0) == fails, result.output
    return result


def told(*arguments):
    """What a command that fails says, in one line."""
    result = call(*arguments, fails=True)
    return " ".join(f"{result.exception} {result.output}".replace("│", " ").split())


@pytest.fixture(scope="module")
def encode():
    """Encodes through Pillow."""

    def to_png(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    return to_png


def draw(folder, encode, *, classes=("dark", "bright"), count=16, shift=0):
    """Noisy pictures of two classes."""
    random = np.random.default_rng(shift)
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 90, (16, 16, 3)) + 120 * label + shift
            (folder / name / f"{number}.png").write_bytes(encode(pixels.astype("uint8")))
    return folder


def tiny(handle, input_shape):
    """A backbone that takes no time, instead of the default one."""
    assert (handle, input_shape) == ("efficientnet_lite0", (32, 32, 3))
    pixels = keras.Input(input_shape)
    x = keras.layers.Rescaling(1 / 255)(pixels)
    start = keras.initializers.GlorotUniform(seed=0)
    x = keras.layers.Conv2D(8, 3, 2, kernel_initializer=start, name="conv")(x)
    return keras.Model(pixels, x, name="tiny")


@pytest.fixture(autouse=True, scope="module")
def tiny_backbones():
    load = kx.load_backbone
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            kx,
            "load_backbone",
            lambda *given, **options: (load if given[0].startswith("word_vectors") else tiny)(
                *given, **options
            ),
        )
        yield patch


@pytest.fixture(scope="module")
def domains(tmp_path_factory, encode):
    folder = tmp_path_factory.mktemp("domains")
    return [draw(folder / f"pictures_{shift}", encode, shift=shift) for shift in (0, 15)]


@pytest.fixture(scope="module")
def finished(domains, tmp_path_factory):
    """A run folder, and what was printed."""
    run = tmp_path_factory.mktemp("finished") / "run"
    return run, call("adapt", *domains, "-o", run, "--oracle-labels", "--seeds", "2", *QUICK).output


@pytest.fixture
def tables(tmp_path):
    """Reviews of films and of phones, in parts."""
    for domain in ("film", "phone"):
        with (tmp_path / f"{domain}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["review", "stars", "part"])
            for number in range(120):
                label = ("good", "bad")[number % 2]
                part = ("train", "train", "validation", "test")[number // 4 % 4]
                rows.writerow([f"{WORDS[label][number // 2 % 2]} {domain}", label, part])
    return [tmp_path / f"{domain}.csv" for domain in ("film", "phone")]


@pytest.fixture
def vectors(tmp_path):
    """Options for texts, with word vectors that are made up."""
    signs = {"good": 1, "bad": -1}
    lines = [f"{word} {signs[label]} 0.1" for label, words in WORDS.items() for word in words]
    (tmp_path / "vectors.txt").write_text("\n".join([*lines, "film 0 1", "phone 0 -1"]) + "\n")
    options = ["--backbone", f"word_vectors://{tmp_path / 'vectors.txt'}", "--pooling", "mean"]
    options += ["--text", "review", "--label", "stars", "--epochs", "6", "--hidden", "8"]
    return [*options, "--learning-rate", "0.05"]


def test_run_folder_holds_the_adapted_model_and_all_figures(finished, domains):
    run, output = finished
    assert "mean ± standard error of 2 seeds" in output
    assert "oracle" in output
    assert "Labels of the target trained the oracle and measured accuracy" in output
    assert sorted(path.name for path in run.iterdir()) == [
        "class_names.json",
        "confusion_matrix.png",
        "features.png",
        "history.csv",
        "metrics.json",
        "model.keras",
        "settings.json",
    ]
    figures = json.loads((run / "metrics.json").read_text())
    assert list(figures["cases"]) == ["source_only", "mmd", "oracle"]
    assert [(x["case"], x["seed"]) for x in figures["trainings"]] == [
        (case, seed) for seed in (0, 1) for case in ("source_only", "mmd", "oracle")
    ]
    kept = figures["kept"]
    [of_kept] = [x for x in figures["trainings"] if kept.items() <= x.items()]
    model = keras.models.load_model(run / "model.keras")
    options = {"image_size": (32, 32), "validation_split": 0.25, "test_split": 0.2}
    test = kx.image_folder(domains[1], **options).test
    right = [np.argmax(model(x), 1) == y.numpy() for x, y in test]
    assert figures["accuracy"] == of_kept["accuracy"] == np.concatenate(right).mean()
    settings = json.loads((run / "settings.json").read_text())
    assert (settings["data"], settings["target"]) == tuple(map(str, domains))
    assert settings["data_fingerprint"] != settings["target_fingerprint"]


def test_run_is_evaluated_and_exported_like_any_other(finished, domains, tmp_path):
    run, _ = finished
    out = tmp_path / "evaluation"
    call("evaluate", run, domains[1], "-o", out)
    figures = json.loads((out / "metrics.json").read_text())
    assert figures.items() <= json.loads((run / "metrics.json").read_text()).items()
    call("export", run, tmp_path / "models")
    assert "is what was exported" in call("verify", tmp_path / "models" / "1").output


@pytest.mark.slow
def test_texts_are_adapted_whatever_labels_their_training_part_has(tables, vectors, tmp_path):
    rows = list(csv.reader(tables[1].read_text().splitlines()))
    for row in rows[1:]:
        if row[2] != "test":
            row[1] = "bad" if row[1] == "good" else "good"
    with (tmp_path / "wrong.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    for target, name in ((tables[1], "right"), (tmp_path / "wrong.csv", "wrong")):
        call("adapt", tables[0], target, "-o", tmp_path / name, *vectors, "--split", "part")
    logs, others = ((tmp_path / name / "history.csv").read_text() for name in ("right", "wrong"))
    assert logs == others
    figures = [json.loads((tmp_path / x / "metrics.json").read_text()) for x in ("right", "wrong")]
    assert figures[0]["cases"] == figures[1]["cases"]
    assert figures[0]["accuracy"] == 1
    call("export", tmp_path / "right", tmp_path / "models")


@pytest.mark.slow
def test_folder_without_classes_has_a_score_and_no_accuracy(domains, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in domains[1].rglob("*.png"):
        (flat / f"{file.parent.name}_{file.name}").write_bytes(file.read_bytes())
    output = call("adapt", domains[0], flat, "-o", tmp_path / "run", *QUICK).output
    assert "there is a score, but no accuracy" in output
    assert "gain" not in output
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert figures["cases"]["mmd"]["accuracy"] is None
    assert "accuracy" not in figures
    call("export", tmp_path / "run", tmp_path / "models")
    assert "labels" in told(
        "adapt", domains[0], flat, "-o", tmp_path / "other", "--oracle-labels", *QUICK
    )


@pytest.fixture
def plain(tables, tmp_path):
    """The reviews of phones without their stars."""
    rows = list(csv.reader(tables[1].read_text().splitlines()))
    with (tmp_path / "plain.csv").open("w", newline="") as file:
        csv.writer(file).writerows([row[0], row[2]] for row in rows)
    return tmp_path / "plain.csv"


@pytest.mark.slow
# Of so few texts in two epochs, which may all get one class.
@pytest.mark.filterwarnings("ignore:kx.TargetScore rejected")
def test_table_without_labels_has_a_score_and_no_accuracy(tables, plain, vectors, tmp_path):
    options = [*vectors, "--split", "part", "--epochs", "2"]
    output = call("adapt", tables[0], plain, "-o", tmp_path / "run", *options).output
    assert "has no column 'stars': its texts are taken without labels." in " ".join(output.split())
    assert "there is a score, but no accuracy" in output
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert figures["cases"]["mmd"]["accuracy"] is None


def test_table_without_labels_is_no_source_and_trains_no_oracle(tables, plain, vectors, tmp_path):
    options = ["-o", tmp_path / "run", *vectors, "--split", "part"]
    said = told("adapt", tables[0], plain, "--oracle-labels", *options)
    assert "target with labels and a test part" in said
    assert "one column for each of ['stars']" in told("adapt", plain, tables[0], *options)


@pytest.mark.slow
def test_killed_run_goes_on_after_the_last_finished_training(domains, tmp_path, monkeypatch):
    arguments = ["adapt", *domains, "-o", tmp_path / "run", *QUICK]
    train = Cases._train

    def killed(self, case, reference):
        if case.name == "mmd":
            raise KeyboardInterrupt
        train(self, case, reference)

    with monkeypatch.context() as patch:
        patch.setattr(Cases, "_train", killed)
        call(*arguments, fails=True)
    assert not (tmp_path / "run" / "metrics.json").exists()
    with pytest.raises(FileExistsError, match="interrupted training with.*'weight': 0.01"):
        call(*arguments, "--weight", "2")
    output = call(*arguments).output
    assert "source_only, seed 0: was finished." in output
    assert "Labels of the target measured accuracy on its test part, and nothing else." in output
    assert "gain" in output
    assert "gap closed" not in output
    whole = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert len(whole["trainings"]) == 2
    with pytest.raises(FileExistsError, match="a finished training"):
        call(*arguments)


@pytest.mark.slow
def test_rejected_models_are_not_kept(domains, tmp_path, monkeypatch):
    monkeypatch.setattr(kx.CollapseGuard, "problem", lambda *_, **__: "it has collapsed")
    with pytest.warns(UserWarning, match="rejected the model of each epoch"):
        output = call("adapt", *domains, "-o", tmp_path / "run", *QUICK).output
    assert "Every adapted model was rejected" in output
    assert "1 rejected" in output
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["kept"] == {
        "case": "source_only",
        "seed": 0,
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--weight", "-1"], "--weight"),
        (["--method", "magic"], "'magic' is not one of"),
        (["--blocks", "2"], "--blocks with --strategy fine_tuning"),
        (["--batch-size", "64"], "one batch at least"),
        (["--seeds", "0"], "--seeds"),
    ],
)
def test_options_that_cannot_be_stop_before_training(domains, tmp_path, options, expected):
    assert expected in told("adapt", *domains, "-o", tmp_path / "run", *QUICK, *options)
    assert not (tmp_path / "run").exists()


def test_classes_that_differ_are_named(domains, tmp_path, encode):
    other = draw(tmp_path / "other", encode, classes=("bright", "gray"))
    said = told("adapt", domains[0], other, "-o", tmp_path / "run", *QUICK)
    assert "['dark'] are missing and ['gray'] are unknown" in said


def test_pictures_and_tables_are_not_mixed_up(domains, tmp_path):
    said = told("adapt", domains[0], "review_domains://movies", "-o", tmp_path / "run", *QUICK)
    assert "both pictures or both tables" in said


@pytest.mark.slow
def test_adaptation_gains_on_the_bundled_pictures(tmp_path, tiny_backbones):
    tiny_backbones.undo()
    styles = ["emoji_styles://noto", "emoji_styles://openmoji"]
    call("adapt", *styles, "-o", tmp_path / "run")
    cases = json.loads((tmp_path / "run" / "metrics.json").read_text())["cases"]
    assert cases["mmd"]["gain"]["mean"] > 0.1
