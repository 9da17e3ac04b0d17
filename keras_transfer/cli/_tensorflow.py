"""TensorFlow imported without its start-up messages, which no setting of its own switches off."""

from __future__ import annotations

import os
import sys
import tempfile


def import_quietly() -> None:
    """Imports TensorFlow and Keras; what they print to stderr shows only if they fail."""
    if "tensorflow" in sys.modules or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import keras  # noqa: F401
            import tensorflow  # noqa: F401
        except BaseException:
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
