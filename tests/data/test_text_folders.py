"""Folders of texts."""

from __future__ import annotations

import shutil

import pytest

import keras_transfer as kx
from keras_transfer.backbones.words import Words

CONTENTS = {
    "good": [b"Great fun", b"", b"   ", "na\u00efve \N{HEAVY BLACK HEART}".encode()],
    "bad": [
        b"a\xff\xfebad\xc3",
        b"\xef\xbb\xbfmarked",
        "\u05e9\u05dc\u05d5\u05dd".encode(),
        b"x" * 100_000,
    ],
}
# As Python replaces what is no UTF-8; a mark of the byte order goes.
EXPECTED = sorted(
    (text.decode("utf-8-sig", "replace"), name)
    for name, texts in CONTENTS.items()
    for text in texts
)


@pytest.fixture
def folder(tmp_path):
    for name, texts in CONTENTS.items():
        (tmp_path / "flat" / name).mkdir(parents=True)
        for number, text in enumerate(texts):
            (tmp_path / "flat" / name / f"{number}.txt").write_bytes(text)
    return tmp_path / "flat"


def pairs(dataset, class_names):
    return sorted(
        (text.decode(), class_names[label])
        for texts, labels in dataset
        for text, label in zip(texts.numpy(), labels.numpy(), strict=True)
    )


def test_texts_are_those_of_the_files(folder):
    data = kx.text_folder(folder, validation_split=0.0, batch_size=3)
    assert data.class_names == ["bad", "good"]
    assert pairs(data.train, data.class_names) == EXPECTED
    assert (data.num_train, data.image_size, data.resize) == (8, None, None)


def test_a_flat_folder_is_split_in_proportion(folder):
    data = kx.text_folder(folder, validation_split=0.25, test_split=0.25)
    found = [pairs(part, data.class_names) for part in (data.train, data.validation, data.test)]
    assert sorted(sum(found, [])) == EXPECTED
    assert [sum(name == "bad" for _, name in part) for part in found] == [2, 1, 1]


@pytest.mark.parametrize("validation_name", ["validation", "val", None])
def test_ready_made_parts_are_taken_as_they_are(folder, tmp_path, validation_name):
    root = tmp_path / "ready"
    for name in filter(None, ["train", "test", validation_name]):
        shutil.copytree(folder, root / name)
    (root / "test" / "bad" / "0.txt").unlink()
    data = kx.text_folder(root, validation_split=0.25)
    sizes = [len(pairs(part, data.class_names)) for part in (data.train, data.validation)]
    assert sizes == ([8, 8] if validation_name else [6, 2])
    assert len(pairs(data.test, data.class_names)) == 7


def test_hidden_and_other_files_are_passed_over(folder):
    (folder / "bad" / ".hidden.txt").write_text("no")
    (folder / "bad" / "picture.png").write_bytes(b"no")
    (folder / "bad" / "deeper").mkdir()
    (folder / "bad" / "deeper" / "MORE.TXT").write_text("yes")
    data = kx.text_folder(folder, validation_split=0.0)
    assert pairs(data.train, data.class_names) == sorted([*EXPECTED, ("yes", "bad")])


def test_a_preprocessor_gets_what_is_in_the_files(folder):
    words = Words(["great", "bad", "\N{HEAVY BLACK HEART}", "marked"])
    data = kx.text_folder(folder, preprocessor=words, validation_split=0.0, batch_size=8)
    [(tokens, labels)] = data.train
    rows = {
        (*[n for n in row if n], data.class_names[label])
        for row, label in zip(tokens["token_ids"].numpy().tolist(), labels, strict=True)
    }
    assert rows >= {
        (2, 1, "good"),
        ("good",),
        (1, 4, "good"),
        (1, 3, "bad"),
        (5, "bad"),
        (1, "bad"),
    }
    assert data.train.preprocessor is words


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="folder of texts"):
        kx.text_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"at least two class folders with texts.*\[\]"):
        kx.text_folder(tmp_path)


def test_a_folder_without_texts_is_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "ready" / "train")
    for name in CONTENTS:
        (tmp_path / "ready" / "test" / name).mkdir(parents=True)
    with pytest.raises(ValueError, match=r"texts \(.txt files\) in .*test"):
        kx.text_folder(tmp_path / "ready")
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"none for \['empty'\]"):
        kx.text_folder(folder)


def test_parts_with_other_classes_are_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "ready" / "train")
    shutil.copytree(folder / "bad", tmp_path / "ready" / "test" / "ugly")
    with pytest.raises(ValueError, match=r"missing \['bad', 'good'\], unknown \['ugly'\]"):
        kx.text_folder(tmp_path / "ready")
