"""What is known about a backbone before it is built."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class BackboneInfo:
    """One row of `kx.list_backbones()`.

    Attributes:
        handle: str. What `kx.load_backbone` takes.
        parameters: int. Number of weights of the backbone, classification head excluded.
        input_size: int. Height and width in pixels that the weights were trained at; for text,
            how many tokens they take at most.
        feature_width: int. Channels of the features.
        on_this_machine: bool. Whether the pretrained weights can be loaded offline.

    Example:

    >>> import keras_transfer as kx
    >>> info = next(b for b in kx.list_backbones() if b.handle == "efficientnet_lite0")
    >>> info.input_size, info.feature_width, info.on_this_machine
    (224, 1280, True)
    """

    handle: str
    parameters: int
    input_size: int
    feature_width: int
    on_this_machine: bool
