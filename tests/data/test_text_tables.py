"""Tables of texts: what comes out is what Python's csv module reads."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

import keras_transfer as kx
from keras_transfer.backbones.words import Words

LABELS = ["good", "bad", "so so"]
# Commas, quotes, new lines, tabs, nothing, spaces, emoji, right-to-left, a separator of lines.
ODD = [
    'He said "no, never", twice',
    "two\nlines",
    "a\ttab",
    "",
    "   ",
    "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}!",
    "\u05e9\u05dc\u05d5\u05dd \u0639\u0627\u0644\u0645",
    "one\u2028two\x0bthree",
    "x" * 100_000,
    "y " * 100_000,
]


def write(path, rows, header=("text", "label"), encoding="utf-8"):
    delimiter = "\t" if ".tsv" in path.name else ","
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


def some_rows(count=30):
    return [(f"text {n}", LABELS[n % 3]) for n in range(count)]


def pairs(dataset, class_names):
    return [
        (text.decode(), class_names[label])
        for texts, labels in dataset
        for text, label in zip(texts.numpy(), labels.numpy(), strict=True)
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "a.TSV.GZ", "with.dots.csv"])
def test_texts_and_labels_are_those_of_the_csv_module(tmp_path, name):
    rows = [(text, LABELS[n % 2]) for n, text in enumerate(ODD)]
    path = tmp_path / name
    path = write(path.with_name(name.lower()), rows).rename(path)
    data = kx.text_table(path, validation_split=0.0)
    assert data.class_names == ["bad", "good"]
    assert sorted(pairs(data.train, data.class_names)) == sorted(rows)
    assert data.num_train == len(rows)


def test_batches_are_strings_and_int_labels(tmp_path):
    data = kx.text_table(write(tmp_path / "a.csv", some_rows()), batch_size=5)
    texts, labels = next(iter(data.train))
    assert (texts.dtype, labels.dtype) == ("string", "int32")
    assert texts.shape == labels.shape == (5,)
    assert (data.image_size, data.resize, data.preprocessor) == (None, None, None)
    assert not hasattr(data.train, "resize")
    assert not hasattr(data.train, "preprocessor")


def test_splits_are_disjoint_and_in_proportion(tmp_path):
    rows = some_rows()
    path = write(tmp_path / "a.csv", rows)
    data = kx.text_table(path, validation_split=0.2, test_split=0.3)
    found = [pairs(part, data.class_names) for part in (data.train, data.validation, data.test)]
    assert sorted(sum(found, [])) == sorted(rows)
    counts = [[sum(label == x for _, x in part) for label in LABELS] for part in found]
    assert counts == [[5, 5, 5], [2, 2, 2], [3, 3, 3]]
    again = kx.text_table(path, validation_split=0.2, test_split=0.3)
    assert pairs(again.validation, data.class_names) == found[1]
    other = kx.text_table(path, validation_split=0.2, test_split=0.3, seed=1)
    assert pairs(other.validation, data.class_names) != found[1]


def test_texts_without_a_preprocessor_come_in_the_order_of_the_file(tmp_path):
    rows = [
        (text, label, "test" if n % 2 else "train") for n, (text, label) in enumerate(some_rows())
    ]
    path = write(tmp_path / "a.csv", rows, ("text", "label", "part"))
    data = kx.text_table(path, split="part", validation_split=0.0, batch_size=4)
    assert pairs(data.test, data.class_names) == [row[:2] for row in rows if row[2] == "test"]


def test_a_column_divides_the_rows_and_what_it_lacks_is_split_off(tmp_path):
    names = ["train", "train", "TEST", " train "]
    rows = [(n, *row) for n, row in zip(names * 12, some_rows(48), strict=True)]
    path = write(tmp_path / "a.tsv", rows, ("fold", "review", "sentiment"))
    data = kx.text_table(path, text="review", label="sentiment", split="fold", test_split=0.9)
    sizes = [len(pairs(part, LABELS)) for part in (data.train, data.validation, data.test)]
    assert sizes == [29, 7, 12]
    expected = sorted(row[1:] for row in rows if row[0] == "TEST")
    assert sorted(pairs(data.test, data.class_names)) == expected


@pytest.mark.parametrize("name", ["validation", "valid", "val"])
def test_a_validation_part_may_be_called_by_three_names(tmp_path, name):
    rows = [(*row, "train" if n > 5 else name) for n, row in enumerate(some_rows())]
    path = write(tmp_path / "a.csv", rows, ("text", "label", "split"))
    data = kx.text_table(path, split="split", validation_split=0.5)
    assert len(pairs(data.validation, LABELS)) == 6
    assert data.test is None


def test_an_encoding_may_be_given(tmp_path):
    rows = [("caf\u00e9 \u20ac", "good"), ("na\u00efve", "bad")]
    for encoding in ("cp1252", "utf-16", "utf-8-sig"):
        path = write(tmp_path / f"{encoding}.csv", rows, encoding=encoding)
        data = kx.text_table(path, encoding=encoding, validation_split=0.0)
        assert sorted(pairs(data.train, data.class_names)) == sorted(rows)


def test_a_mark_of_the_byte_order_belongs_to_no_column(tmp_path):
    path = write(tmp_path / "a.csv", some_rows(), encoding="utf-8-sig")
    assert kx.text_table(path).class_names == sorted(LABELS)


def test_blank_lines_are_passed_over(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\ntext,label\n\na,good\r\n\r\nb,bad\n\n\n")
    data = kx.text_table(path, validation_split=0.0)
    assert sorted(pairs(data.train, data.class_names)) == [("a", "good"), ("b", "bad")]


def test_the_csv_module_is_left_as_it_was(tmp_path):
    limit = csv.field_size_limit()
    kx.text_table(write(tmp_path / "a.csv", [("x" * 200_000, "a"), ("", "b")]), validation_split=0)
    assert csv.field_size_limit() == limit


def test_a_preprocessor_is_noted_and_applied(tmp_path):
    words = Words(["text", *map(str, range(30))])
    path = write(tmp_path / "a.csv", some_rows())
    data = kx.text_table(path, preprocessor=words, batch_size=10)
    assert data.preprocessor is data.train.preprocessor is data.validation.preprocessor is words
    tokens, labels = next(iter(data.train))
    assert set(tokens) == {"token_ids", "padding_mask"}
    # Row n is "text n", which has the ids 2 and 3 + n.
    numbers = tokens["token_ids"].numpy()[:, 1] - 3
    assert [data.class_names[label] for label in labels] == [LABELS[n % 3] for n in numbers]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"names of columns.*empty"),
        (b"\n\n", r"names of columns.*empty"),
        (b"text,label\n", r"at least two labels.*0 training rows"),
        (b"text,sentiment\na,good\n", r"\['label'\].*columns \['text', 'sentiment'\]"),
        (b"text,label,text\na,b,c\n", r"one column for each of \['text'\]"),
        (b"text;label\na;good\n", r"\['text', 'label'\].*columns \['text;label'\]"),
        (b"text,label\na,good\nb,good\n", r"at least two labels.*\['good'\]"),
        (b"text,label\na,good\nb,\n", r"label in each row.*line 3"),
        (b'text,label\n"a\na",good\nb, \n', r"label in each row.*line 4"),
        (b"text,label\na,good\n\nb,c,bad\n", r"2 fields.*line 4: 3 fields"),
        (b"text,label\na\n", r"2 fields.*line 2: 1 fields"),
        (b'text,label\na,good\n"b,bad\nc,bad\n', r"quoted.*row from line 3 on"),
        (b"text,label\na,good\n\n\xffb,bad\n", r"utf-8.*`encoding=`.*line 4: invalid start byte"),
        (b"text,label\n" + b"a,good\nb,bad\n" * 20_000 + b"\xe9,bad\n", r"line 40002"),
        (b"text,label\na,good\nb,bad\xc3", r"line 3: unexpected end of data"),
        (b"text,label\na,good\nb,bad\n", r"at least 2 examples of each class"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(tmp_path, content, message):
    for name, data in (("a.csv", content), ("a.csv.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=rf"(?s){message}"):
            kx.text_table(tmp_path / name)


def test_what_is_wrong_with_parts_is_said(tmp_path):
    header = ("text", "label", "split")
    path = write(tmp_path / "a.csv", [("a", "good", "train"), ("b", "bad", "dev")], header)
    with pytest.raises(ValueError, match=r"'validation', 'valid'.*line 3: 'dev'"):
        kx.text_table(path, split="split")
    rows = [("a", "good", "train"), ("b", "bad", "train"), ("c", "ugly", "test")]
    with pytest.raises(ValueError, match=r"none are of \['ugly'\]"):
        kx.text_table(write(tmp_path / "b.csv", rows, header), split="split")
    with pytest.raises(ValueError, match=r"none are of \['bad', 'good'\]"):
        kx.text_table(
            write(tmp_path / "c.csv", [(*row[:2], "test") for row in rows[:2]], header),
            split="split",
        )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"batch_size": 0}, "Received: 0"),
        ({"validation_split": 1.5}, "Received: .*1.5"),
        ({"encoding": "utf-9"}, "Received: encoding='utf-9'"),
        ({"preprocessor": str.split}, "Keras layer.*Received: <method"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, option, message):
    path = write(tmp_path / "a.csv", some_rows())
    with pytest.raises(ValueError, match=message):
        kx.text_table(path, **option)


def test_other_files_and_none_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.csv, no file"):
        kx.text_table(tmp_path / "no.csv")
    with pytest.raises(ValueError, match=r"named .csv or .tsv.*a\.json"):
        kx.text_table(tmp_path / "a.json")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"text,label\n" + b"a,b\n" * 100)[:-20])
    (tmp_path / "no.csv.gz").write_bytes(b"text,label\na,good\n")
    for name in ("cut.csv.gz", "no.csv.gz"):
        with pytest.raises(ValueError, match=f"whole gzip file.*{name}"):
            kx.text_table(tmp_path / name)


def test_labels_of_numbers_are_names(tmp_path):
    rows = [(f"text {n}", n % 3) for n in range(12)]
    data = kx.text_table(write(tmp_path / "a.csv", rows), validation_split=0.25)
    assert data.class_names == ["0", "1", "2"]
    labels = np.concatenate([labels for _, labels in data.validation])
    assert sorted(labels) == [0, 1, 2]


def test_a_table_without_labels_is_a_target(tmp_path):
    texts = [f"text {n}" for n in range(20)]
    path = write(tmp_path / "a.csv", [(x,) for x in texts], header=("text",))
    data = kx.text_table(path, label=None, validation_split=0.25)
    parts = [
        (text.numpy().decode(), int(label))
        for part in (data.train, data.validation)
        for text, label in part.unbatch()
    ]
    assert sorted(parts) == sorted((text, -1) for text in texts)
    assert (data.num_train, data.class_names, data.test) == (15, [], None)
    labeled = write(tmp_path / "b.csv", some_rows())
    source = kx.text_table(labeled).train
    [(inputs, labels)] = kx.pair_domains(source, data.train, target_labels="ignore").take(1)
    assert inputs["target"].shape == (15,)
    assert list(labels) == ["source"]


def test_parts_of_texts_without_labels_are_taken(tmp_path):
    rows = [(f"text {n}", ("train", "val", "test")[n % 3]) for n in range(9)]
    path = write(tmp_path / "a.csv", rows, header=("text", "part"))
    data = kx.text_table(path, label=None, split="part")
    found = [x.numpy().decode() for texts, _ in data.validation for x in texts]
    assert found == ["text 1", "text 4", "text 7"]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "rows to train on. Received: .*with none"),
        ([("one", "test")], {"split": "part"}, "rows to train on"),
        ([("one", "test"), ("two", "tset")], {"split": "part"}, "line 3: 'tset'"),
        ([("one", "")], {}, "both sides of the split.*Received: 1 examples"),
        ([("one", "")], {"text": "words"}, r"\['words'\].*columns \['text', 'part'\]"),
    ],
)
def test_tables_without_labels_that_cannot_be_used_are_refused(tmp_path, rows, options, message):
    path = write(tmp_path / "a.csv", rows, header=("text", "part"))
    with pytest.raises(ValueError, match=message):
        kx.text_table(path, label=None, **options)


def test_a_table_that_lacks_labels_tells_how_to_go_without(tmp_path):
    path = write(tmp_path / "a.csv", [("one",)], header=("text",))
    with pytest.raises(ValueError, match=r"`label` \(None for texts without\)"):
        kx.text_table(path)
