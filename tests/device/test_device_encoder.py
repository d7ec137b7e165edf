"""A request is read behind its tools in place, or beside another thread with a copy: the same keys and values."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from needle.device.encoder import ROOM, FusedEncoder
from needle.device.engine import OnnxEngine
from needle.device.prepared import Prepared

TOOLS = list(range(100, 140))
REQUESTS = {"short": list(range(500, 509)), "one": [700], "beyond the room": list(range(900, 901 + ROOM))}


def _arrays(values: dict) -> list[np.ndarray]:
    return [values[name].numpy() for name in sorted(values)]


@pytest.fixture(scope="module")
def engine(folders) -> OnnxEngine:
    return OnnxEngine(folders[4])


@pytest.mark.parametrize("request_ids", REQUESTS.values(), ids=REQUESTS)
def test_in_place_copied_and_by_the_general_graph_a_request_is_read_alike(folders, engine, request_ids: list[int]) -> None:
    reader, tools = engine._reader, engine.prepare(TOOLS)
    assert isinstance(reader, FusedEncoder)
    first = _arrays(reader.request(request_ids, tools, "request"))
    reader.request([11, 12, 13], tools, "request")
    with tools.lock:
        copied = _arrays(reader.request(request_ids, tools, "request"))
    again = _arrays(reader.request(request_ids, tools, "request"))
    general = OnnxEngine(folders[4], fast=False)
    other = _arrays(general._reader.request(request_ids, general.prepare(TOOLS), "request"))
    for one, two, three, four in zip(first, copied, again, other, strict=True):
        np.testing.assert_array_equal(one, three)
        np.testing.assert_allclose(one, two, atol=1e-5)
        assert np.abs(one - four).std() < 0.05 * four.std()


def test_a_toolset_without_room_gets_it_once(engine) -> None:
    whole = engine._reader.tools(TOOLS)
    exact = {name: value.numpy()[:, :, : whole.length] for name, value in whole.encoder.items()}
    bare = Prepared(whole.length, {name: type(value).ortvalue_from_numpy(np.ascontiguousarray(exact[name])) for name, value in whole.encoder.items()},
                    whole.decoder)  # fmt: skip
    found = [_arrays(engine._reader.request([500, 501], before, "request")) for before in (whole, bare, bare)]
    for arrays in found[1:]:
        for one, other in zip(arrays, found[0], strict=True):
            np.testing.assert_array_equal(one, other)
    assert {value.shape()[2] for value in bare.encoder.values()} == {whole.length + ROOM}


def test_threads_that_read_over_the_same_tools_do_not_meet(engine) -> None:
    tools, asked = engine.prepare(TOOLS), [list(range(start, start + 7)) for start in range(300, 400, 10)]
    alone = [_arrays(engine._reader.request(ids, tools, "request")) for ids in asked]
    found: dict[int, list[np.ndarray]] = {}

    def work(number: int) -> None:
        for _ in range(3):
            found[number] = _arrays(engine._reader.request(asked[number], tools, "request"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, arrays in enumerate(alone):
        for one, other in zip(arrays, found[number], strict=True):
            np.testing.assert_allclose(other, one, atol=1e-5)
