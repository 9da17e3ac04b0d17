"""The page: what was searched, trials, parallel coordinates, importances, curves, failures."""

from __future__ import annotations

import os
import pathlib
from importlib import resources
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from keras_transfer._atomic import write_text
from keras_transfer.search.record.axes import settings_text
from keras_transfer.search.record.importance import importances
from keras_transfer.search.record.records import SearchRecord, read_search
from keras_transfer.search.record.report.bars import importance_bars, importance_text
from keras_transfer.search.record.report.curves import learning_curves
from keras_transfer.search.record.report.elements import element, to_html
from keras_transfer.search.record.report.parallel import parallel_coordinates
from keras_transfer.search.record.report.tables import failures, trials_table
from keras_transfer.search.record.time_left import duration_text

if TYPE_CHECKING:
    from keras_transfer.search.transfer_tuner import TransferTuner

# The page must not load anything, whatever the texts in it say.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def search_report(
    search: str | os.PathLike[str] | TransferTuner, path: str | os.PathLike[str]
) -> pathlib.Path:
    """Writes what a search has found as one HTML file, which needs nothing else to be looked at.

    A table of trials; parallel coordinates, where ranges are chosen with the mouse; how much each
    hyper-parameter explains, with how far to trust that; learning curves, with those that were
    pruned; tracebacks of trials that have failed. Works on what `search.json` says, during a
    search, too, and where its newest state is damaged.

    Args:
        search: the folder of a search, such as "runs/flowers"; or the kx.TransferTuner.
        path: the file to write; replaced if it is there.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: if there is no search in the folder.
        ValueError: if its state is damaged, and the one before as well.

    Example:

    >>> import keras, keras_tuner, numpy as np, pathlib, tempfile
    >>> import keras_transfer as kx
    >>> data = kx.arrays(np.zeros([8, 4, 4, 3], "uint8"), [0, 1] * 4, validation_split=0.25)
    >>> def build(hp):
    ...     model = keras.Sequential([keras.Input([4, 4, 3]), keras.layers.Flatten()])
    ...     model.add(keras.layers.Dense(2))
    ...     loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ...     model.compile(keras.optimizers.SGD(hp.Float("rate", 0.01, 0.1)), loss)
    ...     return model
    >>> oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=2, seed=1)
    >>> tuner = kx.TransferTuner(build, oracle=oracle, directory=tempfile.mkdtemp())
    >>> tuner.search(data.train, validation_data=data.validation, epochs=1, verbose=0)
    >>> path = kx.search_report(tuner, pathlib.Path(tuner.project_dir) / "report.html")
    >>> "parallel" in path.read_text(encoding="utf-8")
    True
    """
    folder = pathlib.Path(search if isinstance(search, (str, os.PathLike)) else search.project_dir)
    path = pathlib.Path(path)
    page = _page(read_search(folder), folder.resolve().name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, to_html(page))
    return path


def _page(search: SearchRecord, name: str) -> Element:
    title = f"Search: {name}"
    return element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            element("meta", name="viewport", content="width=device-width"),
            element("title", title),
            element("style", _resource("page.css")),
        ),
        element(
            "body",
            element("h1", title),
            *(element("p", text) for text in _summary(search)),
            *_sections(search),
            element("script", _resource("page.js")),
        ),
        lang="en",
    )


def _sections(search: SearchRecord) -> list[Element]:
    if not search.trials:
        return []
    clear = element("button", "all trials", id="clear", type="button")
    hint = element(
        "p", "Drag along an axis to choose a range; click on it to let go. ", clear, " ",
        element("output", id="count"),
    )  # fmt: skip
    found, curves, failed = importances(search), learning_curves(search), failures(search)
    bars = [] if found is None else [importance_bars(found)]
    sections = [
        _section("Trials", _scrolled(trials_table(search))),
        _section("Hyper-parameters and score", hint, _scrolled(parallel_coordinates(search))),
        _section("Importance", element("p", importance_text(found)), *map(_scrolled, bars)),
    ]
    if curves is not None:
        told = (
            "In bold the best, with a dot where it was; with a cross those that were ended early."
        )
        sections.append(_section("Learning curves", element("p", told), _scrolled(curves)))
    if failed:
        sections.append(_section("Trials that have failed", *failed))
    return sections


def _summary(search: SearchRecord) -> list[str]:
    of = f" of {search.planned_trials}" if search.planned_trials else ""
    statuses = [trial.status for trial in search.trials]
    counts = ", ".join(f"{statuses.count(x)} {x}" for x in dict.fromkeys(sorted(statuses)))
    epochs = sum(map(search.epochs, search.trials))
    better = "higher" if search.maximizes else "lower"
    lines = [
        f"{len(statuses)}{of} trials ({counts or 'none yet'}), {epochs} epochs, "
        f"{duration_text(search.seconds)}. {search.oracle} by {search.objective}: {better} is "
        "better."
    ]
    if search.ended_by:
        lines.append(f"Ended, as the budget of {search.ended_by} was used up.")
    if search.same:
        lines.append(f"In all trials: {settings_text([*search.same.items()])}.")
    pruners = sorted({trial.reason for trial in search.trials if trial.status == "pruned"})
    return [*lines, *(f"Some were {pruner}." for pruner in pruners)]


def _section(heading: str, *children: Element) -> Element:
    return element("section", element("h2", heading), *children)


def _scrolled(child: Element) -> Element:
    return element("div", child, class_="scrolled")


def _resource(name: str) -> str:
    package = resources.files("keras_transfer.search.record.report")
    return (package / name).read_text(encoding="utf-8")
