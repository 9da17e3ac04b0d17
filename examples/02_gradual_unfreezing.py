"""Unfreeze a backbone block by block, lower blocks slower, and look at what each stage gains.

Data: the bundled Noto emoji, 8 classes, 799 pictures to train on, 837 others to test.
Command: python examples/02_gradual_unfreezing.py [--smoke]
Takes about three minutes on two cores; with --smoke half a minute and no useful accuracy.
Measured: accuracy 0.760 on the test half (one seed, 90 % of the train half).
"""

import sys

import keras

import keras_transfer as kx

smoke = "--smoke" in sys.argv
keras.utils.set_random_seed(0)
size = (32, 32) if smoke else (128, 128)
data = kx.emoji_styles("noto", image_size=size, validation_split=0.1, seed=0)
model = kx.Classifier(
    kx.load_backbone("efficientnet_lite0", input_shape=(*size, 3)), data.class_names, dropout=0.2
)

# First the head alone, at a rate of its own; then three groups of blocks, from the top down.
strategy = kx.Sequence(
    [
        kx.Part(kx.FeatureExtraction(), epochs=1 if smoke else 4),
        kx.GradualUnfreezing(stages=1 if smoke else 3),
    ]
)
strategy.summary(model)

# The learning rate falls with depth: each block has 0.8 of the rate of the block above it.
histories = kx.fine_tune(
    model,
    data.train,
    data.validation,
    strategy=strategy,
    epochs=1 if smoke else 12,
    learning_rate=1e-3,
    layer_decay=0.8,
    augmentation=kx.augmentation("light", size, seed=0),
)
for stage, history in enumerate(histories, start=1):
    print(f"Stage {stage}: validation accuracy {history.history['val_accuracy'][-1]:.3f}")

kx.evaluate(model, data.test).print()
