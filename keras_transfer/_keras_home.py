"""Where Keras keeps what it downloads; the package keeps its own files beside them."""

from __future__ import annotations

import os
import pathlib
import tempfile


def keras_home() -> pathlib.Path:
    """The folder that `keras.utils.get_file` uses; Keras has no public name for it."""
    if "KERAS_HOME" in os.environ:
        return pathlib.Path(os.environ["KERAS_HOME"]).expanduser()
    home = pathlib.Path.home()
    return (home if os.access(home, os.W_OK) else pathlib.Path(tempfile.gettempdir())) / ".keras"
