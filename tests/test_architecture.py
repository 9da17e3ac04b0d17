"""The arrows of docs/design.md, read from the syntax tree, and the size of modules."""

from __future__ import annotations

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent / "keras_transfer"
MODULES = sorted(ROOT.rglob("*.py"))
# What each part may import, besides itself and the files at the top that begin with "_".
ALLOWED = {
    "backbones": set(),
    "data": set(),
    "models": {"backbones", "data"},
    "strategies": {"models", "backbones", "data"},
    "adaptation": {"models", "backbones", "data"},
    "caching": {"models", "backbones", "data"},
    "training": {"adaptation", "caching", "strategies", "models", "backbones", "data"},
    "evaluation": {"strategies", "models", "backbones", "data"},
    "serving": {"strategies", "models", "backbones", "data"},
    "search": {
        "training",
        "adaptation",
        "evaluation",
        "serving",
        "caching",
        "strategies",
        "models",
        "backbones",
        "data",
    },
    "runs": {"training", "evaluation", "models"},
    "cli": {
        "runs",
        "search",
        "training",
        "adaptation",
        "caching",
        "evaluation",
        "serving",
        "strategies",
        "models",
        "backbones",
        "data",
    },
}
# Heavy libraries, and the only module that may import each.
ONLY_IN = {
    "keras_hub": {"backbones/keras_hub.py"},
    "tensorflow_hub": {"backbones/tf_hub_handles.py"},
    "transformers": {"backbones/text_handles.py"},
    "tensorflow_text": {"backbones/word_piece.py"},
    "matplotlib": {
        "evaluation/plots.py",
        "evaluation/domain_pictures.py",
        "training/learning_rate_curve.py",
    },
    "sklearn": {
        "evaluation/domain_pictures.py",
        "evaluation/reports.py",
        "search/record/importance.py",
        "data/stratified.py",
        "adaptation/selection/clusters.py",
        "adaptation/selection/weighted_risk.py",
    },
    "tensorflow_datasets": {"data/tfds.py", "data/emoji_styles_dataset_builder.py"},
}
MAX_LINES = 220


def imports(module: pathlib.Path) -> list[tuple[str, bool]]:
    """The names a module imports, and whether it does so as it is loaded."""
    tree = ast.parse(module.read_text())
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [(name, node in tree.body) for name in names]
    return found


def part_of(name: str) -> str:
    pieces = name.split(".")
    return pieces[1] if len(pieces) > 1 else ""


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(ROOT)))
def test_imports_point_down(module):
    part = module.relative_to(ROOT).with_suffix("").parts[0]
    for name, _ in imports(module):
        if not name.startswith("keras_transfer.") or part.startswith("_"):
            continue
        other = part_of(name)
        assert other == part or other.startswith("_") or other in ALLOWED[part], name


@pytest.mark.parametrize(
    "module",
    sorted((ROOT / "adaptation" / "discrepancies").glob("*.py")),
    ids=lambda m: m.name,
)
def test_discrepancies_import_none_of_ours(module):
    for name, _ in imports(module):
        own = name.startswith("keras_transfer.adaptation.discrepancies.")
        assert own or not name.startswith("keras_transfer"), name


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(ROOT)))
def test_heavy_imports_stand_in_one_module_and_load_on_first_use(module):
    path = module.relative_to(ROOT).as_posix()
    for name, at_load in imports(module):
        library = name.split(".")[0]
        if library in ONLY_IN:
            assert path in ONLY_IN[library]
            assert not at_load or path.endswith("_builder.py")


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(ROOT)))
def test_modules_are_small_and_say_what_they_do(module):
    text = module.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(ROOT)))
def test_library_code_has_no_assert_and_no_pickle(module):
    tree = ast.parse(module.read_text())
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree))
    assert not any(
        name.split(".")[0] in ("pickle", "dill", "joblib") for name, _ in imports(module)
    )
    assert "allow_pickle=True" not in module.read_text()


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(ROOT)))
def test_the_tuner_is_imported_where_searches_are_alone(module):
    if module.relative_to(ROOT).parts[0] != "search":
        assert not any(name.split(".")[0] == "keras_tuner" for name, _ in imports(module))
