"""What a search for a learning rate found, and what it says."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib

import numpy as np

from keras_transfer._atomic import replacing

_NOISE = 6.0  # standard errors by which the loss has to fall before it counts


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LearningRateCurve:
    """The loss of each batch while the learning rate grew; made by `kx.find_learning_rate`.

    Attributes:
        learning_rates: float array `(batches,)`, growing.
        losses: float array `(batches,)`. The loss of each batch, before its step.
        smoothing: float above 0, in powers of ten of the rate. The width (standard deviation) of
            the window of `smoothed`.
        diverged: bool. Whether the loss had grown so far that the search stopped early.
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    smoothing: float = 0.4
    diverged: bool = False

    @functools.cached_property
    def smoothed(self) -> np.ndarray:
        """The losses, averaged in a Gaussian window over neighboring rates.

        A running average looks only back, which would move the curve to higher rates. What rises
        above the start by more than the loss ever fell is cut first, or the last losses before
        the end would drown all others.
        """
        losses = np.minimum(self.losses, self._ceiling)
        away = np.arange(1 - len(losses), len(losses))
        kernel = np.exp(-((away / self._width) ** 2) / 2)
        middle = slice(len(losses) - 1, 2 * len(losses) - 1)
        weights = np.convolve(np.ones_like(losses), kernel)[middle]
        return np.convolve(losses, kernel)[middle] / weights

    @property
    def minimum(self) -> float:
        """The learning rate at which the smoothed loss is lowest; a tenth of it is a known rule."""
        return float(self.learning_rates[self._lowest])

    @functools.cached_property
    def steepest(self) -> float:
        """The learning rate, up to `minimum`, at which the smoothed loss falls fastest."""
        slopes = np.gradient(self.smoothed, np.log(self.learning_rates))
        return float(self.learning_rates[slopes[: self._lowest + 1].argmin()])

    @functools.cached_property
    def suggestion(self) -> float | None:
        """Half way, in powers of ten, from `steepest` to `minimum`; None where no loss falls.

        It is meant for the peak of a schedule. For a constant rate `steepest` is the safer one.
        """
        return float(np.sqrt(self.steepest * self.minimum)) if self._falls else None

    @property
    def problem(self) -> str | None:
        """What is wrong with the range of the search, in words; None if nothing is."""
        low, high = self.learning_rates[[0, -1]]
        if self.suggestion is None:
            way = "Try a lower `low`" if self.diverged else "Try another range or more `steps`"
            return (
                f"The loss never clearly fell between learning rates {low:.1e} and {high:.1e}, so "
                f"there is no suggestion. {way}."
            )
        if not self.diverged and self._lowest >= 0.98 * (len(self.losses) - 1):
            return f"The loss was still falling at {high:.1e}, the end of the range: raise `high`."
        if self.steepest < low * 10 ** (2 * self.smoothing):
            return f"The loss fell fastest next to {low:.1e}, the start of the range: lower `low`."
        return None

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws loss against learning rate as PNG, the suggestion marked.

        Args:
            path: the file; replaced if it is there.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.add_subplot(xscale="log", xlabel="learning rate", ylabel="loss")
        axes.plot(self.learning_rates, self.losses, ".", color="0.7", label="each batch")
        axes.plot(self.learning_rates, self.smoothed, color="C0", label="smoothed")
        if self.suggestion is not None:
            label = f"suggestion {self.suggestion:.1e}"
            axes.axvline(self.suggestion, color="C3", linestyle="--", label=label)
        low, high = self.losses.min(), self._ceiling
        margin = 0.1 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)
        axes.legend()
        with replacing(pathlib.Path(path)) as temporary:
            figure.savefig(temporary, format="png", dpi=120)

    def __repr__(self) -> str:
        found = "none" if self.suggestion is None else f"{self.suggestion:.1e}"
        low, high = self.learning_rates[[0, -1]]
        return (
            f"LearningRateCurve({len(self.losses)} batches, learning rates {low:.1e} to "
            f"{high:.1e}, suggestion {found})"
        )

    @property
    def _width(self) -> float:
        """Of the window, in batches."""
        growth = np.log10(self.learning_rates[-1] / self.learning_rates[0])
        return float(self.smoothing * (len(self.losses) - 1) / growth)

    @property
    def _ceiling(self) -> float:
        """As far above the start as the lowest loss is below it."""
        start = np.median(self.losses[: max(1, len(self.losses) // 10)])
        return float(2 * start - min(start, self.losses.min()))

    @property
    def _lowest(self) -> int:
        return int(self.smoothed.argmin())

    @property
    def _falls(self) -> bool:
        """Whether the loss falls by more than what the noise of the batches makes of nothing.

        The noise is that between neighbors, by its median: the explosion at the end is none.
        """
        steps = np.abs(np.diff(np.minimum(self.losses, self._ceiling)))
        noise = np.median(steps) / (0.6745 * np.sqrt(2))
        error = noise / np.sqrt(max(1.0, 2 * np.sqrt(np.pi) * self._width))  # of a Gaussian mean
        fall = self.smoothed[: self._lowest + 1].max() - self.smoothed[self._lowest]
        return bool(fall > max(_NOISE * error, 1e-6 * abs(self.smoothed[0])))
