"""Starts the same generation again and again and kills it at the moments given: when the server has made so many more
answers, and a moment later. One forked process each, so that a hundred kills do not import everything a hundred times.

python killed_runs.py TOOLS OUT PORT ROWS CONCURRENCY LOG ANSWERS:SECONDS...
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import openai

from needle.generate import GenerateConfig, generate

tools, out, port, rows, concurrency, log = sys.argv[1:7]
config = GenerateConfig(
    tools, out, teacher=f"http://127.0.0.1:{port}/v1", model="m", n=int(rows), concurrency=int(concurrency),
    price_in=1.0, price_out=1.0,
)  # fmt: skip
openai.AsyncOpenAI(api_key="none").chat.completions  # noqa: B018: what it loads late is loaded before the forks


def answers() -> int:
    """Answers that the server has made."""
    return Path(log).read_bytes().count(b"\n") if Path(log).exists() else 0


for moment in sys.argv[7:]:
    count, seconds = moment.split(":")
    target, ended = answers() + int(count), False
    child = os.fork()
    if not child:
        generate(config)
        os._exit(0)
    while answers() < target and not ended:
        time.sleep(0.002)
        ended = os.waitpid(child, os.WNOHANG)[0] == child
    if not ended:
        time.sleep(float(seconds))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    print("ended" if ended else "killed", flush=True)
