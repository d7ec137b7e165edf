"""What a generation run is asked for, checked before anything is spent, and compared with what an output folder
holds already."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from needle.errors import UserError
from needle.generate.checks import Checks
from needle.generate.prompts import PROMPT_VERSION
from needle.generate.values import check_locales
from needle.teacher.config import STRICT, Role
from needle.teacher.endpoint import is_embedded
from needle.tools.read import load_toolset
from needle.tools.spec import ToolSpec, fingerprint
from needle.traces.trace import KINDS
from needle.traces.write import atomic

DEFAULT_MIX: Mapping[str, float] = {
    "single": 0.34,
    "sibling": 0.08,
    "parallel": 0.12,
    "several": 0.13,
    "extraction": 0.03,
    "corrected": 0.05,
    "half": 0.04,
    "irrelevant": 0.05,
    "near_miss": 0.05,
    "missing": 0.05,
    "negated": 0.03,
    "chat": 0.03,
}
"""Shares of the kinds among accepted rows; about a fifth is without a call."""
JOB_FILE = "job.json"


@dataclass(frozen=True)
class TeacherChoice:
    """One of several teachers of a run."""

    __pydantic_config__ = STRICT

    use: str
    """Name of a profile, address of an OpenAI-compatible endpoint, or ``embedded``; ``#model`` may follow."""
    model: str = ""
    """Model name at the endpoint, when ``use`` does not say it."""
    name: str = ""
    """What the rows call it; left out: ``use`` with the model."""
    roles: tuple[Role, ...] = ()
    """What it is asked for: author, labeller, judge; left out: what its profile says."""
    weight: float | None = None
    """Share of the questions (and of the votes) among the teachers of a role; left out: what its profile says."""
    price_in: float | None = None
    """US dollars for a million input tokens; left out: what its profile says."""
    price_out: float | None = None
    """US dollars for a million output tokens; left out: what its profile says."""


@dataclass(frozen=True)
class GenerateConfig:
    """One run."""

    __pydantic_config__ = STRICT

    tools: str | os.PathLike[str]
    """File with the toolset, in any shape that ``needle.tools`` reads."""
    out: str | os.PathLike[str]
    """Folder for the rows, the stored responses and the reports; the same folder and settings continue a stopped
    run."""
    teacher: str = "embedded"
    """Name of a teacher profile, address of an OpenAI-compatible endpoint, or ``embedded``; ``#model`` may follow."""
    model: str = ""
    """Model name at that endpoint; the embedded teacher has only one."""
    n: int = 1000
    """Accepted rows wanted, all parts together."""
    seed: int = 0
    """Same seed, same teacher answers: same bytes."""
    mix: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_MIX), hash=False)
    """Share of each kind among accepted rows; need not add up to 1."""
    budget_usd: float | None = None
    """Stop before this much is spent, responses of earlier runs in the folder included; needs both prices."""
    price_in: float | None = None
    """US dollars for a million input tokens."""
    price_out: float | None = None
    """US dollars for a million output tokens."""
    max_tokens_total: int | None = None
    """Stop before so many tokens are used, input and output, earlier runs in the folder included."""
    teachers: tuple[TeacherChoice, ...] = ()
    """Several teachers in place of ``teacher``, by role and weight."""
    profiles: str | None = None
    """File with teacher profiles; left out: ``needle-teachers.toml`` in the working folder, where there is one."""
    batch: bool = False
    """Ask through the Batch API: often half the price, answers after minutes or hours."""
    engine: Literal["local", "ray"] = "local"
    """Where rows are asked for: in this process, or by workers on a Ray cluster. The rows are the same."""
    workers: int = 2
    """Workers of the Ray engine."""
    ray_address: str | None = None
    """Address of the Ray cluster; left out: the one of RAY_ADDRESS, else one on this machine."""
    round: int = 0
    """Number of this round, recorded in the rows; 0: no student has been asked."""
    keep_known: float = 0.1
    """With a student: share of the rows it gets right that are labelled and kept all the same, against forgetting."""
    unsure_below: float = 0.9
    """With a student that gives a confidence: below this it counts as unsure."""
    concurrency: int = 16
    """Rows under way at a time."""
    temperature: float = 1.0
    """For writing requests; labels are always asked for at 0."""
    deadline_s: float = 120.0
    """Seconds that one teacher call may take in all, retries included."""
    template_cap: int = 8
    """Accepted rows that may share a wording when argument values are masked."""
    value_cap: int = 0
    """Accepted rows that may have the same text in the same argument; 0: a fiftieth of ``n``, eight at least."""
    noise: float = 0.1
    """Share of the accepted rows whose request gets typing slips, the marks of speech recognition, hesitation and the
    like after it has been labelled."""
    locales: tuple[str, ...] = ()
    """Where suggested people and places come from, as Faker names it (``de_DE``); left out: banks that are built in."""
    checks: Checks = Checks()
    """Votes, repair, judge, suites that rows must not know."""

    @property
    def model_name(self) -> str:
        """The model that the settings name; empty where a profile does."""
        return self.model or ("embedded-teacher" if is_embedded(self.teacher) else "")

    def shaping(self, tools: list[ToolSpec]) -> dict[str, Any]:
        """The settings that shape the rows: two runs that differ in one of them do not belong in one folder."""
        several = {"teachers": [asdict(choice) for choice in self.teachers]} if self.teachers else {}
        faked = {"locales": list(self.locales), "faker": check_locales(self.locales)} if self.locales else {}
        rounds = {"round": self.round, "keep_known": self.keep_known, "unsure_below": self.unsure_below}
        return several | (rounds if self.round else {}) | {
            "tools": fingerprint(tools),
            "teacher": self.teacher,
            "model": self.model_name,
            "n": self.n,
            "seed": self.seed,
            "mix": {kind: self.mix[kind] for kind in sorted(self.mix)},
            "temperature": self.temperature,
            "template_cap": self.template_cap,
            "value_cap": self.value_cap,
            "noise": self.noise,
            "prompt_version": PROMPT_VERSION,
        } | faked | self.checks.shaping()


def check_config(config: GenerateConfig) -> list[ToolSpec]:
    """The toolset, after every setting has been found usable.

    Raises:
        UserError: bad number, unknown kind, missing or unusable tools file.
    """
    if not 0 <= config.noise <= 1:
        raise UserError(f"noise is {config.noise}; give a share from 0 to 1")
    if config.value_cap < 0:
        raise UserError(f"value_cap is {config.value_cap}; give a count of rows, or 0 for the default")
    if config.locales:
        check_locales(config.locales)
    if config.n <= 0:
        raise UserError(f"n is {config.n}; ask for at least one row")
    if config.concurrency < 1 or config.template_cap < 1 or not config.deadline_s > 0 or config.workers < 1:
        raise UserError("concurrency, template_cap, deadline_s and workers must be positive")
    if config.round < 0 or not 0 <= config.keep_known <= 1:
        raise UserError("round must not be negative, and keep_known is a share between 0 and 1")
    unknown = sorted(set(config.mix) - set(KINDS))
    if unknown:
        raise UserError(f"mix names unknown kind {unknown[0]!r}; kinds are {', '.join(KINDS)}")
    if (
        not config.mix
        or any(not math.isfinite(share) or share < 0 for share in config.mix.values())
        or not sum(config.mix.values())
    ):
        raise UserError("mix needs shares that are not negative and not all zero, such as single=0.8,irrelevant=0.2")
    if config.budget_usd is not None:
        if not config.budget_usd > 0:
            raise UserError(f"budget is {config.budget_usd}; give a positive number of US dollars")
    if config.max_tokens_total is not None and config.max_tokens_total <= 0:
        raise UserError(f"max_tokens_total is {config.max_tokens_total}; give a positive number of tokens")
    for price in (config.price_in, config.price_out):
        if price is not None and not price >= 0:
            raise UserError(f"price {price} is no price; give US dollars for a million tokens")
    tools = load_toolset(config.tools)
    if not tools:
        raise UserError(f"{config.tools}: no tool in it; add at least one")
    return tools


FREE = frozenset({"n"})
"""Settings recorded in the mark that a continued run may change."""


def claim_folder(config: GenerateConfig, tools: list[ToolSpec], *, replay: bool = False) -> Path:
    """The output folder, made if need be and marked with the run's settings.

    ``replay``: stored answers are read again, perhaps with newer prompts in the code than those they answer; the folder
    must be there.

    Raises:
        UserError: the folder belongs to a run with other settings (the message names them), holds other data, or
        cannot be written.
    """
    out = Path(config.out)
    wanted = config.shaping(tools)
    mark = out / JOB_FILE
    if mark.is_file():
        try:
            held = json.loads(mark.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise UserError(f"{mark}: cannot be read ({error}); use another --out") from None
        if not isinstance(held, dict):
            raise UserError(f"{mark}: not the settings of a run; use another --out")
        free = FREE | ({"prompt_version", "decontaminate"} if replay else set())
        differing = [
            name
            for name in dict.fromkeys([*wanted, *held])
            if held.get(name) != wanted.get(name) and name not in free
        ]
        if differing and not replay and not _has_paid(out):
            _mark(mark, wanted)  # it never reached a teacher (a wrong address, say): nothing there belongs to anybody
            return out
        if differing:
            said = ", ".join(f"{name} {held.get(name)!r} there, {wanted.get(name)!r} now" for name in differing)
            raise UserError(
                f"{out} belongs to another run ({said}); use the same settings to continue it, or another --out"
            )
        if not replay and held.get("n") != wanted["n"]:
            _mark(mark, wanted)
        return out
    if replay:
        raise UserError(f"{out}: no run there whose responses could be read again; leave --reverify out")
    if (out / "train.jsonl").exists():
        raise UserError(f"{out} holds data that this command did not make; use another --out")
    _mark(mark, wanted)
    return out


def _has_paid(out: Path) -> bool:
    """Whether the run in ``out`` has anything that a teacher gave or is about to give: an answer, a batch, rows."""
    from needle.generate.store import FILE, has_work

    kept = [out / name for name in ("train.jsonl", "rows.jsonl", "manifest.json")]
    return any(path.is_file() and path.stat().st_size for path in kept) or (
        (out / FILE).is_file() and has_work(out / FILE)
    )


def _mark(path: Path, settings: Mapping[str, Any]) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
