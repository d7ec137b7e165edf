"""``extract``: a Pydantic model filled from a text, with any ``Caller``.

    class Booking(BaseModel):
        "A table at a restaurant."
        guests: int
        day: date

    needle.extract("a table for four on 3 May 2026", Booking)     # Booking(guests=4, day=date(2026, 5, 3)), or None

Whatever Pydantic can describe may be a field: nested models, lists, ``Optional``, ``Literal``, enums, dates. With facts
that say which day today is (``system=needle.clock_facts(datetime.now())``), "tomorrow" becomes a date by the calendar; times of day are those that the text says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from needle.agent import as_caller
from needle.errors import UserError
from needle.tools import Caller, ToolCall, ToolSpec
from needle.tools.bind import complaint
from needle.tools.functions import spec_from_model
from needle.tools.settle import settle

M = TypeVar("M", bound=BaseModel)


def extract(
    text: str, kind: type[M], model: Caller | str | Path | None = None, *, system: str | None = None
) -> M | None:
    """The first ``kind`` that the text speaks of, or None when the model finds none.

    Args:
        text: where to look.
        kind: a Pydantic model; its docstring and the descriptions of its fields tell the caller what they mean.
        model: any ``Caller``, what ``--model`` names, or None for the bundled base.
        system: facts that hold, such as the date.

    Raises:
        UserError: what was found does not fit the model, the model gave no readable answer, or the text is empty.
    """
    spec, answer = _ask(text, kind, model, system)
    return next((_instance(kind, call.arguments) for call in answer if call.name == spec.name), None)


def extract_all(
    text: str, kind: type[M], model: Caller | str | Path | None = None, *, system: str | None = None
) -> list[M]:
    """Every ``kind`` that the text speaks of, in the order of the model; arguments and errors as for ``extract``."""
    spec, answer = _ask(text, kind, model, system)
    return [_instance(kind, call.arguments) for call in answer if call.name == spec.name]


def _ask(
    text: str, kind: type[M], model: Caller | str | Path | None, system: str | None
) -> tuple[ToolSpec, list[ToolCall]]:
    if not text.strip():
        raise UserError("the text is empty; there is nothing to extract")
    spec = spec_from_model(kind)
    answer = as_caller(model).call(text, [spec], system=system)
    if answer.error:
        raise UserError(f"nothing extracted: {answer.error}")
    return spec, settle(answer, [spec], text, system)


def _instance(kind: type[M], arguments: dict[str, object]) -> M:
    try:
        return kind.model_validate_json(json.dumps(arguments))
    except ValidationError as error:
        raise UserError(f"{kind.__name__}: what was found does not fit: {complaint(error)}") from error
