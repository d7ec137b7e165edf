"""Generation: plan -> ask a teacher for a request -> ask for its calls -> verify -> deduplicate -> store;
resumable.

    from needle.generate import GenerateConfig, generate
    report = generate(GenerateConfig(tools="data/toolsets/home.json", out="out/home", n=1000))

Names are loaded when they are first used: the client of the teachers alone takes a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from needle.generate.ahead import estimate, preview
    from needle.generate.config import DEFAULT_MIX, GenerateConfig, TeacherChoice
    from needle.generate.job import Interrupted, generate
    from needle.generate.report import GenerateReport, Snapshot

_HOME = {
    "DEFAULT_MIX": "config",
    "GenerateConfig": "config",
    "TeacherChoice": "config",
    "Interrupted": "job",
    "generate": "job",
    "estimate": "ahead",
    "preview": "ahead",
    "GenerateReport": "report",
    "Snapshot": "report",
}
__all__ = [
    "DEFAULT_MIX",
    "GenerateConfig",
    "GenerateReport",
    "Interrupted",
    "Snapshot",
    "TeacherChoice",
    "estimate",
    "generate",
    "preview",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
