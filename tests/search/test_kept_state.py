import contextlib
import json
import os

import keras_tuner
import pytest

from keras_transfer.search.state import state_file
from keras_transfer.search.state.identity import identity_of
from keras_transfer.search.state.kept_state import KeptState


@pytest.fixture
def make_state(tmp_path):
    """The state of a new oracle; called again, of one that goes on."""

    def make():
        oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=9, seed=0)
        oracle.hyperparameters.Float("rate", 0.0, 1.0)
        oracle.verbose = 0
        oracle.save = lambda: None
        oracle._save_trial = lambda trial: None
        return KeptState(oracle, tmp_path, identity_of(oracle))

    return make


def trial(state):
    return state.oracle.create_trial("tuner0")


def test_what_was_running_comes_first_again(make_state):
    state = make_state()
    begun = trial(state)
    state.write({"seconds": 3.0})
    again = make_state()
    assert again.restore() == {"seconds": 3.0}
    first = trial(again)
    assert (first.trial_id, first.hyperparameters.values) == (
        begun.trial_id,
        begun.hyperparameters.values,
    )


@pytest.mark.parametrize("call", range(1, 20))
def test_every_write_that_fails_leaves_a_state_that_is_whole(make_state, monkeypatch, call):
    state = make_state()
    state.write({"number": 1})
    left = [call]

    def failing(function):
        def instead(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                raise OSError("no room")
            return function(*args, **kwargs)

        return instead

    with monkeypatch.context() as patch:
        for name in ("link", "replace", "fsync", "rename"):
            patch.setattr(os, name, failing(getattr(os, name)))
        with contextlib.suppress(OSError):
            state.write({"number": 2})
    assert make_state().restore()["number"] in ({1, 2} if left[0] <= 0 else {2})


def test_the_one_before_is_taken_where_the_newest_is_damaged(make_state, tmp_path):
    state = make_state()
    state.write({"number": 1})
    state.write({"number": 2})
    path = tmp_path / state_file.NEWEST
    path.write_text(path.read_text().replace('"number": 2', '"number": 3'))
    with pytest.warns(UserWarning, match="damaged"):
        assert make_state().restore() == {"number": 1}


def test_no_state_is_none(make_state):
    assert make_state().restore() is None


def test_another_identity_is_told(make_state):
    state = make_state()
    state.write({})
    other = make_state()
    other.identity = json.loads(json.dumps(other.identity))
    other.identity["objective"]["name"] = "val_accuracy"
    with pytest.raises(ValueError, match="objective 'name' was val_loss and is val_accuracy"):
        other.restore()
