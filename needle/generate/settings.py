"""A run's settings from one file, TOML or JSON, with what the command line says on top; and the schema of such files.

    # needle.toml                          needle generate --config needle.toml --n 5000
    tools = "app.json"
    out = "out/app"
    n = 1000
    budget_usd = 5.0
    mix = {single = 0.7, irrelevant = 0.3}
    [[teachers]]
    use = "openai#gpt-5-mini"
    roles = ["author"]
    [[teachers]]
    use = "http://localhost:8000/v1#qwen3"
    roles = ["labeller"]
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.generate.config import GenerateConfig


def load_config(path: str | os.PathLike[str] | None, overrides: Mapping[str, Any]) -> GenerateConfig:
    """Settings of a run.

    Args:
        path: TOML, or JSON by the ending; None: nothing but the overrides.
        overrides: fields that are said elsewhere; None: not said.

    Raises:
        UserError: the file cannot be read or does not fit; the message names the place.
    """
    from pydantic import TypeAdapter, ValidationError  # here: only settings from a file need it

    said = {name: value for name, value in overrides.items() if value is not None}
    held = _read(Path(path)) if path else {}
    if isinstance(held.get("checks"), dict) and isinstance(said.get("checks"), dict):
        said["checks"] = held["checks"] | said["checks"]
    settings = held | said
    missing = [name for name in ("tools", "out") if name not in settings]
    if missing:
        flags = " and ".join(f"--{name}" for name in missing)
        raise UserError(f"give {flags}" + (f", or write {' and '.join(missing)} into {path}" if path else ""))
    try:
        return TypeAdapter(GenerateConfig).validate_python(settings)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{path or 'settings'}: {place}: {first['msg'].removeprefix('Value error, ')}; `needle generate --config-schema` prints what is allowed"
        ) from None


def config_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a settings file."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(GenerateConfig).json_schema()
    # what the command line says need not stand in the file
    schema.pop("required", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "needle generate settings"}


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a TOML or JSON file with settings") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}; write TOML, or JSON in a file that ends in .json") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: no table of settings; `needle generate --config-schema` prints what is allowed")
    return content
