"""Noise on a share of the accepted rows, after labelling: the calls stay, and the row must still be grounded.

trace = apply_noise(trace, seed=0, share=0.1)
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from needle.tools.grounding.ground import ground_calls
from needle.traces.noise import noise_trace
from needle.traces.trace import Trace

NOISE_MIX: Mapping[str, float] = {
    "typos": 0.3,
    "asr": 0.25,
    "disfluent": 0.2,
    "casing": 0.1,
    "punctuation": 0.1,
    "shorthand": 0.05,
}
"""Shares of the kinds of noise among noisy rows."""


def apply_noise(trace: Trace, seed: int, share: float, mix: Mapping[str, float] = NOISE_MIX) -> Trace:
    """The trace, noisy with probability ``share``; whether and how depends on seed and id alone.

    The result keeps the clean request and the kind of noise in ``meta``. A trace whose values could no longer be traced
    to the noisy request comes back as it was, and so does one that is noisy already.
    """
    rng = random.Random(f"noise/{seed}/{trace.id}")
    if rng.random() >= share:
        return trace
    noisy = noise_trace(trace, rng.choices(list(mix), list(mix.values()))[0], rng)
    if noisy is trace:
        return trace
    calls, tools = list(trace.calls), list(trace.tools)
    before, after = (ground_calls(calls, tools, text) for text in (trace.query, noisy.query))
    lost = any(old.grounded and not new.grounded for old, new in zip(before, after, strict=True))
    return trace if lost else noisy
