"""A chief and its workers in one process, over the real protocol, without any training."""

import threading
import time

import keras_tuner
import pytest
from keras_tuner.engine.trial import Trial
from keras_tuner.src.distribute.oracle_client import OracleClient

import keras_transfer as kx
from keras_transfer.search.rules import Rules
from keras_transfer.search.state.identity import identity_of
from keras_transfer.search.state.kept_state import KeptState
from keras_transfer.search.trials.trial_folder import TrialFolder
from keras_transfer.search.workers import heartbeat
from keras_transfer.search.workers.chief import serve
from keras_transfer.search.workers.connection import keep_calling
from keras_transfer.search.workers.heartbeat import Watch, beating
from keras_transfer.search.workers.processes import _free_port


@pytest.fixture
def make_rules(tmp_path):
    """Rules around a new oracle; called again, around one that goes on."""

    def make(trials=3, **options):
        oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=trials, seed=0)
        oracle.hyperparameters.Float("rate", 0.0, 1.0)
        oracle.verbose = 0
        state = KeptState(oracle, tmp_path, identity_of(oracle))
        rules = Rules(state, None, kx.SearchBudget(), keep_models=1)
        rules.restore(**options)
        rules.put_around()
        return rules, oracle

    return make


@pytest.fixture
def connect(monkeypatch):
    """A worker's connection."""
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(_free_port()))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker")

    def make(oracle):
        client = OracleClient(oracle)
        keep_calling(client)
        return client

    return make


def finish(oracle, trial, value=0.5):
    oracle.update_trial(trial.trial_id, {"val_loss": value}, step=0)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def test_the_trial_of_a_dead_worker_goes_to_the_next_and_all_are_told(
    make_rules, connect, tmp_path
):
    rules, oracle = make_rules(trials=2)
    chief = threading.Thread(
        target=serve, args=[oracle, tmp_path, rules.forget], kwargs={"silent_after": 1.5}
    )
    chief.start()
    client = connect(oracle)
    lost = client.create_trial("dead")
    with beating(tmp_path, "alive"):
        finish(client, client.create_trial("alive"))
        assert client.create_trial("alive").status == "IDLE"  # not "STOPPED": it is needed
        until = time.monotonic() + 20
        while (trial := client.create_trial("alive")).status == "IDLE":
            assert time.monotonic() < until
            time.sleep(0.05)
        assert trial.trial_id == lost.trial_id
        finish(client, trial)
        assert [x.score for x in client.get_best_trials(2)] == [0.5, 0.5]
        assert client.create_trial("alive").status == "STOPPED"
    chief.join(20)
    assert not chief.is_alive()


def test_a_call_waits_for_the_chief(make_rules, connect, tmp_path):
    rules, oracle = make_rules(trials=1)
    client = connect(oracle)
    found = []
    worker = threading.Thread(target=lambda: found.append(client.create_trial("worker")))
    worker.start()
    time.sleep(0.5)
    chief = threading.Thread(target=serve, args=[oracle, tmp_path, rules.forget])
    chief.start()
    worker.join(20)
    with beating(tmp_path, "worker"):
        finish(client, found[0])
        assert client.create_trial("worker").status == "STOPPED"
    chief.join(20)
    assert not chief.is_alive()


def test_a_port_that_somebody_has_is_refused(make_rules, connect, tmp_path):
    rules, oracle = make_rules()
    connect(oracle)
    chief = threading.Thread(target=serve, args=[oracle, tmp_path, rules.forget])
    chief.start()
    time.sleep(0.3)
    with pytest.raises(RuntimeError, match="bind"):
        serve(oracle, tmp_path, rules.forget)
    rules.budget = kx.SearchBudget(hours=1e-9)
    with rules.running():
        assert connect(oracle).create_trial("worker").status == "STOPPED"
    chief.join(20)


def test_what_a_worker_tells_twice_counts_once(make_rules):
    rules, oracle = make_rules()
    trial = oracle.create_trial("worker")
    finish(oracle, trial, 0.5)
    oracle.create_trial("worker")
    again, oracle = make_rules(running=True)
    finish(oracle, Trial.from_proto(trial.to_proto()), 0.5)
    assert oracle.end_order == [trial.trial_id]
    assert list(oracle.ongoing_trials) == ["worker"]
    assert oracle.trials[trial.trial_id].metrics.get_history("val_loss")[0].value == [0.5]


def test_a_workers_trial_is_its_own_after_a_restart_of_the_chief(make_rules):
    _, oracle = make_rules()
    trials = [oracle.create_trial(name).trial_id for name in ("worker0", "worker1")]
    _, oracle = make_rules(running=True)
    assert [oracle.create_trial(x).trial_id for x in ("worker1", "worker0")] == trials[::-1]


def test_the_error_of_a_worker_is_read_where_the_protocol_leaves_it_out(make_rules, tmp_path):
    _, oracle = make_rules()
    trial = oracle.create_trial("worker")
    TrialFolder.of(tmp_path, trial.trial_id).note_error("ZeroDivisionError: of this test")
    trial.status = "INVALID"
    oracle.end_trial(Trial.from_proto(trial.to_proto()))
    _, oracle = make_rules(running=True)
    assert oracle.trials[trial.trial_id].message == "ZeroDivisionError: of this test"
    assert oracle.trials[trial.trial_id].status == "FAILED"


def test_a_sign_of_life_is_given_within(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "_EVERY", 0.05)
    path = tmp_path / "workers" / "worker.alive"
    with beating(tmp_path, "worker"):
        time.sleep(0.2)
        first = path.stat().st_mtime_ns
        time.sleep(0.2)
        assert path.stat().st_mtime_ns > first
    assert not path.exists()


def test_silence_is_told_by_the_clock_of_who_watches(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now[0])
    watch = Watch(tmp_path, 30.0)
    path = tmp_path / "workers" / "worker.alive"
    path.parent.mkdir()

    def silent_at(seconds):
        now[0] = seconds
        return watch.is_silent("worker")

    assert not silent_at(100.0)  # it may not have begun
    path.touch()
    assert not silent_at(131.0)
    assert not silent_at(160.0)
    assert silent_at(162.0)
    path.touch()
    assert not silent_at(163.0)
    path.unlink()
    assert not silent_at(164.0)
    assert silent_at(195.0)
