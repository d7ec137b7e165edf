"""Milliseconds a call of the student, one request at a time, warm: constrained, free, and without a cache, in one run.

    python benchmarks/decode.py                                  # the bundled base on the home requests
    python benchmarks/decode.py --model runs/shop --requests 20 --threads 1
    python benchmarks/decode.py --preset nano --requests 3       # random weights: a rehearsal

Every request is answered by each way in turn, so that whatever else the machine does meets all of them alike; read the ratios. Without a cache
(the naive loop) the whole source and the answer so far are computed again for every token of the constrained answer.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from needle.evals import load_suite
from needle.models import checkpoint_folder
from needle.student.caller import StudentCaller
from needle.student.modeling import PRESETS, NeedleConfig, NeedleModel
from needle.student.modeling.batching import pack_source, pack_target
from needle.student.modeling.engine import TorchEngine
from needle.student.modeling.storage import load_model
from needle.student.rendering import render_request, render_tools
from needle.student.tokenizer import BOS, SPECIAL_IDS, load_tokenizer
from needle.tools import Request


@torch.inference_mode()
def naive(caller: StudentCaller, request: Request, tokens: int) -> None:
    """Greedy tokens of an answer of the given length, everything computed again for each."""
    source = pack_source([render_tools(caller.tokenizer, request.tools)], [render_request(caller.tokenizer, request)], [0])
    answer = [SPECIAL_IDS[BOS]]
    for _ in range(tokens):
        states = caller.engine.model(source, pack_target([answer], source), caller.engine.dtype)
        answer.append(int(caller.engine.model.logits(states[-1:]).argmax()))


def milliseconds(work: Callable[[], object]) -> float:
    """Wall-clock milliseconds of one call of ``work``."""
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


def measure(model: NeedleModel, folder: str | None, requests: list[Request], longest: int) -> dict[str, list[float]]:
    """Milliseconds of each request by each way."""
    model.config.max_target_tokens = longest
    tokenizer = load_tokenizer(folder)
    constrained, free = (StudentCaller(TorchEngine(model), tokenizer, constrained=flag) for flag in (True, False))
    lengths = [constrained.answer([request])[0].usage["completion_tokens"] for request in requests]  # and the caches are warm
    free.answer(requests[:1])
    times: dict[str, list[float]] = {"constrained": [], "free": [], "no cache": []}
    for request, tokens in zip(requests, lengths, strict=True):
        times["constrained"].append(milliseconds(lambda: constrained.answer([request])))
        times["free"].append(milliseconds(lambda: free.answer([request])))
        times["no cache"].append(milliseconds(lambda: naive(constrained, request, tokens)))
    print(f"{len(requests)} requests, {statistics.mean(lengths):.1f} tokens an answer, {torch.get_num_threads()} threads")
    return times


def main() -> None:
    """Print p50 and p95 of each way, and its ratio to constrained decoding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="checkpoint folder; default: the bundled base")
    parser.add_argument("--preset", choices=PRESETS, help="random weights of this size in place of a checkpoint")
    parser.add_argument("--suite", default="home-smoke", help="suite whose requests are answered")
    parser.add_argument("--requests", type=int, default=40, help="how many of them")
    parser.add_argument("--longest", type=int, default=96, help="tokens after which an answer is cut (random weights never end)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = None if options.preset else checkpoint_folder(options.model)
    model = load_model(folder) if folder else NeedleModel(NeedleConfig(**PRESETS[options.preset])).eval()
    requests = [trace.request for trace in load_suite(options.suite, limit=options.requests).traces]
    times = measure(model, folder, requests, options.longest)
    base = statistics.median(times["constrained"])
    print(f"{'':<14}{'p50 ms':>9}{'p95 ms':>9}{'ratio':>8}")
    for name, values in times.items():
        ordered = sorted(values)
        p50, p95 = statistics.median(ordered), ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)]
        print(f"{name:<14}{p50:>9.1f}{p95:>9.1f}{p50 / base:>8.2f}")


if __name__ == "__main__":
    main()
