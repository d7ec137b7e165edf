"""Noise in a generation: by seed and id alone, and never at the cost of groundedness."""

from __future__ import annotations

from generate_helpers import TOOLS

from needle.generate.noise import apply_noise
from needle.tools.grounding.ground import ground_calls
from needle.tools.read import read_tools
from needle.tools.spec import ToolCall
from needle.traces.trace import Trace

SPECS = tuple(read_tools(TOOLS))


def _row(number: int) -> Trace:
    calls = (ToolCall("set_alarm", {"time": "18:30", "label": "team lunch"}),)
    return Trace(f"r{number}", "please set an alarm for half past six in the evening called team lunch", SPECS, calls)


def test_the_share_is_met_and_every_noisy_row_is_still_grounded():
    rows = [apply_noise(_row(number), seed=3, share=0.3) for number in range(400)]
    noisy = [row for row in rows if "noise" in row.meta]
    assert 0.2 < len(noisy) / 400 < 0.36 and len({row.meta["noise"] for row in noisy}) >= 5
    for row in noisy:
        assert all(item.grounded for item in ground_calls(list(row.calls), list(SPECS), row.query)), row.query


def test_noise_depends_on_seed_and_id_alone():
    again = [apply_noise(_row(number), 3, 0.5).query for number in reversed(range(50))][::-1]
    assert again == [apply_noise(_row(number), 3, 0.5).query for number in range(50)]
    assert again != [apply_noise(_row(number), 4, 0.5).query for number in range(50)]


def test_share_nought_leaves_every_row_alone():
    assert all(apply_noise(row, 0, 0.0) is row for row in map(_row, range(20)))
