"""What a teacher endpoint is, as plain data: address, name of the key, limits, prices, capabilities, patience.

No value here is a secret: the key is named by its environment variable, and a header may hold ``${NAME}``, filled in
only when the connection is opened. So a config can be printed, stored and hashed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from needle.errors import UserError

STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)
Positive = Annotated[float, Field(gt=0)]
Price = Annotated[float, Field(ge=0)]
Role = Literal["author", "labeller", "judge"]
ROLES: tuple[Role, ...] = ("author", "labeller", "judge")


@dataclass(frozen=True)
class Limits:
    """What an endpoint allows in any minute. Left out: not limited by us, and learned from the endpoint's headers."""

    __pydantic_config__ = STRICT

    requests_per_minute: Positive | None = None
    """Requests in a minute."""
    tokens_per_minute: Positive | None = None
    """Input and output tokens together in a minute."""
    input_tokens_per_minute: Positive | None = None
    """Input tokens in a minute."""
    output_tokens_per_minute: Positive | None = None
    """Output tokens in a minute."""
    concurrency: Annotated[int, Field(ge=1)] = 256
    """Most requests under way at a time; fewer while the endpoint pushes back."""

    def share(self, parts: int) -> Limits:
        """The limits of one of ``parts`` processes that ask the same endpoint with the same key."""
        rates = {
            name: value / parts for name, value in vars(self).items() if name != "concurrency" and value is not None
        }
        return replace(self, **rates, concurrency=max(1, self.concurrency // parts))


@dataclass(frozen=True)
class Prices:
    """US dollars for a million tokens."""

    __pydantic_config__ = STRICT

    input: Price
    """For input tokens."""
    output: Price
    """For output tokens."""
    cached_input: Price | None = None
    """For input tokens that the endpoint had in its prompt cache; left out: the price of input."""
    batch_discount: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share taken off in the batch API: 0.5 is half price."""

    def cost(self, usage: Mapping[str, int], *, batch: bool = False) -> float:
        """US dollars of a token count (``prompt_tokens``, ``completion_tokens``, and ``cached_tokens`` where known)."""
        cached = min(usage.get("cached_tokens", 0), usage.get("prompt_tokens", 0))
        for_cached = self.input if self.cached_input is None else self.cached_input
        dollars = (usage.get("prompt_tokens", 0) - cached) * self.input + cached * for_cached
        dollars += usage.get("completion_tokens", 0) * self.output
        return dollars / 1e6 * (1 - self.batch_discount if batch else 1)


@dataclass(frozen=True)
class Capabilities:
    """What an endpoint can do. True and false were declared or probed; left out: nobody knows."""

    __pydantic_config__ = STRICT

    native_tools: bool | None = None
    """``tools`` are understood and answered with ``tool_calls``."""
    parallel_calls: bool | None = None
    """Several calls in one answer."""
    strict: bool | None = None
    """``strict`` schemas are held to."""
    tool_choice_required: bool | None = None
    """``tool_choice: required`` forces a call."""
    tool_choice_named: bool | None = None
    """``tool_choice`` with a function forces that one."""
    logprobs: bool | None = None
    """Token probabilities with text answers."""
    logprobs_with_tools: bool | None = None
    """Token probabilities with tool calls."""
    json_schema: bool | None = None
    """``response_format`` with a JSON schema is held to."""
    seed: bool | None = None
    """``seed`` is accepted and repeats an answer."""
    several_choices: bool | None = None
    """``n`` above 1 gives so many answers."""
    usage: bool | None = None
    """Tokens are counted in the answer."""
    batch: bool | None = None
    """OpenAI's files and batches."""

    def merged(self, later: Capabilities) -> Capabilities:
        """These, overruled by what ``later`` knows."""
        known = {name: value for name, value in vars(later).items() if value is not None}
        return Capabilities(**{**vars(self), **known})


@dataclass(frozen=True)
class TeacherConfig:
    """Which endpoint and model, what it allows, and how patient to be with it."""

    base_url: str = "embedded"
    """``embedded`` or the address of an OpenAI-compatible API (usually ends in ``/v1``)."""
    model: str = "embedded-teacher"
    """Model name as the endpoint knows it."""
    deadline_s: float = 120.0
    """Seconds that one call may take in all, retries included; waits for the rate limit do not count."""
    attempt_s: float = 60.0
    """Seconds that one attempt may take, however slowly the body trickles."""
    max_attempts: int = 6
    """Attempts for one call; those turned away by the rate limit do not count."""
    backoff_s: float = 0.5
    """First wait after a transient error; doubles each time up to 20 s, less up to a quarter of jitter."""
    hedge_s: float | None = None
    """Seconds after which a slow call is sent a second time beside the first, where the owner of the money allows it;
    None: never. It cuts the tail of slow endpoints and costs up to twice for the slow calls."""
    starvation_s: float = 900.0
    """Seconds without any answer while the endpoint limits the rate, after which the work stops and says so."""
    profile: str = ""
    """Name of the profile it came from."""
    key_env: str | None = None
    """Environment variable with the key; None: NEEDLE_API_KEY, then OPENAI_API_KEY; "": no key is needed."""
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Further headers; ``${NAME}`` stands for an environment variable."""
    extra_body: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Further parameters of every request."""
    limits: Limits = Limits()
    """What may be sent in a minute and at a time."""
    prices: Prices | None = None
    """None: unknown."""
    capabilities: Capabilities = Capabilities()
    """What the endpoint can do, as far as known."""
    roles: tuple[Role, ...] = ROLES
    """What this teacher is used for: writing requests, labelling them, judging."""
    weight: float = 1.0
    """Share of the work (and of the votes) among teachers of the same role."""
    strict: bool = False
    """Ask the endpoint to hold calls to the schemas; tools whose schema it could not take are sent as usual."""
    top_logprobs: int = 0
    """Ask for the probabilities of so many alternatives for each token; 0: none."""

    @property
    def identity(self) -> dict[str, Any]:
        """Everything here that shapes an answer, for cache keys: two configs with the same identity may share
        answers."""
        shaping = {
            "base_url": self.base_url,
            "model": self.model,
            "headers": dict(self.headers),
            "extra_body": dict(self.extra_body),
        }
        return shaping | {
            "tools_in_content": self.tools_in_content,
            "strict": self.strict,
            "top_logprobs": self.top_logprobs,
        }

    @property
    def needs(self) -> tuple[str, ...]:
        """Capabilities that these settings rely on, for ``check_capabilities``."""
        strict = ("strict",) if self.strict else ()
        return (*strict, *(("logprobs_with_tools",) if self.top_logprobs and not self.tools_in_content else ()))

    @property
    def tools_in_content(self) -> bool:
        """Tools are described in the prompt and calls read from the text, because the endpoint has no native tools."""
        return self.capabilities.native_tools is False

    @property
    def where(self) -> str:
        """The endpoint in words, for messages."""
        return "the embedded teacher" if self.base_url == "embedded" else self.profile or self.base_url


NEEDS = {name.name: name.name.replace("_", " ") for name in fields(Capabilities)}
"""What may be asked of ``check_capabilities``, in words."""


def check_capabilities(config: TeacherConfig, needs: Collection[str]) -> list[str]:
    """Refuse a setting that the endpoint is known not to support, before anything is spent.

    Args:
        config: the teacher.
        needs: names of ``Capabilities`` that the settings rely on. ``native_tools`` is never refused: without it,
            tools go into the prompt.

    Returns:
        The needs that nobody knows about; ``needle teacher probe`` would find out.

    Raises:
        UserError: names the first impossible setting and the remedy.
        ValueError: a need that is no capability.
    """
    unknown = []
    for need in needs:
        if need not in NEEDS:
            raise ValueError(f"{need!r} is no capability; there are {', '.join(NEEDS)}")
        known = getattr(config.capabilities, need)
        if known is False and need != "native_tools":
            raise UserError(
                f"{config.where} with model {config.model!r} cannot do {NEEDS[need]!r}; change that setting, use "
                f"another teacher, or run `needle teacher probe` again if this is no longer so"
            )
        if known is None:
            unknown.append(need)
    return unknown
