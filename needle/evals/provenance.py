"""Where every number comes from: scorer, code, suite, model, settings; and the rule that scorers are never mixed."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.cache import settings_of
from needle.evals.parsers import NATIVE
from needle.tools.caller import Caller

REPOSITORY = Path(__file__).resolve().parents[2]


def model_facts(caller: Caller) -> dict[str, Any]:
    """Name, settings, parser and, where the caller knows them, number of parameters and bytes of the weights."""
    facts = getattr(caller, "facts", None)
    known = dict(facts()) if callable(facts) else {}
    return {
        "name": caller.name,
        "settings": settings_of(caller),
        "parser": getattr(caller, "parser", NATIVE),
        "parameters": known.get("parameters"),
        "bytes": known.get("bytes"),
    }


def provenance(suite: Mapping[str, Any], model: Mapping[str, Any], scorer_version: str) -> dict[str, Any]:
    """What stands behind every number of ``results.json``."""
    return {
        "scorer_version": scorer_version,
        "package_version": package_version(),
        "source_commit": source_commit(),
        "suite_hash": suite["hash"],
        "suite_licence": suite["licence"],
        "suite_source": suite["source"],
        "model": model["name"],
        "settings": model["settings"],
        "parser": model["parser"],
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


@lru_cache(maxsize=1)
def package_version() -> str:
    """Version of this package; ``source`` where it runs from a tree that is not installed."""
    try:
        return version("needle-distill")
    except PackageNotFoundError:
        return "source"


@lru_cache(maxsize=1)
def source_commit() -> str | None:
    """Commit of the source tree, ``+`` behind it when files differ from it; None for an installed package."""
    if not (REPOSITORY / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(REPOSITORY), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "needle")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def require_one_scorer(versions: Iterable[tuple[str, str]]) -> None:
    """Raise ``UserError`` unless all results, given as (where, scorer version), were scored by one version."""
    seen: dict[str, str] = {}
    for where, found in versions:
        seen.setdefault(str(found), where)
    if len(seen) > 1:
        words = ", ".join(f"{where} by {found}" for found, where in seen.items())
        raise UserError(
            f"different scorer versions ({words}) are never compared or averaged; "
            "score them again with needle eval --rescore DIR"
        )
