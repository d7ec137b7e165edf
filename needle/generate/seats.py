"""The teachers of a run: from what the settings name to clients at the desk, each with its roles, weight and prices."""

from __future__ import annotations

from dataclasses import replace

import httpx2

from needle.errors import UserError
from needle.generate.config import GenerateConfig, TeacherChoice
from needle.generate.desk import Seat
from needle.generate.store import ResponseStore, response_key
from needle.teacher.client import Teacher
from needle.teacher.config import ROLES, Prices, TeacherConfig
from needle.teacher.endpoint import is_embedded
from needle.teacher.profiles import resolve_teacher

FREE = Prices(0.0, 0.0)
LINGER_S, POLL_S = 5.0, 30.0
"""Seconds without a new question after which a batch is sent, and between two looks at it."""


def resolve_teachers(config: GenerateConfig) -> dict[str, TeacherConfig]:
    """Name to teacher, in the order of the settings.

    Raises:
        UserError: no such profile or address, no model, two teachers of one name, a role that nobody has, a cap in
            dollars with a price that nobody knows, or the embedded teacher in batches.
    """
    choices = config.teachers or (TeacherChoice(config.teacher, config.model, name="teacher"),)
    found: dict[str, TeacherConfig] = {}
    for choice in choices:
        teacher = _resolve(choice, config)
        name = choice.name or f"{choice.use.partition('#')[0]}#{teacher.model}"
        if name in found:
            raise UserError(f"two teachers are called {name!r}; give one of them another name")
        found[name] = teacher
    for role in ("author", "labeller"):
        if not any(role in teacher.roles for teacher in found.values()):
            raise UserError(f"no teacher is an {role}; add the role to one of them")
    for name, teacher in found.items():
        embedded = is_embedded(teacher.base_url)
        if config.batch and embedded:
            raise UserError("the embedded teacher has no batches; leave --batch out, or name another teacher")
        if config.budget_usd is not None and teacher.prices is None and not embedded:
            raise UserError(
                f"a budget needs the prices of {name} ({teacher.where}): give --price-in and --price-out, or `prices` in "
                "its profile (needle-teachers.toml), in US dollars for a million tokens"
            )
    return found


def _resolve(choice: TeacherChoice, config: GenerateConfig) -> TeacherConfig:
    teacher = resolve_teacher(choice.use, choice.model, config.profiles)
    prices = [
        own if own is not None else general
        for own, general in ((choice.price_in, config.price_in), (choice.price_out, config.price_out))
    ]
    if any(price is not None for price in prices):
        held = teacher.prices or Prices(prices[0] or 0.0, prices[1] or 0.0)
        teacher = replace(
            teacher,
            prices=replace(
                held,
                input=held.input if prices[0] is None else prices[0],
                output=held.output if prices[1] is None else prices[1],
            ),
        )
    weight = teacher.weight if choice.weight is None else choice.weight
    if not weight > 0:
        raise UserError(f"teacher {choice.use!r}: weight {weight} must be positive")
    deadline = config.deadline_s if config.deadline_s != GenerateConfig.deadline_s else teacher.deadline_s
    return replace(teacher, roles=choice.roles or teacher.roles or ROLES, weight=weight, deadline_s=deadline)


def make_seats(
    config: GenerateConfig, teachers: dict[str, TeacherConfig], transport: httpx2.AsyncBaseTransport | None = None
) -> list[Seat]:
    """Clients for the teachers of a run; those of a batch run are made when the store is open.

    Raises:
        UserError: no key.
    """
    return [_seat(name, teacher, Teacher(teacher, transport=transport)) for name, teacher in teachers.items()]


def in_batches(seats: list[Seat], store: ResponseStore, transport: httpx2.AsyncBaseTransport | None) -> list[Seat]:
    """The same teachers asked through their Batch API, with what is under way on record in the store."""
    from needle.teacher.batch import BatchTeacher  # here: only runs in batches need it

    def batched(seat: Seat) -> BatchTeacher:
        config = seat.teacher.config
        return BatchTeacher(
            config,
            store.pending(seat.name),
            key=lambda body: response_key(config, body),
            stored=lambda key: store.get(key) is not None,
            transport=transport,
            linger_s=LINGER_S,
            poll_s=POLL_S,
        )

    return [replace(seat, teacher=batched(seat)) for seat in seats]


def _seat(name: str, config: TeacherConfig, client: Teacher) -> Seat:
    return Seat(name, client, frozenset(config.roles), config.weight, config.prices or FREE)
