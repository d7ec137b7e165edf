"""The playground on a desk whose model does what the request spells out, on a free port of this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from serve_helpers import TOOLS, Spelled

from needle.playground import LocalDesk
from needle.serve.playground import create_playground
from needle.serve.run import _listen

BARE = [tool["function"] for tool in TOOLS]
MARK = {"x-needle-playground": "1", "content-type": "application/json", "host": "127.0.0.1"}


def spelled_desk(out: Path) -> LocalDesk:
    """A desk in ``out`` that answers as ``Spelled`` does."""
    desk = LocalDesk("baseline:never", out)
    desk.first = desk.caller = Spelled()
    return desk


@contextmanager
def served(desk: Any) -> Iterator[str]:
    """Address of a playground that runs in a thread of this process."""
    listener = _listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_playground(desk), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        desk.close()
