"""What the inputs of signatures are called, asked of a server once."""

from __future__ import annotations

from collections.abc import Callable

from keras_transfer.serving.client.question import Question

Signatures = dict[str, list[str]]


class InputNames:
    """Keeps what a server says of a version until it is forgotten.

    The version behind a label, or the highest, becomes another one in time, and that may have
    other signatures.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int | None, str | None], Signatures] = {}

    def knows(self, question: Question) -> bool:
        """Whether nobody has to be asked."""
        return _key(question) in self._kept

    def only_input(self, question: Question, ask: Callable[[], Signatures]) -> str:
        """The name of the one input of a signature.

        Args:
            question: which signature of which version.
            ask: gives the names of the inputs of each signature of that version.

        Raises:
            ValueError: if there is no such signature, or it takes several inputs.
        """
        known = self._kept.get(_key(question))
        if known is None or len(known.get(question.signature, [])) != 1:
            known = self._kept[_key(question)] = ask()
        return only_input(known, question.signature)

    def forget(self, question: Question) -> None:
        """Asks again the next time."""
        self._kept.pop(_key(question), None)


def only_input(signatures: Signatures, signature: str) -> str:
    """The name of the one input of a signature.

    Raises:
        ValueError: if there is no such signature, or it takes several inputs.
    """
    names = signatures.get(signature)
    if names is None or len(names) != 1:
        raise ValueError(
            f"Expected a signature with one input, or a dict of arrays for {names}. "
            f"Received: signature={signature!r} of {sorted(signatures)}."
        )
    return names[0]


def _key(question: Question) -> tuple[str, int | None, str | None]:
    return question.name, question.version, question.label
