"""Milliseconds, memory and start of the exported student beside Hugging Face ``generate`` and llama.cpp, one request at a time on one core.

    python benchmarks/latency.py                                 # the bundled base
    python benchmarks/latency.py --model runs/shop/int4 --core 1 --rounds 50
    python benchmarks/latency.py --preset nano --rounds 2        # random weights: a rehearsal
    pip install llama-cpp-python gguf                            # else its row says "not installed"

Five tools (435 tokens), a request of 15 words, a call of 43 tokens. All ways write so many tokens: the student is led through that call by its
own decoder, grammar included (``--free``: it answers as it likes). ``warm``: the toolset is known. ``cold``: it is new, its grammar too. Each
round runs every way once, so that whatever else the machine does meets all of them; a ratio is the median of the rounds' ratios. ``best``: the
fastest round. ``cpu``: the process's processor time, which other work disturbs less. ``start``: a fresh process, ``import needle`` to the end of
the first call, and its peak memory; with a new toolset, and with one that an earlier process prepared.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import needle
from needle.device.engine import OnnxEngine
from needle.models import checkpoint_folder
from needle.student.caller import StudentCaller
from needle.student.decoding import among
from needle.student.rendering import render_answer, render_request, render_tools
from needle.student.tokenizer import load_tokenizer
from needle.tools import Request, ToolCall, ToolSpec

TOOLS = Path(__file__).parents[1] / "data" / "toolsets" / "phone.json"
QUERY = "remind me to call my sister about the birthday party tomorrow at half past seven"
ANSWER = ToolCall("create_reminder", {"text": "call my sister about the birthday party", "date": "2026-11-30", "time": "19:30"})
START = """
import json, re, sys, time
began, cpu = time.perf_counter(), time.process_time()
import needle
model = needle.load(json.loads(sys.argv[1]), threads=1)
tools = needle.load_toolset(sys.argv[3])[:5]
if sys.argv[4] == "prepare":
    model.prepare(tools)
model.call(sys.argv[2], tools)
taken = time.perf_counter() - began, time.process_time() - cpu
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(*taken, int(peak) / 1e3, "torch" in sys.modules)
"""
"""``VmHWM`` and not ``ru_maxrss``, which a process inherits from the one that started it."""
Time = tuple[float, float]
"""Milliseconds by the clock and of processor time."""


class LedLogits:
    """Logits among which a given token is always the highest (None: as they are)."""

    def __init__(self, logits: Any, tokens: Sequence[int | None]) -> None:
        self._logits, self._tokens, self.shape = logits, tokens, logits.shape

    def among(self, row: int, tokens: np.ndarray) -> np.ndarray:
        """See ``Logits``."""
        found = among(self._logits, row, tokens)
        found[tokens == self._tokens[row]] = 1e4
        return found


class Led:
    """A stepper that writes a given answer: its next token gets the highest logit wherever one is asked for."""

    def __init__(self, stepper: Any, answer: Sequence[int]) -> None:
        self._stepper, self._answer, self._fed, self.alignment = stepper, answer, -1, None

    def step_all(self, tokens: Sequence[int], last: int) -> LedLogits:
        """See ``DraftingStepper``."""
        logits = self._stepper.step_all(tokens, last)
        self._fed += len(tokens)
        places = range(self._fed - last + 1, self._fed + 1)
        return LedLogits(logits, [self._answer[place] if place < len(self._answer) else None for place in places])

    def back_to(self, length: int) -> None:
        """See ``ReturningStepper``."""
        self._fed = length - 1
        self._stepper.back_to(length)


class LedEngine:
    """The engine of a student whose single requests are all answered with the same tokens."""

    def __init__(self, engine: OnnxEngine, answer: Sequence[int]) -> None:
        self._engine, self._answer, self.config = engine, answer, engine.config

    def stepper(self, toolsets: Any, requests: Any, toolset_of: Any, align: bool = False) -> Led:
        """See ``Engine``."""
        return Led(self._engine.stepper(toolsets, requests, toolset_of, align), self._answer)


def variant(tools: Sequence[ToolSpec], number: int) -> tuple[ToolSpec, ...]:
    """A toolset that no cache has seen, of the same length to a token or two."""
    return (replace(tools[0], description=f"{tools[0].description} {number}"), *tools[1:])


def ways(folder: Path, free: bool, llama: Path) -> tuple[dict[str, Callable[[int], object]], str]:
    """What runs in each round, by name (each is given the round's number), and the case in words."""
    tokenizer, tools = load_tokenizer(folder), needle.load_toolset(TOOLS)[:5]
    toolset, request = render_tools(tokenizer, tools), render_request(tokenizer, Request(QUERY, tuple(tools)))
    answer, _ = render_answer(tokenizer, [ANSWER], tools)
    engine = OnnxEngine(folder)
    student = StudentCaller(engine if free else LedEngine(engine, answer), tokenizer)  # type: ignore[arg-type]
    first = student.answer([Request(QUERY, tuple(tools))])[0]
    assert free or list(first) == [ANSWER], first
    written = first.usage["completion_tokens"]
    asked = cache(lambda number: [Request(QUERY, variant(tools, number))])
    found: dict[str, Callable[[int], object]] = {f"needle {how}": lambda number: student.answer(asked(number)) for how in ("cold", "warm")}
    case = f"{len(toolset)} tokens of tools, {len(request)} of the request, {written} written"
    return found | rivals(folder, toolset, request, written, llama), case


def rivals(folder: Path, toolset: Sequence[int], request: Sequence[int], written: int, file: Path) -> dict[str, Callable[[int], object]]:
    """The other ways, as far as they are installed."""
    found: dict[str, Callable[[int], object]] = {}
    try:
        import torch
        from latency_rivals import Generate, LlamaCpp, write_llama
    except ImportError as error:
        print(f"generate, llama.cpp: not installed ({error.name})")
        return found
    torch.set_num_threads(1)
    generate = Generate(folder, toolset, request)
    found["generate"] = lambda _: generate.call(written)
    try:
        write_llama(file)
        llama = LlamaCpp(file, toolset, request)
    except ImportError as error:
        print(f"llama.cpp: not installed ({error.name}); pip install llama-cpp-python gguf")
        return found
    atexit.register(llama.llama.close)  # at the end it would find the library gone
    found["llama.cpp cold"] = lambda _: llama.call(written, True)
    found["llama.cpp warm"] = lambda _: llama.call(written, False)
    return found


def milliseconds(work: Callable[[], object]) -> Time:
    """Clock and processor milliseconds of one call of ``work``."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)


def measure(found: dict[str, Callable[[int], object]], rounds: int) -> dict[str, list[Time]]:
    """Times of each way, one a round; a first round is not counted."""
    times: dict[str, list[Time]] = {name: [] for name in found}
    for number in range(rounds + 1):
        for name, work in found.items():
            times[name].append(milliseconds(lambda work=work, number=number: work(number)))
    return {name: values[1:] for name, values in times.items()}


def table(times: dict[str, list[Time]]) -> list[str]:
    """A line for each way, with what it takes as a multiple of the student with a known and with a new toolset."""
    lines = [f"{'':<16}{'best ms':>8}{'p50':>8}{'p95':>8}{'cpu best':>10}{'p50':>8}{'x warm':>9}{'by cpu':>8}{'x cold':>9}{'by cpu':>8}"]
    for name, values in times.items():
        wall, cpu = (sorted(value[side] for value in values) for side in (0, 1))
        line = f"{name:<16}{wall[0]:>8.1f}{statistics.median(wall):>8.1f}{wall[round(0.95 * (len(wall) - 1))]:>8.1f}"
        line += f"{cpu[0]:>10.1f}{statistics.median(cpu):>8.1f}"
        for base in ("needle warm", "needle cold"):
            ratios = [statistics.median(own[side] / other[side] for own, other in zip(values, times[base], strict=True)) for side in (0, 1)]
            line += f"{ratios[0]:>9.2f}{ratios[1]:>8.2f}"
        lines.append(line)
    return lines


def start(model: str | None, times: int) -> list[str]:
    """Fresh processes with a toolset that is new, and with one that an earlier process prepared: a line each."""
    lines = []
    with tempfile.TemporaryDirectory() as kept:
        for how in ("new", "prepared"):
            command = [sys.executable, "-c", START, json.dumps(model), QUERY, str(TOOLS)]
            environment = os.environ | {"NEEDLE_CACHE": kept}
            if how == "prepared":
                subprocess.run([*command, "prepare"], check=True, capture_output=True, env=environment)
            outputs = [subprocess.run([*command, how], capture_output=True, text=True, check=True, env=environment).stdout for _ in range(times)]
            wall, cpu, peak = ([float(output.split()[column]) for output in outputs] for column in range(3))
            typical = f"{statistics.median(wall):.2f} s ({statistics.median(cpu):.2f} s of CPU), best {min(wall):.2f} s"
            with_torch = ", with torch" if any("True" in output for output in outputs) else ""
            lines.append(f"start, toolset {how}: import to first call {typical}, peak {max(peak):.0f} MB{with_torch}")
    return lines


def random_student(preset: str, folder: Path) -> Path:
    """A student of random weights in 4 bits."""
    from needle.student.modeling import PRESETS, NeedleConfig, NeedleModel
    from needle.student.modeling.storage import save_quantized

    save_quantized(NeedleModel(NeedleConfig(**PRESETS[preset])).eval(), folder, 4)
    load_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def main() -> None:
    """Print the case, a line for each way, and the start of a process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="exported folder or checkpoint; default: the bundled base")
    parser.add_argument("--preset", help="random weights of this size in place of a model")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--starts", type=int, default=3, help="fresh processes that are started")
    parser.add_argument("--core", type=int, help="stay on this core")
    parser.add_argument("--free", action="store_true", help="the model's own answer in place of the given call")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    with tempfile.TemporaryDirectory() as made:
        model = str(random_student(options.preset, Path(made) / "student")) if options.preset else options.model
        found, case = ways(checkpoint_folder(model), options.free, Path(made) / "llama.gguf")
        print(f"{case}, 1 thread, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}")
        print("\n".join(table(measure(found, options.rounds)) + start(model, options.starts)))


if __name__ == "__main__":
    main()
