import json
import pathlib
import subprocess
import sys

import keras_tuner
import pytest

from keras_transfer.search.budget import SearchBudget
from keras_transfer.search.record.records import read_search, search_record
from keras_transfer.search.record.time_left import duration_text, seconds_left
from keras_transfer.search.state.oracle_state import planned_trials


def space():
    """A choice, and two places of one name of which each trial has at most one."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("strategy", ["frozen", "deep", "shallow"])
    for name, top in (("deep", 8), ("shallow", 3)):
        with hp.conditional_scope("strategy", [name]):
            hp.Int("blocks", 1, top)
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Boolean("balanced")
    hp.Fixed("version", 2)
    return hp


def state(*trials, direction="max", **besides):
    """Of trials given as (values, curve, status, message)."""
    found = {}
    for number, (values, curve, status, message) in enumerate(trials):
        steps = [{"value": [value], "step": step} for step, value in enumerate(curve)]
        best = (max if direction == "max" else min)(curve, default=None)
        config = space().get_config() | {"values": values}
        found[str(number)] = {
            "trial_id": str(number),
            "hyperparameters": config,
            "metrics": {"metrics": {"score": {"direction": direction, "observations": steps}}},
            "score": best if status == "COMPLETED" else None,
            "best_step": curve.index(best) if curve else 0,
            "status": status,
            "message": message,
        }
    return {
        "identity": {
            "objective": {"name": "score", "direction": direction},
            "oracle": {"class": "RandomSearchOracle"},
        },
        "trials": found,
        "besides": {"seconds": 60.0, "ended_early": {}, **besides},
    }


FROZEN = {"strategy": "frozen", "blocks": 5, "rate": 0.01, "balanced": True, "version": 2}
DEEP = {**FROZEN, "strategy": "deep"}
TRACE = "Traceback (most recent call last):\n  File x\nValueError: Expected 1.\nReceived: 2."


def test_values_are_those_whose_conditions_hold():
    search = search_record(state((FROZEN, [0.1], "COMPLETED", ""), (DEEP, [0.2], "RUNNING", "")))
    assert "blocks" not in search.trials[0].values
    assert search.trials[1].values["blocks"] == 5
    assert [x.name for x in search.differing] == ["strategy", "blocks"]
    assert search.same == {"rate": 0.01, "balanced": True, "version": 2}
    blocks, rate = search.parameters[1], search.parameters[2]
    assert (blocks.low, blocks.high, blocks.conditional) == (1, 8, True)
    assert (rate.is_log, rate.conditional) == (True, False)
    assert [x.values for x in search.parameters[3:]] == [(False, True), (2,)]


def test_how_trials_ended_is_told():
    early = {"0": "pruned by MedianPruner()", "1": "budget of 9 epochs used up"}
    trials = [(FROZEN, [0.1, 0.3], "COMPLETED", "")] * 2 + [
        (FROZEN, [], "FAILED", TRACE),
        (FROZEN, [0.2], "RUNNING", None),
    ]
    search = search_record(state(*trials, ended_early=early))
    assert [x.status for x in search.trials] == ["pruned", "finished", "failed", "running"]
    assert search.trials[0].best_epoch == 2
    assert search.trials[2].reason == "ValueError: Expected 1."
    assert search.trials[2].traceback == TRACE
    assert search_record(state(*trials), alive=False).trials[3].status == "interrupted"


@pytest.mark.parametrize(("direction", "best"), [("max", "1"), ("min", "0")])
def test_the_best_is_first(direction, best):
    trials = [(FROZEN, [x], "COMPLETED", "") for x in (0.1, 0.9, 0.5)]
    assert search_record(state(*trials, direction=direction)).ranked[0].name == best


def test_a_score_that_is_no_number_is_none():
    search = search_record(state((FROZEN, [float("nan")], "COMPLETED", "")))
    assert search.ranked == []


def test_what_a_tuner_has_written_is_read(make_tuner, search_data):
    tuner = make_tuner(trials=3)
    tuner.search(search_data.train, validation_data=search_data.validation, epochs=2, verbose=0)
    folder = pathlib.Path(tuner.project_dir)
    search = read_search(folder)
    assert [trial.name for trial in search.ranked] == [x.trial_id for x in tuner.finished_trials()]
    assert [trial.score for trial in search.ranked] == [x.score for x in tuner.finished_trials()]
    assert search.planned_trials == 3
    assert {search.epochs(trial) for trial in search.trials} == {2}
    newest = folder / "search.json"
    newest.write_text(newest.read_text()[:-40])
    assert len(read_search(folder).trials) == 3
    assert newest.is_file()  # nothing is changed by looking
    (folder / "search.before.json").write_text("")
    with pytest.raises(ValueError, match="damaged"):
        read_search(folder)


def test_a_folder_without_a_search_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"search\.json"):
        read_search(tmp_path)


def test_reading_loads_no_tensorflow():
    code = (
        "import sys, keras_transfer.search.record.report.page, keras_transfer.cli.search_table; "
        "print([m for m in ('tensorflow', 'keras_tuner', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("epochs", "factor"), [(4, 2), (9, 3)])
def test_trials_of_hyperband_are_counted(epochs, factor):
    oracle = keras_tuner.oracles.HyperbandOracle(
        "val_loss", max_epochs=epochs, factor=factor, seed=1
    )
    oracle.hyperparameters.Float("rate", 0.0, 1.0)
    oracle.verbose = 0
    oracle.save = lambda: None
    oracle._save_trial = lambda trial: None
    count = 0
    while (trial := oracle.create_trial("tuner")).status == "RUNNING":
        count += 1
        oracle.update_trial(trial.trial_id, {"val_loss": trial.hyperparameters["rate"]})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert planned_trials(oracle) == count


def test_time_left_is_by_epochs_and_ends_with_a_budget():
    done, half = (FROZEN, [0.1] * 4, "COMPLETED", ""), (FROZEN, [0.1] * 2, "RUNNING", "")
    search = search_record(state(done, half, planned_trials=3))
    # Six epochs in a minute; six of twelve are left.
    assert seconds_left(search, SearchBudget()) == pytest.approx(60.0)
    assert seconds_left(search, SearchBudget(epochs=7)) == pytest.approx(10.0)
    assert seconds_left(search, SearchBudget(hours=0.02)) == pytest.approx(12.0)
    assert seconds_left(search_record(state(half, planned_trials=3)), SearchBudget()) is None
    assert [duration_text(x) for x in (5, 90, 7260)] == ["5 s", "2 min", "2 h 1 min"]


def test_state_without_what_newer_ones_have_is_read():
    old = json.loads(json.dumps(state((FROZEN, [0.1], "COMPLETED", ""))))
    assert search_record(old).planned_trials is None
