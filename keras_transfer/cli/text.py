"""What stands for texts on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_transfer.data.splits import Splits

REVIEWS = "review_domains://"
_TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


def is_text(data: str) -> bool:
    """Whether a data argument is a table of texts, or the bundled reviews."""
    return data.startswith(REVIEWS) or is_table(data)


def is_table(data: str) -> bool:
    """Whether a data argument is a table of texts."""
    return not data.startswith(REVIEWS) and data.lower().endswith(_TABLES)


def has_column(table: str, name: str) -> bool:
    """Whether a table has a column of that name.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if its first row cannot be read.
    """
    from keras_transfer.data.table_rows import column_names

    return name in column_names(table)


def load_texts(data: str, settings: dict[str, Any]) -> Splits:
    """The `Splits` of a table or of the bundled reviews, through the backbone's preprocessor."""
    import keras_transfer as kx

    common = {
        "preprocessor": kx.load_preprocessor(
            settings["backbone"], sequence_length=settings["sequence_length"]
        ),
        **{name: settings[name] for name in ("batch_size", "validation_split", "seed")},
    }
    if data.startswith(REVIEWS):
        return kx.review_domains(data.removeprefix(REVIEWS), **common)
    columns = {"text": settings["text"], "label": settings["label"], "split": settings["split"]}
    return kx.text_table(data, test_split=settings["test_split"], **columns, **common)


def check_text_settings(settings: dict[str, Any]) -> None:
    """Refuses what is for pictures alone.

    Raises:
        ValueError: if an option is given that texts do not have.
    """
    for option, nothing in (("augmentation", (None, "none")), ("mixing", ("none",))):
        if settings[option] not in nothing:
            raise ValueError(
                f"Expected --{option} with pictures alone. "
                f"Received: {settings[option]} with {settings['data']}."
            )
    if settings["strategy"] == "recipe":
        raise ValueError(
            "Expected another --strategy: 'recipe' is for pictures, as it augments them. "
            f"Received: recipe with {settings['data']}."
        )
