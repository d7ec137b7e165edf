"""Splits do not leak: no toolset, tool list or (for one toolset) phrasing is in two parts; they repeat by seed."""

from dataclasses import replace

import pytest

from needle.errors import UserError
from needle.tools import ToolCall, ToolSpec
from needle.traces import Trace, split_by_request, split_by_toolset, split_traces, template
from needle.traces.split import PARTS, family, lineage


def toolset(name, rows=5, domain="things"):
    tools = (ToolSpec(f"do_{name}", "", {"type": "object", "properties": {"x": {"type": "string"}}}),)
    return [
        Trace(f"{name}-{n}", f"do {n}", tools, (ToolCall(tools[0].name, {"x": str(n)}),), toolset=name, domain=domain)
        for n in range(rows)
    ]


MANY = [row for letter in "abcd" for number in range(25) for row in toolset(f"{letter}-{number:02}")]


def test_no_toolset_is_in_two_parts_and_no_row_is_lost():
    parts = split_by_toolset(MANY, seed=3)
    names = {part: {row.toolset for row in rows} for part, rows in parts.items()}
    assert (
        not names["train"] & names["test"]
        and not names["train"] & names["validation"]
        and not names["test"] & names["validation"]
    )
    assert sorted(row.id for rows in parts.values() for row in rows) == sorted(row.id for row in MANY)


def test_shares_hold_within_each_family():
    parts = split_by_toolset(MANY, seed=3)
    for letter in "abcd":
        counts = [len({row.toolset for row in parts[part] if family(row) == letter}) for part in PARTS]
        assert sum(counts) == 25 and all(
            abs(count - share) <= 1 for count, share in zip(counts, (20, 2.5, 2.5), strict=True)
        )


def test_the_seed_decides_and_the_order_of_a_toolset_stays():
    assert split_by_toolset(MANY, seed=1) == split_by_toolset(MANY, seed=1) != split_by_toolset(MANY, seed=2)
    for rows in split_by_toolset(MANY, seed=1).values():
        order = [row.toolset for row in rows]
        assert order == sorted(order), "input order, so rows of a toolset stay adjacent"


def test_one_tool_list_under_two_names_stays_together():
    twins = [row for row in toolset("x")] + [
        Trace(f"y-{row.id}", row.query, row.tools[::-1], row.calls, toolset="y") for row in toolset("x")
    ]
    for seed in range(8):
        parts = split_by_toolset(twins + MANY[:100], seed)
        assert len([part for part in PARTS if {row.toolset for row in parts[part]} & {"x", "y"}]) == 1


def test_rows_without_toolset_names_are_split_by_their_tools():
    rows = [Trace(row.id, row.query, row.tools, row.calls) for row in MANY]
    parts = split_by_toolset(rows)
    prints = {part: {row.tools for row in rows} for part, rows in parts.items()}
    assert not prints["train"] & prints["test"] and prints["test"]


@pytest.mark.parametrize("count", [3, 4, 5, 9])
def test_no_part_stays_empty_where_there_are_toolsets_enough(count):
    rows = [row for number in range(count) for row in toolset(f"t{number}", domain=f"d{number}")]
    assert all(split_by_toolset(rows).values())
    assert all(split_traces(rows).values())


def phrased(text, **arguments):
    return Trace("", text, toolset("a")[0].tools, (ToolCall("do_a", arguments),), toolset="a")


def test_a_template_masks_values_and_numbers_only():
    assert (
        template(phrased("Dim the Kitchen to 10%!", x="kitchen"))
        == template(phrased("dim the hall to 7", x="hall"))
        == "dim the _ to _"
    )
    assert template(phrased("call Ann and Bob", x=["Ann", "Bob"])) == "call _ and _"
    assert template(phrased("a cat on a mat", x="a")) == "_ cat on _ mat", "whole words only"
    assert template(phrased("turn it on", x=True)) == "turn it on"


def test_no_phrasing_is_in_two_parts_of_one_toolset():
    rows = [
        phrased(f"{verb} the {room} light {end}", x=room)
        for verb in ("dim", "kill", "start", "set", "fix")
        for end in ("now", "please", "ok", "", "then")
        for room in ("hall", "kitchen", "attic", "cellar")
    ]
    parts = split_by_request(rows, seed=5)
    templates = {part: {template(row) for row in rows} for part, rows in parts.items()}
    assert not templates["train"] & templates["test"] and not templates["train"] & templates["validation"]
    assert all(abs(len(parts[part]) - share) <= 4 for part, share in zip(PARTS, (80, 10, 10), strict=True))
    assert parts == split_by_request(rows, seed=5)
    assert split_traces(rows, seed=5) == parts, "one toolset is split by request"


def test_parts_of_one_toolset_are_never_empty():
    rows = [phrased(f"{'word ' * (n + 1)}x", x="x") for n in range(3)] + [phrased("word x", x="x")] * 50
    parts = split_by_request(rows)
    assert all(parts.values()) and sum(map(len, parts.values())) == 53


def test_too_few_toolsets_or_phrasings_are_an_error():
    with pytest.raises(UserError, match="split by request"):
        split_by_toolset(toolset("a"))
    with pytest.raises(UserError, match="too few"):
        split_by_request([phrased("dim 1", x="1"), phrased("dim 2", x="2")])


def test_a_row_is_never_in_another_part_than_the_row_it_descends_from():
    rows = [phrased(f"{'word ' * (n + 1)}x", x="x") for n in range(40)]
    rows = [replace(row, id=f"r{n}") for n, row in enumerate(rows)]
    made = [replace(row, id=f"{row.id}~ab{n}", query=f"other {n} {row.query}", meta={"evolved": {"parent": row.id}}) for n in range(3) for row in rows]
    for seed in range(5):
        parts = split_by_request(rows + made, seed)
        where = {row.id: part for part, held in parts.items() for row in held}
        assert all(where[row.id] == where[row.meta["evolved"]["parent"]] for row in made) and len(set(where.values())) == 3
    families = [replace(row, id=f"{row.id}~x", toolset=f"{row.toolset}-twin", tools=row.tools[:1] + (ToolSpec("more"),), meta={"parent": row.id}) for row in MANY]
    assert lineage(families[0]) == MANY[0].id and lineage(MANY[0]) == MANY[0].id
