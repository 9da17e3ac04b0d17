"""Which weights may move, with what belongs to it: how many, in which stages, pulled to where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras_tuner

from keras_transfer.search.space.conditions import only_for
from keras_transfer.strategies.freezing import FeatureExtraction, FineTuning
from keras_transfer.strategies.gradual import GradualUnfreezing
from keras_transfer.strategies.regularizers import L2SP
from keras_transfer.strategies.sequence import Sequence as StageSequence
from keras_transfer.strategies.strategy import Strategy

StrategyName = Literal["feature_extraction", "fine_tuning", "gradual_unfreezing", "probe_then_tune"]


def choose_strategy(
    hp: keras_tuner.HyperParameters, names: Sequence[StrategyName], blocks: int
) -> Strategy:
    """A strategy.

    Args:
        hp: the trial's values.
        names: of which one is chosen.
        blocks: int, how many the backbone has.
    """
    chosen = hp.Choice("strategy", list(names))
    share, stages = 1.0, 1
    # Scopes are entered whatever is chosen: so KerasTuner learns the whole space before it begins.
    if "fine_tuning" in names:
        with only_for(hp, "trainable_share", "strategy", ["fine_tuning"]):
            share = hp.Choice("trainable_share", [0.1, 0.25, 0.5, 1.0])
    if "gradual_unfreezing" in names:
        with only_for(hp, "stages", "strategy", ["gradual_unfreezing"]):
            stages = hp.Int("stages", 2, 4)
    if chosen == "feature_extraction":
        return FeatureExtraction()
    if chosen == "fine_tuning":
        return FineTuning(blocks=max(1, round(share * blocks)))
    if chosen == "gradual_unfreezing":
        return GradualUnfreezing(stages=min(stages, blocks))
    return StageSequence([FeatureExtraction(), FineTuning()])


def within(strategy: Strategy, epochs: int) -> Strategy:
    """The strategy in no more stages than there are epochs, of which Hyperband begins with few.

    Args:
        strategy: kx.Strategy; one whose stages cannot be fewer, or that says itself how many epochs
            its parts have, stays as it is.
        epochs: int from 1.
    """
    if strategy.num_stages <= epochs:
        return strategy
    if isinstance(strategy, GradualUnfreezing) and isinstance(strategy.stages, int):
        return GradualUnfreezing(**strategy.get_config() | {"stages": epochs})
    parts = strategy.parts()
    if all(part.epochs is None and part.strategy.num_stages == 1 for part in parts):
        return StageSequence(parts[:epochs])
    return strategy


def choose_pull(hp: keras_tuner.HyperParameters, names: Sequence[StrategyName]) -> dict[str, Any]:
    """Arguments `layer_decay` and `regularizer` of `kx.fine_tune`, where the backbone may move.

    Args:
        hp: the trial's values.
        names: of strategies, as for `choose_strategy`.
    """
    tuning = [name for name in names if name != "feature_extraction"]
    if not tuning or "strategy" not in hp:  # a subclass may have a strategy of its own
        return {}
    with only_for(hp, "layer_decay", "strategy", tuning):
        decay = hp.Choice("layer_decay", [1.0, 0.9, 0.8])
    with only_for(hp, "l2_sp", "strategy", tuning):
        strength = hp.Choice("l2_sp", [0.0, 1e-3, 1e-2, 1e-1])
    if hp.get("strategy") not in tuning:
        return {}
    return {"layer_decay": decay, "regularizer": L2SP(strength) if strength else None}
