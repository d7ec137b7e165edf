"""JSON as every reader elsewhere takes it: no ``NaN`` or ``Infinity``, no key twice in one object."""

from __future__ import annotations

import json
from typing import Any


class DuplicateKey(ValueError):
    """An object names a key twice; the message is the key."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise DuplicateKey(next(key for key in keys if keys.count(key) > 1))
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
"""``STRICT.decode`` and ``STRICT.raw_decode`` raise ``json.JSONDecodeError``, ``DuplicateKey`` or another ``ValueError``."""
