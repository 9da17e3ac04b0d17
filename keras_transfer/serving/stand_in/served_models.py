"""Polls folders as TF Serving does, and keeps the versions in them loaded that are wanted."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import threading
from collections.abc import Iterator

from keras_transfer.serving.c_api.engine import Engine
from keras_transfer.serving.c_api.session import ModelError
from keras_transfer.serving.stand_in.served_versions import (
    AVAILABLE,
    END,
    ServedVersion,
)
from keras_transfer.serving.stand_in.sources import Source, sources_in
from keras_transfer.serving.versions.numbers import versions

_log = logging.getLogger(__name__)


class ServedModels:
    """The models of a folder, loaded as TF Serving loads them. Use it with `with`.

    A version is found by its integer name alone, loaded and warmed up before the one before it is
    unloaded, and never tried again when it failed. `models.config` is read at every poll; one in
    which a label goes to another version that is not loaded is refused as a whole.

    Args:
        folder: of models, or of the versions of one.
        poll_seconds: float, between two looks at the folders.
    """

    def __init__(self, folder: pathlib.Path, poll_seconds: float = 1.0):
        self._folder, self._poll_seconds = folder, poll_seconds
        self._sources: dict[str, Source] = {}
        self._served: dict[str, dict[int, ServedVersion]] = {}
        self._ended = threading.Event()
        self._polling = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> ServedModels:
        self._engine = Engine()
        try:
            self.look()
        except BaseException:
            self._engine.close()
            raise
        self._polling.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._polling.join()
        self._engine.close()

    @property
    def names(self) -> list[str]:
        """Of the models."""
        return sorted(self._sources)

    def look(self) -> None:
        """One look at the folders; loads and unloads what it takes."""
        if not self._engine.alive:
            self._start_again()
        sources = {source.name: source for source in sources_in(self._folder)}
        self._check_labels(sources)
        self._sources = sources
        for name in self._served.keys() | sources.keys():
            source = sources.get(name)
            there = [] if source is None else source.wanted(versions(source.base_path))
            if source is not None:
                self._load(source, there)
            self._unload(name, there)

    @contextlib.contextmanager
    def version(
        self, name: str, number: int | None = None, label: str = ""
    ) -> Iterator[ServedVersion]:
        """The version that a request asks for, the highest where it does not say which.

        Raises:
            ModelError: if there is none.
        """
        served = self._served.get(name, {})
        if label:
            source = self._sources.get(name)
            if source is None or label not in source.labels:
                raise ModelError(
                    f"Unrecognized servable version label: {label}", ModelError.INVALID_ARGUMENT
                )
            number = source.labels[label]
        found = self._acquired(served, number)
        if found is None:
            asked = f"Latest({name})" if number is None else f"Specific({name}, {number})"
            raise ModelError(f"Servable not found for request: {asked}", ModelError.NOT_FOUND)
        try:
            yield found
        finally:
            found.release()

    def states(self, name: str, number: int | None = None, label: str = "") -> list[ServedVersion]:
        """All versions of a model that were ever wanted, the newest first.

        Raises:
            ModelError: if there are none.
        """
        if label:
            with self.version(name, label=label) as one:
                return [one]
        served = dict(self._served.get(name, {}))
        if number is not None and number not in served:
            raise ModelError(
                f"Could not find version {number} of model {name}", ModelError.NOT_FOUND
            )
        if not served:
            raise ModelError(f"Could not find any versions of model {name}", ModelError.NOT_FOUND)
        return [served[n] for n in sorted(served, reverse=True) if number in (None, n)]

    def _acquired(
        self, served: dict[int, ServedVersion], number: int | None
    ) -> ServedVersion | None:
        """The one asked for, or the highest; None if there is none."""
        while True:
            available = [n for n, one in list(served.items()) if one.state == AVAILABLE]
            if number is not None:
                available = [n for n in available if n == number]
            if not available:
                return None
            if served[max(available)].acquire():
                return served[max(available)]
            # It was unloaded just now: a newer one is there.

    def _load(self, source: Source, there: list[int]) -> None:
        served = self._served.setdefault(source.name, {})
        for number in there:
            before = served.get(number)
            # One that failed is not tried again; one that was unloaded is.
            if before is None or (before.state == END and not before.error.code):
                served[number] = ServedVersion(source.name, number, source.base_path / str(number))
                served[number].load(self._engine)
                if not self._engine.alive:
                    self._start_again()
                if served[number].error.code:
                    _log.error("%s/%s: %s", source.name, number, served[number].error)

    def _unload(self, name: str, there: list[int]) -> None:
        # Until one that is wanted is there, those before go on.
        served = self._served.get(name, {})
        if there and not any(served[n].state == AVAILABLE for n in there):
            return
        for number, version in served.items():
            if number not in there and version.state == AVAILABLE:
                version.unload()

    def _check_labels(self, sources: dict[str, Source]) -> None:
        for name, source in sources.items():
            known = self._sources.get(name)
            served = self._served.get(name, {})
            for label, number in source.labels.items():
                moved = known is not None and known.labels.get(label, number) != number
                if moved and (number not in served or served[number].state != AVAILABLE):
                    raise ValueError(
                        f"Request to assign label to version {number} of model {name}, which is "
                        "not currently available for inference"
                    )

    def _poll(self) -> None:
        while not self._ended.wait(self._poll_seconds):
            try:
                self.look()
            except Exception as error:  # the next look may be a better one
                _log.error("%s: %s", self._folder, error)

    def _start_again(self) -> None:
        """Loads what was available: a version that brought the process down took all with it."""
        _log.error("The process that runs the models has ended; it is started again.")
        self._engine.close()
        self._engine = Engine()
        for served in self._served.values():
            for number, version in list(served.items()):
                if version.state == AVAILABLE:
                    served[number] = ServedVersion(version.name, number, version.path)
                    served[number].load(self._engine)
