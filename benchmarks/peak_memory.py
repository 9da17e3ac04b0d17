"""Peak memory of training on features that are larger than what may be held of them.

`python -m benchmarks.peak_memory keras|ours`: two epochs of a dense layer on flattened feature maps
of all bundled pictures in all styles and some of them mirrored, 82 kB each and more than four
hundred megabytes in all; through plain Keras, or through `kx.fine_tune` with an empty feature
cache. One process for each, as a peak does not fall. The last line is JSON, in MB.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import tempfile

import keras
import numpy as np

import keras_transfer as kx
from benchmarks.frozen_training import SIZE, compile_plainly

EPOCHS = 2
MIRRORED = 200


def pictures() -> kx.Splits:
    """All pictures in all styles, and some mirrored ones."""
    styles = [kx.emoji_styles(s, image_size=(64, 64)) for s in ("noto", "twemoji", "openmoji")]
    batches = [b for s in styles for part in (s.train, s.validation, s.test) for b in part]
    x = np.concatenate([pixels.numpy().astype("uint8") for pixels, _ in batches])
    y = np.concatenate([labels.numpy() for _, labels in batches])
    x, y = np.concatenate([x, x[:MIRRORED, :, ::-1]]), np.concatenate([y, y[:MIRRORED]])
    return kx.arrays(x, y, image_size=SIZE)


def model_on_maps() -> keras.Model:
    """A dense layer on flattened feature maps."""
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(*SIZE, 3))
    flat = keras.layers.Flatten()(backbone.output)
    logits = keras.layers.Dense(8, name="logits", dtype="float32")(flat)
    return keras.Model(backbone.input, logits)


def train(how: str, folder: str) -> float:
    """Trains, and gives the size of the features on the disk."""
    data, model, strategy = pictures(), model_on_maps(), kx.FeatureExtraction()
    strategy.apply(model)
    cache = kx.FeatureCache(folder)
    options = {"epochs": EPOCHS, "verbose": 0}
    if how == "keras":
        compile_plainly(model, strategy, EPOCHS * int(data.train.cardinality()))
        model.fit(data.train, validation_data=data.validation, shuffle=False, **options)
    else:
        kx.fine_tune(model, data.train, data.validation, cache=cache, **options)
    return sum(entry.num_bytes for entry in cache.entries())


def main() -> None:
    """Runs one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("how", choices=("keras", "ours"))
    with tempfile.TemporaryDirectory() as folder:
        stored = train(parser.parse_args().how, folder)
    # Not `getrusage`, which counts what the process was forked from.
    status = pathlib.Path("/proc/self/status").read_text()
    peak = 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
    print(json.dumps({"peak": peak / 1e6, "features": stored / 1e6}))


if __name__ == "__main__":
    main()
