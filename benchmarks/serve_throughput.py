"""Answers a second of ``needle serve`` over HTTP, with 1 client and with several at a time, in turn within one run.

    python benchmarks/serve_throughput.py                              # the bundled base, 1 and 8 clients
    python benchmarks/serve_throughput.py --model exported/ --rounds 5 --clients 1 2 4 8 16
    python benchmarks/serve_throughput.py --sdk                        # clients of the openai SDK instead of bare HTTP

The server runs in a process of its own with one thread for arithmetic. Each round asks the same requests once with each number of clients; a ratio
is that of the same round. "CPU" counts the server's processor time instead of the clock, which other work on the machine disturbs less (Linux only).
"rows" is the mean number of requests that the server answered together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import openai

ROOT = Path(__file__).parents[1]
TOOLS = 5
REQUESTS = (
    "set the kitchen light to forty percent and make sure that it stays warm white tonight please",
    "turn off all the lights in the living room before we leave for the cinema at eight",
    "dim the bedroom lamp down to about ten percent because the baby has just fallen asleep",
    "make it twenty one degrees in the office and keep it like that until we are back",
    "please lock the front door now and then tell me whether the garage is still open",
    "play some quiet jazz in the kitchen while I am cooking dinner for the four of us",
    "close the blinds in the study halfway since the sun is shining right into my eyes",
    "set a timer for twenty five minutes for the bread that I have put into the oven",
)  # fmt: skip
"""Fifteen words and more each, of the kind that the toolset is for."""


def body(number: int) -> dict[str, Any]:
    """Question ``number``, with the first tools of the home toolset."""
    raw = json.loads((ROOT / "data" / "toolsets" / "home.json").read_text(encoding="utf-8"))
    tools = [
        {"type": "function", "function": tool} for tool in (raw["tools"] if isinstance(raw, dict) else raw)[:TOOLS]
    ]
    return {
        "model": "needle",
        "messages": [{"role": "user", "content": REQUESTS[number % len(REQUESTS)]}],
        "tools": tools,
    }


async def seconds(
    ask: Callable[[dict[str, Any]], Awaitable[Any]], clients: int, questions: list[dict[str, Any]]
) -> float:
    """Wall-clock seconds until ``clients``, each with one question at a time, have had all answered."""
    waiting = list(reversed(questions))

    async def client() -> None:
        while waiting:
            await ask(waiting.pop())

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return time.perf_counter() - began


async def batches(http: httpx2.AsyncClient, base: str) -> tuple[int, int]:
    """Requests and batches that the server has counted."""
    text = (await http.get(base.replace("/v1", "/metrics"))).text
    return tuple(int(re.search(rf"needle_batch_rows_{name} (\d+)", text)[1]) for name in ("sum", "count"))  # type: ignore[return-value]


def processor(pid: int) -> float:
    """Processor seconds of a process so far; not a number where ``/proc`` does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(base: str, pid: int, options: argparse.Namespace) -> dict[int, list[tuple[float, float, float]]]:
    """Answers a second by the clock and by the server's processor time, mean rows of a batch: by number of clients, one entry a round."""
    limits = httpx2.Limits(max_connections=64)
    found: dict[int, list[tuple[float, float, float]]] = {clients: [] for clients in options.clients}
    async with httpx2.AsyncClient(timeout=300, limits=limits, trust_env=False) as http:
        sdk = openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0, http_client=http)

        async def bare(question: dict[str, Any]) -> None:
            (await http.post(f"{base}/chat/completions", json=question)).raise_for_status()

        async def through_sdk(question: dict[str, Any]) -> None:
            await sdk.chat.completions.create(**question)

        ask = through_sdk if options.sdk else bare
        questions = [body(number) for number in range(options.requests)]
        await seconds(ask, max(options.clients), questions[: 2 * max(options.clients)])  # caches are warm
        for _ in range(options.rounds):
            for clients in options.clients:
                before, busy = await batches(http, base), processor(pid)
                spent = await seconds(ask, clients, questions)
                busy = processor(pid) - busy
                rows, count = (after - early for after, early in zip(await batches(http, base), before, strict=True))
                found[clients].append((len(questions) / spent, len(questions) / busy, rows / max(count, 1)))
    return found


def main() -> None:
    """Start the server, measure, print one line for each number of clients."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="What needle serve --model takes; default: the bundled base.")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--requests", type=int, default=32, help="Requests in a round, for each number of clients.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="Batches that the server answers at once, on a core each.")
    parser.add_argument("--sdk", action="store_true", help="Clients of the openai SDK.")
    options = parser.parse_args()
    command = [
        sys.executable,
        "-m",
        "needle.cli",
        "serve",
        "--port",
        "0",
        "--workers",
        str(options.workers),
        *(["--model", options.model] if options.model else []),
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        assert server.stdout is not None
        url = re.search(r"http://\S+/v1", server.stdout.readline())
        assert url, "the server has not started"
        found = asyncio.run(measure(url[0], server.pid, options))
    finally:
        server.terminate()
        server.wait(30)
    first = found[options.clients[0]]
    for clients, rounds in found.items():
        clock, cpu = (
            [one[column] / base[column] for one, base in zip(rounds, first, strict=True)] for column in (0, 1)
        )
        rate, _, rows = (statistics.median(column) for column in zip(*rounds, strict=True))
        each = ", ".join(f"{ratio:.2f}" for ratio in clock)
        ratios = (
            f"{statistics.median(clock):5.2f} x by the clock (rounds: {each}), {statistics.median(cpu):5.2f} x by CPU"
        )
        print(f"{clients:3d} clients: {rate:7.1f} answers/s  {ratios}  {rows:.1f} rows a batch")


if __name__ == "__main__":
    main()
