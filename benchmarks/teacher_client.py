"""The teacher client beside a bare SDK loop, over both HTTP clients, against a local server that answers after 50 ms.

    python benchmarks/teacher_client.py                    # 400 calls at 100 at a time, three times each, interleaved
    python benchmarks/teacher_client.py --calls 2000 --concurrency 200

The bare loop is ``client.chat.completions.create`` in so many tasks, without retries, limits or deadlines. The server
is ``python -m needle.teacher.faults plain``, a process of its own. Processor time is that of this process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import openai

from needle.teacher import Teacher, TeacherConfig

BODY: dict[str, Any] = {
    "messages": [{"role": "user", "content": "What is the weather in Paris? " * 10}],
    "max_tokens": 100,
}


async def measure(call: Callable[[], Awaitable[object]], calls: int, concurrency: int) -> tuple[float, float]:
    """Calls a second, and milliseconds of processor time a call."""
    gate = asyncio.Semaphore(concurrency)

    async def one() -> None:
        async with gate:
            await call()

    began, worked = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one() for _ in range(calls)))
    return calls / (time.perf_counter() - began), 1000 * (time.process_time() - worked) / calls


async def one_round(url: str, calls: int, concurrency: int) -> dict[str, tuple[float, float]]:
    """Both loops over both HTTP clients."""
    found = {}
    clients = {"httpx2": None, "aiohttp": openai.DefaultAioHttpClient}
    for name, make in clients.items():
        options: dict[str, Any] = {"base_url": url, "api_key": "none", "max_retries": 0}
        async with openai.AsyncOpenAI(http_client=make() if make else None, **options) as sdk:
            found[f"SDK, {name}"] = await measure(
                lambda sdk=sdk: sdk.chat.completions.create(model="m", **BODY), calls, concurrency
            )
        async with Teacher(TeacherConfig(base_url=url, model="m")) as teacher:
            await teacher.client.close()
            teacher.client = openai.AsyncOpenAI(http_client=make() if make else None, **options)
            found[f"Teacher, {name}"] = await measure(
                lambda teacher=teacher: teacher.complete(BODY), calls, concurrency
            )
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.05)
    asked = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "needle.teacher.faults", "plain", "--latency", str(asked.latency), "--port", str(port)]
    )
    try:
        while server.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                break
            time.sleep(0.1)
        url = f"http://127.0.0.1:{port}/v1"
        rounds = [asyncio.run(one_round(url, asked.calls, asked.concurrency)) for _ in range(asked.rounds)]
    finally:
        server.kill()
    for name in rounds[0]:
        rate, work = (statistics.median(result[name][place] for result in rounds) for place in (0, 1))
        bare = statistics.median(result[name][0] / result["SDK, " + name.split(", ")[1]][0] for result in rounds)
        print(f"{name:<16} {rate:7.0f} calls/s  {work:5.2f} ms of processor time  {bare:5.2f} of the bare loop")


if __name__ == "__main__":
    main()
