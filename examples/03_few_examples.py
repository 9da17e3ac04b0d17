"""Twenty pictures a class: what plain Keras gets out of them, and what the default recipe does.

Data: 160 of the bundled Noto emoji, 20 for each of 8 classes; 837 others to test.
Command: python examples/03_few_examples.py [--smoke]
Takes about four minutes on two cores; with --smoke half a minute and no useful accuracy.
Measured: accuracy on the test half 0.620 with plain Keras, 0.650 with the recipe (one seed).
"""

import sys

import keras
import numpy as np

import keras_transfer as kx

smoke = "--smoke" in sys.argv
size, per_class = ((32, 32), 5) if smoke else ((128, 128), 20)
data = kx.emoji_styles("noto", image_size=size, validation_split=0.0)

# A small data set, as arrays. Any pictures from 0 to 255 with their labels will do.
batches = list(data.train.as_numpy_iterator())
x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
few = np.concatenate([np.flatnonzero(y == label)[:per_class] for label in range(8)])
train = kx.arrays(x[few], y[few], class_names=data.class_names, validation_split=0.0).train


def backbone() -> keras.Model:
    """A new one with the pretrained weights."""
    keras.utils.set_random_seed(0)
    return kx.load_backbone("efficientnet_lite0", input_shape=(*size, 3))


# Which head, how much to train, how fast and how long: by the number of examples a class.
recipe = kx.default_recipe(len(few), len(data.class_names), size, seed=0)
print(recipe)
settings = recipe.settings | ({"epochs": 1} if smoke else {})

# Plain Keras: a head as in its guides, everything trainable, Adam, as many epochs.
pixels = keras.Input((*size, 3))
features = keras.layers.GlobalAveragePooling2D()(backbone()(pixels))
logits = keras.layers.Dense(8, name="logits")(keras.layers.Dropout(0.2)(features))
plain = keras.Model(pixels, logits)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
plain.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
plain.fit(train, epochs=settings["epochs"], verbose=2, shuffle=False)

model = kx.Classifier(backbone(), data.class_names, **recipe.classifier)
kx.fine_tune(model, train, verbose=2, **settings)

print(f"plain Keras:    {kx.evaluate(plain, data.test, class_names=data.class_names).accuracy:.3f}")
print(f"default recipe: {kx.evaluate(model, data.test).accuracy:.3f}")
