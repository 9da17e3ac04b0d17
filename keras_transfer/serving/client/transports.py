"""A server's URL in, a way to it out."""

from __future__ import annotations

import re

from keras_transfer.serving.client.question import Transport

_VISIBLE = re.compile(r"[!-~]+")


def transport_to(url: str, token: str | None) -> Transport:
    """The transport for a URL.

    Args:
        url: "http://HOST:PORT", "https://..." or "grpc://HOST:PORT".
        token: for a proxy in front of the server; None for none.

    Raises:
        ValueError: if the URL is of no such kind, or the token cannot stand in a header.
    """
    if token is not None and not _VISIBLE.fullmatch(token):
        # Without showing it; requests would, in an error of its own.
        raise ValueError(
            "Expected a `token` of visible ASCII characters alone; look for a line break at its "
            f"end. Received: {len(token)} characters."
        )
    scheme, _, rest = url.partition("://")
    if rest and scheme in ("http", "https"):
        from keras_transfer.serving.client.rest_transport import RestTransport

        return RestTransport(url, token)
    if rest and scheme == "grpc":
        from keras_transfer.serving.client.grpc_transport import GrpcTransport

        return GrpcTransport(rest, token)
    raise ValueError(
        f"Expected a URL such as http://localhost:8501 or grpc://localhost:8500. Received: {url!r}."
    )
