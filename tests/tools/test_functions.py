"""Python functions and Pydantic models become tools whose schema says what the signature says."""

import datetime
import enum
import functools
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from needle.errors import UserError
from needle.tools import read_tools, spec_from_function, spec_from_model, tool, validate_calls
from needle.tools.bind import bind
from needle.tools.execute import execute


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Place:
    city: str
    postcode: str | None = None


class Window(TypedDict, total=False):
    start: datetime.time
    end: datetime.time


def plan(
    room: Literal["kitchen", "hall"],
    percent: Annotated[int, "brightness"],
    speed: Annotated[float, Field(ge=0, le=2, description="metres a second")] = 1.0,
    color: Color = Color.RED,
    places: list[Place] = [],  # noqa: B006
    window: Window | None = None,
    note: Optional[str] = None,  # noqa: UP045
    scores: dict[str, float] | None = None,
    day: datetime.date | None = None,
    when: datetime.datetime | None = None,
    count=3,
    anything: Any = None,
) -> None:
    """Plan the lights
    of a room.

    Long text.

    Args:
        room (str): Which room: one
            of two.
        percent: not used, the annotation says it
        note: a remark

    Returns:
        room: this is no argument
    """


SPEC = spec_from_function(plan)


def test_a_signature_becomes_a_valid_schema_with_required_and_defaults():
    Draft202012Validator.check_schema(SPEC.parameters)
    assert SPEC.name == "plan"
    assert SPEC.description == "Plan the lights of a room. Long text."
    assert SPEC.required == ("room", "percent")
    assert list(SPEC.properties)[:3] == ["room", "percent", "speed"]


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("room", {"type": "string", "enum": ["kitchen", "hall"], "description": "Which room: one of two."}),
        ("percent", {"type": "integer", "description": "brightness"}),
        ("speed", {"type": "number", "minimum": 0, "maximum": 2, "description": "metres a second", "default": 1.0}),
        ("color", {"$ref": "#/$defs/Color", "default": "red"}),
        ("places", {"type": "array", "items": {"$ref": "#/$defs/Place"}, "default": []}),
        ("window", {"$ref": "#/$defs/Window"}),
        ("note", {"type": "string", "description": "a remark"}),
        ("scores", {"type": "object", "additionalProperties": {"type": "number"}}),
        ("day", {"type": "string", "format": "date"}),
        ("when", {"type": "string", "format": "date-time"}),
        ("count", {"type": "integer", "default": 3}),
    ],
)
def test_each_kind_of_type_has_its_schema(name, schema):
    assert SPEC.properties[name] == schema


def test_definitions_are_kept_and_titles_are_not():
    assert SPEC.parameters["$defs"]["Color"] == {"enum": ["red", "blue"], "type": "string"}
    assert "title" not in str(SPEC.parameters)


def test_calls_are_checked_through_the_definitions():
    arguments = {
        "room": "hall",
        "percent": 5,
        "color": "green",
        "places": [{"city": "Oslo", "x": 1}],
        "window": {"start": "7am"},
    }
    found = {(v.path, v.code) for v in validate_calls([{"name": "plan", "arguments": arguments}], [SPEC])}
    assert found == {
        ("0.color", "enum_violation"),
        ("0.places.0.x", "unknown_param"),
        ("0.window.start", "pattern_or_format"),
    }


def test_the_decorator_keeps_the_function_and_attaches_the_spec():
    @tool
    def double(x: int) -> int:
        """Twice."""
        return 2 * x

    @tool(name="triple", description="Thrice.")
    def other(x: int) -> int:
        return 3 * x

    assert double(4) == 8 and other(4) == 12
    assert (double.spec.name, double.spec.description) == ("double", "Twice.")
    assert (other.spec.name, other.spec.description) == ("triple", "Thrice.")
    assert read_tools([double, other]) == [double.spec, other.spec]


def test_methods_and_keyword_arguments_work():
    class Lamp:
        def dim(self, percent: int, **more: Any) -> None:
            """Dim."""

        def __call__(self, on: bool) -> None:
            """Switch."""

    spec = read_tools([Lamp().dim])[0]
    assert list(spec.properties) == ["percent"] and spec.parameters["additionalProperties"] is True
    spec = spec_from_function(Lamp())
    assert spec.properties["on"] == {"type": "boolean"} and spec.description == "Switch."


class Hub:
    @tool
    async def dim(self, room: str, level: float = float("inf")) -> str:
        """Dim a room."""
        return f"{room} of {type(self).__name__}"

    def lock(self, door: str) -> str:
        """Lock a door."""
        return f"{door} by {type(self).__name__}"


def test_decorated_methods_do_not_ask_for_self_and_run_on_their_object():
    dim, lock = Hub().dim, tool(Hub().lock)
    assert dim.spec.parameters == Hub.dim.spec.parameters
    assert dim.spec.properties == {"room": {"type": "string"}, "level": {"type": "number"}}, "JSON has no infinity"
    assert dim.spec.required == ("room",) and lock.spec.required == ("door",) and lock("front") == "front by Hub"
    bound = bind([dim, lock])
    assert execute(bound["dim"].function, bound["dim"].convert({"room": "hall"})) == "hall of Hub"


def test_a_partial_function_is_the_function_with_what_is_left_to_say():
    def send(channel: str, text: str, loud: bool = False) -> str:
        """Send a text.

        Args:
            text: What to say.
        """
        return f"{channel}: {text}{'!' * loud}"

    spec = spec_from_function(functools.partial(send, "news", loud=True))
    assert (spec.name, spec.description, spec.required) == ("send", "Send a text.", ("text",))
    assert spec.properties["text"] == {"type": "string", "description": "What to say."}
    bound = bind([functools.partial(send, "news", loud=True)])["send"]
    assert bound(**bound.convert({"text": "hi"})) == "news: hi!"


class Address(BaseModel):
    city: str = Field(description="town")


class CreateEvent(BaseModel):
    """Create an event.

    Attributes:
        title: Its name.
    """

    title: str
    address: Address
    children: list["CreateEvent"] = []
    day: datetime.date | None = None


def test_a_model_is_a_tool_even_when_it_contains_itself():
    spec = read_tools([CreateEvent])[0]
    Draft202012Validator.check_schema(spec.parameters)
    assert (spec.name, spec.description, spec.required) == ("CreateEvent", "Create an event.", ("title", "address"))
    assert spec.properties["title"] == {"type": "string", "description": "Its name."}
    assert spec.properties["day"] == {"type": "string", "format": "date"}
    bad = {"title": "x", "address": {"city": "y"}, "children": [{"title": "z", "address": {}}]}
    found = [(v.path, v.code) for v in validate_calls([{"name": "CreateEvent", "arguments": bad}], [spec])]
    assert found == [("0.children.0.address.city", "missing_required")]


def test_a_docstring_of_a_base_class_is_not_a_description():
    class Bare(BaseModel):
        x: int

    assert spec_from_model(Bare).description == ""


class NoSchema:
    pass


def takes_args(*values: int) -> None: ...
def takes_positional(x: int, /) -> None: ...
def takes_no_schema(x: NoSchema) -> None: ...
def takes_callable(x: "DoesNotExist") -> None: ...  # noqa: F821


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (takes_args, "'values' cannot be given by name"),
        (takes_positional, "'x' cannot be given by name"),
        (takes_no_schema, "'x' has no JSON Schema"),
        (takes_callable, "type hint cannot be resolved"),
        (NoSchema, "is no tool"),
        (int, "is no tool"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_the_reason(function, words):
    with pytest.raises(UserError) as caught:
        read_tools([function])
    assert words in str(caught.value) and "\n" not in str(caught.value)
