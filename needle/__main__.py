"""The ``needle`` command, and ``python -m needle``: Ctrl-C is one line also in the first moments, while the program is still being loaded."""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> None:
    """Load the command line and run it."""
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else somebody wants it ignored or handled
    if own:
        signal.signal(signal.SIGINT, _stop)
    from needle.cli import main as run

    if own:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


def _stop(number: int, frame: FrameType | None) -> None:
    """Nothing was begun, so nothing needs to be ended in order; an exception in the middle of an import would not always arrive."""
    os.write(2, b"stopped before it began\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
