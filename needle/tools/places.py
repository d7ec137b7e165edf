"""Where needle keeps what may be lost: reports of probes, encoded toolsets."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path | None:
    """``NEEDLE_CACHE``, else ``needle`` in ``XDG_CACHE_HOME`` or ``~/.cache``; None when ``NEEDLE_CACHE`` is ``off``: nothing is kept."""
    named = os.environ.get("NEEDLE_CACHE", "")
    if named.lower() in ("off", "0", "none"):
        return None
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "needle"
