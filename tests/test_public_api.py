"""Every public name is documented, and importing the package costs next to nothing."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

import keras_transfer as kx

NAMES = [name for name in kx.__all__ if name != "__version__"]
# Results and errors that users are handed and do not make.
HANDED_OUT = {
    "BestModel",
    "Block",
    "ClassificationReport",
    "DomainBatch",
    "LearningRateCurve",
    "Recipe",
    "RegressionReport",
    "ServingError",
    "Splits",
    "Strategy",
    "UnreadablePicturesError",
    "VerificationError",
}


@pytest.mark.parametrize("name", NAMES)
def test_public_names_have_a_docstring_with_an_example_that_runs(name):
    doc = inspect.getdoc(getattr(kx, name))
    assert doc
    assert name in HANDED_OUT or ("Example:" in doc and ">>>" in doc)


@pytest.mark.parametrize("name", NAMES)
def test_public_callables_document_every_argument_and_error(name):
    value = getattr(kx, name)
    doc = inspect.getdoc(value)
    if (
        name in HANDED_OUT - {"ServingError", "UnreadablePicturesError", "VerificationError"}
        or name == "BackboneInfo"
    ):
        assert "Attributes:" in doc
        return
    for argument in inspect.signature(value).parameters:
        assert re.search(rf"^ +{argument}: ", doc, re.MULTILINE), argument
    source = inspect.getsource(value)
    if inspect.isfunction(value):
        assert "Returns:" in doc or "-> None" in source
        assert "raise " not in source or "Raises:" in doc


@pytest.mark.parametrize(
    "name", ["ClassificationReport", "LearningRateCurve", "RegressionReport", "Strategy"]
)
def test_public_methods_have_docstrings(name):
    for method, value in inspect.getmembers(getattr(kx, name), inspect.isfunction):
        assert method.startswith("_") or inspect.getdoc(value), method


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, keras_transfer; "
        "print([m for m in ('tensorflow', 'keras', 'numpy', 'sklearn', 'matplotlib', 'rich')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_names_raise_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        kx.no_such_name  # noqa: B018
