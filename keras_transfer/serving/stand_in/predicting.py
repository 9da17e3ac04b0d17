"""What `Predict` does, whichever way it was asked; with TF Serving's own errors.

Reference: `predict_util.cc`, TF Serving.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from keras_transfer.serving.c_api.frames import Arrays
from keras_transfer.serving.c_api.session import ModelError
from keras_transfer.serving.signatures.names import DEFAULT
from keras_transfer.serving.stand_in.served_versions import ServedVersion


def predict(
    version: ServedVersion, signature_name: str, inputs: Arrays, wanted: Sequence[str] = ()
) -> Arrays:
    """Runs one signature of a version that is in use.

    Args:
        version: a version that is in use.
        signature_name: str; empty for the default.
        inputs: arrays by the names of the signature.
        wanted: names of outputs; none for all.

    Returns:
        Arrays by the names of the signature.

    Raises:
        ModelError: if the signature is not there, or refuses the inputs.
    """
    signature_name = signature_name or DEFAULT
    if signature_name not in version.signatures:
        raise ModelError(
            f'Serving signature key "{signature_name}" not found.', ModelError.FAILED_PRECONDITION
        )
    signature = version.signatures[signature_name]
    _check_inputs(signature.inputs, inputs)
    names = _outputs(signature.outputs, wanted)
    found = version.run(
        {signature.inputs[name].name: array for name, array in inputs.items()},
        [signature.outputs[name].name for name in names],
    )
    return {name: found[signature.outputs[name].name] for name in names}


def _check_inputs(expected: Any, inputs: Collection[str]) -> None:
    extra, missing = sorted(set(inputs) - set(expected)), sorted(set(expected) - set(inputs))
    if extra or missing:
        raise ModelError(
            f"input size does not match signature: {len(inputs)}!={len(expected)} "
            f"len({{{','.join(sorted(inputs))}}}) != len({{{','.join(sorted(expected))}}}). "
            f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}.",
            ModelError.INVALID_ARGUMENT,
        )


def _outputs(there: Any, wanted: Sequence[str]) -> list[str]:
    for place, name in enumerate(wanted):
        if name not in there:
            raise ModelError(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the "
                f"set {{{','.join(sorted(there))}}}.",
                ModelError.INVALID_ARGUMENT,
            )
        if name in wanted[:place]:
            raise ModelError(f"duplicate output tensor alias: {name}", ModelError.INVALID_ARGUMENT)
    return list(wanted or there)
