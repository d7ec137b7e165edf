"""``Desk``: where every question to a teacher passes. Stored answers are handed out again; for the others money is set
aside, the question sent, the bill settled, and the answer stored before anybody reads it.

    desk = Desk([Seat("main", teacher)], store, budget)
    answer = await desk.ask("write", body)                     # a teacher of the stage's role, chosen by the question
    answer = await desk.ask("vote", body, teacher="second")    # one teacher by name
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from needle.generate.budget import Budget
from needle.generate.store import ResponseStore, response_key
from needle.teacher.client import Teacher
from needle.teacher.errors import PermanentError
from needle.teacher.wire import Answer, read_answer

ROLES = ("author", "labeller", "judge")
"""What teachers may be asked for: requests, calls, verdicts."""
ROLE_OF_STAGE = {
    "write": "author",
    "rewrite": "author",
    "label": "labeller",
    "vote": "labeller",
    "repair": "labeller",
    "judge": "judge",
}
"""Role that answers a stage. A stage may carry a detail after a colon (``vote:2``), which only shows in the bill."""


@dataclass(frozen=True)
class Seat:
    """One teacher at the desk."""

    name: str
    """How a run calls it; unique at the desk."""
    teacher: Teacher
    """The client."""
    roles: frozenset[str] = frozenset(ROLES)
    """What it may be asked for."""
    weight: float = 1.0
    """Share of the questions, and of the votes, among the teachers of a role."""


class Desk:
    """Teachers, store and budget together."""

    def __init__(self, seats: Sequence[Seat], store: ResponseStore, budget: Budget) -> None:
        """``seats``: at least one for every role that will be asked."""
        self._seats = {seat.name: seat for seat in seats}
        assert len(self._seats) == len(seats) > 0, "teachers need different names"
        self.store = store
        self.budget = budget
        self.asked = 0
        """Questions of this run that the store could not answer."""

    def teachers(self, role: str) -> dict[str, float]:
        """Names of the teachers of a role, in the order of the configuration, with their weights."""
        return {name: seat.weight for name, seat in self._seats.items() if role in seat.roles}

    def pick(self, stage: str, body: dict[str, Any]) -> str:
        """Name of the teacher that ``ask`` takes for a question: by weight, the same one every time."""
        names = self.teachers(ROLE_OF_STAGE[stage.partition(":")[0]])
        if len(names) == 1:
            return next(iter(names))
        digest = hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=8).digest()
        return random.Random(int.from_bytes(digest, "big")).choices(list(names), list(names.values()))[0]

    async def ask(self, stage: str, body: dict[str, Any], *, teacher: str | None = None) -> Answer:
        """The answer to a question, from the store where it is there.

        Args:
            stage: what it is for, a key of ``ROLE_OF_STAGE``, perhaps with a detail after a colon.
            body: parameters of a chat completion; the model is the teacher's.
            teacher: who is asked; None: a teacher of the stage's role by ``pick``.

        Raises:
            PermanentError: asking again cannot help.
            TransientError: attempts or deadline used up.
            BudgetSpent: the question might cost more than what is left.
            UserError: the store cannot be written.
        """
        seat = self._seats[teacher or self.pick(stage, body)]
        client = seat.teacher
        key = response_key(client.config.base_url, client.config.model, body)
        raw = self.store.get(key)
        if raw is not None:
            if ROLE_OF_STAGE[stage.partition(":")[0]] == "author":
                client.recall(body)
            return read_answer(raw)
        size = len(json.dumps(body, ensure_ascii=False).encode())
        reservation = self.budget.reserve(body, size)
        self.asked += 1
        try:
            answer = await client.complete(body)
        except BaseException as error:
            # an answer that never came may have been made (and billed) all the same
            self.budget.release(reservation, maybe_billed=not isinstance(error, PermanentError))
            raise
        self.store.put(key, stage, answer.raw, self.budget.settle(reservation, answer.usage))
        return answer
