"""Trials in rows, and the tracebacks of those that have failed."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from keras_transfer.search.record.axes import score_axis, text_of
from keras_transfer.search.record.records import SearchRecord, TrialRecord
from keras_transfer.search.record.report.elements import color, element


def trials_table(search: SearchRecord) -> Element:
    """All trials, the best first, then those without a score.

    Args:
        search: with one trial at least.
    """
    names = [parameter.name for parameter in search.differing]
    heads = ["", "trial", search.objective, "epochs", "status", *names]
    trials = [*search.ranked, *(trial for trial in search.trials if trial.score is None)]
    return element(
        "table",
        element("thead", element("tr", *(element("th", head, scope="col") for head in heads))),
        element("tbody", *(_row(search, trial, names) for trial in trials)),
        id="trials",
    )


def failures(search: SearchRecord) -> list[Element]:
    """A heading for each failed trial, which opens on its traceback.

    Args:
        search: of any state.
    """
    return [
        element(
            "details",
            element("summary", f"Trial {trial.name}: {trial.reason}"),
            element("pre", trial.traceback),
        )
        for trial in search.trials
        if trial.status == "failed"
    ]


def _row(search: SearchRecord, trial: TrialRecord, names: list[str]) -> Element:
    dot = element(
        "span", class_="dot", style=f"background:{color(score_axis(search).place(trial.score))}"
    )
    numbers = [trial.name, text_of(trial.score), str(search.epochs(trial))]
    return element(
        "tr",
        element("td", dot),
        *(element("td", text, class_="number") for text in numbers),
        element("td", trial.status, title=trial.reason or None),
        *(_value(trial.values.get(name)) for name in names),
        class_=f"trial {trial.status}",
        data_trial=trial.name,
    )


def _value(value: object) -> Element:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # By which a click on the head sorts.
    exact = repr(value) if is_number else None
    return element("td", text_of(value), class_="number" if is_number else None, data_value=exact)
