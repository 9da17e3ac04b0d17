"""Figures of an adaptation, from numbers that can be added up by hand."""

import json

import pytest

from keras_transfer.evaluation.adaptation_reports import AdaptationReport


def training(case, seed, accuracy, score=1.0):
    figures = {"accuracy": accuracy, "source_accuracy": 0.9, "target_score": score}
    return {"case": case, "seed": seed, **figures}


FIGURES = [
    training("source_only", 0, 0.4),
    training("source_only", 1, 0.6),
    training("mmd", 0, 0.6, 1.5),
    training("mmd", 1, 0.7, None),
    training("oracle", 0, 0.8),
    training("oracle", 1, 0.8),
]


def test_gains_are_over_the_same_seed():
    cases = AdaptationReport(FIGURES, ("mmd", 0), None).cases
    assert cases["source_only"]["accuracy"] == pytest.approx({"mean": 0.5, "standard_error": 0.1})
    assert cases["source_only"]["gain"] is None
    # 0.2 and 0.1; those of the oracle are 0.4 and 0.2.
    assert cases["mmd"]["gain"] == pytest.approx({"mean": 0.15, "standard_error": 0.05})
    assert cases["mmd"]["gap_closed"] == pytest.approx(0.5)
    assert cases["mmd"]["target_score"] == {"mean": 1.5, "standard_error": None}
    assert cases["mmd"]["rejected"] == 1


def test_table_and_json_have_the_same_figures(capsys, tmp_path):
    report = AdaptationReport(FIGURES, ("mmd", 0), None)
    report.print()
    shown = capsys.readouterr().out
    for text in ("0.500 ± 0.100", "+0.150 ± 0.050", "50%", "1.500,", "rejected", "2 seeds"):
        assert text in shown
    (tmp_path / "confusion_matrix.png").touch()
    report.save(tmp_path)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["cases"] == report.cases
    assert written["kept"] == {"case": "mmd", "seed": 0}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_there_is_no_gap_without_an_oracle_that_gains(capsys):
    for figures in (FIGURES[:4], [*FIGURES[:4], training("oracle", 0, 0.4)]):
        report = AdaptationReport(figures, ("mmd", 0), None)
        assert report.cases["mmd"]["gap_closed"] is None
        report.print()
        assert "gap closed" not in capsys.readouterr().out


def test_without_labels_there_is_a_score_alone(capsys):
    figures = [training(case, 0, None) for case in ("source_only", "mmd")]
    report = AdaptationReport(figures, ("mmd", 0), None)
    report.print()
    shown = capsys.readouterr().out
    assert "target score" in shown
    assert "accuracy" not in shown
    assert "gain" not in shown
    assert report.cases["mmd"]["accuracy"] is None
