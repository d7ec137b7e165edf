"""The playground on a desk whose model does what the request spells out, on a free port of this machine."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import uvicorn
from serve_helpers import TOOLS, Spelled

from needle.playground import LocalDesk
from needle.serve.playground import create_playground
from needle.serve.run import _listen
from needle.traces import Trace
from needle.traces.formats import trace_from_dict

ROOT = Path(__file__).parents[2]
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


def ready(browser: Any, url: str, setup: str) -> None:
    """Open the playground at ``url``, put the base's tokenizer file into ``window.tokenizerFile``, run ``setup``."""
    browser.open(url, ready="document.body.dataset.ready === 'yes'")
    file = (ROOT / "needle" / "student" / "assets" / "tokenizer.json").read_text()
    browser.evaluate(f"window.tokenizerFile = {file}; 0")
    browser.evaluate(setup)


def recorded(part: str, every: int, most: int | None = None) -> list[Trace]:
    """Every n-th of the recorded rows of a part, up to row ``most``."""
    with gzip.open(ROOT / "data" / "traces" / f"{part}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [trace_from_dict(json.loads(line)) for line in islice(file, 0, most, every)]
