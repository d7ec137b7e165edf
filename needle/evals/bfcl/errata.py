"""Rows of the leaderboard that are wrong or cannot be met, each with its reason, and the ground truth put right.

``evals/suites/bfcl/errata.toml`` holds them, for people to read and mend. Scores by the leaderboard's own ground truth
and by the mended one stand side by side; rows that no answer can meet are left out of the second.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from needle.errors import UserError

FILE = Path(__file__).resolve().parents[3] / "evals" / "suites" / "bfcl" / "errata.toml"
_KEYS = {"id", "wrong", "accept", "replace", "drop", "rename", "exclude", "mended", "issue"}


@dataclass(frozen=True)
class Erratum:
    """One row that is wrong."""

    id: str
    """Id of the row."""
    wrong: str
    """What is wrong, and why."""
    accept: Mapping[str, list[Any]] = field(default_factory=dict, hash=False)
    """Path to further accepted values; an empty text lets the parameter be left out."""
    replace: Mapping[str, list[Any]] = field(default_factory=dict, hash=False)
    """Path to the accepted values."""
    drop: tuple[str, ...] = ()
    """Paths that are not asked for."""
    rename: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Path to the right name of its parameter."""
    exclude: bool = False
    """No answer can be right."""
    mended: bool = False
    """Right in the version at hand; only a note."""
    issue: str = ""
    """Where it was reported, if it was."""

    def mend(self, truth: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A copy of a ground truth with the changes. Raises ``UserError`` for a path that it does not have."""
        made = copy.deepcopy(truth)
        for path, values in self.accept.items():
            self._parameters(made, path)[path.partition(".")[2]] += list(values)
        for path, values in self.replace.items():
            self._parameters(made, path)[path.partition(".")[2]] = list(values)
        for path, name in self.rename.items():
            parameters = self._parameters(made, path)
            parameters[name] = parameters.pop(path.partition(".")[2])
        for path in self.drop:
            del self._parameters(made, path)[path.partition(".")[2]]
        return made

    def _parameters(self, truth: list[dict[str, Any]], path: str) -> dict[str, Any]:
        place, _, name = path.partition(".")
        if not place.isdigit() or int(place) >= len(truth) or name not in next(iter(truth[int(place)].values())):
            raise UserError(f"{FILE.name}: {self.id} has no {path}; the data are of another version, mend the entry")
        return next(iter(truth[int(place)].values()))


@lru_cache(maxsize=4)
def read_errata(path: Path = FILE) -> dict[str, Erratum]:
    """All errata by id; none where the file is not there (a package without suites). Raises ``UserError``."""
    if not path.is_file():
        return {}
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["errata"]
        found = [Erratum(**{**entry, "drop": tuple(entry.get("drop", ()))}) for entry in entries]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not a list of errata ({error}); each needs id and wrong, and may have {_KEYS}"
        ) from error
    if len({one.id for one in found}) < len(found):
        raise UserError(f"{path}: a row is listed twice")
    return {one.id: one for one in found}


def fixed_facts(row: str, truth: list[dict[str, Any]], specs: list[Any]) -> dict[str, Any]:
    """``{"fixed": {"truth", "specs"}}`` or ``{"fixed": None}`` (left out) for a row with an erratum, else ``{}``.

    Specs of calls stay as they are: which tool a call is checked against does not change.
    """
    erratum = read_errata().get(row)
    if erratum is None or erratum.mended:
        return {}
    return {"fixed": None if erratum.exclude else {"truth": erratum.mend(truth), "specs": specs}}
