"""Adapt a classifier of labeled pictures to another style, of which no picture has a label.

Data: the bundled emoji, shaded ones (noto) as source, black line art (openmoji) as target.
Command: python examples/06_mmd_adaptation.py [--smoke]
Takes two minutes on two cores; with --smoke half a minute and no useful accuracy.
Measured: accuracy on the target's test half 0.300 by the source alone, 0.499 adapted, by
`python -m benchmarks.adaptation` (3 seeds).
"""

import sys

import keras

import keras_transfer as kx

smoke = "--smoke" in sys.argv
epochs = 2 if smoke else 40
size = (64, 64) if smoke else (128, 128)
source = kx.emoji_styles("noto", image_size=size)
target = kx.emoji_styles("openmoji", image_size=size)


def classifier() -> keras.Model:
    """The same network for both, on features of five depths."""
    keras.utils.set_random_seed(0)
    backbone = kx.load_backbone("efficientnet_lite0", input_shape=(*size, 3))
    return kx.Classifier(backbone, source.class_names, depths=5, standardize=True, hidden=[768])


# The source alone. The frozen backbone runs once for each picture.
model = classifier()
options = {"strategy": kx.FeatureExtraction(), "epochs": epochs, "learning_rate": 1e-3}
kx.fine_tune(model, source.train, source.validation, verbose=2, **options)
before = kx.evaluate(model, target.test, verbose=False).accuracy

# Both domains, with the maximum mean discrepancy between their features in the loss. The target's
# labels are left out; its held-out pictures, without labels too, tell which epoch was the best.
model = classifier()
adapted = kx.DomainAdaptation(model, kx.MaximumMeanDiscrepancy())
pairs = kx.pair_domains(source.train, target.train, target_labels="ignore")
callbacks = [
    kx.TargetScore(target.validation, source.validation),
    keras.callbacks.EarlyStopping(
        "val_target_score", mode="max", patience=epochs, restore_best_weights=True
    ),
]
kx.fine_tune(adapted, pairs, callbacks=callbacks, verbose=2, **options)
after = kx.evaluate(model, target.test, verbose=False).accuracy
print(f"Accuracy on the target: {before:.3f} by the source alone, {after:.3f} adapted.")

# What is kept is the model: adapted.model is model.
if not smoke:
    model.save("adapted.keras")
