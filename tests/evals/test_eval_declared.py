"""Suites by a small file and rows, in every tool shape; named by packages; nothing of bad input dropped in silence."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint

import pytest

from needle.errors import UserError
from needle.evals import finding
from needle.evals.finding import suite_lines
from needle.evals.match import correct
from needle.evals.sampling import sample
from needle.evals.suites import load_suite
from needle.tools import ToolCall

SCHEMA = {
    "type": "object",
    "properties": {"host": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["host"],
}
SHAPES = {
    "bare": {"name": "ping", "description": "Ping.", "parameters": SCHEMA},
    "openai": {"type": "function", "function": {"name": "ping", "description": "Ping.", "parameters": SCHEMA}},
    "mcp": {"name": "ping", "description": "Ping.", "inputSchema": SCHEMA},
    "gorilla": {"name": "ping", "description": "Ping.", "parameters": {**SCHEMA, "type": "dict"}},
    "flat": {
        "name": "ping",
        "description": "Ping.",
        "parameters": {"host": {"type": "str", "required": True}, "count": {"type": "int", "required": False}},
    },
}


def row(name, **fields):
    return {
        "id": name,
        "query": "ping example.org",
        "tools": [SHAPES["bare"]],
        "calls": [{"name": "ping", "arguments": {"host": "example.org"}}],
    } | fields


def folder_of(path, rows, text, name="suite.toml"):
    path.mkdir(parents=True, exist_ok=True)
    (path / "rows.jsonl").write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in rows))
    (path / name).write_text(text)
    return path


@pytest.mark.parametrize("shape", SHAPES)
def test_every_tool_shape_becomes_the_same_tool(shape, tmp_path):
    folder = folder_of(tmp_path / "s", [row("a", tools=[SHAPES[shape]])], 'files = ["rows.jsonl"]')
    (tool,) = load_suite(folder).traces[0].tools
    assert (tool.name, tool.description, tool.parameters) == ("ping", "Ping.", SCHEMA)


def test_what_a_conversion_lost_or_guessed_is_reported_with_its_count(tmp_path):
    lossy = {
        "name": "move",
        "parameters": {
            "type": "dict",
            "properties": {"to": {"type": "tuple", "items": {"type": "float"}}, "x": {"type": "any"}},
        },
    }
    rows = [
        row("a", tools=[SHAPES["bare"], lossy]),
        row("b", tools=[SHAPES["bare"], lossy]),
        row("c", tools=json.dumps([SHAPES["openai"] | {"strict": True}])),
    ]
    suite = load_suite(folder_of(tmp_path / "s", rows, 'files = ["rows.jsonl"]'))
    assert len(suite.traces) == 3
    assert suite.conversions["move: to: type 'tuple' became array; lost: the fixed length of the tuple"] == 1
    assert any("any" in note for note in suite.conversions)
    assert suite.to_dict()["conversions_count"] == len(suite.conversions) >= 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "suite.toml",
            'files = ["rows.jsonl"]\nlicence = "MIT"\nskills = ["fill"]\n'
            '[columns]\nquery = "say"\ncalls = "do"\n[comparators]\n"ping.host" = "casefold"\n',
        ),
        (
            "suite.yaml",
            "files: [rows.jsonl]\nlicence: MIT\nskills: [fill]\n"
            'columns: {query: say, calls: do}\ncomparators:\n  "*.host": casefold\n',
        ),
        (
            "suite.json",
            json.dumps({"files": ["rows.jsonl"], "licence": "MIT", "skills": ["fill"]})[:-1]
            + ', "columns": {"query": "say", "calls": "do"}, "comparators": {"ping.host": "casefold"}}',
        ),
    ],
)  # fmt: skip
def test_a_definition_in_each_language_says_the_same(name, text, tmp_path):
    made = row("a")
    made["say"], made["do"] = made.pop("query"), made.pop("calls")
    suite = load_suite(folder_of(tmp_path / "s", [made], text, name))
    (trace,) = suite.traces
    assert (suite.licence, suite.skills, trace.query) == ("MIT", ("fill",), "ping example.org")
    assert correct(trace, [ToolCall("ping", {"host": "EXAMPLE.org"})])
    assert not correct(trace, [ToolCall("ping", {"host": "EXAMPLE.org"})], "strict")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('files = ["rows.jsonl"]\nskills = ["magic"]', "skills must be a list of these"),
        ('files = ["rows.jsonl"]\n[comparators]\n"ping.host" = "near"', "choose one of exact"),
        ('files = ["rows.jsonl"]\n[columns]\nquery = 5', "columns map our names"),
        ('files = ["rows.jsonl"]\n[columns]\nquery = "utterance"', "no usable row; first problem: .*no 'utterance'"),
    ],
)
def test_a_faulty_definition_is_refused_with_the_remedy(text, message, tmp_path):
    with pytest.raises(UserError, match=message):
        load_suite(folder_of(tmp_path / "s", [row("a")], text))


@pytest.mark.parametrize(("name", "text"), [("suite.yaml", "a: [b"), ("suite.json", "{"), ("suite.yaml", "- a")])
def test_a_broken_definition_names_its_language(name, text, tmp_path):
    with pytest.raises(UserError, match="not valid (YAML|JSON)|a definition is a table"):
        load_suite(folder_of(tmp_path / "s", [row("a")], text, name))


def test_bad_rows_are_named_counted_and_faulty_gold_is_kept(tmp_path):
    rows = [
        row("a"),
        "{broken",
        row("b", calls=[{"name": "ping", "arguments": {"host": 5}}]),
        row("a", query="again"),
        row("c", tools=[{"description": "no name"}]),
        row("d", calls=[{"name": "pong", "arguments": {}}]),
        {"id": "e", "nothing": 1},
    ]
    suite = load_suite(folder_of(tmp_path / "s", rows, 'files = ["rows.jsonl"]'))
    assert [trace.id for trace in suite.traces] == ["a", "b", "a#2", "d"]
    assert suite.suspects == {"b", "d"} and suite.unusable == 3 and suite.duplicate_ids == 1
    lines = [problem for problem in suite.problems if "rows.jsonl:" in problem]
    assert [line.split("rows.jsonl:")[1].split(":")[0] for line in lines] == ["2", "5", "7"]
    told = suite.to_dict()
    assert (told["unusable"], told["duplicate_ids"], told["gold_suspect"]) == (3, 1, ["b", "d"])


def test_an_installed_package_can_name_a_suite(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "outside", [row("a")], 'files = ["rows.jsonl"]\nlicence = "MIT"\nskills = ["fair"]')
    (tmp_path / "offering.py").write_text(f"def place():\n    return {str(folder)!r}\nwrong = 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    entries = [EntryPoint("theirs", "offering:place", finding.GROUP)]
    monkeypatch.setattr(finding, "entry_points", lambda group: entries)
    assert len(load_suite("theirs").traces) == 1
    assert any(line.startswith("theirs") for line in suite_lines(["fair", "MIT"]))
    entries[0] = EntryPoint("theirs", "offering:wrong", finding.GROUP)
    with pytest.raises(UserError, match="'theirs' names no folder"):
        load_suite("theirs")


def test_the_list_can_be_cut_down_by_skill_and_licence():
    assert {line.split()[0] for line in suite_lines(["ask"])} >= {"needle-unseen", "when2call"}
    assert [line.split()[0] for line in suite_lines(["CC0-1.0"])] == ["snips"]
    assert len(suite_lines(["ask", "select"])) < len(suite_lines())
    with pytest.raises(UserError, match="no suite has the tag 'speed'; there are .*abstain"):
        suite_lines(["speed"])


def test_rows_that_belong_together_are_sampled_together(make_trace):
    rows = [
        make_trace(id=f"{one}-{n}", meta={"scoring": {"pair": {"set": one, "variant": str(n)}}})
        for one in "abcdefgh"
        for n in range(3)
    ]
    chosen = sample(rows, 9, seed=1)
    assert len(chosen) == 9 and chosen == sample(rows, 9, seed=1)
    assert all(sum(trace.id.startswith(one) for trace in chosen) in (0, 3) for one in "abcdefgh")


def test_several_suites_are_taken_as_one_and_told_apart(tmp_path):
    one = folder_of(
        tmp_path / "one", [row("a"), row("b")], 'files = ["rows.jsonl"]\nlicence = "MIT"\nskills = ["fill"]'
    )
    listed = load_suite(f"home-smoke,{one}")
    assert listed.name == f"home-smoke, {one}" and len(listed.traces) == 42
    assert {trace.id.split(":")[0] for trace in listed.traces} == {"home-smoke", "one"}
    assert (
        "one: single" in {trace.kind for trace in listed.traces}
        and listed.licence == "home-smoke: Apache-2.0; one: MIT"
    )
    assert {name.split("/")[0] for name in listed.files} == {"home-smoke", "one"}
    group = tmp_path / "group"
    group.mkdir()
    (group / "suite.toml").write_text(f'title = "Both"\nsuites = ["home-smoke", "{one}"]\n')
    named = load_suite(group, limit=10)
    assert (named.name, named.title, len(named.traces), named.total) == ("group", "Both", 10, 42)
    (group / "suite.toml").write_text('suites = ["home-smoke"]\nfiles = ["rows.jsonl"]')
    with pytest.raises(UserError, match="suites must be a list of names"):
        load_suite(group)
    with pytest.raises(UserError, match="no suite 'nope'"):
        load_suite("home-smoke,nope")
