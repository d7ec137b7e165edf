"""What single importers read out of their originals: specs that hold together, ThingTalk, templates, tldr sentences, spoken forms, schemas, dialogues."""

from __future__ import annotations

import json
import random
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

from needle.corpora import forms, ha_intents, home_llm, multiwoz, schemas, sgd, thingtalk, tldr
from needle.corpora.catalogue import SETS, Options, importer
from needle.corpora.functions import Function, Slot, draw_style, encode, load_functions, word_function
from needle.corpora.templates import Sampler, Unsayable
from needle.corpora.toolsets import Mix
from needle.traces import check_trace

SPECS = sorted(path.name.removesuffix(".json") for path in (files("needle.corpora") / "specs").iterdir())


@pytest.mark.parametrize("name", SPECS)
def test_written_functions_hold_together(name):
    functions = load_functions(name)
    raw = json.loads((files("needle.corpora") / "specs" / f"{name}.json").read_text())
    assert functions and all(function.names and function.descriptions for function in functions.values())
    assert not {key for groups in (raw.get("rivals", ()), raw.get("kin", ())) for group in groups for key in group} - functions.keys()
    for function in functions.values():
        assert len({slot.key for slot in function.slots}) == len(function.slots)
        for seed in range(3):
            rng = random.Random(seed)
            worded = word_function(function, draw_style(rng), rng)
            assert set(worded.spec.properties) == {argument for argument, _ in worded.modes.values()}


def test_every_set_has_an_importer_and_a_licence():
    for one in SETS.values():
        assert (Path(__file__).parents[2] / f"{importer(one).replace('.', '/')}.py").is_file()
        assert one.licence and one.attribution and one.source and "@" in one.source


def test_a_wording_writes_values_in_its_own_way_or_refuses_them():
    function = Function("alarm", "clock", ("set alarm",), ("Set an alarm.",), (Slot("time", ("time",), kind="time"), Slot("room", ("room",), kind="closed", choices=("hall", "den", "loft", "attic")), Slot("n", ("count",), kind="integer")))
    seen = set()
    for seed in range(60):
        rng = random.Random(seed)
        worded = word_function(function, draw_style(rng), rng)
        time, room = encode(worded, "time", "seven thirty pm"), encode(worded, "room", "hall")
        seen |= {time, room}
        assert encode(worded, "n", "twenty five") == 25 and encode(worded, "n", "a few") is None
        if worded.modes["time"][1] == "time":
            assert encode(worded, "time", "seven thirty") is None
    assert {"19:30", "seven thirty pm", "hall", "HALL", "Hall"} <= seen


@pytest.mark.parametrize(
    ("program", "calls"),
    [
        ("@com.a . post ( status = QUOTED_STRING_0 ) ;", [("com.a", "post", {"status": "QUOTED_STRING_0"})]),
        ("@org.b.iot.tv ( name = QUOTED_STRING_0 ) . set_power ( power = enum off ) ;", [("org.b.iot.tv", "set_power", {"name": "QUOTED_STRING_0", "power": "enum off"})]),
        ("@com.y . restaurant ( ) filter contains ( cuisines , GENERIC_ENTITY_com.yelp:restaurant_cuisine_0 ) && rating >= NUMBER_0 ;", [("com.y", "restaurant", {"cuisines": "GENERIC_ENTITY_com.yelp:restaurant_cuisine_0", "min rating": "NUMBER_0"})]),
        ("[ phone ] of @com.y.restaurant() filter id =~ \"noodle nirvana\";", [("com.y", "restaurant", {"id": '"noodle nirvana"'})]),
        ("now => @com.m.inbox() => notify;", [("com.m", "inbox", {})]),
        ("@a.b . c ( ) ; @d.e . f ( x = $location . home ) ;", [("a.b", "c", {}), ("d.e", "f", {"x": "$location.home"})]),
    ],
)
def test_plain_programs_are_read(program, calls):
    assert [(call.device, call.name, call.values) for call in thingtalk.parse_program(program)] == calls


@pytest.mark.parametrize("program", ["monitor ( @a.b . c ( ) ) ;", "sort ( x asc of @a.b . c ( ) ) [ 1 ] ;", "count ( @a.b . c ( ) ) ;", "@a.b . c ( ) filter ! ( t == QUOTED_STRING_0 ) ;", "@a.b . c ( ) => @d.e . f ( x = title ) ;", "@a.b . c ( x = $? ) ;"])
def test_other_programs_are_refused(program):
    with pytest.raises(thingtalk.Refused):
        thingtalk.parse_program(program)


def test_a_manifest_gives_functions_with_their_parameters():
    text = 'class @com.x #_[name="X"] { action send(in req to: Entity(tt:email_address) #_[prompt="who?"], in opt size: Enum(small,large), out id: String) #_[canonical=["send a thing"]] #[doc="sends (really)"]; }'
    (one,) = thingtalk.parse_manifest(text)
    assert (one.device, one.name, one.query, one.canonical, one.texts) == ("com.x", "send", False, ("send a thing",), ("sends (really)",))
    assert [(p.name, p.type, p.required, p.output) for p in one.parameters.values()] == [("to", "Entity(tt:email_address)", True, False), ("size", "Enum(small,large)", False, False), ("id", "String", False, True)]


def test_templates_choose_leave_out_and_permute():
    sampler = Sampler({"the": "(the|my)"}, lambda name, rng: ("fifty", 50) if name == "level" else (_ for _ in ()).throw(Unsayable(name)))
    drawn = {sampler.draw("[please] set [<the>] lamp (to {level:brightness};now)", random.Random(seed))[0] for seed in range(60)}
    assert {"set lamp to fifty now", "please set the lamp now to fifty"} <= drawn
    assert sampler.draw("{level:brightness}", random.Random(0)) == ("fifty", {"brightness": 50})
    for bad in ("{other}", "<rule>", "{level} {level}"):
        with pytest.raises(Unsayable):
            sampler.draw(bad, random.Random(0))


def test_a_tldr_example_becomes_a_request_with_its_values():
    text = tldr._clean("Extract a specific file from an [a]rchive (quietly)")
    holes = tldr._holes(text, "tar {{[-x|--extract]}} {{path/to/archive.tar}} {{path/to/file}}")
    assert text == "Extract a specific file from an archive" and [hole.noun for hole in holes] == ["file", "archive"]
    for seed in range(20):
        item = tldr._item("k", text, holes, random.Random(seed))
        ((_, values),) = item.calls
        assert all(value in item.text for value in values.values()) and values["archive"].endswith(".tar")
    assert isinstance(tldr._holes("Show the version of it", "x {{thing}}"), str)


def test_spoken_forms_carry_their_values(tmp_path):
    case = {"Input": "back half past eight in the morning", "Results": [{"Text": "half past eight in the morning", "Type": "time", "Value": {"FutureResolution": {"time": "08:30:00"}}}]}
    unsure = {"Input": "back at seven", "Results": [{"Text": "seven", "Type": "time", "Value": {"FutureResolution": {"time": "07:00:00"}}}]}
    (tmp_path / "Specs" / "DateTime" / "English").mkdir(parents=True)
    (tmp_path / "Specs" / "DateTime" / "English" / "TimeParser.json").write_text(json.dumps([case, unsure]))
    assert [(kind, text, json.loads(value)) for kind, text, value, _ in forms._recognizers(tmp_path / "Specs")] == [("time", "half past eight in the morning", {"time": "08:30"})]
    (tmp_path / "examples.jsonl").write_text('{"dim":"Duration","value":"(DurationData 90 Minute)","text":"1 hour thirty"}\n{"dim":"Email","value":"=","text":"hey@6"}\n')
    assert [(kind, text, json.loads(value)) for kind, text, value, _ in forms._duckling(tmp_path / "examples.jsonl")] == [("duration", "1 hour thirty", {"seconds": 5400, "minutes": 90})]


def test_requests_for_schemas_say_every_value_and_validate(tmp_path):
    folder = tmp_path / "botocore_tools"
    folder.mkdir()
    tools = [{"service": "s", "name": f"Delete{noun}", "description": f"Deletes the specified {noun.lower()}.", "parameters": {"type": "object", "properties": {f"{noun}Id": {"type": "string"}, "force": {"type": "boolean"}, "count": {"type": "integer", "min": 2, "max": 9}, "nextToken": {"type": "string"}}, "required": [f"{noun}Id"]}} for noun in ("Queue", "Cluster", "Fleet", "Bucket")]
    tools.append({"service": "s", "name": "PutBlob", "description": "Puts a blob.", "parameters": {"type": "object", "properties": {"body": {"type": "object"}}, "required": ["body"]}})
    (folder / "tools.jsonl").write_text("\n".join(map(json.dumps, tools)))
    options = Options(1, Mix(rows=(4, 8), tools=(2, 4), uses=6))
    rows = list(schemas.rows(folder, options))
    assert options.dropped["essential parameter that a sentence cannot hold"] == 1
    assert len(rows) > 15 and not [row for row in rows if check_trace(row)]
    for row in rows:
        assert all("nextToken" not in tool.properties for tool in row.tools)
        for call in row.calls:
            assert all(str(value) in row.query for value in call.arguments.values() if not isinstance(value, bool))


@pytest.mark.parametrize(("name", "words"), [("DeleteHostKey", "delete"), ("zia_list_rules", "list"), ("getUserById", ("get", "show", "fetch"))])
def test_an_operation_is_said_with_its_verb_first(name, words):
    from needle.tools import ToolSpec

    assert schemas.operation(ToolSpec(name, ""), random.Random(1)).startswith(words)


def test_only_values_that_a_dialogue_turn_says_itself_become_arguments(tmp_path):
    service = {"service_name": "Food_1", "description": "", "slots": [{"name": "city", "description": "City", "is_categorical": False, "possible_values": []}, {"name": "seats", "description": "Seats", "is_categorical": True, "possible_values": ["1", "2", "3"]}],
               "intents": [{"name": "FindFood", "description": "Find food", "required_slots": ["city"], "optional_slots": {"seats": "2"}}]}  # fmt: skip
    for part in ("train", "dev"):
        (tmp_path / f"schema_{part}.json").write_text(json.dumps([service]))
        for number in range(1, 6):
            (tmp_path / "sgd_x" / f"v{number}" / part).mkdir(parents=True)
            (tmp_path / "sgd_x" / f"v{number}" / part / "schema.json").write_text(json.dumps([service]))
    functions = sgd.load_schemas(tmp_path)
    said, silent = sgd._said("A table for two in Rome", {"city": ["Roma", "Rome"], "seats": ["2"]}, functions["Food_1/FindFood"], {"x"})
    assert said == {"city": "Rome", "seats": 2} and silent == []
    assert sgd._said("Somewhere to eat", {"city": ["Rome"]}, functions["Food_1/FindFood"], {"rome"}) == ({}, ["city"])


def test_tourist_turns_keep_one_subject(tmp_path):
    turn = {"text": "i need a train to ely on monday .", "dialog_act": {"Train-Inform": [["Dest", "ely"], ["Day", "monday"]]}}
    assert multiwoz._item("x", 0, turn).calls == (("Train-find", {"Dest": "ely", "Day": "monday"}),)
    assert isinstance(multiwoz._item("x", 3, {"text": "on monday .", "dialog_act": {"Train-Inform": [["Day", "monday"]]}}), str)
    (tmp_path / "data" / "multiwoz").mkdir(parents=True)
    for part in ("val", "test"):
        with zipfile.ZipFile(tmp_path / "data" / "multiwoz" / f"{part}.json.zip", "w") as archive:
            archive.writestr(f"{part}.json", json.dumps({f"d{n}": {"log": [{**turn, "text": f"train number {n} to ely on monday ."}]} for n in range(40)}))
    rows = list(multiwoz.rows(tmp_path, Options(1, Mix(rows=(4, 8), tools=(1, 3)))))
    assert rows and not [row for row in rows if check_trace(row)]


def test_home_templates_without_their_reader_say_what_to_install(tmp_path, monkeypatch):
    import builtins

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", lambda name, *rest, **more: (_ for _ in ()).throw(ImportError(name)) if name == "yaml" else real(name, *rest, **more))
    with pytest.raises(Exception, match="pip install pyyaml"):
        list(ha_intents.rows(tmp_path, Options()))


def test_patterns_of_a_home_are_filled_and_mean_what_their_blanks_say(tmp_path):
    folder = tmp_path / "data" / "piles" / "english"
    folder.mkdir(parents=True)
    write = lambda name, text: (folder / f"pile_of_{name}").write_text(text, encoding="utf-8")  # noqa: E731
    write("device_names.csv", "device_name,description\nlight.a,Hall Lamp\nlock.b,Back Door\n")
    write("durations.csv", "duration,name\n00:01:00,One minute\n")
    write("todo_items.txt", "Call parents\n")
    write("templated_actions.csv", 'device_type,service,phrase,multiplier\nlight,turn_on,"Dim <device_name> to <brightness>%.",8\nlight|lock,turn_off|lock,"Turn off <device_name1> and lock <device_name2>",1\n')
    write("specific_actions.csv", "service_name,device_name,phrase\nlock.lock,back_door,Secure the back door please\nlight.turn_on,porch_light,Light on the porch\n")
    options = Options(mix=Mix(rows=(1, 4), tools=(2, 4), uses=8, withheld=0, missing=0, joined=0))
    rows = list(home_llm.rows(tmp_path, options))
    assert options.dropped["device in other words"] == 1
    assert all(not check_trace(row) for row in rows)
    calls = {row.query: [call.arguments for call in row.calls] for row in rows if row.calls}
    assert [{"Hall Lamp"}, {"Back Door"}] == [set(found.values()) for found in calls["Turn off Hall Lamp and lock Back Door"]]
    assert ["back door"] == list(calls["Secure the back door please"][0].values())
    dimmed = [found for query, found in calls.items() if query.startswith("Dim Hall Lamp to")]
    assert dimmed and all(any(isinstance(value, int) for value in found[0].values()) for found in dimmed)
