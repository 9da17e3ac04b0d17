"""Every example runs, is short, and says what to expect."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys

import pytest

EXAMPLES = sorted((pathlib.Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.slow  # half a minute each
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example, tmp_path):
    done = subprocess.run(
        [sys.executable, str(example), "--smoke"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_one_short_story_with_measured_figures(example):
    text = example.read_text()
    assert len(text.splitlines()) <= 80
    header = ast.get_docstring(ast.parse(text))
    for heading in ("Data:", "Command:", "Takes", "Measured:"):
        assert heading in header


def test_there_are_examples():
    assert EXAMPLES
