"""Export a classifier, serve it by TF Serving's API, and ask it for every test picture.

Data: the bundled Noto emoji, 8 classes, 799 pictures to train on, 837 to test.
Command: python examples/09_export_and_serve.py [--smoke]
Takes one minute on two cores; with --smoke half a minute and no useful accuracy.
Measured: test accuracy 0.731 as evaluated and as served (1 seed).
Needs: pip install 'keras-transfer[serving]'
"""

import pathlib
import sys
import tempfile

import numpy as np

import keras_transfer as kx
from keras_transfer.serving.stand_in.server import StandIn

smoke = "--smoke" in sys.argv
size = (32, 32) if smoke else (128, 128)
data = kx.emoji_styles("noto", image_size=size, validation_split=0.0)
backbone = kx.load_backbone("efficientnet_lite0", input_shape=(*size, 3))
model = kx.Classifier(backbone, data.class_names)
kx.fine_tune(model, data.train, epochs=1 if smoke else 10, verbose=2)
report = kx.evaluate(model, data.test, verbose=False)

# A version is checked before it gets its number. Its signature takes files as they are.
models = pathlib.Path(tempfile.mkdtemp())
version = kx.export(model, models / "emoji", evaluation=report.to_dict())
print(f"exported {version.relative_to(models)}; verified once more:")
kx.verify(version, on_step=lambda step: print(f"  {step}"))

# The stand-in has the APIs of TF Serving; in production run the container, see serving/README.md.
folder = kx.emoji_styles_folder("noto") / "test"
files = sorted(folder.rglob("*.png"))
with (
    StandIn(models, rest_port=0, grpc_port=0) as server,
    kx.ServingClient(server.rest_url, timeout=120) as client,
):
    broken = client.predict("emoji", [files[0], b"this is no picture"])
    print("a picture and something else are valid:", broken["valid"].tolist())
    answers = client.predict("emoji", files[:100] if smoke else files)

# What is served is what was evaluated.
served = np.array([label.decode() for label in answers["label"]])
truth = np.array([file.parent.name for file in files[: len(served)]])
accuracy = (served == truth).mean()
print(f"accuracy as evaluated {report.accuracy:.3f}, as served {accuracy:.3f}")
if not smoke:
    assert abs(accuracy - report.accuracy) < 1e-6
