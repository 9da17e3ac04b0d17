"""Adapts by the settings of the command line, into a run folder."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Any

from keras_transfer.cli.adaptation_case import Case
from keras_transfer.cli.adaptation_cases import Cases
from keras_transfer.cli.data import data_folder, fingerprint, load_data
from keras_transfer.cli.text import has_column, is_table, is_text, load_texts

if TYPE_CHECKING:
    from keras_transfer.data.splits import Splits
    from keras_transfer.evaluation.adaptation_reports import AdaptationReport

# What `recipe_from` reads, and `adapt` has no options for.
_FIXED: dict[str, Any] = {
    **dict.fromkeys(("stages", "label_smoothing", "augmentation", "l2sp")),
    "batch_norm": "frozen",
    "fusion": "concat",
    "mixing": "none",
    "schedule": "cosine",
    "dropout": 0.0,
}
_OF_LOADING = ("batch_size", "validation_split", "test_split", "seed", "resize", "on_error")


def adapt_run(
    settings: dict[str, Any], output: pathlib.Path, *, overwrite: bool
) -> AdaptationReport:
    """Trains all cases by the settings of `adapt` into a run folder and returns the report."""
    import keras

    import keras_transfer as kx
    from keras_transfer.runs import start_run

    settings = _completed(settings)
    source = _load(settings["data"], settings)
    target = _load_target(settings, source.class_names)
    _check_domains(source, target, settings)
    identity = {
        **{name: value for name, value in settings.items() if name != "cache"},
        "data_fingerprint": fingerprint(settings["data"]),
        "target_fingerprint": fingerprint(settings["target"]),
        "versions": {"keras_transfer": kx.__version__, "keras": keras.__version__},
    }
    cases = Cases(settings, source, target, start_run(output, identity, overwrite=overwrite))
    finished = [case for number in range(settings["seeds"]) for case in cases.run(number)]
    report = _finish(output, cases, finished)
    report.print()
    print(_told_of_labels(settings, target))
    print(f"All is in {output}.")
    return report


def _completed(settings: dict[str, Any]) -> dict[str, Any]:
    """With what does not depend on the data; told now if it does not fit together."""
    from keras_transfer.cli.strategy import recipe_from

    of_texts = [is_text(settings[domain]) for domain in ("source", "target")]
    if of_texts[0] != of_texts[1]:
        raise ValueError(
            "Expected source and target to be both pictures or both tables of texts. "
            f"Received: {settings['source']} and {settings['target']}."
        )
    # The labeled data has the name that it has in other runs.
    given = {name: value for name, value in settings.items() if name != "source"}
    found = {**_FIXED, **given, "data": settings["source"]}
    if of_texts[0]:
        found |= {"image_size": None, "resize": None}
    elif settings["depths"] is None:
        found["depths"] = "5"
    recipe_from(found, num_examples=1, num_classes=1)
    return found


def _load(data: str, settings: dict[str, Any]) -> Splits:
    if is_text(data):
        return load_texts(data, settings)
    size = (settings["image_size"], settings["image_size"])
    return load_data(data, image_size=size, **{name: settings[name] for name in _OF_LOADING})


def _load_target(settings: dict[str, Any], class_names: list[str]) -> Splits:
    """The target; without labels where a folder has no sub-folders, or a table not the column."""
    data = settings["target"]
    why = _why_unlabeled(data, settings["label"])
    if why is None:
        return _load(data, settings)
    print(f"{data} has {why} without labels.")
    # What a table says is for tests cannot be tested on.
    found = _load_unlabeled(data, settings)
    return dataclasses.replace(found, class_names=class_names, test=None)


def _why_unlabeled(data: str, label: str) -> str | None:
    from keras_transfer.data.unlabeled_images import holds_no_folders

    if is_table(data):
        return None if has_column(data, label) else f"no column {label!r}: its texts are taken"
    if is_text(data) or data.startswith("tfds://") or not holds_no_folders(data_folder(data)):
        return None
    return "no sub-folders: its pictures are taken"


def _load_unlabeled(data: str, settings: dict[str, Any]) -> Splits:
    import keras_transfer as kx

    if is_text(data):
        return load_texts(data, settings | {"label": None, "test_split": 0.0})
    names = [name for name in _OF_LOADING if name != "test_split"]
    return kx.unlabeled_image_folder(
        data_folder(data),
        image_size=(settings["image_size"], settings["image_size"]),
        **{name: settings[name] for name in names},
    )


def _check_domains(source: Splits, target: Splits, settings: dict[str, Any]) -> None:
    if source.class_names != target.class_names:
        missing = sorted(set(source.class_names) - set(target.class_names))
        unknown = sorted(set(target.class_names) - set(source.class_names))
        raise ValueError(
            "Expected the same classes in source and target. Received: a target in which "
            f"{missing} are missing and {unknown} are unknown to the source."
        )
    if settings["oracle_labels"] and target.test is None:
        raise ValueError(
            "Expected a target with labels and a test part for --oracle-labels. "
            f"Received: {settings['target']}."
        )
    for name, splits in (("source", source), ("target", target)):
        if splits.num_train < settings["batch_size"]:
            raise ValueError(
                f"Expected a {name} of one batch at least: add examples or choose a smaller "
                f"--batch-size. Received: {splits.num_train} to train on, with batches of "
                f"{settings['batch_size']}."
            )
        if splits.validation is None:
            raise ValueError(
                f"Expected a {name} with validation data, by which an epoch is chosen. "
                "Received: none."
            )


def _finish(output: pathlib.Path, cases: Cases, finished: list[Case]) -> AdaptationReport:
    """Keeps the adapted model that scores best, and writes everything."""
    import keras_transfer as kx
    from keras_transfer.evaluation.adaptation_reports import AdaptationReport
    from keras_transfer.evaluation.domain_pictures import save_domains
    from keras_transfer.runs import finish_run

    kept = _best(finished, cases.settings["method"])
    before = next(x for x in finished if x.is_source_only and x.seed == kept.seed)
    model, test = cases.model_of(kept), cases.target.test
    of_kept: Any = None if test is None else kx.evaluate(model, test)
    report = AdaptationReport(
        [case.figures for case in finished], kept=(kept.name, kept.seed), of_kept=of_kept
    )
    save_domains(
        {_title(case): case.features for case in dict.fromkeys((before, kept))},
        cases.source.class_names,
        output / "features.png",
    )
    finish_run(output, model, kept.histories(), report)
    return report


def _best(finished: list[Case], method: str) -> Case:
    """By the score without labels; a model without adaptation if the guard rejected all others."""
    sound = [x for x in finished if x.name == method and x.score is not None]
    if not sound:
        print(
            "Every adapted model was rejected, as one that has collapsed: the one of the source "
            "alone is kept. Try a smaller --weight, or another --method."
        )
        sound = [x for x in finished if x.is_source_only]
    return max(sound, key=lambda case: case.score or 0.0)


def _title(case: Case) -> str:
    name = "Source only" if case.is_source_only else f"Adapted by {case.name}"
    accuracy = case.figures["accuracy"]
    return name if accuracy is None else f"{name}: accuracy {accuracy:.3f} on the target"


def _told_of_labels(settings: dict[str, Any], target: Splits) -> str:
    if target.test is None:
        return "The target has no labeled test part: there is a score, but no accuracy."
    measured = "measured accuracy on its test part"
    if settings["oracle_labels"]:
        return f"Labels of the target trained the oracle and {measured}, and nothing else."
    return f"Labels of the target {measured}, and nothing else."
