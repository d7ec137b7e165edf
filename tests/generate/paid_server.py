"""A teacher server in a process of its own that writes down every answer that it has made (and would bill).

python paid_server.py LOG SECONDS_AN_ANSWER        prints its port; answers are those of the embedded teacher
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from needle.generate.store import response_key
from needle.teacher.config import TeacherConfig
from needle.teacher.embedded.brain import EmbeddedTeacher


def make_app(log: str, seconds: float, url: str) -> Starlette:
    teacher, file = EmbeddedTeacher(learn=False), open(log, "a", buffering=1)
    config = TeacherConfig(base_url=url, model="m")

    async def complete(request: Request) -> JSONResponse:
        body = json.loads(await request.body())
        await asyncio.sleep(seconds)
        asked = {name: value for name, value in body.items() if name != "model"}
        file.write(response_key(config, asked) + "\n")
        return JSONResponse(teacher.complete(body))

    return Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    print(port, flush=True)
    app = make_app(sys.argv[1], float(sys.argv[2]), f"http://127.0.0.1:{port}/v1")
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
