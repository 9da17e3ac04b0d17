"""What TensorBoard's HParams tab shows: the space, and of each trial its values and curves."""

from __future__ import annotations

import pathlib
from typing import Any

import tensorflow as tf

from keras_transfer.search.record.parameters import Parameter
from keras_transfer.search.record.records import SearchRecord, TrialRecord

_ENDED = ("finished", "pruned", "failed")
# The tab shows the last value of a metric.
_BEST = "best_"


class HParamsLog:
    """Writes summaries of a search, a folder a trial; `tensorboard --logdir` takes them together.

    KerasTuner's own has one callback a training, which fails in the second stage of a strategy,
    never tells that a pruned trial has ended, and leaves the space to be guessed. This one knows
    what the state of the search says and nothing else, so that it begins anew after a kill.

    Args:
        folder: of TensorBoard.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._writers: dict[str, Any] = {}
        self._steps: dict[str, int] = {}
        self._ended: set[str] = set()
        self._config: Any = None

    def __call__(self, search: SearchRecord) -> None:
        """Writes what is new."""
        if not search.trials:
            return
        self._write_config(search)
        for trial in search.trials:
            if trial.name not in self._ended:
                self._write_trial(trial, _BEST + search.objective)

    def close(self) -> None:
        """Of trials that have not ended."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _write_config(self, search: SearchRecord) -> None:
        from tensorboard.plugins.hparams import api

        curves = dict.fromkeys(name for trial in search.trials for name in trial.curves)
        metrics = [_BEST + search.objective, *curves]
        config = (list(search.parameters), metrics)
        if config == self._config:
            return
        self._config = config
        _remove_events(self._folder)  # TensorBoard takes the first that it finds
        writer = tf.summary.create_file_writer(str(self._folder))
        with writer.as_default():
            api.hparams_config(
                hparams=[api.HParam(x.name, _domain(x)) for x in search.parameters],
                metrics=[_metric(name) for name in metrics],
            )
        writer.close()

    def _write_trial(self, trial: TrialRecord, score: str) -> None:
        from tensorboard.plugins.hparams import api, api_pb2, summary

        name = trial.name
        begins = name not in self._writers
        if begins:
            _remove_events(self._folder / name)
            self._writers[name] = tf.summary.create_file_writer(str(self._folder / name))
            self._steps[name] = 0
        writer = self._writers[name]
        with writer.as_default():
            if begins:
                api.hparams(dict(trial.values), trial_id=name)
            self._write_curves(trial)
            if trial.score is not None:
                tf.summary.scalar(score, trial.score, step=trial.best_epoch - 1)
            if trial.status in _ENDED:
                failed = trial.status == "failed"
                status = api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS
                end = summary.session_end_pb(status).SerializeToString()
                tf.summary.experimental.write_raw_pb(end, step=0)
        writer.flush()
        if trial.status in _ENDED:
            self._ended.add(name)
            self._writers.pop(name).close()

    def _write_curves(self, trial: TrialRecord) -> None:
        told = self._steps[trial.name]
        for metric, curve in trial.curves.items():
            for step, value in enumerate(curve[told:], told):
                tf.summary.scalar(metric, value, step=step)
        self._steps[trial.name] = max(map(len, trial.curves.values()), default=0)


def _remove_events(folder: pathlib.Path) -> None:
    """Of this log; Keras's callback writes into folders below."""
    for path in folder.glob("events.out.tfevents.*"):
        path.unlink(missing_ok=True)


def _domain(parameter: Parameter) -> Any:
    from tensorboard.plugins.hparams import api

    if parameter.values is None:
        whole = isinstance(parameter.low, int) and isinstance(parameter.high, int)
        return (api.IntInterval if whole else api.RealInterval)(parameter.low, parameter.high)
    kinds = {type(value) for value in parameter.values}
    if len(kinds) > 1:  # TensorBoard wants them of one
        to_one = float if kinds <= {int, float} else str
        return api.Discrete([to_one(value) for value in parameter.values])
    return api.Discrete(parameter.values)


def _metric(name: str) -> Any:
    from tensorboard.plugins.hparams import api

    of_validation = name.removeprefix(_BEST).startswith("val_")
    kind = api.Metric.VALIDATION if of_validation else api.Metric.TRAINING
    return api.Metric(name, display_name=name, dataset_type=kind)
