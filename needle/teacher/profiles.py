"""Profiles: endpoints by name, in one validated file, and from a name or an address to a ``TeacherConfig``.

    # needle-teachers.toml
    [cheap]
    like = "openrouter"                       # take over what is not said here
    model = "deepseek/deepseek-v4-flash"
    limits = {requests_per_minute = 500}
    prices."*" = {input = 0.1, output = 0.4}  # US dollars for a million tokens

``resolve_teacher("cheap")``, ``resolve_teacher("openai#gpt-5-mini")``, ``resolve_teacher("http://host:8000/v1",
"qwen3")`` and ``resolve_teacher("embedded")`` all give a config. Ready profiles come with the package.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from needle.errors import UserError
from needle.teacher.config import ROLES, STRICT, Capabilities, Limits, Positive, Prices, Role, TeacherConfig
from needle.teacher.endpoint import check_headers, check_url, is_embedded, is_local
from needle.teacher.reports import known_capabilities

READY = Path(__file__).parent / "ready_profiles.json"
FILE = "needle-teachers.toml"
FILE_VARIABLE = "NEEDLE_PROFILES"


@dataclass(frozen=True)
class Profile:
    """One named endpoint."""

    __pydantic_config__ = STRICT

    base_url: str
    """Address of the OpenAI-compatible API, usually ending in ``/v1``."""
    about: str = ""
    """A sentence for people."""
    like: str = ""
    """Name of another profile to take over what is not said here."""
    key_env: str | None = None
    """Environment variable that holds the key; empty: no key is needed. Never the key itself."""
    model: str = ""
    """Model to use when none is named."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers; ``${NAME}`` stands for an environment variable."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Further parameters of every request."""
    limits: Limits = Limits()
    """What may be sent in a minute and at a time."""
    prices: Mapping[str, Prices] = field(default_factory=dict)
    """Prices by model; ``*`` for all others."""
    capabilities: Capabilities = Capabilities()
    """What is known of the endpoint; ``needle teacher probe`` finds out more."""
    roles: tuple[Role, ...] = ROLES
    """What this teacher is used for."""
    weight: Positive = 1.0
    """Share of the work (and of the votes) among teachers of the same role."""
    deadline_s: Positive = 120.0
    """Seconds that one call may take in all."""
    attempt_s: Positive = 60.0
    """Seconds that one attempt may take."""
    hedge_s: Positive | None = None
    """Seconds after which a slow call is sent a second time, at up to twice the price; left out: never."""
    starvation_s: Positive = 900.0
    """Seconds without an answer under the rate limit, after which the work stops."""
    strict: bool = False
    """Ask the endpoint to hold calls to the schemas."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 0
    """Alternatives for each token to ask the probabilities of."""


@cache
def _adapter() -> TypeAdapter[dict[str, Profile]]:
    return TypeAdapter(dict[str, Profile])


def profile_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a profile file."""
    schema = _adapter().json_schema()
    # a profile that is like another one need not repeat the address
    schema["$defs"]["Profile"].pop("required", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "needle teacher profiles", **schema}


def load_profiles(path: str | os.PathLike[str] | None = None) -> dict[str, Profile]:
    """Ready profiles, and over them those of a file.

    Args:
        path: TOML or JSON; None: the file named by NEEDLE_PROFILES, else ``needle-teachers.toml`` in the working folder
            where there is one.

    Raises:
        UserError: the file is missing or not valid; the message names the place.
    """
    ready = json.loads(READY.read_text(encoding="utf-8"))
    source = profile_file(path)
    own = _read(source) if source else {}
    merged = dict(ready)
    for name in own:
        merged[name] = _over(name, own, ready, ())
    try:
        profiles = _adapter().validate_python(merged)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{source or READY}: {place}: {first['msg']}; `needle teacher schema` prints what is allowed"
        ) from None
    for name, profile in profiles.items():
        _check(name, profile, source or READY)
    return profiles


def profile_file(path: str | os.PathLike[str] | None = None) -> Path | None:
    """The person's own profile file, or None.

    Raises:
        UserError: one is named that is not there.
    """
    named = path or os.environ.get(FILE_VARIABLE)
    if not named:
        return Path(FILE) if Path(FILE).is_file() else None
    if not Path(named).is_file():
        raise UserError(f"{named}: no such profile file; `needle teacher schema` says what goes into one")
    return Path(named)


def resolve_teacher(
    text: str, model: str = "", profiles_path: str | os.PathLike[str] | None = None, *, probed: bool = True
) -> TeacherConfig:
    """The teacher that a person named.

    Args:
        text: ``embedded``, ``NAME``, ``NAME#model``, an address, or ``ADDRESS#model``.
        model: the model, when ``text`` does not say it.
        profiles_path: profile file, see ``load_profiles``.
        probed: let an earlier ``needle teacher probe`` of this endpoint and model say what it can do.

    Raises:
        UserError: no such profile, no such address, no model, or two different ones.
    """
    name, _, said = text.partition("#")
    if said and model and said != model:
        raise UserError(f"two models: {said!r} in {text!r}, and {model!r}; name one")
    if is_embedded(name):
        return TeacherConfig(model=said or model or TeacherConfig.model)
    profiles = load_profiles(profiles_path)
    if name in profiles:
        config = _configured(name, profiles[name], said or model)
    else:
        config = _from_address(name, said or model, profiles, profile_file(profiles_path))
    if not config.model:
        raise UserError(f"which model of {name}? give --model NAME, or write {name}#NAME")
    return known_capabilities(config) if probed else config


def teacher_facts(config: TeacherConfig) -> dict[str, Any]:
    """A config as JSON values, for people and manifests; without capabilities that nobody knows and limits that are
    not set."""
    facts = asdict(config)
    for part in ("limits", "capabilities"):
        facts[part] = {name: value for name, value in facts[part].items() if value is not None}
    return facts


def _from_address(name: str, model: str, profiles: Mapping[str, Profile], own_file: Path | None) -> TeacherConfig:
    if "/" not in name and ":" not in name:
        raise UserError(
            f"no teacher {name!r}; there are embedded, {', '.join(profiles)}; or give an address, e.g. "
            f"http://localhost:8000/v1"
        )
    url = check_url(name)
    own = set(_read(own_file)) if own_file else set()
    for key, profile in profiles.items():
        # a local address says nothing about the program behind it, so only a profile of the person's own speaks for it
        if profile.base_url.rstrip("/") == url and (key in own or not is_local(url)):
            return _configured(key, profile, model)
    return TeacherConfig(base_url=url, model=model)


def _configured(name: str, profile: Profile, model: str) -> TeacherConfig:
    model = model or profile.model
    own = {
        key: value
        for key, value in vars(profile).items()
        if key not in ("about", "like", "base_url", "model", "prices")
    }
    prices = profile.prices.get(model) or profile.prices.get("*")
    return TeacherConfig(base_url=check_url(profile.base_url), model=model, profile=name, prices=prices, **own)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}); write TOML, or JSON in a file that ends in .json") from None
    if not isinstance(content, dict) or not all(isinstance(value, dict) for value in content.values()):
        raise UserError(f'{path}: write one table for each teacher, e.g. [cheap] and under it base_url = "..."')
    return content


def _over(name: str, own: Mapping[str, Any], ready: Mapping[str, Any], seen: tuple[str, ...]) -> dict[str, Any]:
    """A profile of the person's file over the one that it is like; its own name counts as ``like`` a ready one."""
    content = own[name]
    like = content.get("like") or (name if name in ready and "base_url" not in content else "")
    if not like:
        return dict(content)
    if like in seen:
        raise UserError(
            f"profiles {' -> '.join((*seen, like))} are like each other in a circle; give one of them a base_url"
        )
    if like in own and like != name:
        base = _over(like, own, ready, (*seen, name))
    elif like in ready:
        base = ready[like]
    else:
        raise UserError(
            f"profile {name!r} is like {like!r}, which there is not; there are {', '.join({**ready, **own})}"
        )
    return _deep(base, content)


def _deep(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    nested = {
        key: _deep(base[key], value)
        for key, value in over.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return {**base, **over, **nested}


def _check(name: str, profile: Profile, source: Path) -> None:
    if "#" in name or "/" in name or not name.strip() or is_embedded(name):
        raise UserError(f"{source}: {name!r} cannot be the name of a profile; use letters, digits, - and .")
    try:
        check_url(profile.base_url)
        check_headers(profile.headers)
    except UserError as error:
        raise UserError(f"{source}: profile {name!r}: {error}") from None
    if profile.key_env and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", profile.key_env):
        raise UserError(
            f"{source}: profile {name!r}: key_env is the name of an environment variable in capitals, never the key "
            f"itself"
        )
