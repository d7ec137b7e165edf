"""A small server that misbehaves on request, for tests: every fault that a teacher endpoint is known to have.

    app = FaultApp(["rate_limit", "ok"])                # one fault an answer, in order; the last one goes on for ever
    EndpointCaller(config=..., transport=httpx2.ASGITransport(app.asgi)).answer(requests)
    python -m needle.teacher.faults --port 8123 --latency 0.05 --chance server_error=0.05   # as a process of its own

``ok`` hands the request to the embedded teacher, so that a whole generation can run against it. ``GET /stats`` tells
what was asked. Files and batches are served too (``needle.teacher.fault_batches``).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from needle.teacher.config import Limits
from needle.teacher.embedded.brain import EmbeddedTeacher
from needle.teacher.fault_batches import BatchDesk
from needle.teacher.fault_kinds import FAULTS, limited
from needle.teacher.limits import Window


class FaultApp:
    """Plays a script of faults. ``seen`` holds every body received, ``keys`` every Authorization header."""

    def __init__(
        self,
        script: Sequence[str] = ("ok",),
        teacher: EmbeddedTeacher | None = None,
        *,
        latency_s: float = 0.0,
        chances: Mapping[str, float] | None = None,
        seed: int = 0,
        limits: Limits | None = None,
        minute: float = 60.0,
        batches: Sequence[str] = ("ok",),
    ) -> None:
        """Make the app.

        Args:
            script: names of ``FAULTS``, or ``ok``; the last one repeats.
            teacher: who answers ``ok``.
            latency_s: seconds before every answer.
            chances: fault to its probability, in place of what the script says; drawn with ``seed``.
            seed: of the draws.
            limits: requests a minute that are really enforced, with OpenAI's headers.
            minute: length of that minute.
            batches: fate of each batch in turn, see ``BatchDesk``.
        """
        unknown = [name for name in (*script, *(chances or {})) if name != "ok" and name not in FAULTS]
        assert script and not unknown, f"no such fault: {unknown}"
        self._script, self._chances = list(script), dict(chances or {})
        self._random = random.Random(seed)
        self._teacher = teacher or EmbeddedTeacher(learn=False)
        self._latency_s, self._minute = latency_s, minute
        self._window = Window(limits.requests_per_minute, minute) if limits else None
        self.seen: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.played: Counter[str] = Counter()
        """How often each fault was played, and ``ok``."""
        self.answers: Counter[str] = Counter()
        """Digest of a body to how often it was answered well (and would have been billed)."""
        self.in_flight = self.most_in_flight = 0
        self.batches = BatchDesk(self._teacher.complete, batches)
        routes = [
            Route("/v1/chat/completions", self._complete, methods=["POST"]),
            Route(
                "/v1/models",
                lambda request: JSONResponse({"object": "list", "data": [{"id": "fault", "object": "model"}]}),
            ),
            Route("/stats", lambda request: JSONResponse(self.stats())),
            *self.batches.routes,
        ]
        self.asgi = Starlette(routes=routes)

    def stats(self) -> dict[str, Any]:
        """Counts so far: requests, answers, questions answered more than once, faults, most requests at a time."""
        repeated = sum(count - 1 for count in self.answers.values())
        return {
            "requests": len(self.seen),
            "answers": self.answers.total(),
            "repeated": repeated,
            "played": dict(self.played),
            "most_in_flight": self.most_in_flight,
        }

    async def _complete(self, request: Request) -> Response:
        try:
            body = json.loads(await request.body())
        except ClientDisconnect:
            return Response(status_code=499)
        name = self._next()
        self.seen.append(body)
        self.keys.append(request.headers.get("authorization", ""))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            headers, refused = self._admit()
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            self.played["limited" if refused else name] += 1
            if refused:
                return refused
            if name == "ok":
                response: Response = JSONResponse(self._teacher.complete(body))
            else:
                response = FAULTS[name](body, self.keys[-1])
            if name in ("ok", "plain"):
                self.answers[hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=8).hexdigest()] += 1
            response.headers.update(headers)
            return response
        finally:
            self.in_flight -= 1

    def _next(self) -> str:
        drawn = self._random.random() if self._chances else 1.0
        for name, chance in self._chances.items():
            if drawn < chance:
                return name
            drawn -= chance
        return self._script[min(len(self.seen), len(self._script) - 1)]

    def _admit(self) -> tuple[dict[str, str], Response | None]:
        """Headers of the rate limit, and the refusal when it is passed."""
        if self._window is None or self._window.limit is None:
            return {}, None
        now, limit = asyncio.get_running_loop().time(), self._window.limit
        wait = self._window.wait(now, 1)
        if wait > 0:
            return {}, limited({"retry-after": f"{wait:.3f}"})({}, "")
        self._window.add(now, 1)
        used = self._window.used(now)
        reset = self._minute * used / limit
        return {
            "x-ratelimit-limit-requests": f"{limit:.0f}",
            "x-ratelimit-remaining-requests": f"{limit - used:.0f}",
            "x-ratelimit-reset-requests": f"{reset * 1000:.0f}ms",
        }, None


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve a ``FaultApp`` on a local port until the process is ended."""
    import uvicorn

    parser = argparse.ArgumentParser(
        prog="python -m needle.teacher.faults", description="A teacher endpoint that misbehaves, for tests."
    )
    parser.add_argument(
        "script", nargs="*", default=["ok"], help=f"in order, the last one repeats: ok, {', '.join(FAULTS)}"
    )
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    parser.add_argument(
        "--chance",
        action="append",
        default=[],
        metavar="FAULT=P",
        help="a fault with a probability; may be given several times",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rpm", type=float, help="requests a minute that are enforced")
    parser.add_argument("--batch", action="append", metavar="FATE", help="fate of each batch in turn")
    asked = parser.parse_args(arguments)
    chances = {name: float(chance) for name, _, chance in (text.partition("=") for text in asked.chance)}
    limits = Limits(requests_per_minute=asked.rpm) if asked.rpm else None
    app = FaultApp(
        asked.script,
        latency_s=asked.latency,
        chances=chances,
        seed=asked.seed,
        limits=limits,
        batches=asked.batch or ("ok",),
    )
    uvicorn.run(app.asgi, host="127.0.0.1", port=asked.port, log_level="warning", timeout_keep_alive=75)


if __name__ == "__main__":
    main()
