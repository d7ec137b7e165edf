"""A tiny student in folders of every width, and requests; made once for the tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from device_helpers import lively, stored

from needle.tools import Request, ToolSpec


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[int, Path]:
    model, root = lively(), tmp_path_factory.mktemp("students")
    return {bits: stored(model, root / str(bits), bits) for bits in (4, 8, 16, 32)}


@pytest.fixture(scope="session")
def requests() -> list[Request]:
    """Requests over two toolsets."""
    level = {"type": "integer", "minimum": 0, "maximum": 100}
    room = {"type": "string", "enum": ["kitchen", "hall"]}
    light = ToolSpec("set_light", "Dim a room.", {"type": "object", "properties": {"room": room, "level": level}, "required": ["room"]})
    stop = ToolSpec("stop", "Stop everything.")
    queries = ("dim the hall to 40", "stop", "please make the kitchen a little darker")
    return [Request(query, tools) for tools in ((light, stop), (stop,)) for query in queries]
