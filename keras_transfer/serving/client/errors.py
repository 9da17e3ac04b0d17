"""What goes wrong between a client and a server."""

from __future__ import annotations


class ServingError(RuntimeError):
    """A server refused a request or could not be reached; the message is the server's own.

    Args:
        message: str.
        status: str, the name of gRPC's status, such as "NOT_FOUND" or "UNAVAILABLE".
    """

    def __init__(self, message: str, status: str):
        super().__init__(message)
        self.status = status

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.status in ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
