"""``Refusal``: a reason why a row was not accepted, and which reasons can be mended how.

``request_empty``, ``request_long``, ``request_names_tool``, ``plan_skipped`` concern the request; ``label_*`` and
``schema:*`` the form of the label; ``ungrounded``, ``dropped``, ``swapped``, ``repeated`` its content; ``expected_call``,
``expected_no_call``, ``plan_disagrees``, ``plan_omits``, ``plan_value``, ``plan_extra``, ``plan_exchanged`` its agreement with the plan;
``author_disagrees`` its agreement with what the author states beside the request; ``votes_split`` other labels; ``judge:*`` a judge; ``duplicate_*``, ``template_cap``, ``contaminated`` other rows; ``teacher:*`` the endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

MENDABLE = frozenset({"ungrounded", "dropped", "swapped", "repeated", "label_malformed"})
"""A label with these faults is asked for once more with the fault in words (``schema:*`` too)."""
DISPUTED = frozenset(
    {"expected_call", "expected_no_call", "plan_disagrees", "plan_omits", "plan_value", "plan_extra", "plan_exchanged",
     "author_disagrees", "dropped", "swapped"}
)
"""One witness against another: further labels can settle it."""


@dataclass(frozen=True)
class Refusal:
    """Why a row was not accepted."""

    code: str
    """Stable name, as listed in the module's docstring."""
    detail: str = ""
    """What exactly, in words."""

    @property
    def mendable(self) -> bool:
        """Whether asking again with the fault in words may help."""
        return self.code in MENDABLE or self.code.startswith("schema:")
