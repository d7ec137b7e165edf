"""``TextCaller``: a caller that writes text, which one of the parsers then reads; and the request as plain JSON."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from needle.evals.parse import Unreadable, as_result, read_call
from needle.evals.parsers import AUTO, NATIVE, parse_output
from needle.tools.caller import Caller, CallResult, Request
from needle.tools.spec import ToolCall, ToolSpec


@dataclass(frozen=True)
class Output:
    """What came back for one request: text, or calls that the model's own program has read already, or a failure."""

    text: str = ""
    """Model output as it came."""
    calls: Any = None
    """List of ``{"name", "arguments"}`` where no parser is needed; None: ``text`` is to be parsed."""
    failure: str | None = None
    """Why nothing came back, for reasons outside the model (crash, time-out)."""
    error: str | None = None
    """Why there can be no answer, for reasons of the model (the prompt does not fit it)."""
    seconds: float | None = None
    """Wall-clock seconds for this answer."""
    usage: Mapping[str, int] = field(default_factory=dict)
    """``prompt_tokens`` and ``completion_tokens``, where known."""
    confidence: float | None = None
    """Probability that the answer is right, where the model gives one."""
    cut: bool = False
    """The text stopped at the token limit, not because the model was done."""


class ReadResult(CallResult):
    """A result that says which parser read it."""

    parser: str = NATIVE


class TextCaller(Caller):
    """A caller whose answers are text. Subclasses give ``write``; ``parser`` says how the text is read."""

    parser: str = AUTO

    @abstractmethod
    def write(self, requests: Sequence[Request]) -> list[Output]:
        """One output for each request, in order. Never raises for one row."""

    def answer(self, requests: Sequence[Request]) -> list[CallResult]:
        """Write, then read with ``parser``."""
        outputs = self.write(requests)
        return [self.read(output, request.tools) for output, request in zip(outputs, requests, strict=True)]

    def read(self, output: Output, tools: Sequence[ToolSpec]) -> CallResult:
        """The calls of one output."""
        details: dict[str, Any] = {
            "seconds": output.seconds,
            "usage": dict(output.usage),
            "confidence": output.confidence,
        }
        if output.failure is not None:
            return ReadResult(raw=output.text, error=output.failure, infra_error=True, **details)
        if output.error is not None:
            return ReadResult(raw=output.text, error=output.error, **details)
        if output.calls is None:
            found, parser = parse_output(output.text, self.parser, tools), self.parser
            if output.cut and not found and found.error is None:  # words without an end decide nothing
                return ReadResult(raw=output.text, error="truncated: no end within the token limit", **details)
        else:
            raw = output.text or json.dumps(output.calls, ensure_ascii=False)
            found, parser = as_result(lambda _: _calls(output.calls), raw), NATIVE
        result = ReadResult(found, raw=found.raw, error=found.error, **details)
        result.parser = parser
        return result


def _calls(value: Any) -> list[ToolCall]:
    if not isinstance(value, list):
        raise Unreadable(f"wrong_envelope: a list of calls is due, this is {type(value).__name__}")
    return [item if isinstance(item, ToolCall) else read_call(item) for item in value]


def request_to_dict(request: Request) -> dict[str, Any]:
    """A request as the JSON object that programs and functions get (see ``evals/README.md``)."""
    return {
        "query": request.query,
        "system": request.system,
        "messages": list(request.messages),
        "tools": [tool.to_dict() for tool in request.tools],
    }


def output_from(value: Any, seconds: float | None = None) -> Output:
    """What a program or function gave back, as an ``Output``.

    Text is parsed; a list holds calls; an object has ``output`` or ``calls``, and may have ``confidence``, ``usage``
    and ``error`` (a failure outside the model). Anything else is a failure.
    """
    if isinstance(value, str):
        return Output(text=value, seconds=seconds)
    if isinstance(value, CallResult):
        failed = value.error if value.infra_error else None
        calls = None if value.error else list(value)
        return Output(value.raw, calls, failed, value.seconds or seconds, value.usage, value.confidence)
    if isinstance(value, list):
        return Output(calls=value, seconds=seconds)
    if not isinstance(value, Mapping) or not {"output", "calls", "error"} & value.keys():
        return Output(text=repr(value)[:200], failure="protocol: neither output nor calls came back", seconds=seconds)
    if value.get("error"):
        return Output(text=str(value.get("output") or ""), failure=str(value["error"]), seconds=seconds)
    confidence, usage = value.get("confidence"), value.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    return Output(
        text=value["output"] if isinstance(value.get("output"), str) else "",
        calls=value.get("calls"),
        seconds=seconds,
        usage={key: one for key, one in usage.items() if isinstance(one, int) and not isinstance(one, bool)},
        confidence=float(confidence) if isinstance(confidence, int | float) else None,
    )
