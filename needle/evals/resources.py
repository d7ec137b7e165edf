"""What a run cost: time, rows and tokens a second, peak memory, size of the model."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from needle.evals.asking import Asked
from needle.evals.rows import Row


def peak_memory() -> dict[str, int] | None:
    """Peak resident bytes of this process and of the largest child it had; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes on macOS, kibibytes on Linux
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"process": own.ru_maxrss * unit, "largest_child": children.ru_maxrss * unit}


def resources(asked: Asked, model: Mapping[str, Any]) -> dict[str, Any]:
    """The ``resources`` of ``results.json``. Speeds are over the rows that were asked in this run."""
    speed = asked.fresh / asked.seconds if asked.fresh and asked.seconds else None
    return {
        "asked": asked.fresh,
        "reused": asked.reused,
        "seconds": asked.seconds,
        "rows_per_second": speed,
        "peak_memory": peak_memory(),
        "parameters": model["parameters"],
        "model_bytes": model["bytes"],
    }


def tokens_per_row(rows: Sequence[Row]) -> dict[str, float | int | None]:
    """Mean prompt and completion tokens over the rows that report them, and how many do."""
    counted = [row["usage"] for row in rows if row["usage"].get("prompt_tokens")]
    n = len(counted)
    return {
        "n": n,
        "prompt": sum(one["prompt_tokens"] for one in counted) / n if n else None,
        "completion": sum(one.get("completion_tokens", 0) for one in counted) / n if n else None,
    }
