"""Traces written in the short notation: everything of it is read, every mistake is told with its line, the rest of the file is kept."""

import pytest

from needle.traces import read_traces

PAGE = """@ tides-1 | harbour
+ get_tides | High and low water.
- port* string | Name of the port, e.g. "Saint-Malo".
- day* date
- datum enum[chart;mean sea level] = chart | Reference; if omitted | chart.
- height number min=-1.5 max=20
+ set-alarm
- before integer min=5 = 60
- loud boolean = false
- from email
- $no-wind boolean
- crew list[string]
- contact object | Whom to call.
- contact.name* string
- stops list[object]
- stops.at* time
- level enum[1;2;5]
# a remark

? Roscoff; and Brest, 1 March 2027
> get_tides(port="Roscoff", day="2027-03-01"); get_tides(port='Brest (old, "inner")', day="2027-03-01", height=-.5)
? wake Ana
> set-alarm(from="a@b.org", $no-wind=true, crew=["Ana", "Jo), (x"], contact={"name": "M"}, stops=[{"at": "06:30"}], loud=true, level=2)
? water temperature
> none
? never mind
> none negated
! Today is Monday, 1 March 2027.
? tides tomorrow
< Of which port?
? Roscoff
> get_tides(port="Roscoff", day="2027-03-02")
"""


def read(tmp_path, text):
    path = tmp_path / "mine.txt"
    path.write_text(text, encoding="utf-8")
    return read_traces(path)


def test_tools_requests_and_answers_are_read(tmp_path):
    rows, problems = read(tmp_path, PAGE)
    assert not problems and [row.kind for row in rows] == ["parallel", "single", "irrelevant", "negated", "single"]
    assert [row.id for row in rows] == ["tides-1-001", "tides-1-002", "tides-1-003", "tides-1-004", "tides-1-005"]
    assert rows[4].query == "Roscoff" and rows[4].system == "Today is Monday, 1 March 2027." and not rows[3].system
    assert [turn["content"] for turn in rows[4].messages] == ["tides tomorrow", "Of which port?"]
    assert {(row.toolset, row.domain) for row in rows} == {("tides-1", "harbour")}
    tides, alarm = (tool.parameters for tool in rows[0].tools)
    assert tides["required"] == ["port", "day"] and tides["properties"] == {
        "port": {"type": "string", "description": 'Name of the port, e.g. "Saint-Malo".'},
        "day": {"type": "string", "format": "date"},
        "datum": {"type": "string", "enum": ["chart", "mean sea level"], "description": "Reference; if omitted | chart.", "default": "chart"},
        "height": {"type": "number", "minimum": -1.5, "maximum": 20},
    }  # fmt: skip
    assert alarm["properties"]["stops"]["items"]["required"] == ["at"] and alarm["properties"]["contact"]["required"] == ["name"]
    assert alarm["properties"]["loud"]["default"] is False and alarm["properties"]["level"] == {"type": "integer", "enum": [1, 2, 5]}
    assert [call.arguments for call in rows[0].calls] == [
        {"port": "Roscoff", "day": "2027-03-01"},
        {"port": 'Brest (old, "inner")', "day": "2027-03-01", "height": -0.5},
    ]
    assert rows[1].calls[0].name == "set-alarm" and rows[1].calls[0].arguments["crew"] == ["Ana", "Jo), (x"]
    assert rows[1].calls[0].arguments["from"] == "a@b.org" and rows[1].calls[0].arguments["loud"] is rows[1].calls[0].arguments["$no-wind"] is True


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("* nothing", "a line starts with"),
        ("- part", "cannot read this parameter"),
        ("- part strong", "unknown type 'strong'"),
        ("- far.part string", "write far itself"),
        ("> get_tides(port='x', day='2027-01-01')", "without a request"),
        ("? again\n> get_waves()", "no tool of this toolset"),
        ("? again\n> get_tides(port='x'", "not closed"),
        ("? again\n> get_tides('x')", "name=value"),
        ("? again\n> get_tides(port='x', port='y', day='2027-01-01')", "duplicate_key: port"),
        ("? again\n> get_tides(port={[1]: 2}, day='2027-01-01')", "keys of an object"),
        ("? again\n> get_tides(port=" + "-" * 5000 + "1, day='2027-01-01')", "malformed"),
        ("? again\n> get_tides(port=open('x'), day='2027-01-01')", "malformed"),
        ("? again\n> get_tides(port='x', day=)", "invalid syntax"),
        ("? again\n> get_tides(port='x')", "missing"),
        ("? again\n> none maybe", "none maybe"),
        ("? again\n>", "an answer is calls"),
        ("? again\n? once more\n> none", "has no answer"),
        ("? again", "has no answer"),
        ("! Today is Monday.\n! Today is Tuesday.\n? once more\n> none", "has no answer"),
        ("? again\n< Of which port?\n@ other", "has no answer"),
        ("? again\n< Of which port?", "has no answer"),
        ("< Of which port?", "without a request"),
        ("+ late_tool", "before the requests"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_other_rows_are_kept(tmp_path, line, wrong):
    rows, problems = read(tmp_path, PAGE + line + "\n")
    assert len(problems) == 1 and wrong in problems[0].reason and problems[0].line > PAGE.count("\n")
    assert len(rows) == 5 + ("once more" in line)


def test_bytes_that_are_no_text_are_told(tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"@ x\n\xff\xfe\n")
    (tmp_path / "good.txt").write_text(PAGE)
    rows, problems = read_traces([tmp_path / "bad.txt", tmp_path / "good.txt"])
    assert len(rows) == 5 and "UTF-8" in problems[0].reason
