"""Files that the page is made of: sent from the package, found by name in a fixed list, never by a path of the client's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, Response

from needle.serve.errors import ApiError

HERE = Path(__file__).parent
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
}
"""Content type by ending; with ``nosniff`` a browser refuses scripts of another type."""


def static(folder: str | Path, name: str | None = None) -> Callable[[HttpRequest], Awaitable[Response]]:
    """An endpoint for the files of a folder (of this package, when given as text), or for one file of it.

    A file that is stored as ``NAME.gz`` is sent compressed, under its own name.
    """
    root = HERE / folder

    async def send(request: HttpRequest) -> Response:
        wanted = name if name is not None else request.path_params["name"]
        path = (await asyncio.to_thread(_listing, root, name is None)).get(wanted)
        if path is None:
            raise ApiError(404, f"there is nothing at {request.url.path}", code="not_found")
        headers = {"content-encoding": "gzip"} if path.suffix == ".gz" and path.name != wanted.rpartition("/")[2] else {}
        return FileResponse(path, headers=headers, media_type=TYPES.get(Path(wanted).suffix, "application/octet-stream"))

    return send


def _listing(root: Path, deep: bool) -> dict[str, Path]:
    """The files of a folder (and, ``deep``, below it) by the name under which they are asked for."""
    files = [path for path in sorted(root.rglob("*") if deep else root.iterdir()) if path.is_file()]
    return {path.relative_to(root).as_posix().removesuffix(".gz"): path for path in files}


@lru_cache
def examples() -> list[dict[str, Any]]:
    """The packaged toolsets: name, title, text as people write it, and requests to try."""
    about = json.loads((HERE / "examples" / "about.json").read_text(encoding="utf-8"))
    return [{"name": name, **words, "text": (HERE / "examples" / f"{name}.json").read_text(encoding="utf-8")} for name, words in about.items()]
