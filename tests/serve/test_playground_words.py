"""Words beside the model in the browser: the scores, and what they make of each choice, are those of Python."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from typing import Any

import numpy as np
import pytest
from playground_helpers import ready, recorded, served, spelled_desk

from needle.student.decoding import log_softmax
from needle.student.leaning import Leaning, Priors, call_begun, listed_texts, open_value, value_scores
from needle.student.prior import KINDS, Naming, Prior, Stating, Weights
from needle.student.rendering import render_answer
from needle.student.stated import Stated, plain_number
from needle.student.tokenizer import load_tokenizer
from needle.tools import Request, ToolCall, ToolSpec, fingerprint
from needle.tools.grounding.hearing import FOREIGN, FRACTIONS, POWERS, WORDS, hear, today_in
from needle.tools.grounding.said import folded
from needle.tools.grounding.units import _BY_NAME
from needle.tools.grounding.wording import MONTHS, ORDINALS, TENS, UNITS
from needle.tools.retrieval import ToolIndex, searched, terms
from needle.traces import Trace

PRIOR = Prior(Naming(0.3, 1.5, 2.5), Weights(0.4, 2.0), Stating(0.7, 0.5, 1.7, 2.1, 1.2), Stating(0.8, 1.6, 0.1, 0.7, 0.6))
SETUP = """(async () => {
  const [{Tokenizer}, exact, words, {Prior}, {hear}, {todayIn}, {Stated, plainNumber}, {openValue}] = await Promise.all(
    ["tokenizer", "exact", "words", "prior", "hearing", "moments", "stated", "open"].map(name => import(`/page/model/${name}.js`)));
  Object.assign(window, {tokenizer: new Tokenizer(window.tokenizerFile), exact, words, Prior, hear, todayIn, Stated, plainNumber, openValue});
})()"""
AWKWARD = ToolSpec("setThermostatMode2", "Café's naïve “heating” mode – İstanbul", {
    "type": "object",
    "properties": {
        "any": True, "list": {"type": "array", "items": True}, "pair": {"type": "array", "items": [{"enum": ["no"]}]},
        "level": {"enum": [1, 2.5, 1e20, True, None, "warm", ["a", 5.0]], "description": "How warm"},
        "long": {"enum": [f"word{number}s" for number in range(60)]},
        "place": {"$ref": "#/$defs/place"}, "broken": {"$ref": "#/$defs/nowhere"}, "constructor": {"type": "string"},
        "either": {"anyOf": [{"type": "null"}, True, {"type": "string", "enum": ["sunny", "rainy"], "description": "weather"}]},
        "both": {"description": "outer", "allOf": [{"description": "inner"}, {"properties": {"deep": {"description": "within"}}}]},
        "a.b": {"description": "dotted"}, "kinds": {"type": ["array", "null"], "items": {"type": "string", "enum": ["red", "blue"]}},
        "tree": {"properties": {"tree": {"properties": {"tree": {"properties": {"tree": {"properties": {"leaf": {}}}}}}}}},
    },
    "$defs": {"place": {"properties": {"roomName": {"description": "Name of the room"}, "floor": {"type": "integer"}}}},
})  # fmt: skip
ASKED = "Set the thermostat to a warm 2 in the room named Istanbul: word7, none true 2.5 café weather within inner outer dotted tree leaf red no"


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    with served(spelled_desk(tmp_path_factory.mktemp("desk"))) as url:
        ready(browser, url, SETUP)
        yield browser


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    """Every twelfth of the recorded validation rows."""
    return recorded("validation", 12)


def said(tools: tuple[ToolSpec, ...]) -> str:
    """The tools as the page gets them: JSON text, as a JavaScript literal."""
    return json.dumps(json.dumps([tool.to_dict() for tool in tools], ensure_ascii=False))


def test_texts_are_folded_as_in_python(page):
    old = unicodedata.ucd_3_2_0  # of an age that every browser knows
    ranges = [*range(0x13A0), *range(0x1400, 0x3400), *range(0xF900, 0x20000), *range(0x2F800, 0x30000)]  # no Cherokee, few ideographs
    letters = [chr(code) for code in ranges if old.category(chr(code)) not in ("Cn", "Cs", "Co")]
    mine = page.evaluate(f"{json.dumps(letters)}.map(words.fold)")
    differing = [letter for letter, own in zip(letters, mine, strict=True) if own != folded(letter)[0]]
    print(f"{len(letters)} letters are folded alike")
    assert len(letters) > 9000 and differing == []
    assert page.evaluate("words.fold('ᏣᎳᎩ') === words.fold('ꮳꮃꭹ')")  # Python makes both capital


def test_words_and_their_parts_count_as_in_python(page, traces):
    rng = random.Random(0)
    texts = [trace.query for trace in traces[:100]]
    texts += ["", "a the", "getHTTPResponse2xx", "x_1__y", "हिन्दी में", "𝒜𝓃𝓃𝒶 𠜎𠜱𠝹𠱓𠱸", ASKED]
    while len(texts) < 300:
        codes = [rng.choice((rng.randrange(32, 127), rng.randrange(0xA1, 0x500))) for _ in range(rng.randrange(1, 40))]
        texts.append("".join(map(chr, codes)))
    found = page.evaluate(f"{json.dumps(texts)}.map(text => Object.fromEntries(words.terms(text)))")
    for text, counts in zip(texts, found, strict=True):
        assert counts == pytest.approx(dict(terms(text)), abs=1e-12), text


def test_scores_of_tools_and_of_listed_values_are_those_of_python(page, traces):
    by_toolset: dict[str, list[Trace]] = {}
    for trace in traces:
        by_toolset.setdefault(trace.toolset, []).append(trace)
    pairs = lists = 0
    for rows in by_toolset.values():
        tools, texts = rows[0].tools, [searched(row.query, row.messages) for row in rows if row.tools == rows[0].tools]
        listed = [values for tool in tools for schema in tool.properties.values() if (values := listed_texts(schema))]
        found = page.evaluate(f"""(() => {{
          const index = words.toolIndex(exact.parseExact({said(tools)})), prior = new Prior({json.dumps(as_file(PRIOR))}, tokenizer);
          return {json.dumps(texts)}.map(text => [index.scores(text), {json.dumps(listed)}.map(values => prior.valueScores(values, text))]);
        }})()""")
        index = ToolIndex(tools)
        for text, (scores, of_values) in zip(texts, found, strict=True):
            np.testing.assert_allclose(scores, index.scores(text), rtol=1e-9, atol=1e-9, err_msg=text)
            for values, own in zip(listed, of_values, strict=True):
                np.testing.assert_allclose(own, value_scores(values, text), rtol=1e-9, atol=1e-9, err_msg=text)
            pairs, lists = pairs + len(scores), lists + len(listed)
    print(f"{pairs} scores of tools and {lists} lists of values are equal")
    assert pairs > 300 and lists > 100


def test_awkward_schemas_and_earlier_turns_are_read_as_in_python(page):
    tools = (AWKWARD, ToolSpec("stop"), ToolSpec("ΣΊΣΥΦΟΣ", "straße"))
    found = page.evaluate(f"words.toolIndex(exact.parseExact({said(tools)})).scores({json.dumps(ASKED)})")
    np.testing.assert_allclose(found, ToolIndex(tools).scores(ASKED), rtol=1e-9)
    assert found[0] > 1 and found[1] == 0
    single = [*ASKED.split(), "σίσυφος", "STRASSE", "null", "1e+20", "word45"]
    made = f"const index = words.toolIndex(exact.parseExact({said(tools)}))"
    found = page.evaluate(f"(() => {{ {made}; return {json.dumps(single)}.map(text => index.scores(text)); }})()")
    np.testing.assert_allclose(found, [ToolIndex(tools).scores(text) for text in single], rtol=1e-9)
    turns = [{"role": "user", "content": "first"}, {"role": "user", "content": "play"}, {"role": "assistant", "content": "what?"}]
    for messages in ([], turns, [{"role": "user", "content": None}], turns[2:]):
        assert page.evaluate(f"words.searched('jazz', {json.dumps(messages)})") == searched("jazz", messages)


def mumbled(rng: random.Random) -> str:
    """Words and signs by which numbers, times and dates are said, in any order."""
    pools: list[list[str]] = [
        [*UNITS, *TENS, "hundred", "thousand", "oh", "and", "a", "an"], [*ORDINALS, *MONTHS, "sept", "Mar", "of", "the", "2027", "'27"],
        [*FRACTIONS, *POWERS, *WORDS, "half past", "quarter to", "ten past", "minus", "point", "and a half"], [*_BY_NAME, "€", "US dollars", "full days"],
        " ".join(FOREIGN.values()).split(), ["5", "12", "0630", "1,250.50", "3.5.", "1 000 000", "1,5", "2e3", ".5", "v2.1", "60x30", "4kg", "7/8", "3rd", "6:30", "T18:45", "2027-03-04"],
        ["am", "p.m.", "in the morning", "at night", "o'clock", "noon", "tomorrow", "next friday", "in 3 days", "two weeks ago", "day after tomorrow"],
        ["-", "–", " ", ",", ".", "(", "x", "µm", "m²", "Ⅷ", "ſix", "fıve", "\u212a", "١٢", "३", "𝟗", "é", "日", "\U00020000", "😀", "\u2028", "\x85", "9" * 40],
    ]  # fmt: skip
    return "".join(rng.choice(rng.choice(pools)) + rng.choice(("", " ", " ", " ", "-")) for _ in range(rng.randrange(1, 12)))


def test_numbers_times_and_dates_are_heard_as_in_python(page, traces):
    rng, facts = random.Random(0), [None, "", "Today is 2026-11-30.", "5.6.2026, 7 May 2027", "2026-02-30", "0000-01-01", "9999-12-30", "٢٠٢٦-٠١-٠٢"]
    asked = [(trace.query, trace.system) for trace in traces] + [(mumbled(rng), rng.choice(facts)) for _ in range(1500)]
    found = page.evaluate(f"""{json.dumps(asked)}.map(([text, system]) => hear(text, todayIn(system)).map(
      ({{kind, value, units, sure, start, end}}) => [kind, kind === "number" ? plainNumber(value) : value, sure, ...[start, end].map(at => [...text.slice(0, at)].length),
        ...units.map(([name, size]) => name + " " + size.toFixed(9)).sort()]))""")
    heard, wide = 0, re.compile("[\U0001d7ce-\U0001d7ff]")  # digits of two units, for which the page has one
    for (text, system), own in zip(asked, found, strict=True):
        mine = [
            [one.kind, plain_number(one.value) if one.kind == "number" else one.value, one.sure, one.start, one.end]
            + sorted(f"{name} {size:.9f}" for name, size in one.units)
            for one in hear(text, today_in(system))
        ]
        places = slice(3, 5) if wide.search(text) else slice(0)
        for one in (*own, *mine):
            del one[places]
        assert sorted(own) == sorted(mine), (text, system)
        heard += len(mine)
    print(f"{heard} values of {len(asked)} texts are heard alike")
    assert heard > 5000


def test_numbers_are_written_as_in_python(page):
    rng = random.Random(0)
    values = [odd / 128 for odd in range(1, 400, 2)] + [rng.uniform(-1, 1) * 10 ** rng.randrange(-9, 25) for _ in range(2000)]
    values += [0, -0.0, 1e-6, 1.25e-5, 1e29, 123456789012345678901, 2**53 + 0.0, 1e300, 99999.9999995, 5e-324]
    found = page.evaluate(f"{json.dumps(values)}.map(plainNumber)")
    assert found == [plain_number(value) for value in values]
    assert page.evaluate("[plainNumber(Infinity), plainNumber(NaN)]") == [plain_number(float("inf")), plain_number(float("nan"))] == ["", ""]


ODD = ToolSpec("odd", "", {
    "type": "object",
    "properties": {
        "share": {"type": "number", "maximum": 1}, "temp": {"type": ["null", "number"], "description": "in °F, not kelvin"}, "sizeµm": {"type": "integer"},
        "hours_per_day": {"$ref": "#/$defs/count"}, "timeoutMs": {"type": "array", "items": {"type": "integer"}}, "level": {"type": "integer", "enum": [1, 2]},
        "any": True, "kg": {"anyOf": [{"type": "null"}, {"type": "number"}]}, "nested": {"type": "object", "properties": {"kg": {"type": "number"}}},
        "note": {"type": "string", "description": "Length in whole metres"}, "tags": {"type": "array", "items": {"type": "string"}}, "meter": {"type": "number"},
    },
    "$defs": {"count": {"type": "number"}},
})  # fmt: skip
WRITTEN = [
    'odd{"share":', 'odd{"share":0.5,"temp":-', 'odd{"sizeµm":1', 'odd{"hours_per_day":', 'odd{"timeoutMs":[', 'odd{"timeoutMs":[90,1', 'odd{"level":', 'odd{"any":', 'odd{"any":"x',
    'odd{"kg":1', 'odd{"nested":{"kg":', 'odd{"note":"', 'odd{"note":"Kö', 'odd{"kg":12,"note":"12', 'odd{"tags":["a","', 'odd{"tags":["', 'odd{"meter":', 'odd{"no":1', "odd{", 'odd{"note":"a\\"b',
]  # fmt: skip
TOKENS = ["1", "12", "0.", "-", "9", "7", "}", ',"', ',"kg":', ',"no', '"', '"}', '","', '"]', '"],"', "]", '],"note":"', "", " ", "Kö", "ln", "Köln", "a", "16:", "30", "2026-", "٣", "\ufffd", "😀", "\u2028"]


def test_what_a_request_states_of_a_value_is_the_same_as_in_python(page, traces):
    said = "Köln 😀 at 4:30 pm, tomorrow: 12.5 kg or seven feet, 90 minutes, 50 percent, 30 °C, a note of 5 µm in Ⅷ a\"b"
    request = Request(said, (ODD,), "Today is 2026-11-30", ({"role": "user", "content": "nine hours"},))
    asked = [(ODD, written, TOKENS) for written in WRITTEN]
    found = judged(page, request, asked)
    tokenizer, rng, values = load_tokenizer(), random.Random(0), 0
    assert compared(request, asked, found) == 15
    for trace in [trace for trace in traces if trace.calls][:60]:
        answer, asked = render_answer(tokenizer, trace.calls, trace.tools)[0], []
        for place in range(1, len(answer)):
            written = tokenizer.decode(call_begun(answer[:place]), skip_special_tokens=False)
            tool = next((tool for tool in trace.tools if written.startswith(tool.name + "{")), None)
            if tool is not None and open_value(written, tool):
                asked.append((tool, written, [tokenizer.decode([token], skip_special_tokens=False) for token in (answer[place], *rng.sample(range(300, 8000), 20))]))
        values += compared(trace.request, asked, judged(page, trace.request, asked))
    print(f"{values} places of values are judged alike")
    assert values > 300


def judged(page, request: Request, asked: list[tuple[ToolSpec, str, list[str]]]) -> list:
    """What the page makes of values that are being written: each with the features of tokens; None where it sees none."""
    cases = [[json.dumps(tool.to_dict(), ensure_ascii=False), written, tokens] for tool, written, tokens in asked]
    text = searched(request.query, request.messages)
    return page.evaluate(f"""(() => {{
      const stated = new Stated({json.dumps(text)}, {json.dumps(request.system)}, words.wordIndex);
      return {json.dumps(cases)}.map(([tool, written, tokens]) => {{
        const value = openValue(written, exact.parseExact(tool));
        return value && [value.number, value.key, value.begun, [...value.used].sort(), value.listed, stated.features(value, tokens).map(row => row.map(Number))];
      }});
    }})()""")


def compared(request: Request, asked: list[tuple[ToolSpec, str, list[str]]], found: list) -> int:
    """How many values there are; fails where Python sees another or judges a token in another way."""
    stated, values = Stated(request), 0
    for (tool, written, tokens), own in zip(asked, found, strict=True):
        value = open_value(written, tool)
        assert (value is None) == (own is None), written
        if value is not None:
            assert own[:5] == [value.number, value.key, value.begun, sorted(value.used), value.listed]
            np.testing.assert_allclose(own[5], stated.features(value, tokens), rtol=1e-6, err_msg=f"{request.query}: {written}")
            values += 1
    return values


def as_file(prior: Prior) -> dict[str, Any]:
    """What ``prior.json`` holds."""
    return {"format": 1, **{kind: getattr(prior, kind)._asdict() for kind in KINDS}, "fitted_on": {}}


def steps_of(leaning: Leaning, answer: list[int], asked: list[int], rng: np.random.Generator, size: int) -> list[list]:
    """At places of an answer: what was written, tokens that might come, their logits, and their log-probabilities with the prior.

    ``asked``: tokens of the request, of which some might come.
    """
    found = []
    for place in range(len(answer)):
        tokens = np.unique([answer[place], *rng.integers(3, size, 12), *rng.choice(asked, 4)])
        logits = rng.normal(0, 3, len(tokens)).astype(np.float32)
        leant = leaning(answer[:place], tokens, log_softmax(logits))
        found.append([answer[:place], tokens.tolist(), logits.tolist(), leant.tolist()])
    return found


def test_each_choice_of_real_answers_is_changed_as_in_python(page, traces):
    tokenizer, rng, changed = load_tokenizer(), np.random.default_rng(0), 0
    priors = Priors(PRIOR, tokenizer)
    rows = [(trace.request, trace.calls) for trace in traces if trace.calls][:60]
    quoted, rooms = '日本 "x\\y"', {"type": "array", "items": {"enum": ["Küche", "Flur"]}}
    play = ToolSpec("spiele", "", {"properties": {"was": {"enum": ["日本語", quoted, "Ärger"]}, "wo": rooms}})
    rows.append((Request("Ärger in der Küche", (play, AWKWARD)), [ToolCall("spiele", {"was": quoted, "wo": ["Flur", "Küche"]})]))
    for request, calls in rows:
        answer, leaning = render_answer(tokenizer, calls, request.tools)[0], priors.of(request, fingerprint(request.tools))
        words = tokenizer.encode(request.query, add_special_tokens=False).ids
        steps = steps_of(leaning, answer, words, rng, tokenizer.get_vocab_size())
        asked = json.dumps({"query": request.query, "system": request.system, "messages": list(request.messages)})
        found = page.evaluate(f"""(() => {{
          const tools = exact.parseExact({said(request.tools)});
          const leaning = new Prior({json.dumps(as_file(PRIOR))}, tokenizer).of(tools, words.toolIndex(tools), {asked});
          return {json.dumps([step[:3] for step in steps])}.map(([ids, tokens, given]) => {{
            const logits = new Float32Array(tokenizer.size), allowed = new Uint8Array(tokenizer.size);
            tokens.forEach((id, at) => {{ logits[id] = given[at]; allowed[id] = 1; }});
            const leant = leaning.lean(ids, logits, allowed), chosen = tokens.map(id => leant[id]);
            const sum = Math.log(chosen.reduce((total, one) => total + Math.exp(one), 0));
            return [leant !== logits, chosen.map(one => one - sum)];
          }});
        }})()""")
        for (ids, tokens, logits, leant), (differs, own) in zip(steps, found, strict=True):
            np.testing.assert_allclose(own, leant, atol=1e-5, err_msg=f"{tokenizer.decode(ids, skip_special_tokens=False)}")
            assert differs == (not np.allclose(leant, log_softmax(np.array(logits, np.float32)), atol=1e-6))
            changed += differs
    print(f"{changed} choices are changed alike")
    assert changed > 400


def test_a_prior_that_is_none_is_refused_in_words(page):
    whole = as_file(PRIOR)
    short = {"sharpness": 1, "said": 1, "unit": 0, "fresh": 0}
    for file in ({}, whole | {"format": 2}, whole | {"names": {"words": 1}}, whole | {"values": {"sharpness": "1", "words": 1}}, whole | {"texts": short}, whole | {"answers": short}):
        made = f"new Prior({json.dumps(file)}, tokenizer)"
        told = page.evaluate(f"(() => {{ try {{ {made}; return ''; }} catch (error) {{ return error.message; }} }})()")
        assert "needle calibrate" in told
    old = {"format": 1, "names": {"sharpness": 1, "words": 2}, "values": {"sharpness": 1, "words": 2}}
    kept = page.evaluate(f"new Prior({json.dumps(old)}, tokenizer).weights")
    assert {"format": 1, **kept, "fitted_on": {}} == as_file(Prior(Naming(1, 2), Weights(1, 2)))
