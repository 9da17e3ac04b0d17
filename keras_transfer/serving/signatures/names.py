"""The names of signatures, for those who import no TensorFlow."""

from __future__ import annotations

DEFAULT, PIXELS, TOKENS, TOP_K, FEATURES = (
    "serving_default",
    "pixels",
    "tokens",
    "top_k",
    "features",
)
