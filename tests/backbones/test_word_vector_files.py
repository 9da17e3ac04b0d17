import gzip
import subprocess
import sys
import warnings

import numpy as np
import pytest

from keras_transfer.backbones import file_windows, word_vector_files
from keras_transfer.backbones.word_vector_files import read_word_vectors, read_words

WORDS = ["the", "of", "naïve", "New_York", "日本", "don't"]


@pytest.fixture
def vectors():
    # Numbers that four decimals hold, so that text and binary files give the same.
    values = np.random.default_rng(0).integers(-30_000, 30_000, (len(WORDS), 12))
    return (values / 8192).astype("float32")


def as_text(words, vectors, *, header, end="\n"):
    lines = [f"{len(words)} {len(vectors[0])}{end}"] if header else []
    lines += [
        f"{w} {' '.join(f'{x:.13f}' for x in v)}{end}" for w, v in zip(words, vectors, strict=True)
    ]
    return "".join(lines).encode()


def as_binary(words, vectors, *, end=b"\n"):
    header = f"{len(words)} {len(vectors[0])}\n".encode()
    return header + b"".join(
        word.encode() + b" " + vector.astype("<f4").tobytes() + end
        for word, vector in zip(words, vectors, strict=True)
    )


def packed(data):
    # Without the time, which would be in the names of the tests.
    return gzip.compress(data, mtime=0)


FORMATS = {
    "GloVe": lambda w, v: as_text(w, v, header=False),
    "text": lambda w, v: as_text(w, v, header=True),
    # word2vec.c writes a space behind the last number.
    "text with spaces at the end": lambda w, v: as_text(w, v, header=True, end=" \n"),
    "text with Windows line ends": lambda w, v: as_text(w, v, header=True, end="\r\n"),
    "text without a line feed at the end": lambda w, v: as_text(w, v, header=True)[:-1],
    "binary": as_binary,
    "binary without line feeds": lambda w, v: as_binary(w, v, end=b""),
}


@pytest.fixture(params=FORMATS)
def content(request, vectors):
    return FORMATS[request.param](WORDS, vectors)


@pytest.fixture(params=["plain", "packed"])
def path(request, tmp_path, content):
    # The content tells, not the name.
    path = tmp_path / "vectors.txt"
    path.write_bytes(content if request.param == "plain" else gzip.compress(content))
    return path


@pytest.fixture
def file_of(tmp_path):
    def write(data):
        path = tmp_path / "vectors"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


def test_every_format_gives_what_was_written(path, vectors):
    words, found = read_word_vectors(path)
    assert words == WORDS == read_words(path)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, vectors)


def test_wanted_words_come_in_the_order_of_the_file(path, vectors):
    words, found = read_word_vectors(path, {"don't", "of", "The", "absent"})
    assert words == ["of", "don't"] == read_words(path, ["don't", "of"])
    np.testing.assert_array_equal(found, vectors[[1, 5]])


@pytest.mark.parametrize("count", [1, 3, 6, np.int64(2)])
def test_first_words(path, vectors, count):
    words, found = read_word_vectors(path, count)
    assert words == WORDS[:count]
    np.testing.assert_array_equal(found, vectors[:count])


@pytest.mark.parametrize("size", [240, 251, 300])
def test_windows_of_any_size_give_the_same(path, vectors, monkeypatch, size):
    monkeypatch.setattr(file_windows, "WINDOW", size)
    words, found = read_word_vectors(path)
    assert words == WORDS
    np.testing.assert_array_equal(found, vectors)


def test_mapped_windows_begin_where_pages_do(file_of, monkeypatch):
    monkeypatch.setattr(file_windows, "WINDOW", 10_000)
    vectors = np.random.default_rng(0).normal(size=(100, 300)).astype("float32")
    words = [f"word{number}" for number in range(100)]
    found = read_word_vectors(file_of(as_binary(words, vectors)))
    assert found[0] == words
    np.testing.assert_array_equal(found[1], vectors)


def test_words_with_spaces_are_split_from_the_right(file_of):
    path = file_of("the 1 2 3\n. . . 4 5 6\nat name@domain.com 7 8 9\nof 1 1 1\n")
    words, vectors = read_word_vectors(path)
    assert words == ["the", ". . .", "at name@domain.com", "of"]
    assert vectors[1:3].tolist() == [[4, 5, 6], [7, 8, 9]]


def test_tabs_and_several_spaces_separate(file_of):
    words, vectors = read_word_vectors(file_of("2 3\nthe\t1 2 3\nof   4  5\t6\n"))
    assert words == ["the", "of"]
    assert vectors.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_words_of_separators_that_are_no_ascii_stay_whole(file_of):
    # glove.840B and glove.twitter have such words; `str.splitlines` and `str.split` break them.
    words, _ = read_word_vectors(file_of("the 1 2\n\x85 3 4\na\xa0b 5 6\n\u2028 7 8\n"))
    assert words == ["the", "\x85", "a\xa0b", "\u2028"]


def test_the_first_of_duplicate_words_counts(file_of):
    words, vectors = read_word_vectors(file_of("3 2\na 1 2\nb 3 4\na 5 6\n"))
    assert words == ["a", "b"]
    assert vectors.tolist() == [[1, 2], [3, 4]]


def test_the_limit_counts_words_and_not_rows(file_of):
    assert read_words(file_of("a 1 2\na 1 2\nb 3 4\nc 5 6\n"), 2) == ["a", "b"]


def test_bytes_that_are_no_utf8_are_replaced(file_of):
    data = b"2 2\nb\xffd " + np.float32([1, 2]).tobytes() + b"ok " + np.float32([3, 4]).tobytes()
    words, vectors = read_word_vectors(file_of(data))
    assert words == ["b\ufffdd", "ok"]
    assert vectors.tolist() == [[1, 2], [3, 4]]


def test_rows_without_a_word_are_left_out_but_counted(file_of):
    assert read_words(file_of("3 2\na 1 2\n 3 4\nb 5 6\n")) == ["a", "b"]


def test_binary_floats_may_hold_line_feeds_and_spaces(file_of):
    vectors = np.frombuffer(b"\xff\n\n\x3f" * 3 + b"\n\n\n\x3f    \n \n\x3f", "<f4").reshape(2, 3)
    words, found = read_word_vectors(file_of(as_binary(["a", "b"], vectors)))
    assert words == ["a", "b"]
    np.testing.assert_array_equal(found, vectors)


def test_behind_the_last_wanted_word_nothing_is_read(file_of):
    path = file_of("3 2\na 1 2\nb 3 4\nc broken\n")
    assert read_words(path, ["b"]) == ["b"]
    assert read_words(path, 2) == ["a", "b"]


@pytest.mark.parametrize(
    ("vocabulary", "total"), [(10, 10), (10_000, 1000), (["w1", "w999"], 1000)]
)
@pytest.mark.parametrize("header", [True, False])
def test_progress_is_in_rows(file_of, monkeypatch, vocabulary, total, header):
    totals = []

    def track(rows, description, *, total):
        totals.append(total)
        return rows

    monkeypatch.setattr(word_vector_files, "track", track)
    words = [f"w{number}" for number in range(1000)]
    path = file_of(as_text(words, np.ones([1000, 2]), header=header))
    read_words(path, vocabulary)
    # Without a header, by the length of the first row.
    assert totals == [pytest.approx(total, rel=0 if header else 0.1)]


THREE = np.float32([[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "which is empty"),
        (" \n\n", "which is empty"),
        ("the\n", r"b'the' in line 1"),
        ("PK\x03\x04 many 5x", "line 1"),
        ("0 5\n", "b'0 5' in line 1"),
        ("5 0\n", "b'5 0' in line 1"),
        ("5 99999999999\na 1\n", "in line 1"),
        ("the 1 2 3\nof 1 2\n", "2 behind b'of' in line 2"),
        ("the 1 2 3\nof 1 2 3 4\n", "4 behind b'of' in line 2"),
        ("2 3\nthe 1 2\nof 1 2 3\n", "2 behind b'the' in line 2"),
        ("2 3\nthe 1 2 3\nof 1 2 3 4\n", "4 behind b'of' in line 3"),
        ("the 1 2 3\n\nof 1 2\n", "2 behind b'of' in line 3"),
        ("the 1 2 3\nof 1 two 3\n", "could not convert.*two.*behind b'of' in line 2"),
        ("the 1 2 3\nof 1 nan 3\n", "nan.*behind b'of' in line 2"),
        ("the 1 2 3\nof 1 1e99 3\n", "inf.*behind b'of' in line 2"),
        ("3 2\na 1 2\nb 3 4\n", "Expected 3 words.*Received: 2 words"),
        ("1 2\na 1 2\nb 3 4\n", "Expected 1 words.*Received: 2 words"),
        (as_binary("abc", THREE)[:-2], "ends in row 3"),
        (as_binary("abc", THREE)[:26], "26 bytes, which end before row 3"),
        (as_binary("abc", THREE)[:20], "end before row 2"),
        (as_binary("abc", THREE).replace(b"3 2", b"2 2", 1), "b'c '?.* behind row 2"),
        (as_binary("abc", THREE * np.nan), "nan.*b'a' in row 1"),
        (packed(as_binary("abc", THREE)[:-3]), "ends in row 3"),
        (packed(as_binary("abc", THREE).replace(b"3 2", b"2 2", 1)), "behind row 2"),
        (packed(b"the 1 2 3\n" * 50)[:-9], "packed with gzip"),
        (packed(b"the 1 2 3\n" * 50)[:12] + b"rubbish" * 9, "packed with gzip"),
    ],
)
def test_bad_files_are_refused_with_the_place(file_of, data, message):
    path = file_of(data)
    with pytest.raises(ValueError, match=message) as raised:
        read_word_vectors(path)
    assert str(path) in str(raised.value)
    assert "Received: " in str(raised.value)


def test_a_row_that_never_ends_is_refused(file_of, monkeypatch):
    monkeypatch.setattr(file_windows, "WINDOW", 1000)
    monkeypatch.setattr("keras_transfer.backbones.word_vector_rows.LONGEST_ROW", 5000)
    with pytest.raises(ValueError, match="Received: more in line 2"):
        read_word_vectors(file_of("a 1 2\n" + "b" * 20_000))


def test_an_unfinished_download_is_refused_though_the_first_rows_are_there(file_of):
    vectors = np.zeros([1000, 10], "float32")
    data = as_binary([f"w{number}" for number in range(1000)], vectors)
    with pytest.raises(ValueError, match="bytes, which end before row"):
        read_word_vectors(file_of(data[: len(data) // 2]), 10)


@pytest.mark.parametrize(
    "vocabulary", [0, -1, True, "word", b"word", [], ["a", ""], [1], None, 1.5]
)
def test_a_bad_vocabulary_is_refused(file_of, vocabulary):
    with pytest.raises(ValueError, match="Received: vocabulary="):
        read_words(file_of("a 1 2\n"), vocabulary)


def test_words_that_the_file_lacks_are_refused(file_of):
    with pytest.raises(ValueError, match=r"Received: none in vocabulary=\['A', 'c'\]"):
        read_words(file_of("a 1 2\nb 3 4\n"), ["c", "A"])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Received: .*absent.txt"):
        read_words(tmp_path / "absent.txt")


_MEASURE = """
import sys
from keras_transfer.backbones.word_vector_files import read_word_vectors

def peak():
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024

before = peak()
words, vectors = read_word_vectors(sys.argv[1], ["word3", "word169999"])
print(before, peak(), *words, *vectors[:, 0])
"""


@pytest.mark.parametrize("packed", [False, True])
def test_memory_stays_far_below_the_size_of_the_file(tmp_path, packed):
    path = tmp_path / "large.bin"
    count = 17_000 if packed else 170_000
    values = np.arange(300, dtype="<f4").tobytes()[4:]
    with gzip.open(path, "wb", compresslevel=1) if packed else open(path, "wb") as file:
        file.write(b"%d 300\n" % count)
        for number in range(count - 1):
            file.write(b"word%d " % number + np.float32(number).tobytes() + values + b"\n")
        file.write(b"word169999 " + np.float32(7).tobytes() + values + b"\n")
    try:
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE, path], capture_output=True, text=True, check=True
        )
    finally:
        path.unlink()
    before, after, *found = done.stdout.split()
    assert found == ["word3", "word169999", "3.0", "7.0"]
    # A file of 200 MB (20 MB where packed), in windows of 8 MB.
    assert int(after) - int(before) < 60


def test_giving_up_leaves_no_open_files(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = word_vector_files._wanted(path, 2)
        next(rows)
        rows.close()
