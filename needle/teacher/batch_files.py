"""The files of OpenAI's Batch API: questions out as JSONL, answers and errors in, joined by ``custom_id``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from needle.teacher.errors import Asked, PermanentError, TransientError, by_status


@dataclass
class BatchRows:
    """What a batch's output and error files say, joined."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    """``custom_id`` to the body of a chat completion."""
    errors: dict[str, PermanentError | TransientError] = field(default_factory=dict)
    """``custom_id`` to why there is no answer."""


def pack(rows: Sequence[tuple[str, dict[str, Any]]], most_bytes: int) -> tuple[bytes, list[str]]:
    """As many questions as fit into one file; returns it and their keys. One question always fits."""
    lines: list[bytes] = []
    size = 0
    for key, body in rows:
        row = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        if lines and size + len(line) > most_bytes:
            break
        lines.append(line)
        size += len(line)
    return b"".join(lines), [key for key, _ in rows[: len(lines)]]


def read_rows(content: bytes, asked: Asked, into: BatchRows) -> None:
    """Add the rows of an output or error file; the order of rows means nothing, and a line that is cut off is left
    out."""
    for line in content.splitlines():
        try:
            row = json.loads(line)
            key = str(row["custom_id"])
        except (ValueError, KeyError, TypeError):
            continue
        response, error = row.get("response"), row.get("error")
        status = response.get("status_code") if isinstance(response, dict) else None
        if status == 200:
            into.bodies[key] = json.dumps(response["body"], ensure_ascii=False, separators=(",", ":")).encode()
        elif status is not None:
            body = response.get("body")
            inner = body.get("error") if isinstance(body, dict) else None
            into.errors[key] = by_status(int(status), inner if isinstance(inner, dict) else {}, asked)
        else:
            said = error if isinstance(error, dict) else {}
            into.errors[key] = TransientError(
                f"{asked.where}: {asked.detail(said.get('message') or said.get('code') or 'no answer')}",
                "expired",
                maybe_billed=False,
            )
