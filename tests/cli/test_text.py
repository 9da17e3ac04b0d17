"""Each command on a table of texts, with word vectors that the test makes up."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from keras_transfer.cli import app

GOOD, BAD = ["great", "fine", "loved"], ["awful", "broken", "boring"]


def call(*arguments, fails=False):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=fails)
    assert (result.exit_code != 0) == fails, result.output
    return result


@pytest.fixture
def table(tmp_path):
    random = np.random.default_rng(0)
    with (tmp_path / "reviews.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "stars"])
        for number in range(120):
            words = GOOD if number % 2 else BAD
            text = " ".join(random.choice([*words, "a", "thing"], 1 + number % 5))
            writer.writerow([f"{words[number % 3]} {text}", "good" if number % 2 else "bad"])
    return tmp_path / "reviews.csv"


@pytest.fixture
def vectors(tmp_path):
    lines = [f"{word} 1.0 0.1" for word in GOOD] + [f"{word} -1.0 0.1" for word in BAD]
    (tmp_path / "vectors.txt").write_text("\n".join([*lines, "a 0 1", "thing 0 -1"]) + "\n")
    return f"word_vectors://{tmp_path / 'vectors.txt'}"


@pytest.fixture
def run(table, vectors, tmp_path):
    columns = ["--text", "review", "--label", "stars"]
    training = ["--epochs", "30", "--learning-rate", "0.1", "--pooling", "mean"]
    call("fit", table, "-o", tmp_path / "run", "--backbone", vectors, *columns, *training)
    return tmp_path / "run"


def test_texts_are_learnt_exported_and_predicted(run, table, tmp_path):
    assert json.loads((run / "metrics.json").read_text())["accuracy"] == 1
    assert (run / "preprocessor.json").is_file()
    call("export", run, tmp_path / "models")
    version = tmp_path / "models" / "1"
    assert "is what was exported" in call("verify", version).output
    texts = ["--text", "GREAT thing!", "--text", "awful"]
    rows = call("predict", version, *texts, "--json").stdout.splitlines()
    assert [json.loads(row)["label"] for row in rows] == ["good", "bad"]
    table_of_texts = call("predict", version, *texts).stdout
    assert "GREAT thing!" in table_of_texts
    out = tmp_path / "evaluation"
    call("evaluate", run, table, "--part", "all", "-o", out)
    assert json.loads((out / "metrics.json").read_text())["num_examples"] == 120


def test_pictures_and_texts_are_not_mixed_up(run, table, picture_folder, tmp_path):
    call("export", run, tmp_path / "models")
    version = tmp_path / "models" / "1"
    result = call("predict", version, picture_folder, fails=True)
    assert "takes 'image_bytes'. Received" in str(result.exception)
    for arguments in ([], [picture_folder, "--text", "great"]):
        result = call("predict", version, *arguments, fails=True)
        assert "either picture files or texts" in str(result.exception)
    result = call("evaluate", run, picture_folder, fails=True)
    assert "data of the kind" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--augmentation", "light"], "--augmentation with pictures alone"),
        (["--mixing", "mixup"], "--mixing with pictures alone"),
        (["--strategy", "recipe"], "'recipe' is for pictures"),
        ([], r"columns ['review', 'stars']"),
    ],
)
def test_options_that_do_not_fit_texts_stop_before_training(
    table, vectors, tmp_path, options, told
):
    arguments = ["fit", table, "-o", tmp_path / "run", "--backbone", vectors, *options]
    assert told in str(call(*arguments, fails=True).exception)


def test_backbone_for_pictures_is_refused_for_texts(table, tmp_path):
    result = call("fit", table, "-o", tmp_path / "run", fails=True)
    assert "Received: handle='efficientnet_lite0'" in str(result.exception)
