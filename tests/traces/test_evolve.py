"""Variations of a trace keep its label: calls validate, alternatives follow, and the old names come back."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from needle.errors import UserError
from needle.tools.spec import ToolCall, ToolSpec
from needle.tools.validate import validate_calls
from needle.traces.evolve import (
    OPS,
    drop_descriptions,
    evolve,
    mask_names,
    rename_parameters,
    rename_tools,
    resample_distractors,
    restore,
    shuffle_parameters,
    shuffle_tools,
    withhold_gold,
)
from needle.traces.renaming import parameter_paths
from needle.traces.trace import Trace


def _tool(name: str, description: str, properties: dict, required: list[str] = ()) -> ToolSpec:
    return ToolSpec(name, description, {"type": "object", "properties": properties, "required": list(required)})


ITEM = {"type": "object", "properties": {"name": {"type": "string", "description": "what"}, "amount": {"type": "integer"}},
        "required": ["name"]}  # fmt: skip
TOOLS = (
    _tool("order_items", "Order things from a shop. Use track_order to follow it.", {
        "items": {"type": "array", "items": ITEM, "description": "what to order"},
        "shop": {"type": "string", "description": "name of the shop"},
        "pay_by": {"type": "string", "enum": ["card", "cash"]},
        "when": {"type": "object", "properties": {"date": {"type": "string", "format": "date", "description": "day"},
                                                  "time": {"type": "string", "format": "time", "description": "clock time"}}},
    }, ["items", "shop"]),
    _tool("track_order", "Where an order is now.", {"order": {"type": "string", "description": "number of the order"}}, ["order"]),
    _tool("cancel_order", "Cancel an order that has been made.", {"order": {"type": "string", "description": "number"}}, ["order"]),
    _tool("get_weather", "Weather of a city.", {"city": {"type": "string", "description": "name of the city"}}, ["city"]),
    _tool("mystery", "", {"x": {"type": "number"}, "y": {"type": "number"}}),
)  # fmt: skip
CALL = ToolCall(
    "order_items",
    {"items": [{"name": "tea", "amount": 2}, {"name": "milk"}], "shop": "Rana", "when": {"date": "2027-03-01"}},
)
QUERY = "order 2 tea and milk from Rana for 1 March 2027"
EARLIER = ({"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {
    "name": "track_order", "arguments": '{"order": "A7"}'}}]},)  # fmt: skip
TRACE = Trace("r1", QUERY, TOOLS, (CALL,), alternatives={"0.items.1.amount": [1, None], "0.when": [{"date": "2027-03-02"}]},
              messages=EARLIER, meta={"spans": {"0.items.0.name": [8, 11]}})  # fmt: skip
POOL = [_tool(f"tool_{word}", f"Play {word} on the radio.", {}) for word in ("jazz", "opera", "news", "rock", "folk")]
POOL += [_tool("place_order", "Order things from a shop, now.", {}), _tool("get_weather", "Weather of a city.", {})]


def _valid(trace: Trace) -> bool:
    return validate_calls(trace.calls, trace.tools) == []


@pytest.mark.parametrize("op", OPS)
def test_every_operation_gives_a_valid_trace_by_chance_of_its_seed_alone(op):
    made = [evolve(TRACE, (op,), seed, POOL) for seed in range(25)]
    assert all(_valid(trace) for trace in made)
    assert [trace.to_dict() for trace in made] == [evolve(TRACE, (op,), seed, POOL).to_dict() for seed in range(25)]
    assert all(trace.meta["evolved"]["parent"] == "r1" and trace.meta["evolved"]["ops"] == [op] for trace in made)
    assert len({trace.id for trace in made}) == 25 and "r1" not in {trace.id for trace in made}
    if op != "withhold_gold":
        assert len({repr(trace.tools) for trace in made}) > 5


def test_names_change_everywhere_at_once():
    names = {
        "order_items": {"items": "things", "items.name": "label", "when": "due", "when.date": "day"},
        "track_order": {"order": "ref"},
    }
    made = rename_parameters(rename_tools(TRACE, random.Random(0), {"track_order": "follow"}), random.Random(0),
                             {"order_items": names["order_items"], "follow": names["track_order"]})  # fmt: skip
    assert made.calls == (ToolCall("order_items", {"things": [{"label": "tea", "amount": 2}, {"label": "milk"}], "shop": "Rana",
                                                   "due": {"day": "2027-03-01"}}),)  # fmt: skip
    assert made.alternatives == {"0.things.1.amount": [1, None], "0.due": [{"day": "2027-03-02"}]}
    assert made.meta["spans"] == {"0.things.0.label": [8, 11]}
    assert made.tools[0].required == ("things", "shop") and made.tools[0].properties["things"]["items"]["required"] == [
        "label"
    ]
    assert "Use follow to" in made.tools[0].description
    earlier = made.messages[0]["tool_calls"][0]["function"]
    assert (earlier["name"], earlier["arguments"]) == ("follow", '{"ref": "A7"}')
    assert _valid(made)


@pytest.mark.parametrize(
    "ops",
    [("rename_tools",), ("rename_parameters",), ("mask_names",), ("rename_tools", "mask_names", "rename_parameters")],
)
def test_old_names_come_back(ops):
    for seed in range(40):
        back = restore(evolve(TRACE, ops, seed))
        assert (back.calls, back.alternatives, back.messages) == (TRACE.calls, TRACE.alternatives, TRACE.messages)
        assert [tool.to_dict() for tool in back.tools] == [tool.to_dict() for tool in TOOLS]
        assert back.meta["spans"] == TRACE.meta["spans"]


def test_masks_hide_what_words_explain_and_nothing_else():
    made = mask_names(TRACE, random.Random(3))
    names = [tool.name for tool in made.tools]
    assert names[4] == "mystery" and set(names[:4]).isdisjoint(tool.name for tool in TOOLS)
    assert list(made.tools[4].properties) == ["x", "y"], "nothing else says which is which"
    item = list(made.tools[0].properties.values())[0]["items"]
    assert "amount" in item["properties"] and "name" not in item["properties"]
    twins = _tool("convert", "Convert between units.", {key: {"enum": ["m", "km"]} for key in ("from_unit", "to_unit")})
    assert list(
        mask_names(replace(TRACE, tools=(twins,), calls=(), alternatives={}), random.Random(0)).tools[0].properties
    ) == ["from_unit", "to_unit"]


def test_schemas_that_name_keys_elsewhere_keep_their_parameters():
    odd = ToolSpec("odd", "Odd.", {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"type": "string", "description": "b"}},
                                   "$defs": {"A": {"type": "object", "properties": {"b": {"type": "string"}}}}})  # fmt: skip
    trace = Trace("o", "q", (odd,), (ToolCall("odd", {"a": {"b": "x"}, "b": "y"}),))
    assert (
        parameter_paths(odd) == [] and evolve(trace, ("mask_names",), 1).calls[0].arguments == trace.calls[0].arguments
    )


def test_shuffled_tools_and_parameters_are_the_same_ones_and_arguments_follow_the_order():
    made = shuffle_parameters(shuffle_tools(TRACE, random.Random(1)), random.Random(2))
    assert sorted(tool.name for tool in made.tools) == sorted(tool.name for tool in TOOLS)
    order = next(tool for tool in made.tools if tool.name == "order_items")
    assert set(order.properties) == set(TOOLS[0].properties) and set(order.required) == {"items", "shop"}
    keys = list(made.calls[0].arguments)
    assert keys == sorted(keys, key=list(order.properties).index) and made.calls[0].arguments == CALL.arguments


def test_dropped_descriptions_leave_masked_tools_and_forms_of_values_alone():
    dated = _tool(
        "log_day",
        "Log a day.",
        {
            "day": {"type": "string", "description": "ISO code of the day"},
            "note": {"type": "string", "description": "words"},
        },
    )
    made = [drop_descriptions(Trace("d", "q", (dated,), ()), random.Random(seed), 1.0) for seed in range(20)]
    assert all(trace.tools[0].properties["day"].get("description") for trace in made)
    assert any("description" not in trace.tools[0].properties["note"] for trace in made)
    assert any(not trace.tools[0].description for trace in made)
    masked = evolve(TRACE, ("mask_names", "drop_descriptions"), 5)
    assert all(tool.description for tool in masked.tools[:4])


def test_distractors_keep_the_gold_tool_and_bring_no_twin_and_no_second_name():
    for seed in range(20):
        made = resample_distractors(TRACE, POOL, 3, random.Random(seed))
        names = [tool.name for tool in made.tools]
        assert "order_items" in names and "place_order" not in names and len(names) == len(set(names)) == 4


def test_a_row_without_calls_gets_no_tool_that_might_serve_it():
    trace = Trace("n", "play me some jazz or opera", TOOLS, (), "irrelevant")
    for seed in range(20):
        names = {tool.name for tool in resample_distractors(trace, POOL, 4, random.Random(seed)).tools}
        assert not names & {"tool_jazz", "tool_opera"}


def test_withholding_the_gold_tool_leaves_no_call_and_no_twin():
    twin = _tool("order_things", "Order things from a shop.", {})
    made = withhold_gold(replace(TRACE, tools=(*TOOLS, twin)))
    assert (
        made.calls == ()
        and made.alternatives == {}
        and "spans" not in made.meta
        and made.meta["withheld"] == ["order_items"]
    )
    assert not {"order_items", "order_things"} & {tool.name for tool in made.tools} and made.kind in (
        "near_miss",
        "irrelevant",
    )
    weather = Trace("w", "weather in Oslo", (TOOLS[3], POOL[0]), (ToolCall("get_weather", {"city": "Oslo"}),))
    assert withhold_gold(weather).kind == "irrelevant"
    cancelled = Trace("c", "cancel A7", TOOLS[1:3], (ToolCall("cancel_order", {"order": "A7"}),))
    assert withhold_gold(cancelled).kind == "near_miss"
    assert withhold_gold(made) is made


def test_an_unknown_operation_is_refused():
    with pytest.raises(UserError, match="mask_names"):
        evolve(TRACE, ("explode",), 0)


def test_what_is_noted_of_a_label_follows_the_names_and_comes_back():
    votes = {"k": 3, "share": 0.6667, "ballots": [], "decisions": {
        "tools": {"order_items": 0.6667, "": 0.1, "order_items + track_order": 0.2333},
        "members": {"0.pay_by": {'"card"': 0.5, '"cash"': 0.5}}, "given": {"0.when.date": 0.5}}}  # fmt: skip
    rejected = [{"name": "track_order", "arguments": {"order": "A7"}}]
    noted = replace(TRACE, meta=TRACE.meta | {"votes": votes, "rejected": rejected, "topk": [{"t": "order_items"}]})
    made = evolve(noted, ("mask_names",), seed=3)
    new = {old.name: other.name for old, other in zip(TOOLS, made.tools, strict=True)}
    said = made.meta["votes"]["decisions"]
    assert new["order_items"] != "order_items" and list(said["tools"]) == [
        new["order_items"], "", f"{new['order_items']} + {new['track_order']}"]  # fmt: skip
    (path,) = said["given"]
    outer, inner = path.split(".")[1:]
    assert inner in made.tools[0].parameters["properties"][outer]["properties"]
    assert made.meta["rejected"][0]["name"] == new["track_order"] and not validate_calls(
        [ToolCall(**made.meta["rejected"][0])], made.tools
    )
    assert "topk" not in made.meta and made.meta["evolved"]["dropped"] == ["topk"]
    back = restore(made)
    assert back.meta["votes"] == votes and back.meta["rejected"] == rejected
    assert evolve(noted, ("shuffle_tools",), seed=3).meta["topk"], "the label is the same text as before"
    alone = evolve(noted, ("withhold_gold",), seed=3)
    assert not {"votes", "rejected", "topk", "spans"} & alone.meta.keys()
    assert set(alone.meta["evolved"]["dropped"]) == {"votes", "rejected", "topk"}
