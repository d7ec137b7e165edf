"""How often the span given for an argument is the right one: by the text alone, by attention alone, by both.

    python benchmarks/evidence.py --data FOLDER_WITH_snips_AND_sgd_compact [--rows 200]

The decoder is fed the right calls, so that what is measured is the pointing, not the calling. Gold spans: words that people marked in SNIPS'
training requests (values as written) and in Schema-Guided Dialogue (dates and times written differently from how they are said), and values of
the recorded traces that stand in their request exactly once. Attention is that of the heads in the model's configuration (``set``), and of eight
heads chosen on one half of the rows (``chosen``); everything is measured on the other half.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import torch

from needle.evals.snips import TOOLS
from needle.models import checkpoint_folder
from needle.student.decoding import aligned_heads
from needle.student.modeling.storage import load_model
from needle.student.tokenizer import load_tokenizer
from needle.tools import Request, ToolCall, ToolSpec
from needle.tools.arguments import flat_arguments
from needle.tools.grounding.evidence import attended_span, find_evidence
from needle.tools.read import load_toolset, read_tools
from needle.traces.read import read_traces
from needle.train.heads import Looked, choose_heads, looked

Gold = tuple[Request, list[ToolCall], dict[str, tuple[int, int]]]


def snips(folder: Path, rows: int) -> Iterator[Gold]:
    """Training requests with the words that people marked."""
    tools = load_toolset(TOOLS)
    for tool in tools:
        path = folder / "2017-06-custom-intent-engines" / tool.name / f"train_{tool.name}_full.json"
        read = json.loads(path.read_bytes().decode("utf-8", "replace"))[tool.name]
        for row in random.Random(0).sample(read, -(-rows // len(tools))):
            query, arguments, spans = "", {}, {}
            for piece in row["data"]:
                if (slot := piece.get("entity")) and piece["text"].strip():
                    twice = slot in arguments
                    start = len(query) + len(piece["text"]) - len(piece["text"].lstrip())
                    arguments[slot] = piece["text"].strip()
                    spans[f"0.{slot}"] = (start, start + len(arguments[slot]))
                    if twice:
                        spans.pop(f"0.{slot}")
                query += piece["text"]
            if spans:
                yield Request(query, tuple(tools)), [ToolCall(tool.name, arguments)], spans


def sgd(folder: Path, rows: int) -> Iterator[Gold]:
    """Turns with marked words whose service call has the value in the corpus's own form."""
    services = json.loads((folder / "schema_train.json").read_text(encoding="utf-8"))
    schemas = {service["service_name"]: service for service in services}
    found = []
    for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines():
        turns = json.loads(line)["turns"]
        calls = _service_calls(turns)
        for place, turn in enumerate(turns):
            for frame in turn.get("f", ()) if turn["s"] == "U" else ():
                after = next((call for service, call, when in calls if service == frame["service"] and when > place), None)
                spans, arguments = {}, {}
                for slot, start, end in frame.get("spans", ()):
                    if after and turn["u"][start:end] in after["state"].get(slot, ()) and slot in after["parameters"]:
                        arguments[slot], spans[f"0.{slot}"] = after["parameters"][slot], (start, end)
                if after and arguments and after["method"] == frame.get("intent"):
                    tool = _tool(schemas[frame["service"]], after["method"])
                    found.append((Request(turn["u"], (tool,), "Today is 2019-03-01."), [ToolCall(tool.name, arguments)], spans))
    changed = [one for one in found if any(str(value).lower() not in one[0].query.lower() for value in one[1][0].arguments.values())]
    yield from random.Random(0).sample(changed, min(rows, len(changed)))


def _service_calls(turns: list[dict]) -> list[tuple[str, dict, int]]:
    """Service, call with the state of the dialogue when it was made, and turn."""
    found, states = [], {}
    for place, turn in enumerate(turns):
        for frame in turn.get("f", ()):
            states[frame["service"]] = frame.get("slots", states.get(frame["service"], {}))
            if "call" in frame:
                found.append((frame["service"], {**frame["call"], "state": states[frame["service"]]}, place))
    return found


def _tool(service: dict, method: str) -> ToolSpec:
    intent = next(one for one in service["intents"] if one["name"] == method)
    names = [*intent["required_slots"], *intent["optional_slots"]]
    slots = {one["name"]: {"type": "string", "description": one["description"]} for one in service["slots"] if one["name"] in names}
    return read_tools([{"name": method, "description": intent["description"], "parameters": {"type": "object", "properties": slots}}])[0]


def recorded(file: Path, rows: int) -> Iterator[Gold]:
    """Traces whose values stand in the request exactly once, as they are."""
    traces, _ = read_traces(file)
    for trace in random.Random(0).sample(traces, len(traces)):
        spans = {}
        for number, call in enumerate(trace.calls):
            for path, value in flat_arguments(call.arguments):
                if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value):
                    places = [match.span() for match in re.finditer(rf"(?<![\w.]){re.escape(str(value))}(?![\w]|\.\d)", trace.query, re.IGNORECASE)]
                    if len(places) == 1:
                        spans[f"{number}.{path}"] = places[0]
        if spans and rows > 0:
            rows -= 1
            yield trace.request, list(trace.calls), spans


def score(span: tuple[int, int] | None, gold: tuple[int, int], query: str) -> tuple[float, float, float]:
    """Exact, F1 over words, intersection over union of characters."""
    if span is None:
        return 0.0, 0.0, 0.0
    common = max(0, min(span[1], gold[1]) - max(span[0], gold[0]))
    words = [match.span() for match in re.finditer(r"\w+", query)]
    mine, theirs = ({word for word in words if word[0] < one[1] and one[0] < word[1]} for one in (span, gold))
    shared = len(mine & theirs)
    iou = common / (span[1] - span[0] + gold[1] - gold[0] - common)
    return float(span == gold), 2 * shared / max(len(mine) + len(theirs), 1), iou


def measure(items: list[tuple[Gold, list[Looked]]], heads: list[list[int]]) -> dict[str, tuple[float, ...]]:
    """Mean scores by method over all gold spans."""
    scores: dict[str, list[tuple[float, float, float]]] = {"text": [], "attention": [], "both": []}
    for (request, calls, spans), seen in items:
        weights = {one.path: one.characters(heads, len(request.query)) for one in seen}
        by_text = {one.path: (one.start, one.end) for one in find_evidence(request, calls)}
        both = {one.path: (one.start, one.end) for one in find_evidence(request, calls, weights)}
        for path, gold in spans.items():
            alone = attended_span(request.query, weights[path]) if path in weights else None
            for method, span in (("text", by_text.get(path)), ("attention", alone and alone[:2]), ("both", both.get(path))):
                scores[method].append(score(span, gold, request.query))
    return {method: tuple(sum(column) / len(column) for column in zip(*found, strict=True)) + (len(found),) for method, found in scores.items()}


def main() -> None:
    """Print heads and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with snips and sgd_compact")
    parser.add_argument("--traces", type=Path, default=Path("data/traces/validation.jsonl.gz"))
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = checkpoint_folder(options.model)
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    sources = {"snips": snips(options.data / "snips", options.rows), "sgd": sgd(options.data / "sgd_compact", options.rows),
               "recorded": recorded(options.traces, options.rows)}  # fmt: skip
    items = {name: [(gold, looked(model, tokenizer, *gold[:2])) for gold in golds] for name, golds in sources.items()}
    halves = [[one for found in items.values() for one in found[half::2]] for half in (0, 1)]
    heads = choose_heads([(seen, spans[seen.path]) for (_, _, spans), found in halves[0] for seen in found if seen.path in spans])
    print("chosen (layer, head):", heads)
    configured = [[layer, head] for layer, own in aligned_heads(model.config).items() for head in own]
    for name, found in items.items():
        for which, some in (("set", configured), ("chosen", heads)):
            for method, (exact, f1, iou, n) in measure(found[1::2], some).items():
                words = f"{method} ({which})" if method != "text" else method
                if words != "text" or which == "set":
                    print(f"{name:9} {words:19} exact {exact:.3f}  word F1 {f1:.3f}  IoU {iou:.3f}  ({n} values)", flush=True)


if __name__ == "__main__":
    main()
