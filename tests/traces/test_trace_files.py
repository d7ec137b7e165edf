"""Files in and out: what is written is read back; bad rows are reported with file and line, none is dropped."""

import json

import pytest

from needle.errors import UserError
from needle.tools import ToolCall, ToolSpec
from needle.traces import Trace, read_traces, split_files, trace_files, write_rows, write_traces

TOOL = ToolSpec(
    "ping",
    "Ping a host.",
    {"type": "object", "properties": {"host": {"type": "string"}, "n": {"type": "integer"}}, "required": ["host"]},
)


def trace(number, **more):
    call = ToolCall("ping", {"host": f"h{number}"})
    return Trace(
        id=f"r{number}",
        query=f"ping h{number} – ünï",
        tools=(TOOL,),
        calls=(call,),
        toolset="a-net",
        domain="net",
        **more,
    )


ROWS = [
    trace(0),
    trace(1, system="Office.", alternatives={"0.n": [3, None]}),
    trace(2, messages=({"role": "user", "content": "x"},), meta={"k": [1]}),
]


def lines(path, *rows):
    path.write_text(
        "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n", encoding="utf-8"
    )
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.xz", ".parquet"])
def test_what_is_written_is_read_back(tmp_path, ending):
    path = write_traces(tmp_path / "sub" / f"rows{ending}", ROWS)
    assert read_traces(path) == (ROWS, [])
    assert [item.name for item in path.parent.iterdir()] == [path.name], "no temporary file is left"


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.xz"])
def test_equal_traces_give_equal_bytes(tmp_path, ending):
    first = write_traces(tmp_path / f"a{ending}", ROWS).read_bytes()
    assert write_traces(tmp_path / f"b{ending}", ROWS).read_bytes() == first


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = write_traces(tmp_path / "rows.jsonl", ROWS)

    def broken():
        yield ROWS[0].to_dict()
        raise RuntimeError("stopped half-way")

    with pytest.raises(RuntimeError):
        write_rows(path, broken())
    assert read_traces(path)[0] == ROWS
    assert [item.name for item in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("needle.traces.write.os.replace", full)
    with pytest.raises(UserError, match=r"rows\.jsonl: not written \(No space left on device\)"):
        write_traces(tmp_path / "rows.jsonl", ROWS)
    assert list(tmp_path.iterdir()) == []


def test_unknown_endings_and_unwritable_folders_are_one_line(tmp_path):
    with pytest.raises(UserError, match="unknown ending"):
        write_traces(tmp_path / "rows.csv", ROWS)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write there"):
        write_traces(tmp_path / "file" / "rows.jsonl", ROWS)


def test_bad_rows_are_collected_with_file_line_and_reason(tmp_path):
    good = ROWS[0].to_dict()
    call = {"name": "ping", "arguments": {"host": "x"}}
    path = lines(
        tmp_path / "rows.jsonl",
        good,
        '{"query": "x", ',
        "",
        "[1, 2]",
        {"hello": 1},
        {**good, "id": "u", "calls": [{"name": "pong", "arguments": {}}]},
        {**good, "id": "v", "calls": [{"name": "ping", "arguments": {"host": 3}}]},
        {**good, "id": "w", "calls": [{"name": "ping", "arguments": {"host": "x", "ttl": 1}}]},
        good,
        {**good, "id": "z", "calls": [call, call]},
    )
    with open(path, "ab") as file:
        file.write(b'{"query": "\xff"}\n')
    traces, problems = read_traces(path)
    assert [trace.id for trace in traces] == ["r0", "z"]
    assert {problem.file for problem in problems} == {str(path)}
    reasons = {problem.line: problem.reason for problem in problems}
    expected = {
        2: "broken JSON at column 15",
        4: "a row is a JSON object",
        5: "unknown row format",
        6: "unknown_tool at 0",
        7: "wrong_type at 0.host",
        8: "unknown_param at 0.ttl",
        9: "id 'r0' is used",
        11: "not readable",
    }
    assert reasons.keys() == expected.keys()
    assert [line for line, words in expected.items() if words not in reasons[line]] == []
    assert str(problems[0]).startswith(f"{path}:2: ")


def test_a_cut_archive_keeps_its_rows_and_says_where_it_ends(tmp_path):
    path = write_traces(tmp_path / "rows.jsonl.gz", [trace(number) for number in range(3000)])
    path.write_bytes(path.read_bytes()[:-2000])
    traces, problems = read_traces(path)
    assert 0 < len(traces) < 3000
    assert len(problems) == 1 and "cannot be read on" in problems[0].reason


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", b""), ("b.jsonl", b"\n\n"), ("c.jsonl", b"oops\n"), ("d.jsonl.gz", b"oops"), ("e.parquet", b"oops")],
)
def test_a_file_without_a_usable_row_is_an_error(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_traces(path)
    assert str(path) in str(caught.value) and "no usable row" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_paths_and_empty_folders_are_errors(tmp_path):
    for paths, words in (
        (tmp_path / "no.jsonl", "no such file"),
        (tmp_path, "no trace file"),
        ([], "no trace file given"),
    ):
        with pytest.raises(UserError, match=words):
            read_traces(paths)


def test_a_folder_is_its_parts_or_else_every_trace_file(tmp_path):
    for name in ("b.jsonl", "a.jsonl.gz"):
        write_traces(tmp_path / name, ROWS)
    (tmp_path / "card.json").write_text("{}")
    assert [path.name for path in trace_files(tmp_path)] == ["a.jsonl.gz", "b.jsonl"]
    assert len(read_traces(tmp_path)[0]) == 2 * len(ROWS), "equal ids in two files are no problem"
    for part in ("test", "train"):
        write_traces(tmp_path / f"{part}.jsonl", ROWS)
    assert [path.name for path in trace_files(tmp_path)] == ["train.jsonl", "test.jsonl"]
    assert list(split_files(tmp_path)) == ["train", "test"]
    write_traces(tmp_path / "train.jsonl.gz", ROWS)
    with pytest.raises(UserError, match="keep one"):
        split_files(tmp_path)


def test_rows_without_id_are_named_after_file_and_line(tmp_path):
    row = {key: value for key, value in ROWS[0].to_dict().items() if key != "id"}
    traces, _ = read_traces(lines(tmp_path / "mine.jsonl", row, row))
    assert [trace.id for trace in traces] == ["mine-1", "mine-2"]


def test_equal_tools_are_held_once(tmp_path):
    traces, _ = read_traces(write_traces(tmp_path / "rows.jsonl", ROWS))
    assert len({id(trace.tools) for trace in traces}) == 1


def test_bfcl_answers_are_found_beside_the_questions(tmp_path):
    (tmp_path / "possible_answer").mkdir()
    question = {"id": "simple_0", "question": [[{"role": "user", "content": "ping h1"}]], "function": [TOOL.to_dict()]}
    lines(tmp_path / "BFCL_v4_simple.json", question, {**question, "id": "simple_1"})
    lines(
        tmp_path / "possible_answer" / "BFCL_v4_simple.json",
        {"id": "simple_0", "ground_truth": [{"ping": {"host": ["h1"], "n": [""]}}]},
    )
    traces, problems = read_traces(tmp_path / "BFCL_v4_simple.json")
    assert traces[0].calls == (ToolCall("ping", {"host": "h1"}),)
    assert [problem.line for problem in problems] == [2]
