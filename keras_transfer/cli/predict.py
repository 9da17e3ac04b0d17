"""`keras-transfer predict`: labels for pictures or texts, from an exported version or a server."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keras_transfer._progress import track
from keras_transfer.cli._tensorflow import import_quietly
from keras_transfer.cli.options import Token

_BATCH = 32


def predict(
    version: Annotated[
        str, typer.Argument(help="An exported version, models/NAME/N; or a server's URL.")
    ],
    pictures: Annotated[
        list[pathlib.Path] | None,
        typer.Argument(help="Picture files, or folders; for a server its NAME of the model first."),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="A text, for a version of texts; several times.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line instead of a table.")
    ] = False,
    token: Token = None,
) -> None:
    """Predict picture files or texts with an exported version, offline, or by a server.

    Of a server the URL is http://HOST:8501 for REST or grpc://HOST:8500 for gRPC.

    Unreadable pictures are named with the reason, and the exit status is 1.

    Example: `keras-transfer predict models/noto/1 picture.png`

    Example: `keras-transfer predict models/reviews/1 --text "What a film!"`

    Example: `keras-transfer predict http://localhost:8501 noto picture.png`
    """
    if "://" in version:
        if not pictures:
            raise ValueError("Expected the name of a model behind the URL. Received: none.")
        name, *pictures = pictures
    if not version.startswith(("http://", "https://")):
        import_quietly()
    if bool(pictures) == bool(text):
        raise ValueError(
            "Expected either picture files or texts (--text). "
            f"Received: {'both' if pictures else 'neither'}."
        )
    if "://" in version:
        rows = list(predicted_by_server(version, str(name), pictures or [], text or [], token))
    elif pictures:
        rows = list(predicted(pathlib.Path(version), pictures))
    else:
        rows = list(predicted_texts(pathlib.Path(version), text or []))
    if as_json:
        for row in rows:
            print(json.dumps(row))
    else:
        table = Table("Picture" if pictures else "Text", "Prediction", "Score")
        for row in rows:
            table.add_row(escape(row["file" if pictures else "text"]), *_cells(row))
        Console().print(table)
    if any("error" in row for row in rows):
        raise typer.Exit(1)


def _cells(row: dict[str, Any]) -> tuple[str, str]:
    if "error" in row:
        return f"[red]{escape(row['error'])}[/]", ""
    if "values" in row:
        return ", ".join(f"{value:.4g}" for value in row["values"]), ""
    return escape(row["label"]), f"{row['score']:.3f}"


def predicted(version: pathlib.Path, pictures: list[pathlib.Path]) -> Iterator[dict[str, Any]]:
    """For each file `file` with `label` and `score` (or `values`), else with `error`."""
    from keras_transfer.data.readable import unreadable_reasons
    from keras_transfer.serving.local import LocalModel

    files = [str(file) for file in _files(pictures)]
    reasons = unreadable_reasons(files)
    model = LocalModel(version)
    model.check_takes("image_bytes")
    chunks = [files[start : start + _BATCH] for start in range(0, len(files), _BATCH)]
    for chunk in track(chunks, "Predicting"):
        good = [file for file in chunk if file not in reasons]
        answers = iter(model.predict([pathlib.Path(file).read_bytes() for file in good]))
        for file in chunk:
            if file in reasons:
                yield {"file": file, "error": reasons[file]}
            else:
                yield {"file": file, **_answer(next(answers), "cannot be decoded")}


def predicted_texts(version: pathlib.Path, texts: list[str]) -> Iterator[dict[str, Any]]:
    """For each text `text` with `label` and `score` (or `values`), else with `error`."""
    from keras_transfer.serving.local import LocalModel

    model = LocalModel(version)
    model.check_takes("text")
    answers = model.predict([text.encode() for text in texts])
    for text, answer in zip(texts, answers, strict=True):
        yield {"text": text, **_answer(answer, "is white space")}


def predicted_by_server(
    url: str, name: str, pictures: list[pathlib.Path], texts: list[str], token: str | None = None
) -> Iterator[dict[str, Any]]:
    """For each file or text what a server answers, as `predicted` and `predicted_texts` do."""
    from keras_transfer.serving.client.serving_client import ServingClient

    files = list(_files(pictures))
    kind, reason = ("file", "cannot be decoded") if files else ("text", "is white space")
    inputs: list[Any] = [*files, *texts]
    chunks = [inputs[start : start + _BATCH] for start in range(0, len(inputs), _BATCH)]
    with ServingClient(url, token=token) as client:
        for chunk in track(chunks, "Predicting"):
            outputs = client.predict(name, chunk)
            names = [key for key in ("label", "score", "values", "valid") if key in outputs]
            for place, one in enumerate(chunk):
                row: dict[str, Any] = {key: _plain(outputs[key][place]) for key in names}
                yield {kind: str(one), **_answer(row, reason)}


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value.tolist()


def _answer(answer: dict[str, Any], reason: str) -> dict[str, Any]:
    return answer if answer.pop("valid") else {"error": reason}


def _files(pictures: list[pathlib.Path]) -> Iterator[pathlib.Path]:
    for path in pictures:
        if not path.exists():
            raise FileNotFoundError(
                f"Expected picture files or folders. Received: {path}, not there."
            )
        if path.is_dir():
            import_quietly()
            from keras_transfer.data.images import picture_files

            yield from picture_files(path)
        else:
            yield path
