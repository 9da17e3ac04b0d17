import math

import numpy as np
import pytest
from sklearn import cluster, linear_model, metrics

import keras_transfer as kx
from keras_transfer.adaptation.selection.accuracies import oracle_accuracy, source_accuracy


def predictions(examples=40, classes=4, seed=0, scale=2.0):
    logits = scale * np.random.default_rng(seed).normal(size=(examples, classes))
    exps = np.exp(logits)
    return exps / exps.sum(1, keepdims=True)


def entropy(row):
    return -sum(p * math.log(p) for p in row if p > 0)


def constant(examples=12, classes=4):
    return np.tile(np.eye(classes)[1], (examples, 1))


def clusters(seed=0, per_class=10, classes=3):
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    return random.normal(size=(len(labels), 5)) + 8 * np.eye(classes, 5)[labels], labels


OF_PROBABILITIES = [kx.entropy_score, kx.information_maximization_score, kx.bnm_score]


def test_entropy_score_is_minus_the_mean_entropy():
    values = predictions()
    expected = -sum(entropy(row) for row in values) / len(values)
    assert kx.entropy_score(values) == pytest.approx(expected, rel=1e-12)


def test_information_maximization_score_equals_loops():
    values = predictions()
    mean = [sum(column) / len(values) for column in values.T]
    expected = entropy(mean) - sum(entropy(row) for row in values) / len(values)
    assert kx.information_maximization_score(values) == pytest.approx(expected, rel=1e-12)


def test_information_maximization_score_of_hard_predictions_is_the_information_of_their_shares():
    shares = [0] * 5 + [1] * 3 + [3] * 2
    expected = metrics.mutual_info_score(np.arange(10), shares)
    assert kx.information_maximization_score(np.eye(4)[shares]) == pytest.approx(expected)


def test_bnm_score_is_the_sum_of_roots_of_eigenvalues():
    values = predictions()
    expected = np.sqrt(np.linalg.eigvalsh(values.T @ values)).sum() / len(values)
    assert kx.bnm_score(values) == pytest.approx(expected, rel=1e-10)


def test_bnm_score_is_highest_for_certain_predictions_in_equal_shares():
    best = kx.bnm_score(np.eye(4)[np.arange(40) % 4])
    assert best == pytest.approx(math.sqrt(4 / 40))
    assert best > kx.bnm_score(np.eye(4)[np.arange(40) % 2])
    assert best > kx.bnm_score(predictions())


@pytest.mark.parametrize("examples", [1, 2, 30])
def test_snd_score_equals_loops(examples):
    # More rows than are held at once.
    features = np.random.default_rng(0).normal(size=(examples, 3)) + 1
    directions = features / np.linalg.norm(features, axis=1, keepdims=True)
    entropies = []
    for place in range(examples):
        exps = np.exp(np.delete(directions @ directions[place] / 0.05, place))
        entropies.append(entropy((exps / exps.sum()).tolist()) if examples > 1 else 0)
    assert kx.snd_score(features) == pytest.approx(np.mean(entropies), rel=1e-9)


def test_snd_score_does_not_depend_on_how_many_rows_are_held(monkeypatch):
    features = np.random.default_rng(0).normal(size=(25, 3))
    whole = kx.snd_score(features)
    monkeypatch.setattr("keras_transfer.adaptation.selection.neighbors._ROWS", 4)
    assert kx.snd_score(features) == pytest.approx(whole, rel=1e-12)


def test_snd_score_heeds_features_of_zero_length():
    assert kx.snd_score(np.zeros([4, 2])) == pytest.approx(math.log(3))


def test_class_ami_score_equals_scikit_learn_on_its_own_clusters():
    features, labels = clusters()
    values = predictions(len(labels), 3, seed=1)
    found = cluster.KMeans(3, n_init=5, random_state=3).fit_predict(features)
    expected = metrics.adjusted_mutual_info_score(values.argmax(1), found)
    assert kx.class_ami_score(features, values, seed=3) == pytest.approx(expected)
    assert kx.class_ami_score(features, np.eye(3)[labels]) == pytest.approx(1)
    assert abs(expected) < 0.3


def test_class_ami_score_of_collapsed_features_and_of_constant_predictions_is_zero():
    values = predictions(12, 3)
    assert kx.class_ami_score(np.ones([12, 2]), values) == pytest.approx(0, abs=1e-12)
    assert kx.class_ami_score(np.ones([12, 2]), constant(12, 3)) == 0
    assert kx.class_ami_score(clusters(per_class=4)[0], constant(12, 3)) == 0


def weights_of(train, target, source):
    """Of the definition, with scikit-learn's probabilities."""
    both = np.concatenate([train, target])
    scale = lambda x: (x - both.mean(0)) / both.std(0)  # noqa: E731
    model = linear_model.LogisticRegression(max_iter=1000)
    model.fit(scale(both), [0] * len(train) + [1] * len(target))
    odds = lambda x: np.divide(*model.predict_proba(scale(x)).T[::-1])  # noqa: E731
    return odds(source) / odds(train).mean()


@pytest.mark.parametrize("separate", [False, True])
def test_dev_score_equals_loops(separate):
    random = np.random.default_rng(0)
    source, target = random.normal(size=(50, 3)), random.normal(size=(70, 3)) + 0.5
    train = random.normal(size=(60, 3)) if separate else None
    losses = random.exponential(size=50)
    w = weights_of(source if train is None else train, target, source)
    weighted = w * losses
    slope = -np.cov(weighted, w)[0, 1] / np.var(w, ddof=1)
    expected = weighted.mean() + slope * w.mean() - slope
    found = kx.dev_score(losses, source, target, train_features=train)
    assert -found == pytest.approx(expected, rel=1e-6)
    if not separate:
        assert -found == pytest.approx((weighted / w.sum()).sum(), rel=1e-6)


def test_dev_score_estimates_the_target_error_where_domains_overlap():
    random = np.random.default_rng(0)
    source, target = random.normal(size=(4000, 1)), random.normal(size=(4000, 1)) + 1
    wrong = lambda x: (x[:, 0] > 1).astype(float)  # noqa: E731  16% of the source, half the target
    found = kx.dev_score(wrong(source), source, target)
    assert -found == pytest.approx(wrong(target).mean(), abs=0.05)


def test_discrepancy_score_is_minus_the_mmd_and_grows_as_domains_come_together():
    random = np.random.default_rng(0)
    source, target = random.normal(size=(60, 3)), random.normal(size=(40, 3))
    mmd = kx.MaximumMeanDiscrepancy()
    far, near = target + 2, target + 0.5
    assert kx.discrepancy_score(source, far) == pytest.approx(
        -float(mmd(source.astype("float32"), far.astype("float32"))), rel=1e-5
    )
    scores = [kx.discrepancy_score(source, x) for x in (far, near, target)]
    assert scores == sorted(scores)
    assert scores[-1] == pytest.approx(0, abs=0.02)


def test_discrepancy_score_wants_features_of_one_width():
    with pytest.raises(ValueError, match="3 of the source and 2 of the target"):
        kx.discrepancy_score(np.ones([4, 3]), np.ones([4, 2]))


def test_dev_score_of_separable_features_is_that_of_a_few_examples():
    random = np.random.default_rng(0)
    source, target = random.normal(size=(200, 1)), random.normal(size=(200, 1)) + 12
    nearest = np.argsort(-source[:, 0])[:10]
    losses = np.zeros(200)
    losses[nearest] = 1
    # A twentieth of the source are wrong, and count more than twice as much.
    assert -kx.dev_score(losses, source, target) > 2 * losses.mean()


def test_dev_score_of_like_features_is_the_mean_loss():
    losses = np.arange(5.0)
    assert kx.dev_score(losses, np.ones([5, 2]), np.ones([7, 2])) == pytest.approx(-2)
    assert kx.dev_score([0.5], [[1.0]], [[2.0]]) == pytest.approx(-0.5)


def test_mixval_score_is_the_mean_of_both_kinds_of_pairs():
    predicted, partners = [0, 0, 1, 1, 2], [1, 2, 3, 0, 0]
    mixed = [0, 1, 1, 1, 0]  # kept: yes, no, yes, yes, no; alike: 0 and 2
    found = kx.mixval_score(np.eye(3)[predicted], np.eye(3)[mixed], partners)
    assert found == pytest.approx((2 / 2 + 1 / 3) / 2)
    assert kx.mixval_score(np.eye(2)[[0, 0]], np.eye(2)[[0, 1]], [1, 0]) == 0.5
    assert kx.mixval_score([[0.5, 0.5]], [[0.5, 0.5]], [0]) == 1


@pytest.mark.parametrize("labels", [[1, 0, 2], [[1], [0], [2]], np.eye(3)[[1, 0, 2]]])
def test_accuracies_take_ints_columns_and_one_hot_rows(labels):
    values = [[0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.6, 0.2, 0.2]]
    assert source_accuracy(labels, values) == pytest.approx(2 / 3)
    assert oracle_accuracy(labels, values) == pytest.approx(2 / 3)


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 3], [-1, 0, 0], [0.5, 0, 1], ["a", "b", "c"]])
def test_accuracies_refuse_labels_that_are_no_classes(labels):
    with pytest.raises(ValueError, match="Expected `labels`.*Received: "):
        source_accuracy(labels, np.eye(3))


@pytest.mark.parametrize("score", OF_PROBABILITIES)
def test_scores_do_not_care_for_the_order_of_examples_and_classes(score):
    values = predictions()
    turned = values[::-1][:, [2, 0, 3, 1]]
    assert score(turned) == pytest.approx(score(values), rel=1e-12)


@pytest.mark.parametrize("score", OF_PROBABILITIES)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_scores_take_rows_that_add_up_to_one_but_for_rounding(score, dtype):
    values = predictions(300, 200, scale=0.5)
    assert score(values.astype(dtype)) == pytest.approx(score(values), rel=1e-3)


@pytest.mark.parametrize("score", OF_PROBABILITIES)
@pytest.mark.parametrize(
    ("values", "received"),
    [
        (np.zeros([0, 3]), r"shape \(0, 3\)"),
        (np.ones([3, 1]), r"shape \(3, 1\)"),
        (np.ones([3]), r"shape \(3,\)"),
        ([[np.nan, 1.0], [0.5, 0.5]], "1 such rows of 2"),
        ([[2.0, -1.0], [0.5, 0.5]], "from -1 to 2"),
        ([[0.5, 0.5], [0.5, 0.3]], "adds up to 0.8"),
        ([["a", "b"]], "list"),
        (None, r"shape \(\)"),
    ],
)
def test_scores_refuse_what_are_no_probabilities(score, values, received):
    with pytest.raises(ValueError, match=f"Expected `probabilities`.*Received: .*{received}"):
        score(values)


@pytest.mark.parametrize("score", OF_PROBABILITIES)
def test_one_example_and_constant_predictions_give_finite_scores(score):
    assert np.isfinite(score([[0.2, 0.8]]))
    assert np.isfinite(score(constant()))


def test_features_that_do_not_fit_are_refused():
    values = predictions(6, 3)
    with pytest.raises(ValueError, match=r"shape \(6, width\).*Received: shape \(5, 2\)"):
        kx.class_ami_score(np.ones([5, 2]), values)
    with pytest.raises(ValueError, match=r"pooled over places. Received: shape \(6, 2, 2, 3\)"):
        kx.class_ami_score(np.ones([6, 2, 2, 3]), values)
    with pytest.raises(ValueError, match=r"`features` without NaN.*1 such rows of 2"):
        kx.snd_score([[np.nan, 1], [1, 1]])
    with pytest.raises(ValueError, match="temperature=0"):
        kx.snd_score(np.ones([2, 2]), temperature=0)
    with pytest.raises(ValueError, match=r"Received: shape \(3, 2\)"):
        kx.dev_score([1.0, 2.0], np.ones([3, 2]), np.ones([3, 2]))
    with pytest.raises(ValueError, match="2 of the source, 3 of the target, 2 of what is"):
        kx.dev_score([1.0, 2.0], np.ones([2, 2]), np.ones([3, 3]))
    with pytest.raises(ValueError, match=r"`losses` without NaN"):
        kx.dev_score([np.inf, 2.0], np.ones([2, 2]), np.ones([3, 2]))


def test_mixtures_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 3\) and mixed_probabilities of shape \(2, 2\)"):
        kx.mixval_score(np.eye(3), np.eye(2), [0, 1, 2])
    with pytest.raises(ValueError, match=r"Expected `partners`.*Received: \[1, 2, 3\]"):
        kx.mixval_score(np.eye(3), np.eye(3), [1, 2, 3])
