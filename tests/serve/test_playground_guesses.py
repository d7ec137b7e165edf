"""Guesses of the model in the browser: those of Python, and answers are the same with and without them, in fewer steps of the decoder."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playground_helpers import ready, recorded, served, spelled_desk

from needle.student.decoding import draft
from needle.student.grammar import Constraint
from needle.student.rendering import render_answer, render_request
from needle.student.tokenizer import load_tokenizer
from needle.traces import Trace

SETUP = """(async () => {
  const [{Tokenizer}, {Grammar, Vocabulary}, {Writer}, {alternatives}, {Engine}, {Student}] = await Promise.all(
    ["tokenizer", "grammar", "decoding", "alternatives", "engine", "student"].map(name => import(`/page/model/${name}.js`)));
  const tokenizer = new Tokenizer(window.tokenizerFile);
  Object.assign(window, {tokenizer, Grammar, Writer, alternatives, Engine, Student, vocabulary: new Vocabulary(tokenizer)});
  // the model of a stepper: the right answer's next token, and others that hang on all that was read and are nearly as likely
  window.Leaning = class {
    constructor(answer) { Object.assign(this, {answer, read: [], steps: 0}); }
    backTo(length) { this.read.length = length; }
    step(tokens, last = 1) {
      this.steps += 1;
      return tokens.map(token => { this.read.push(token); return this.logits(); }).slice(-last);
    }
    logits() {
      const seed = this.read.reduce((sum, token) => (sum * 31 + token) % 1000003, 7), found = new Float32Array(vocabulary.size);
      found.forEach((_, id) => { found[id] = -(((id + 1) * (seed + id) % 1009) / 8); });
      // an answer that left the right one comes back to it
      const on = this.read.slice(1).every((token, at) => token === this.answer[at]), here = Math.min(this.read.length, this.answer.length) - 1;
      found[this.answer[on ? here : this.answer.lastIndexOf(this.read.at(-1)) + 1 || here]] = 1;
      return found;
    }
  };
  // 0 where it is over: an evaluation that waits for long ends the patience of the browser's driver
  window.run = (work) => { window.over = null; work().then(found => { window.over = [found]; }, error => { window.over = String(error.stack); }); return 0; };
})()"""
LOAD = """async () => {
  const get = async (name) => { const answer = await fetch(`/model/${name}`); if (!answer.ok) throw new Error(name); return answer; };
  const json = async (name) => (await get(name)).json(), bytes = async (name) => new Uint8Array(await (await get(name)).arrayBuffer());
  const ort = await import("/vendor/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = {mjs: new URL("/vendor/ort-wasm-simd-threaded.mjs", location.origin).href, wasm: new URL("/vendor/ort-wasm-simd-threaded.wasm", location.origin).href};
  ort.env.wasm.numThreads = 1;
  const files = {config: await json("config.json"), manifest: await json("needle.json"), encoder: await bytes("encoder.onnx"), decoder: await bytes("decoder.onnx"), weights: await bytes("model.safetensors")};
  window.engine = await Engine.load(ort, files);
  window.student = new Student(engine, await json("tokenizer.json"), await json("calibration.json"), await json("prior.json"));
  // counts steps, leaves guesses out where `guessing` is false and second looks where `twice` is, and notes what a first answer took
  Object.assign(window, {steps: 0, guessing: true, twice: true, first: null, began: 0});
  const chosen = student.chosen.bind(student);
  student.chosen = (answer, ...rest) => {
    first = {steps, ms: performance.now() - began};
    return twice ? chosen(answer, ...rest) : {answer, share: null};
  };
  const {port1, port2} = new MessageChannel();
  const stepper = engine.stepper.bind(engine), guess = Writer.prototype.guess;
  engine.stepper = async (...asked) => {
    const made = await stepper(...asked), step = made.step.bind(made);
    return Object.assign(made, {step: async (...tokens) => {
      steps += 1;
      await new Promise(resume => { port1.onmessage = resume; port2.postMessage(0); });  // else the page never hears whether it is over
      return step(...tokens);
    }});
  };
  Writer.prototype.guess = function (...asked) { return guessing ? guess.apply(this, asked) : []; };
}"""


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """A page with the modules of the model, and the bundled base behind ``student``."""
    from needle.export import export

    folder = tmp_path_factory.mktemp("guesses")
    export(None, folder / "exported", 4)
    desk = spelled_desk(folder / "desk")
    desk.model = str(folder / "exported")
    with served(desk) as url:
        ready(browser, url, SETUP)
        ran(browser, LOAD)
        yield browser


def ran(page: Any, work: str) -> Any:
    """What an asynchronous function of the page returns."""
    page.evaluate(f"run({work})")
    page.wait("window.over", 1200)
    assert page.evaluate("typeof over") == "object", page.evaluate("over")
    return page.evaluate("over[0]")


def tools_of(row: Trace) -> str:
    return json.dumps([tool.to_dict() for tool in row.tools], ensure_ascii=False)


def copies(row: Trace) -> bool:
    """Whether some value of several words stands in the request."""
    return any(isinstance(value, str) and " " in value and value in row.query for call in row.calls for value in call.arguments.values())


@pytest.fixture(scope="module")
def called() -> list[Trace]:
    """Recorded rows with calls."""
    return [row for row in recorded("validation", 40) if row.calls]


def test_the_same_tokens_are_guessed_as_in_python(page, called):
    tokenizer, held = load_tokenizer(), 0
    constraint = Constraint(tokenizer)
    for row in called:
        answer, request, matcher = render_answer(tokenizer, row.calls, row.tools)[0], render_request(tokenizer, row.request), constraint.matcher(row.tools)
        expected = []
        for place, token in enumerate(answer[:-1], 1):
            matcher.consume_token(token)
            expected.append(draft(answer[:place], request, constraint, matcher))
        own = page.evaluate(f"""(() => {{
          const answer = {answer}, grammar = new Grammar(vocabulary, {tools_of(row)}), matcher = grammar.matcher();
          const writer = new Writer(null, grammar, null, 100, {request});
          return answer.slice(0, -1).map((token, at) => {{ matcher.consume(token); return writer.guess(answer.slice(0, at + 1), matcher); }});
        }})()""")
        assert own == expected, row.id
        held += sum(map(bool, expected))
    print(f"{held} guesses at places of {len(called)} answers")
    assert held > len(called)


def test_answers_choices_and_others_are_those_without_guesses_in_fewer_steps(page, called):
    tokenizer, steps, rows = load_tokenizer(), [], [row for row in called if copies(row)][:6]
    for row in rows:
        answer = render_answer(tokenizer, row.calls, row.tools)[0]
        found = ran(page, f"""async () => {{
          const grammar = new Grammar(vocabulary, {tools_of(row)}), found = [];
          for (const request of [[], {render_request(tokenizer, row.request)}]) {{
            const stepper = new Leaning({answer}), writer = new Writer(stepper, grammar, null, 160, request), rows = [await writer.likeliest()];
            const first = stepper.steps;
            for await (const other of alternatives(rows[0], writer)) rows.push(other);
            found.push([JSON.stringify(rows), rows[0].ids, rows.length, first, stepper.steps - first]);
          }}
          return found;
        }}""")
        without, guessed = found
        assert guessed[0] == without[0] and guessed[1] == answer, row.id
        assert guessed[3] <= without[3] and guessed[4] <= without[4], row.id
        steps.append((without[3], guessed[3], without[4], guessed[4], guessed[2] - 1))
    sums = [sum(one) for one in zip(*steps, strict=True)]
    print(f"steps of {len(rows)} right answers {sums[0]} and {sums[1]}, of {sums[4]} others {sums[2]} and {sums[3]}")
    assert sums[4] > 3 * len(rows)
    assert sums[1] < 0.9 * sums[0] and sums[3] < sums[2]


def test_what_is_copied_is_written_in_a_fraction_of_the_steps(page):
    tokenizer = load_tokenizer()
    said = "tell Maria Fernandez that the quarterly budget meeting has moved to the large conference room upstairs"
    tools = json.dumps([{"name": "send", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}}])
    request = tokenizer.encode(said).ids
    without, guessed = ran(page, f"""async () => {{
      const grammar = new Grammar(vocabulary, {tools}), found = [];
      for (const request of [[], {request}]) {{
        const text = tokenizer.encode('send{{"text":"'), rest = {request}.slice(3);
        const stepper = new Leaning([vocabulary.call, ...text, ...rest, ...tokenizer.encode('"}}'), vocabulary.eos]);
        const writer = new Writer(stepper, grammar, null, 90, request);
        found.push([(await writer.likeliest()).ids, stepper.steps]);
      }}
      return found;
    }}""")
    assert guessed[0] == without[0]
    assert guessed[1] < 0.5 * without[1]


def test_a_guess_does_not_lead_where_the_grammar_here_cannot_go(page):
    tools = [{"name": "t", "parameters": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string", "pattern": "^(?=x)y$"}}, "required": ["a"]}}]
    refused, guess = page.evaluate(f"""(() => {{
      const matcher = new Grammar(vocabulary, {json.dumps(tools)}).matcher(), ids = [vocabulary.call, ...tokenizer.encode('t{{"a":"hello')];
      for (const id of ids) matcher.consume(id);
      const rest = tokenizer.encode('","b":"y');
      let refused = null;
      try {{ matcher.fitting(rest.slice(0, 4)); }} catch (error) {{ refused = error.message; }}
      return [refused, new Writer(null, {{vocabulary}}, null, 90, [...tokenizer.encode("hello"), ...rest]).guess(ids, matcher)];
    }})()""")
    assert "look-around" in refused and guess == []


def test_logits_at_several_places_are_those_of_single_steps(page):
    apart = ran(page, """async () => {
      const tokens = [tokenizer.special.get("<bos>"), vocabulary.call, ...tokenizer.encode("lights{")], text = (name) => tokenizer.encode(name);
      const made = () => engine.stepper(text("lights on"), text("lights on in the hall"));
      const one = await made(), alone = [];
      for (const token of tokens) alone.push((await one.step([token]))[0]);
      const other = await made(), first = await other.step(tokens.slice(0, 3), 2);
      await other.step([5, 6, 7], 3);
      other.backTo(3);  // a guess that was wrong
      const rows = [...first, ...await other.step(tokens.slice(3), tokens.length - 3)];
      return rows.map((row, at) => Math.max(...row.map((value, id) => Math.abs(value - alone[at + 1][id]))) / Math.max(...alone[at + 1].map(Math.abs)));
    }""")
    assert len(apart) >= 3 and max(apart) < 0.02  # of the largest logit; activations are rounded to 8 bits


def both_ways(page: Any, rows: list[Trace], twice: bool) -> list[list[dict[str, Any]]]:
    """Answers of the bundled base to each row without guesses and with them, in turn, with the steps of the decoder and the milliseconds that each took."""
    asked = [{"query": row.query, "system": row.system or "", "messages": list(row.messages), "toolsText": tools_of(row)} for row in rows]
    return ran(page, f"""async () => {{
      const found = [];
      twice = {json.dumps(twice)};
      for (const [number, question] of {json.dumps(asked)}.entries()) {{
        const answers = [null, null];
        await engine.prepare(student.toolset(question.toolsText).toolset);
        for (const on of number % 2 ? [true, false] : [false, true]) {{
          [guessing, steps, began] = [on, 0, performance.now()];
          const {{raw, confidence}} = await student.call(question);
          answers[Number(on)] = {{raw, confidence, first, all: {{steps, ms: performance.now() - began}}}};
        }}
        found.push(answers);
      }}
      [guessing, twice] = [true, true];
      return found;
    }}""")


def told(found: list[list[dict[str, Any]]], part: str) -> str:
    """Steps and milliseconds of both ways."""
    said = []
    for key in ("steps", "ms"):
        ways = [sorted(row[way][part][key] for row in found) for way in (0, 1)]
        said += [f"{key} mean " + " and ".join(f"{sum(one) / len(one):.1f}" for one in ways) + ", median " + " and ".join(f"{one[len(one) // 2]:.1f}" for one in ways)]
    return "; ".join(said)


@pytest.mark.parametrize(("every", "most", "twice"), [(40, 3, False), pytest.param(190, 50, True, marks=pytest.mark.slow)], ids=["copied values", "all kinds"])
def test_the_bundled_base_answers_the_same_in_fewer_steps(page, every, most, twice):
    found = both_ways(page, [row for row in recorded("validation", every) if twice or copies(row)][:most], twice)
    apart = [(without, guessed) for without, guessed in found if guessed["raw"] != without["raw"]]
    unsure = [row for row in found if row[0]["all"]["steps"] > row[0]["first"]["steps"]]
    print(f"{len(found)} rows without and with guesses, {len(apart)} apart {apart}; first answers: {told(found, 'first')}")
    if unsure:
        print(f"{len(unsure)} unsure ones with their second looks: {told(unsure, 'all')}; all rows: {told(found, 'all')}")
    assert apart == []
    for part in ("first", "all"):
        without, guessed = (sum(row[way][part]["steps"] for row in found) for way in (0, 1))
        assert guessed < without
    assert [row[1]["confidence"] for row in found] == pytest.approx([row[0]["confidence"] for row in found], abs=1e-3)
