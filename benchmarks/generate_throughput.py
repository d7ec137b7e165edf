"""Generation against a local server that answers after 50 ms: rows a second beside a bare SDK loop, and memory by rows.

    python benchmarks/generate_throughput.py                       # rows/s, three times each, interleaved
    python benchmarks/generate_throughput.py --curator PYTHON      # beside bespokelabs-curator in that environment
    python benchmarks/generate_throughput.py --memory 10000 100000 # peak resident memory of a run of so many rows

Every row is two questions (write, label). The bare loop sends the same two questions with ``openai`` and 200 tasks, and does
nothing else: no store, no budget, no verification. The server is a process of its own that does as little as it can.
The memory runs take rows that come written and labelled from nowhere (what the rows leave behind is what is measured: judging,
deduplication, files, division, counts) and report the peak of a fresh process each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

TOOLS = [
    {
        "name": "send_message",
        "description": "Send a text message to a contact.",
        "parameters": {
            "type": "object",
            "properties": {"contact": {"type": "string"}, "text": {"type": "string"}},
            "required": ["contact", "text"],
        },
    }
]
NAMES = "Ann Bob Cid Dora Emil Fay Gus Hana Ivo Jana Kurt Lea Milo Nora Otto Pia Quinn Rosa Sven Tara".split()
WORDS = "green river paper stone window garden silver bread music winter coffee ladder candle bridge market engine".split()


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """What the server answers: a request made from the seed, or the call that it asks for."""
    if "tools" in body:
        said = re.match(r"tell (\w+) that (.*)", body["messages"][-1]["content"])
        arguments = {"contact": said[1], "text": said[2]} if said else {}
        function = {"name": "send_message", "arguments": json.dumps(arguments)}
        message: dict[str, Any] = {"content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]}
    else:
        seed = body.get("seed", zlib.crc32(json.dumps(body).encode()))
        words = " ".join(WORDS[(seed >> shift) % len(WORDS)] for shift in (0, 4, 8, 12, 16, 20, 24))
        message = {"content": f"tell {NAMES[seed % len(NAMES)]} that {words}"}
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320}
    head = {"id": f"r{body.get('seed', 0)}", "object": "chat.completion", "created": 0, "model": "m"}
    return head | {"choices": [choice], "usage": usage}


class Server(asyncio.Protocol):
    """HTTP/1.1 with kept connections, as little of it as the clients need."""

    latency = 0.05

    def connection_made(self, transport: Any) -> None:
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return
        self.buffer = rest[size:]
        raw = json.dumps(answer(json.loads(rest[:size]))).encode()
        reply = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(raw) + raw
        asyncio.get_running_loop().call_later(self.latency, self._reply, reply)

    def _reply(self, reply: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(reply)


def serve(port: Any) -> None:
    """Run the server; its port goes through the pipe."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def settings(folder: Path, rows: int, port: int, concurrency: int) -> Any:
    """A run of single calls over one tool, wordings unlimited."""
    from needle.generate import GenerateConfig

    (folder / "tools.json").write_text(json.dumps(TOOLS))
    return GenerateConfig(
        folder / "tools.json", folder / "out", teacher=f"http://127.0.0.1:{port}/v1", model="m", n=rows,
        mix={"single": 1.0}, template_cap=10**9, value_cap=10**9, concurrency=concurrency, price_in=0.1, price_out=0.4,
    )  # fmt: skip


def needle_run(rows: int, port: int, concurrency: int) -> tuple[float, float, int]:
    """Wall seconds, processor seconds of this process, and questions sent, for ``rows`` accepted rows."""
    from needle.generate import generate

    folder = Path(tempfile.mkdtemp(prefix="needle-bench-"))
    wall, processor = time.perf_counter(), time.process_time()
    report = generate(settings(folder, rows, port, concurrency))
    used = time.perf_counter() - wall, time.process_time() - processor
    assert report.complete, report
    shutil.rmtree(folder)
    return *used, report.asked_now


def bare_run(rows: int, port: int, concurrency: int) -> tuple[float, float, int]:
    """The same with nothing but the SDK: two questions a row."""
    import openai

    from needle.generate.plan import plan_for
    from needle.generate.prompts import label_body, write_body
    from needle.tools.read import read_tools

    tools = read_tools(TOOLS)
    bodies = [write_body(plan_for("single", index, tools, 0), tools, 1.0) for index in range(rows)]

    async def run() -> None:
        gate = asyncio.Semaphore(concurrency)
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:

            async def row(body: dict[str, Any]) -> None:
                async with gate:
                    written = await client.chat.completions.create(model="m", **body)
                    said = written.choices[0].message.content
                    await client.chat.completions.create(model="m", **label_body(said, tools, body["seed"]))

            await asyncio.gather(*(row(body) for body in bodies))

    wall, processor = time.perf_counter(), time.process_time()
    asyncio.run(run())
    return time.perf_counter() - wall, time.process_time() - processor, 2 * rows


CURATOR = '''
import os, sys, time, json, tempfile
os.environ.update(TELEMETRY_ENABLED="false", CURATOR_DISABLE_CACHE="1", OPENAI_API_KEY="none", HF_HUB_OFFLINE="1",
                  LITELLM_LOCAL_MODEL_COST_MAP="True", CURATOR_CACHE_DIR=tempfile.mkdtemp())
import tiktoken
class Lengths:  # it would download a vocabulary
    def encode(self, text, **_): return [0] * (len(text) // 4)
tiktoken.get_encoding = tiktoken.encoding_for_model = lambda *_, **__: Lengths()
from bespokelabs import curator
port, rows, concurrency = map(int, sys.argv[1:])
bodies = json.loads(sys.stdin.read())
class Ask(curator.LLM):
    def prompt(self, row): return json.loads(row["messages"])
    def parse(self, row, response): return {"text": str(response)}
llm = Ask(model_name="m", backend="openai", generation_params={"seed": 1}, backend_params={
    "base_url": f"http://127.0.0.1:{port}/v1", "max_concurrent_requests": concurrency,
    "max_requests_per_minute": 10**6, "max_tokens_per_minute": 10**9, "request_timeout": 60})
start = time.perf_counter()
result = llm([{"messages": json.dumps(body)} for body in bodies])
print("seconds", time.perf_counter() - start)
'''


def curator_run(python: str, rows: int, port: int, concurrency: int) -> float:
    """Wall seconds of Curator for as many questions as ``rows`` rows have (it asks one question a row, without tools)."""
    from needle.generate.plan import plan_for
    from needle.generate.prompts import write_body
    from needle.tools.read import read_tools

    tools = read_tools(TOOLS)
    bodies = [write_body(plan_for("single", index, tools, 0), tools, 1.0)["messages"] for index in range(2 * rows)]
    done = subprocess.run(
        [python, "-c", CURATOR, str(port), str(rows), str(concurrency)],
        input=json.dumps(bodies), capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = re.search(r"seconds ([\d.]+)", done.stdout)
    if not seconds:
        sys.exit(f"curator failed:\n{done.stderr[-2000:]}")
    return float(seconds[1])


def memory_run(rows: int) -> None:
    """A run of so many rows that come verified from nowhere; prints the peak."""
    from needle.generate import generate
    from needle.generate.ask import Outcome
    from needle.generate.desk import RowAccount
    from needle.generate.session import Session
    from needle.tools.spec import ToolCall

    async def row(self: Any, plan: Any) -> Any:
        await asyncio.sleep(0)
        body = {"seed": plan.seed}
        said = answer(body)["choices"][0]["message"]["content"]
        call = answer({"tools": [], "messages": [{"content": said}]})["choices"][0]["message"]["tool_calls"][0]
        arguments = json.loads(call["function"]["arguments"])
        spans = {f"0.{name}": (said.index(value), said.index(value) + len(value)) for name, value in arguments.items()}
        ids = (f"request-{plan.index}-write", f"request-{plan.index}-label")
        tokens = {"prompt_tokens": 600, "completion_tokens": 40}
        calls = (ToolCall("send_message", arguments),)
        return Outcome(plan, said, calls=calls, spans=spans, request_ids=ids, tokens=tokens), RowAccount("single", plan.index)

    Session.row = row  # type: ignore[method-assign]
    folder = Path(tempfile.mkdtemp(prefix="needle-bench-"))
    start = time.perf_counter()
    report = generate(settings(folder, rows, 9, 200))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{sum(report.rows.values()):,} rows: peak {peak:.0f} MB, {time.perf_counter() - start:.0f} s", flush=True)
    shutil.rmtree(folder)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--curator", metavar="PYTHON", help="Python of an environment with bespokelabs-curator.")
    parser.add_argument("--memory", type=int, nargs="+", metavar="ROWS")
    options = parser.parse_args()
    os.environ["NEEDLE_DATA"] = "nowhere"
    if options.memory:
        for rows in options.memory:
            process = multiprocessing.get_context("spawn").Process(target=memory_run, args=(rows,))
            process.start()
            process.join()
        return
    receive, send = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(send,), daemon=True)
    server.start()
    port = receive.recv()
    rates: dict[str, list[float]] = {"bare": [], "needle": []}
    for _ in range(options.repeats):
        for name, work in (("bare", bare_run), ("needle", needle_run)):
            wall, processor, sent = work(options.rows, port, options.concurrency)
            rates[name].append(options.rows / wall)
            print(f"{name}: {options.rows / wall:.0f} rows/s, {1000 * processor / options.rows:.2f} ms of processor a row, {sent} questions", flush=True)
    ratio = statistics.median(rates["needle"]) / statistics.median(rates["bare"])
    print(f"needle / bare SDK loop: {ratio:.2f} (median of {options.repeats})")
    if options.curator:
        wall = curator_run(options.curator, options.rows, port, options.concurrency)
        print(f"curator: {options.rows / wall:.0f} rows/s (two questions counted as a row)")
    server.terminate()


if __name__ == "__main__":
    main()
