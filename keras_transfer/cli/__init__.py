"""The command line: parses, calls the Python API, prints."""

from __future__ import annotations

import os
import sys

import typer

from keras_transfer._version import __version__
from keras_transfer.cli.adapt import adapt
from keras_transfer.cli.backbones import backbones
from keras_transfer.cli.bench_serving import bench_serving
from keras_transfer.cli.cache import cache
from keras_transfer.cli.demo import demo
from keras_transfer.cli.evaluate import evaluate
from keras_transfer.cli.export import export
from keras_transfer.cli.fit import fit
from keras_transfer.cli.label import label, rollback
from keras_transfer.cli.predict import predict
from keras_transfer.cli.search import search
from keras_transfer.cli.serve import serve
from keras_transfer.cli.verify import verify

app = typer.Typer(
    help="Transfer learning for Keras 3 on TensorFlow: from a pretrained backbone to a model "
    "that TF Serving serves.\n\nStart with `keras-transfer demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    fit,
    adapt,
    evaluate,
    export,
    verify,
    serve,
    label,
    rollback,
    predict,
    bench_serving,
    backbones,
    demo,
):
    app.command()(command)
app.add_typer(search, name="search")
app.add_typer(cache, name="cache")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def main() -> None:
    """The entry point. Errors are one line; `KERAS_TRANSFER_DEBUG=1` shows where they rose."""
    # No news about missing GPUs on machines without one.
    quiet = "1" if os.path.exists("/dev/nvidiactl") else "3"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", quiet)
    try:
        app()
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        if os.environ.get("KERAS_TRANSFER_DEBUG"):
            raise
        sys.exit(f"{_line_break()}Error: {error}")
    except Exception as error:
        # tf.errors.OpError, without importing TensorFlow just to name it
        if os.environ.get("KERAS_TRANSFER_DEBUG") or not hasattr(error, "error_code"):
            raise
        sys.exit(f"{_line_break()}Error: {str(error).splitlines()[0]}")


def _line_break() -> str:
    """Keras's progress bar leaves the cursor behind it."""
    return "\n" if sys.stdout.isatty() else ""
