"""OpenAI's files and batches in memory, for tests: a batch ends after some polls with the fate that the script says.

Fates: ``ok``; ``expired`` (the first half was answered, the rest expired); ``errors`` (every second row is in the error
file with status 500); ``timeouts`` (the same with 504); ``failed`` (refused as a whole); ``too_large`` (refused for
the account's limit of queued tokens); ``cancelled`` (half was answered); ``slow`` (stays in progress
until ``finish`` is called, or for ever). ``ok`` and the others take one poll in ``in_progress``.
"""

from __future__ import annotations

import email
import json
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

FATES = ("ok", "expired", "errors", "timeouts", "failed", "too_large", "cancelled", "slow")


class BatchDesk:
    """State of the files and batches of one server."""

    def __init__(self, complete: Callable[[dict[str, Any]], dict[str, Any]], fates: Sequence[str] = ("ok",)) -> None:
        """``complete``: body to completion; ``fates``: of each batch in turn, the last one repeats."""
        assert fates and set(fates) <= set(FATES), f"fates are {', '.join(FATES)}"
        self._complete, self._fates = complete, list(fates)
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.answered: list[str] = []
        """``custom_id`` of every row that was answered (and would have been billed), in order."""
        self._polls: dict[str, int] = {}
        self.routes = [
            Route("/v1/files", self._upload, methods=["POST"]),
            Route("/v1/files/{name}/content", self._content),
            Route("/v1/batches", self._create, methods=["POST"]),
            Route("/v1/batches", self._list),
            Route("/v1/batches/{name}", self._poll),
            Route("/v1/batches/{name}/cancel", self._cancel, methods=["POST"]),
        ]

    def finish(self, name: str, fate: str = "ok") -> None:
        """End a batch now."""
        batch = self.batches[name]
        rows = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        if fate in ("failed", "too_large"):
            code, said = (
                ("invalid_json_line", "line 1 is not valid")
                if fate == "failed"
                else ("token_limit_exceeded", "too many queued tokens")
            )
            batch |= {
                "status": "failed",
                "errors": {"object": "list", "data": [{"code": code, "message": said, "line": 1}]},
            }
            return
        good, bad = rows, []
        if fate in ("expired", "cancelled"):
            good, bad = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        if fate in ("errors", "timeouts"):
            good, bad = rows[::2], rows[1::2]
        batch["status"] = fate if fate in ("expired", "cancelled") else "completed"
        self._file(
            batch, "output_file_id", [self._row(row, 200, self._complete(row["body"])) for row in reversed(good)]
        )
        self.answered += [row["custom_id"] for row in good]
        if fate in ("errors", "timeouts"):
            failure = {"error": {"message": "internal error", "type": "server_error", "code": None, "param": None}}
            self._file(
                batch, "error_file_id", [self._row(row, 500 if fate == "errors" else 504, failure) for row in bad]
            )
        elif bad:
            reason = {"code": f"batch_{fate}", "message": f"the batch was {fate} before this request was executed"}
            self._file(
                batch,
                "error_file_id",
                [{"id": "x", "custom_id": row["custom_id"], "response": None, "error": reason} for row in bad],
            )

    def _row(self, row: dict[str, Any], status: int, body: dict[str, Any]) -> dict[str, Any]:
        response = {"status_code": status, "request_id": "r", "body": body}
        return {
            "id": f"batch_req_{row['custom_id']}",
            "custom_id": row["custom_id"],
            "response": response,
            "error": None,
        }

    def _file(self, batch: dict[str, Any], field: str, rows: list[dict[str, Any]]) -> None:
        batch[field] = f"{batch['id']}-{field}"
        self.files[batch[field]] = "".join(json.dumps(row) + "\n" for row in rows).encode()

    async def _upload(self, request: Request) -> Response:
        form = email.message_from_bytes(
            f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode() + await request.body()
        )
        parts = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in form.get_payload()
        }
        if parts.get("purpose", b"").strip() != b"batch":
            return JSONResponse({"error": {"message": "purpose must be batch"}}, 400)
        name = f"file-{len(self.files)}"
        self.files[name] = parts["file"]
        return JSONResponse(
            {
                "id": name,
                "object": "file",
                "bytes": len(parts["file"]),
                "created_at": 0,
                "filename": "in.jsonl",
                "purpose": "batch",
            }
        )

    async def _content(self, request: Request) -> Response:
        return Response(self.files[request.path_params["name"]], media_type="application/jsonl")

    async def _create(self, request: Request) -> Response:
        asked = json.loads(await request.body())
        name = f"batch_{len(self.batches)}"
        empty = {"output_file_id": None, "error_file_id": None, "errors": None, "created_at": 0}
        self.batches[name] = {"id": name, "object": "batch", "status": "validating", **asked, **empty}
        self._polls[name] = 0
        return JSONResponse(self.batches[name])

    async def _list(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": list(reversed(self.batches.values())), "has_more": False})

    async def _poll(self, request: Request) -> Response:
        name = request.path_params["name"]
        batch = self.batches.get(name)
        if batch is None:
            return JSONResponse({"error": {"message": "no such batch", "code": "not_found"}}, 404)
        self._polls[name] += 1
        fate = self._fates[min(list(self.batches).index(name), len(self._fates) - 1)]
        if batch["status"] in ("validating", "in_progress"):
            batch["status"] = "in_progress"
            if self._polls[name] > 1 and fate != "slow":
                self.finish(name, fate)
        return JSONResponse(batch)

    async def _cancel(self, request: Request) -> Response:
        self.finish(request.path_params["name"], "cancelled")
        return JSONResponse(self.batches[request.path_params["name"]])
