"""The page as a browser gets it, parsed by another library than the one that wrote it."""

import html.parser
import math

import pytest

import keras_transfer as kx
from keras_transfer.search.record.parameters import Parameter
from keras_transfer.search.record.records import SearchRecord, TrialRecord
from keras_transfer.search.record.report import page
from keras_transfer.search.record.report.elements import to_html

EVIL = "<script>alert('&')</script>\"'"
PARAMETERS = [
    Parameter("rate", None, 1e-5, 1e-1, True, False),
    Parameter("kind", ("adam", EVIL), None, None, False, False),
    Parameter("blocks", None, 1, 5, False, True),
]


def trial(name, score, status="finished", curve=(), message="", **values):
    values = {"rate": 1e-3, "kind": "adam", **values}
    reason = message.splitlines()[-1] if message else ""
    curves = {"val_accuracy": list(curve)}
    best = list(curve).index(max(curve)) + 1 if curve else 1
    return TrialRecord(name, values, status, score, best, curves, reason, message)


TRIALS = [
    trial("0", 0.5, curve=[0.4, 0.5, 0.45], blocks=2),
    trial("1", 0.9, curve=[0.6, 0.9], rate=1e-5, blocks=5),
    trial("2", 0.3, "pruned", [0.3], rate=1e-1, kind=EVIL),
    trial("3", None, "failed", [], f"Traceback\n\x1b[31mValueError: {EVIL}\x00"),
    trial("4", None, "running", [0.7, math.nan]),
]


def record(trials=TRIALS):
    return SearchRecord("val_accuracy", True, "Random", PARAMETERS, trials, 90.0, 9, "1 hours")


class Elements(html.parser.HTMLParser):
    """All start tags with their attributes, and the text within each kind of tag."""

    def __init__(self, text):
        super().__init__()
        self.found, self.texts, self._open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.setdefault(self._open[-1] if self._open else "", []).append(data)

    def of(self, tag, **wanted):
        return [x for t, x in self.found if t == tag and wanted.items() <= x.items()]


@pytest.fixture(scope="module")
def text():
    return to_html(page._page(record(), "a <b>search</b>"))


@pytest.fixture(scope="module")
def elements(text):
    return Elements(text)


def test_nothing_is_loaded_and_all_texts_are_escaped(text, elements):
    assert len(elements.of("script")) == 1
    assert elements.of("meta", content=page._POLICY)
    for _, attributes in elements.found:
        assert not {"src", "href", "onclick"} & attributes.keys()
    assert "http:" not in text
    assert "https:" not in text
    assert EVIL not in text
    assert EVIL in "".join(elements.texts["td"])
    assert f"ValueError: {EVIL}" in "".join(elements.texts["pre"])
    assert "\x1b" not in text
    assert "\x00" not in text
    assert "Search: a <b>search</b>" in elements.texts["h1"]


def test_each_trial_has_a_row_and_a_line_at_the_places_of_its_values(elements):
    assert [x["data-trial"] for x in elements.of("tr") if "data-trial" in x] == list("10234")
    lines = {x["data-trial"]: x for x in elements.of("polyline") if "data-trial" in x}
    assert set(lines) == set("01234")
    top, height, none = 40, 300, 374  # of the drawing

    def heights(name):
        return [float(pair.split(",")[1]) for pair in lines[name]["points"].split()]

    def at(share):
        return pytest.approx(top + height * (1 - share), abs=0.06)

    # Score; rate by its logarithm, 1e-3 half way; kind; blocks from 1 to 5.
    assert heights("0") == [at((0.5 - 0.3) / 0.6), at(0.5), at(0.0), at(0.25)]
    assert heights("1") == [at(1.0), at(0.0), at(0.0), at(1.0)]
    assert heights("2") == [at(0.0), at(1.0), at(1.0), none]
    assert heights("3") == [none, at(0.5), at(0.0), none]
    assert len({line["stroke"] for line in lines.values()}) == 4
    assert lines["2"]["class"] == "trial pruned"
    # The best is drawn last, over the others.
    assert list(lines)[-1] == "1"


def test_curves_show_the_best_and_those_that_were_pruned(elements):
    groups = {x["data-trial"]: x["class"] for x in elements.of("g") if "data-trial" in x}
    assert set(groups) == set("0124")  # the failed one has measured nothing
    assert groups["1"] == "trial finished best"
    assert groups["2"] == "trial pruned"
    assert len(elements.of("path", **{"class": "end"})) == 1


def test_few_trials_have_no_importance_but_are_told(elements):
    assert not elements.of("svg", id="importance")
    assert any("too few trials" in text for text in elements.texts["p"])
    many = [trial(str(n), n / 9, rate=10 ** -(1 + n / 3)) for n in range(9)]
    found = Elements(to_html(page._page(record(many), "x")))
    assert found.of("svg", id="importance")
    assert "rate" in found.texts["text"]


@pytest.mark.parametrize("trials", [[], TRIALS[3:4], TRIALS[4:], TRIALS[:1]])
def test_searches_that_have_hardly_begun_have_a_page(trials):
    found = Elements(to_html(page._page(record(trials), "x")))
    assert len(found.of("polyline", **{"data-trial": trials[0].name} if trials else {})) == len(
        trials
    )


def test_losses_of_all_sizes_are_shown_by_their_logarithm():
    trials = [trial(str(n), 10.0**n, curve=[10.0**n]) for n in range(4)]
    search = SearchRecord("val_accuracy", False, "Random", PARAMETERS, trials, 1.0, 4, None)
    lines = [
        x for x in Elements(to_html(page._page(search, "x"))).of("polyline") if "data-trial" in x
    ]
    firsts = sorted(float(x["points"].split()[0].split(",")[1]) for x in lines)
    assert firsts == pytest.approx([40, 140, 240, 340])


def test_a_tuner_and_its_folder_give_the_same_file(make_tuner, search_data, tmp_path):
    tuner = make_tuner(trials=1)
    tuner.search(search_data.train, validation_data=search_data.validation, epochs=1, verbose=0)
    of_tuner = kx.search_report(tuner, tmp_path / "new" / "a.html")
    of_folder = kx.search_report(tuner.project_dir, tmp_path / "b.html")
    assert of_tuner.read_bytes() == of_folder.read_bytes()
