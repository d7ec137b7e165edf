"""A second look in the browser: where values are found, how answers fit their requests and which others are written are as in Python."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from playground_helpers import ready, recorded, served, spelled_desk

from needle.student.agreement import FEATURES, Agreement
from needle.student.alternatives import Turn, Writer, alternatives, turns
from needle.student.decoding import Choice, Decoded
from needle.student.prior import Judging
from needle.student.reranking import Candidates
from needle.tools import Request, ToolCall, ToolSpec
from needle.tools.grounding.ground import Slot, find_value, slots
from needle.tools.grounding.hearing import today_in
from needle.tools.retrieval import ToolIndex
from needle.traces import Trace

SETUP = """(async () => {
  const [{Tokenizer}, exact, words, {Prior}, {todayIn}, {Saying}, {slots, findValue}, {Agreement}, others, reranking] = await Promise.all(
    ["tokenizer", "exact", "words", "prior", "moments", "said", "ground", "agreement", "alternatives", "reranking"].map(name => import(`/page/model/${name}.js`)));
  Object.assign(window, {tokenizer: new Tokenizer(window.tokenizerFile), exact, words, Prior, todayIn, Saying, slots, findValue, Agreement, others, reranking});
  window.inPoints = (text, span) => span && span.map(at => [...text.slice(0, at)].length);
})()"""
NO_PRIOR = {"format": 1, "names": {"sharpness": 1, "words": 0}, "values": {"sharpness": 1, "words": 0}}


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    with served(spelled_desk(tmp_path_factory.mktemp("desk"))) as url:
        ready(browser, url, SETUP)
        yield browser


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    """Every tenth of the recorded validation rows."""
    return recorded("validation", 10)


def written(value: Any) -> str:
    """JSON text as a JavaScript literal: numbers keep how they are spelled."""
    return json.dumps(json.dumps(value, ensure_ascii=False))


def swapped(value: Any, held: list[Any], rng: random.Random) -> Any:
    """Arguments of which some values are others', or nearly what they were."""
    if isinstance(value, dict):
        return {key: swapped(item, held, rng) for key, item in value.items()}
    if isinstance(value, list):
        return [swapped(item, held, rng) for item in value]
    if rng.random() < 0.6:
        return value
    near: list[Any] = [rng.choice(held)]
    near += [not value] if isinstance(value, bool) else [value * 60, -value, value / 4, value + 0.5, float(value)] if isinstance(value, int | float) else []
    near += [value.upper(), value[:-1], value.replace(" ", "-"), f"{value}, {rng.choice(held)}"] if isinstance(value, str) else []
    return rng.choice(near)


def variants(trace: Trace, rng: random.Random) -> list[list[ToolCall]]:
    """The right calls, some with other values, one twice, one again with an argument less, none."""
    calls = list(trace.calls)
    held = [slot.value for slot in slots(calls, trace.tools)] or ["x"]
    others = [[ToolCall(call.name, swapped(call.arguments, held, rng)) for call in calls] for _ in range(4)]
    less = [ToolCall(call.name, dict(list(call.arguments.items())[1:])) for call in calls[:1]]
    return [calls, *others, [*calls, *calls[:1]], [*calls, *less], calls[:1], []]


def test_values_are_found_where_python_finds_them(page, traces):
    rng, found = random.Random(0), 0
    for trace in traces:
        calls = [call for calls in variants(trace, rng)[:5] for call in calls]
        mine = page.evaluate(f"""(() => {{
          const text = {json.dumps(trace.query)}, request = new Saying(text, todayIn({json.dumps(trace.system)}));
          return slots(exact.parseExact({written([call.to_dict() for call in calls])}), exact.parseExact({written([tool.to_dict() for tool in trace.tools])})).map(slot => {{
            const [how, span] = findValue(slot, request);
            return [slot.call, slot.name, exact.compactExact(slot.value), how, inPoints(text, span)];
          }});
        }})()""")
        expected = []
        for slot in slots(calls, trace.tools):
            how, span = find_value(slot, trace.query, today_in(trace.system))
            text = json.dumps(slot.value, ensure_ascii=False)
            expected.append([int(slot.path.partition(".")[0]), slot.name, text, how, list(span) if span else None])
        for own, other in zip(mine, expected, strict=True):
            assert own == other, (trace.query, other)
        found += len(mine)
    print(f"{found} values are found alike")
    assert found > 1500


ENUM: dict[str, Any] = {"enum": ["eco", "max_power", "usd", "AKL", "living-room", 5.0, 2], "description": "eco: saves energy, max_power (loud), usd"}
REQUESTS = [
    "Book Salem Massachusetts from 4:30 pm on 3 May 2027 till the 5th, fly to Auckland in dollars; save energy in the living room",
    "halfway down in March 2027, between 5 and 9, all of 12 at full power; minus three degrees, 40 south, five hundred grams of v2.1 at 0630",
    "Köln 😀 ab 1234, A B-C 7, 2026-05-04T18:45, half an hour, a quarter, 12.5 %, 50 percent, 90 min, twenty three euros, 1 1/2 cups tomorrow at noon",
    "dont lock it, turn the light off without noise at 9 or 10 in the evening, in 2027, on 7/8 or 8.7., next friday",
]
VALUES: list[tuple[str, Any, dict[str, Any]]] = [
    *(("mode", value, ENUM) for value in ENUM["enum"]), ("at", "16:30", {}), ("at", "04:30", {}), ("at", "2027-05-03T16:30:00Z", {}), ("day", "2027-05-05", {}), ("day", "2027-03-31", {}),
    ("month", "2027-03", {}), ("day", "2027-12-31", {}), ("day", "today", {}), ("day", "2026-12-01", {}), ("where", "Salem, MA", {}), ("zone", "Pacific/Auckland", {}), ("to", "AKL", {}),
    ("code", "0005", {}), ("weight", "500 g", {}), ("version", "2.1", {}), ("id", "AB-1234", {}), ("id", "abc7", {}), ("id", "A-B C 7", {}), ("id", "ABC", {}), ("note", "", {}), ("note", "- 1", {}),
    ("level", 50, {"maximum": 100, "minimum": 0}), ("level", 127.5, {"type": "number", "maximum": 255}), ("level", 128, {"type": "integer", "maximum": 255}), ("level", 0.5, {"type": "number", "maximum": 1}),
    ("n", 7, {}), ("n", 7.0, {}), ("n", 11, {}), ("temp_c", -3, {}), ("lat", -40, {}), ("n", -12, {}), ("minutes", 30, {"type": "integer"}), ("timeout_ms", 5400000, {"type": "integer"}),
    ("hours", 1.5, {"type": "number"}), ("cents", 2300, {"type": "integer"}), ("share", 0.125, {"type": "number", "description": "fraction"}), ("share", 0.12, {"type": "number"}), ("ml", 360, {"type": "integer"}),
    ("ml", 355, {"type": "integer"}), ("percent", 12.5, {}), ("n", 100, {}), ("n", 0, {"minimum": 0}), ("n", 3, {"default": 3}), ("n", 5.0, {"const": 5}), ("lock", True, {}), ("lightOff", False, {}), ("noisy", False, {}),
    ("hour", 21, {}), ("at", "21:00", {}), ("at", "09:00", {}), ("day", "2026-08-07", {}), ("day", "2026-07-08", {}), ("at", "18:45", {}), ("at", "06:30", {}), ("x", "Koln", {}), ("x", "dont", {}), ("x", "don't lock", {}),
    ("x", "light noises", {}), ("x", "a b", {}), ("x", "Ab 12", {}), ("x", "twenty-three", {}), ("x", "23 euros", {}), ("x", "en-US", {}), ("x", "ünlock", {}), ("x", "x" * 50, {"enum": ["x" * 50]}),
]  # fmt: skip


def test_odd_values_are_found_where_python_finds_them(page):
    texts = REQUESTS + [text.upper() for text in REQUESTS]
    cases = [[name, value, schema] for name, value, schema in VALUES]
    mine = page.evaluate(f"""{json.dumps(texts)}.map(text => {{
      const request = new Saying(text, todayIn("2026-11-30"));
      return exact.parseExact({written(cases)}).map(([name, value, schema]) => {{
        const [how, span] = findValue({{name, value, schema}}, request);
        return [how, inPoints(text, span)];
      }});
    }})""")
    hows = set()
    for text, own in zip(texts, mine, strict=True):
        for (name, value, schema), [how, span] in zip(VALUES, own, strict=True):
            expected = find_value(Slot("0.x", name, value, schema), text, today_in("2026-11-30"))
            assert (how, tuple(span) if span else None) == expected, (text, name, value)
            hows.add((how, span is None))
    assert hows == {("said", False), ("normalised", False), ("schema", False), ("schema", True), ("implied", False), ("implied", True), ("", True)}


def features_of(page, request: Request, answers: list[list[ToolCall]]) -> list[dict[str, float]]:
    """What the page counts of each answer."""
    asked = json.dumps({"query": request.query, "system": request.system, "messages": list(request.messages)})
    return page.evaluate(f"""(() => {{
      const tools = exact.parseExact({written([tool.to_dict() for tool in request.tools])}), prior = new Prior({json.dumps(NO_PRIOR)}, tokenizer);
      const agreement = new Agreement({asked}, tools, words.toolIndex(tools), prior);
      return exact.parseExact({written([[call.to_dict() for call in calls] for calls in answers])}).map(calls => agreement.features(calls));
    }})()""")


def test_features_of_answers_are_those_of_python(page, traces):
    rng, seen, answers = random.Random(1), dict.fromkeys(FEATURES, 0), 0
    for trace in traces:
        tried = variants(trace, rng)
        agreement = Agreement(trace.request, ToolIndex(trace.tools))
        for calls, own in zip(tried, features_of(page, trace.request, tried), strict=True):
            expected = dict(zip(FEATURES, agreement.features(calls).tolist(), strict=True))
            assert own == pytest.approx(expected, rel=1e-6), (trace.query, calls)
            answers += 1
            for name in FEATURES:
                seen[name] += expected[name] != 0
    print(f"{answers} answers have the same features: {seen}")
    assert answers > 1000 and min(seen.values()) > 20


def test_earlier_turns_and_values_said_twice_count_as_in_python(page):
    book = ToolSpec("book", "Book rooms.", {"type": "object", "properties": {
        "rooms": {"type": "integer"}, "people": {"type": "integer"}, "code": {"type": "string"}, "stars": {"type": ["null", "integer"]}, "place": {"anyOf": [{"type": "null"}, {"enum": ["sea", "hills"]}]},
        "extra": {"type": "object", "properties": {"rooms": {"type": "number", "description": "in hours"}}}, "tags": {"type": "array", "items": {"type": "string", "enum": ["quiet", "cheap"]}},
        "unit": {"enum": ["hours", "people"]}, "from": {"type": "string"}, "till": {"type": "string"}}})  # fmt: skip
    turns_before = ({"role": "user", "content": "my code is Z1"}, {"role": "assistant", "content": None}, {"role": "user", "content": "near the sea"})
    request = Request("2 rooms for 2 people, cheap, three stars, 2 hours, from 5 to 9 May 2027", (book, ToolSpec("stop")), "Today is 2026-11-30", turns_before)
    full = {"rooms": 2, "people": 2, "code": "Z1", "stars": 3, "place": "sea", "extra": {"rooms": 2.0}, "tags": ["cheap", "quiet"]}
    tried = [[ToolCall("book", full)], [ToolCall("book", full), ToolCall("book", dict(reversed(full.items())))], [ToolCall("book", {"code": "Z2", "stars": None})], [ToolCall("stop", {})], []]
    tried += [[ToolCall("book", {"people": 2, "unit": "hours", "code": "2 rooms", "place": "sea"})], [ToolCall("book", {"from": "2027-05-05", "till": "2027-05-09", "rooms": 2, "unit": "people"})]]
    agreement = Agreement(request, ToolIndex(request.tools))
    for calls, own in zip(tried, features_of(page, request, tried), strict=True):
        assert own == pytest.approx(dict(zip(FEATURES, agreement.features(calls).tolist(), strict=True)), rel=1e-6), calls


class Lists(Writer):
    """Says a few choices behind every turn."""

    def __init__(self) -> None:
        self.taken: list[list[float]] = []

    def behind(self, turn: Turn) -> Decoded:
        chosen = (*turn.answer.choices[: turn.number], turn.choice)
        self.taken.append([turn.token, turn.choice.place, sum(choice.log_probability for choice in chosen)])
        further = Choice(turn.choice.place + 1, -0.1, ((60, -2.0), (61, -1.9)))
        return Decoded([*turn.answer.ids[: turn.choice.place], turn.token, 50], (*chosen, further))


def test_the_same_turns_are_taken_in_the_same_order(page):
    rng = random.Random(0)
    for _ in range(20):
        chances = [[-rng.random(), [(100 * place + at, rng.choice([-1.5, -2.5, -rng.random() * 9])) for at in range(rng.randrange(5))]] for place in range(rng.randrange(1, 5))]
        first = Decoded(list(range(9)), tuple(Choice(2 * place, chance, tuple(others)) for place, (chance, others) in enumerate(chances)))
        writer = Lists()
        rows = [row.ids for row in alternatives(first, writer)]
        choices = [{"place": choice.place, "chance": choice.log_probability, "others": [{"token": token, "chance": chance} for token, chance in choice.others]} for choice in first.choices]
        own = page.evaluate(f"""(async () => {{
          const taken = [], rows = [], answer = {{ids: {first.ids}, choices: {json.dumps(choices)}}};
          const behind = ({{answer, number, token, choice}}) => {{
            const chosen = [...answer.choices.slice(0, number), choice];
            taken.push([token, choice.place, chosen.reduce((sum, one) => sum + one.chance, 0)]);
            const further = {{place: choice.place + 1, chance: -0.1, others: [{{token: 60, chance: -2}}, {{token: 61, chance: -1.9}}]}};
            return {{ids: [...answer.ids.slice(0, choice.place), token, 50], choices: [...chosen, further]}};
          }};
          for await (const row of others.alternatives(answer, {{behind}})) rows.push(row.ids);
          return [taken, rows, [...others.turns(answer, 1)].map(turn => [turn.token, turn.worth])];
        }})()""")
        assert own[1] == rows and [one[:2] for one in own[0]] == [one[:2] for one in writer.taken]
        assert [one[2] for one in own[0]] == pytest.approx([one[2] for one in writer.taken])
        assert own[2] == [[turn.token, pytest.approx(worth)] for worth, turn in turns(first, 1)]


def test_turns_to_what_the_grammar_here_cannot_hold_are_left_out(page):
    left, broken = page.evaluate("""(async () => {
      const {Unsupported} = await import("/page/model/pattern.js");
      const answer = {ids: [1, 2], choices: [{place: 0, chance: -1, others: [7, 8, 9].map((token, at) => ({token, chance: -1 - at}))}]};
      const behind = (wrong) => ({behind: async ({token}) => { if (token === 7) throw wrong; return {ids: [token], choices: []}; }});
      const taken = async (wrong) => { const rows = []; for await (const row of others.alternatives(answer, behind(wrong))) rows.push(row.ids[0]); return rows; };
      return [await taken(new Unsupported("look-around")), await taken(new Error("the runtime broke")).catch(error => error.message)];
    })()""")
    assert left == [8, 9] and broken == "the runtime broke"


def test_ways_to_write_the_same_calls_are_one_and_the_heaviest_is_taken(page):
    import numpy as np

    made = page.evaluate("""(() => {
      const read = {1: [{name: "a", arguments: {x: 1, y: "2"}}], 2: [{name: "b", arguments: {}}], 3: [{name: "a", arguments: {y: "2", x: 1}}]};
      const answer = (id, chance) => ({ids: [id], choices: [{chance, place: 0, others: []}]});
      const found = reranking.candidates([answer(1, -1.8), answer(4, -0.1), answer(2, -1), answer(3, -1.5)], ([id]) => { if (!read[id]) throw new Error("none"); return read[id]; });
      const agreement = {features: ([call]) => ({none: 0, left: call.name === "b" ? 1 : 0})};
      const best = weights => { const {answer, share} = reranking.best(found, agreement, weights); return [answer.ids[0], share]; };
      const sure = [-0.2, -0.3].map(chance => reranking.doubtful(answer(1, chance)));
      return [found.map(({answer, chance}) => [answer.ids[0], chance]), best({sharpness: 1.5, none: 0, left: 0}), best({sharpness: 1, none: 3, left: 2}), reranking.best([], agreement, {sharpness: 1}), sure];
    })()""")
    chances = np.array([np.logaddexp(-1.8, -1.5), -1.0], dtype=np.float32)
    python = Candidates([Decoded([3]), Decoded([2])], [[], []], chances, np.eye(len(FEATURES), dtype=np.float32)[:, [0, 1]] * [0, 1])
    expected = [python.best(weights) for weights in (Judging(1.5), Judging(1.0, none=3.0, left=2.0))]
    assert [one for one, _ in made[0]] == [3, 2] and [one for _, one in made[0]] == pytest.approx(chances.tolist(), rel=1e-6)
    assert [made[1][0], made[2][0]] == [python.answers[place].ids[0] for place, _ in expected] == [3, 2]
    assert [made[1][1], made[2][1]] == pytest.approx([share for _, share in expected], rel=1e-5)
    assert made[3] is None and made[4] == [False, True]
