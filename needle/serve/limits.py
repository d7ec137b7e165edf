"""How much one server takes on: sizes, times and the length of its queue."""

from __future__ import annotations

from dataclasses import dataclass

from needle.errors import UserError


@dataclass(frozen=True)
class Limits:
    """Bounds of one server; what goes over them is answered with an error that names them."""

    body_bytes: int = 1 << 20
    """Largest body of a request, in bytes (413)."""
    header_seconds: float = 10.0
    """Seconds that a client may take to send the headers of a request; then its connection is closed."""
    body_seconds: float = 10.0
    """Seconds that a client may take to send its body (408)."""
    answer_seconds: float = 60.0
    """Seconds that a request may wait for its answer, queue included (504)."""
    queue: int = 64
    """Requests that may wait for the model; further ones are sent away (429)."""
    batch: int = 16
    """Requests that are answered together at most."""
    workers: int = 1
    """Threads that ask the model at once, each with a batch of its own: a core each, for a caller that is
    thread-safe."""
    window_seconds: float = 0.002
    """Seconds to wait for company before a batch that is not full is answered."""
    tools: int = 512
    """Most tools in one request (400)."""
    messages: int = 256
    """Most messages in one request (400)."""
    connections: int = 512
    """Open connections at a time; further ones are refused (503)."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0 or (value == 0 and name != "window_seconds"):
                raise UserError(f"limit {name} is {value}; give a number above 0")
