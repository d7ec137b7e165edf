"""Settings of a fine-tune from the number of its rows, for those who give none: from 50 to 50,000 traces without a flag.

Few rows are seen often at a low rate in small steps, many rows a few times in large ones; held-out exact match decides when to stop.
Repeats pay until some 16 passes at most (Muennighoff et al., arXiv:2305.16264), fewer where the base has learnt the task in general.
"""

from __future__ import annotations

import math
from typing import Any

MOST_PASSES, FEWEST_PASSES = 24, 2
"""Passes over 50 rows or fewer, and over 20,000 or more."""


def passes_for(rows: int) -> float:
    """Passes over the data: 24 for 50 rows, 9 for 600, 2 from 20,000 on (a power law between)."""
    return min(MOST_PASSES, max(FEWEST_PASSES, MOST_PASSES * (50 / max(rows, 1)) ** 0.41))


def tuned_settings(rows: int, given: dict[str, Any]) -> dict[str, Any]:
    """``given`` completed for a fine-tune on ``rows`` training rows.

    Rows a step grow with the data (16 to 128). Without a budget the run takes ``passes_for(rows)`` passes, falls in rate all the way, and stops
    early when held-out exact match has not risen for three validations.
    """
    made: dict[str, Any] = {"rows": min(128, max(16, 2 ** round(math.log2(max(rows, 1) / 24)))), "cooldown": 0.8, "keep_base": True, "replay": 0.1}
    made |= given
    if "minutes" not in given and "steps" not in given:
        made["steps"] = max(20, math.ceil(rows * passes_for(rows) / made["rows"]))
        made = {"validations": min(10, max(4, made["steps"] // 12)), "patience": 3} | made
    return made
