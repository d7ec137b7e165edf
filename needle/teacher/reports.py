"""What probes found out, kept in the person's cache folder: endpoint and model to capabilities, with the date.

``needle teacher probe`` writes it; ``resolve_teacher`` reads it, so that later commands refuse impossible settings
before they spend anything. No key and no answer is in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.teacher.config import Capabilities, TeacherConfig
from needle.tools.places import cache_folder
from needle.traces.write import atomic

FILE = "probes.json"


def _file() -> Path | None:
    folder = cache_folder()
    return None if folder is None else folder / FILE


def probe_key(config: TeacherConfig) -> str:
    """What a report is filed under."""
    return f"{config.base_url}#{config.model}"


def read_reports(path: Path | None = None) -> dict[str, dict[str, Any]]:
    """All reports; none when the file is not there or not ours (a cache may be lost)."""
    path = path or _file()
    if path is None:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return (
        {key: value for key, value in content.items() if isinstance(value, dict)} if isinstance(content, dict) else {}
    )


def keep_report(report: Mapping[str, Any], path: Path | None = None) -> Path:
    """File a report under its ``endpoint``, beside those that are there; returns the file. Raises ``UserError`` where nothing is kept."""
    path = path or _file()
    if path is None:
        raise UserError("NEEDLE_CACHE is off, so the report has no place; give --out a file")
    reports = {**read_reports(path), str(report["endpoint"]): dict(report)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(reports, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def known_capabilities(config: TeacherConfig) -> TeacherConfig:
    """The config with what an earlier probe of this endpoint and model found out."""
    found = read_reports().get(probe_key(config), {}).get("capabilities")
    if not isinstance(found, dict):
        return config
    known = {name: value for name, value in found.items() if name in vars(Capabilities()) and isinstance(value, bool)}
    return replace(config, capabilities=config.capabilities.merged(Capabilities(**known)))
