"""Features of two domains in the plane, before and after an adaptation, side by side."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from keras_transfer._atomic import replacing

# Of each domain; t-SNE takes a few seconds for so many.
_MAX_EXAMPLES = 1000
# Below this, neighborhoods mean nothing.
_MIN_EXAMPLES = 30
_PERPLEXITY = 30
_MAX_NAMES_SHOWN = 20


def save_domains(
    panels: Mapping[str, Mapping[str, np.ndarray]], class_names: Sequence[str], path: pathlib.Path
) -> None:
    """Draws features of both domains as PNG, a panel for each model; source classes in colors.

    Each panel is a t-SNE of its own, or of few examples the first two principal components: what
    is to be seen is whether domains overlap and classes stay apart, not where they are.

    Reference: van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008.

    Args:
        panels: from titles to arrays "source" and "target", float `(n, width)` and `(m, width)`,
            of which 1,000 are drawn at most, and "labels", the source's, int `(n,)`.
        class_names: list of str.
        path: the file; replaced if it is there.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(panels) + 2.5, 5.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (title, features) in zip(axes, panels.items(), strict=True):
        _draw(ax, features, class_names)
        ax.set_title(title)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _draw(axes: object, features: Mapping[str, np.ndarray], class_names: Sequence[str]) -> None:
    """Draws one panel on `matplotlib.axes.Axes`."""
    labels = features["labels"][_chosen(len(features["labels"]))]
    source, target = (features[x][_chosen(len(features[x]))] for x in ("source", "target"))
    points = plane(np.concatenate([source, target]))
    of_source, of_target = points[: len(source)], points[len(source) :]
    for label, name in enumerate(class_names):
        shown = f"source: {name}" if label < _MAX_NAMES_SHOWN else None
        axes.scatter(  # type: ignore[attr-defined]
            *of_source[labels == label].T,
            s=26,
            color=_color(label, len(class_names)),
            edgecolors="white",
            linewidths=0.4,
            label=shown,
        )
    axes.scatter(  # type: ignore[attr-defined]
        *of_target.T, s=24, marker="x", color="black", linewidths=0.8, alpha=0.65, label="target"
    )
    axes.set(xticks=[], yticks=[])  # type: ignore[attr-defined]


def plane(features: np.ndarray) -> np.ndarray:
    """Features `(n, width)` in two dimensions, `(n, 2)`, the same for the same features."""
    features = np.asarray(features, np.float64)
    centered = features - features.mean(0)
    left, sizes, _ = np.linalg.svd(centered, full_matrices=False)
    components = np.zeros([len(features), max(2, min(50, len(sizes)))])
    components[:, : len(sizes)] = (left * sizes)[:, : components.shape[1]]
    if len(features) < _MIN_EXAMPLES or not components.any():
        return components[:, :2]
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    start = components[:, :2] / components[:, 0].std() * 1e-4  # as scikit-learn scales its own
    return TSNE(perplexity=perplexity, init=start, random_state=0).fit_transform(components)


def _chosen(count: int) -> np.ndarray:
    """Which of so many examples are drawn, always the same ones."""
    order = np.random.default_rng(0).permutation(count)
    return np.sort(order[:_MAX_EXAMPLES])


def _color(label: int, classes: int) -> tuple[float, ...]:
    from matplotlib import colormaps

    if classes <= 10:
        return colormaps["tab10"](label)
    return colormaps["tab20"](label) if classes <= 20 else colormaps["hsv"](label / classes)
