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


def resource_line(summary: Mapping[str, Any]) -> str:
    """Speed, memory, size and what the sample can show, in one line; what was not measured is left out."""
    spent, latency, model = (summary.get(part) or {} for part in ("resources", "latency", "model"))
    parts = []
    if spent.get("rows_per_second"):
        parts.append(f"{spent['rows_per_second']:,.1f} rows/s")
    if latency.get("p50") is not None:
        parts.append(f"{1000 * latency['p50']:,.1f} ms a row (95th percentile {1000 * latency['p95']:,.1f})")
    if model.get("parameters"):
        parts.append(f"{model['parameters'] / 1e6:,.1f}M parameters")
    if model.get("bytes"):
        parts.append(f"{model['bytes'] / 1e6:,.1f} MB of weights")
    if spent.get("peak_memory"):
        parts.append(f"peak memory {spent['peak_memory']['process'] / 1e6:,.0f} MB")
    parts.append(f"smallest detectable difference {100 * summary['smallest_detectable']:.1f} points")
    return ", ".join(parts)
