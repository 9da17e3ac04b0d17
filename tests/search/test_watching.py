"""What people and TensorBoard are told while a search runs."""

import io

import keras
import pytest
from rich.console import Console
from tensorboard import context
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import (
    api_pb2,
    backend_context,
    get_experiment,
    list_session_groups,
)

import keras_transfer as kx
from keras_transfer.search.record.progress import SearchProgress


def search(tuner, data, **options):
    tuner.search(data.train, validation_data=data.validation, **options)
    return tuner


def test_a_line_is_printed_for_each_trial(make_tuner, search_data, capsys):
    pruner = kx.SuccessiveHalving(factor=2)
    tuner = search(make_tuner(trials=3, pruner=pruner), search_data, epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"Trial {n} ({n + 1} of 3)" for n in range(3)]
    assert "the best so far" in lines[0]
    for number, line in enumerate(lines):
        trial = tuner.oracle.trials[str(number)]
        assert f"val_loss {trial.score:.4g} in " in line
        assert ("pruned" in line) == (str(number) in tuner.rules.ended_early)
    search(make_tuner(trials=4), search_data, epochs=2)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "3 trials had ended in an earlier run."
    assert second.startswith("Trial 3 (4 of 4): val_loss")


def test_nothing_is_printed_on_request(make_tuner, search_data, capsys):
    search(make_tuner(trials=1), search_data, epochs=1, verbose=0)
    assert capsys.readouterr().out == ""


def test_failures_and_budgets_are_told(make_tuner, search_data, build_model, capsys):
    calls = []

    def build(hp):
        calls.append(1)
        if len(calls) == 2:  # the first learns the space
            raise ZeroDivisionError("[of] this test")
        return build_model(hp)

    budget = kx.SearchBudget(epochs=1)
    search(make_tuner(build, trials=4, budget=budget), search_data, epochs=2)
    first, _, last = capsys.readouterr().out.splitlines()
    assert first == "Trial 0 (1 of 4) failed: ZeroDivisionError: [of] this test"
    assert last == "The budget of 1 epochs is used up."


def test_the_terminal_shows_what_runs_and_the_best_so_far(make_tuner, search_data):
    tuner = make_tuner(trials=2)
    seen, told = [], io.StringIO()
    console = Console(file=told, width=200)
    shown = SearchProgress(console, kx.SearchBudget(), 2)

    def look(record):
        shown(record)
        with console.capture() as capture:
            console.print(shown.lines())
        seen.append(capture.get())

    tuner.rules.listeners.append(look)
    search(tuner, search_data, epochs=2, verbose=0)
    assert "0 of 2 trials" in seen[0]
    assert "trial 0 at epoch 1/2; 1 epoch in all" in seen[1]
    assert "1 of 2 trials; about" in seen[4]
    best = tuner.oracle.trials["0"]
    assert f"best so far: val_loss {best.score:.4g}, trial 0" in seen[3]
    assert f"rate {best.hyperparameters['rate']:.4g}" in seen[4]


def tensorboard(folder):
    """What the tab asks its server for: the space, and the trials with their last metrics."""
    runs = plugin_event_multiplexer.EventMultiplexer()
    runs.AddRunsFromDirectory(str(folder))
    runs.Reload()
    provider = data_provider.MultiplexerDataProvider(runs, str(folder))
    plugin = base_plugin.TBContext(data_provider=provider, multiplexer=runs)
    backend, request = backend_context.Context(plugin), context.RequestContext()
    asked = api_pb2.GetExperimentRequest()
    experiment = get_experiment.Handler(request, backend, "", asked).run()
    asked = api_pb2.ListSessionGroupsRequest(slice_size=99, allowed_statuses=[0, 1, 2, 3])
    groups = list_session_groups.Handler(request, backend, "", asked).run().session_groups
    return experiment, groups


def two_stages(hp):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2, name="logits"))
    model.compile(
        keras.optimizers.Adam(hp.Float("rate", 1e-4, 1e-1, sampling="log")),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    if hp.Choice("kind", ["sound", "broken"], default="sound") == "broken":
        raise ZeroDivisionError
    with hp.conditional_scope("kind", ["sound"]):
        hp.Int("unused", 1, 3)
    return model


def test_tensorboard_shows_space_values_and_curves_also_after_a_kill(
    make_tuner, search_data, tmp_path
):
    board = keras.callbacks.TensorBoard(tmp_path / "board", write_graph=False)

    class Kill(keras.callbacks.Callback):
        left = 3

        def on_epoch_begin(self, epoch, logs=None):
            Kill.left -= 1
            if Kill.left == 0:
                raise KeyboardInterrupt

    options = {"epochs": 2, "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        search(make_tuner(two_stages, trials=5), search_data, callbacks=[board, Kill()], **options)
    tuner = search(make_tuner(two_stages, trials=5), search_data, callbacks=[board], **options)
    experiment, groups = tensorboard(tmp_path / "board")
    assert {info.name for info in experiment.hparam_infos} == {"rate", "kind", "unused"}
    [rate] = [info for info in experiment.hparam_infos if info.name == "rate"]
    assert (rate.domain_interval.min_value, rate.domain_interval.max_value) == (1e-4, 1e-1)
    assert len(groups) == len(tuner.oracle.trials) == 5
    statuses = set()
    for group in groups:
        trial = tuner.oracle.trials[group.name]
        values = trial.hyperparameters.values
        assert group.hparams["rate"].number_value == values["rate"]
        assert ("unused" in group.hparams) == (values["kind"] == "sound")
        [session] = group.sessions
        statuses.add((trial.status, session.status))
        told = {(x.name.group, x.name.tag): x.value for x in group.metric_values}
        if trial.status == "COMPLETED":
            last = trial.metrics.get_history("val_loss")[-1].mean()
            assert told["", "val_loss"] == pytest.approx(last)
            assert told["", "best_val_loss"] == pytest.approx(trial.score)
            [train] = (tmp_path / "board" / group.name / "execution0").glob("train")
            assert any(train.iterdir())
    succeeded, failed = api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE
    assert statuses == {("COMPLETED", succeeded), ("FAILED", failed)}


def test_tensorboard_works_with_several_stages(make_tuner, search_data, tmp_path, build_model):
    import keras_tuner

    class Staged(keras_tuner.HyperModel):
        def build(self, hp):
            return build_model(hp)

        def fit(self, hp, model, train, **options):
            parts = [kx.FeatureExtraction(), kx.FeatureExtraction()]
            return kx.fine_tune(model, train, strategy=kx.Sequence(parts), **options)

    board = keras.callbacks.TensorBoard(tmp_path / "board", write_graph=False)
    tuner = search(
        make_tuner(Staged(), trials=1), search_data, epochs=2, verbose=0, callbacks=[board]
    )
    [trial] = tuner.finished_trials()
    _, [group] = tensorboard(tmp_path / "board")
    [last] = [x for x in group.metric_values if (x.name.group, x.name.tag) == ("", "val_loss")]
    assert last.training_step == 1
    assert last.value == pytest.approx(trial.metrics.get_history("val_loss")[-1].mean())
