"""``needle teacher probe``: find out once what an endpoint and model can do, with a dozen short calls.

A server may reject a parameter, ignore it, or take it and do something else, so each ability is tried with a request
whose answer tells the difference: a forced call is asked for where none fits, a value outside an enum is asked for
under ``strict``, a random number is asked for twice with one seed. The report holds no key and no answer.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import httpx2
import openai

from needle.teacher.client import Teacher
from needle.teacher.config import NEEDS, Capabilities, TeacherConfig
from needle.teacher.errors import PermanentError, TransientError
from needle.teacher.reports import probe_key
from needle.teacher.wire import Answer

OUTPUT = 600
"""Output tokens of a call; reasoning models spend some before they answer."""


def _tool(name: str, description: str, properties: dict[str, Any], **rest: Any) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters, **rest},
    }


WEATHER = _tool("get_weather", "Get the weather of a city.", {"city": {"type": "string"}})
LAMP = _tool("set_lamp", "Set the lamp to a colour.", {"colour": {"type": "string", "enum": ["red", "green"]}})
STRICT_LAMP = {"type": "function", "function": LAMP["function"] | {"strict": True}}
MOOD = {
    "type": "object",
    "properties": {"mood": {"type": "string", "enum": ["glad", "sad"]}},
    "required": ["mood"],
    "additionalProperties": False,
}


@dataclass
class ProbeReport:
    """What was found out."""

    endpoint: str
    """Address and model."""
    when: str
    """Day of the probe."""
    capabilities: dict[str, bool | None] = field(default_factory=dict)
    """Ability to true, false, or None where it could not be told."""
    notes: dict[str, str] = field(default_factory=dict)
    """What was seen, for each ability."""
    left_out: list[str] = field(default_factory=list)
    """Parameters that the endpoint refused by name."""
    requests: int = 0
    """Calls that it took."""
    prompt_tokens: int = 0
    """Input tokens of all calls."""
    completion_tokens: int = 0
    """Output tokens of all calls."""

    def table(self) -> str:
        """One line an ability."""
        words = {True: "yes", False: "no", None: "unknown"}
        width = max(len(words) for words in NEEDS.values())
        return "\n".join(
            f"{NEEDS[name]:<{width}}  {words[value]:<7}  {self.notes[name]}"
            for name, value in self.capabilities.items()
        )


Finding = tuple[bool | None, str]


async def probe(
    config: TeacherConfig,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ProbeReport:
    """Try everything once.

    Args:
        config: whom to ask; what it says about capabilities is ignored.
        transport: replaces the network.
        progress: called with abilities tried and their count.

    Raises:
        UserError: the endpoint cannot be used at all: wrong key, no quota, unknown model.
        TransientError: it cannot be reached.
    """
    report = ProbeReport(probe_key(config), datetime.date.today().isoformat())
    plain = replace(config, capabilities=Capabilities(), max_attempts=2, top_logprobs=0, strict=False)
    names = [name.name for name in fields(Capabilities)]
    async with Teacher(plain, transport=transport) as teacher:
        asked = _Prober(teacher)
        first = await asked.say("Reply with the word yes.")  # what fails here would fail for every call
        for number, name in enumerate(names):
            report.capabilities[name], report.notes[name] = await _find(asked, name, first)
            if progress:
                progress(number + 1, len(names))
        report.left_out = sorted(teacher.left_out)
        used = teacher.usage
    report.requests, report.prompt_tokens, report.completion_tokens = (
        used.requests,
        used.prompt_tokens,
        used.completion_tokens,
    )
    return report


async def _find(asked: _Prober, name: str, first: Answer) -> Finding:
    if name == "usage":
        counted = {"prompt_tokens", "completion_tokens"} <= first.usage.keys()
        return counted, f"{first.usage}" if counted else "no token counts in the answer"
    try:
        return await CHECKS[name](asked)
    except PermanentError as error:
        if error.reason in ("auth", "quota", "starved"):
            raise
        return False, str(error)
    except TransientError as error:
        # some servers answer 500 to a combination that they do not support
        return (False if error.reason in ("server", "not_json") else None), str(error)


class _Prober:
    """The questions."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    async def say(self, text: str, **parameters: Any) -> Answer:
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": OUTPUT, "temperature": 0.0}
        return await self.teacher.complete(body | parameters)

    async def native_tools(self) -> Finding:
        answer = await self.say("What is the weather in Paris?", tools=[WEATHER])
        calls = _calls(answer)
        good = calls == [("get_weather", {"city": "Paris"})] or bool(calls) and calls[0][0] == "get_weather"
        return good, "calls a tool" if good else f"wrote text instead: {answer.text[:60]!r}"

    async def parallel_calls(self) -> Finding:
        calls = _calls(
            await self.say(
                "What is the weather in Paris, and what is it in Rome? Ask for both at once.", tools=[WEATHER]
            )
        )
        return len(calls) >= 2, f"{len(calls)} of 2 calls in one answer"

    async def strict(self) -> Finding:
        calls = _calls(
            await self.say("Set the lamp to exactly 'turquoise'.", tools=[STRICT_LAMP], tool_choice="required")
        )
        if not calls:
            return None, "no call to judge by"
        kept = calls[0][1].get("colour") in ("red", "green")
        return kept, "kept to the enum against the request" if kept else f"wrote {calls[0][1]} against the schema"

    async def tool_choice_required(self) -> Finding:
        calls = _calls(await self.say("Tell me a joke.", tools=[WEATHER, LAMP], tool_choice="required"))
        return bool(calls), "forces a call" if calls else "ignored"

    async def tool_choice_named(self) -> Finding:
        choice = {"type": "function", "function": {"name": "set_lamp"}}
        calls = _calls(await self.say("What is the weather in Paris?", tools=[WEATHER, LAMP], tool_choice=choice))
        good = bool(calls) and all(name == "set_lamp" for name, _ in calls)
        return good, "forces that call" if good else "ignored"

    async def logprobs(self) -> Finding:
        return _probabilities(await self.say("Reply with the word yes.", logprobs=True, top_logprobs=5))

    async def logprobs_with_tools(self) -> Finding:
        answer = await self.say("What is the weather in Paris?", tools=[WEATHER], logprobs=True, top_logprobs=5)
        return _probabilities(answer) if answer.tool_calls else (None, "no call to judge by")

    async def json_schema(self) -> Finding:
        form = {"type": "json_schema", "json_schema": {"name": "mood", "strict": True, "schema": MOOD}}
        answer = await self.say("Greet me in one friendly sentence.", response_format=form)
        try:
            kept = json.loads(answer.text).get("mood") in ("glad", "sad")
        except (ValueError, AttributeError):
            kept = False
        return kept, "kept to the schema against the request" if kept else f"ignored: {answer.text[:60]!r}"

    async def seed(self) -> Finding:
        texts = [
            (await self.say("Write a random number of twelve digits.", seed=7, temperature=1.0)).text for _ in range(2)
        ]
        if "seed" in self.teacher.left_out:
            return False, "refused"
        if not any(texts):
            return None, "no text to judge by"
        return texts[0] == texts[1], "same answer twice" if texts[0] == texts[1] else "two different answers"

    async def several_choices(self) -> Finding:
        choices = len(json.loads((await self.say("Reply with the word yes.", n=2)).raw)["choices"])
        return choices == 2, f"{choices} of 2 answers"

    async def batch(self) -> Finding:
        try:
            listed = await self.teacher.list_batches(1)
        except openai.APIStatusError as error:
            known = None if error.status_code in (401, 403, 429) else False
            return known, f"GET /batches answers with status {error.status_code}"
        except (openai.APIError, ValueError, AttributeError):
            return False, "GET /batches gives no list"
        return isinstance(listed, list), "GET /batches gives a list"


CHECKS: Mapping[str, Callable[[_Prober], Awaitable[Finding]]] = {
    name.name: getattr(_Prober, name.name) for name in fields(Capabilities) if name.name != "usage"
}


def _calls(answer: Answer) -> list[tuple[str, dict[str, Any]]]:
    """Calls whose arguments can be read."""
    calls = []
    for name, text in answer.tool_calls:
        try:
            arguments = json.loads(text or "{}")
        except ValueError:
            continue
        if isinstance(arguments, dict):
            calls.append((name, arguments))
    return calls


def _probabilities(answer: Answer) -> Finding:
    tokens = answer.logprobs
    if tokens is None:
        return False, "none, or none that can be true"
    most = max(len(token.alternatives) for token in tokens)
    return True, f"{len(tokens)} tokens, up to {most} alternatives"
