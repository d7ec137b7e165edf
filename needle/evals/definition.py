"""``suite.toml``, ``suite.yaml`` or ``suite.json``: what a suite is, where its rows are, how to compare.

Rows are either ``files`` of any known row format beside the definition or read by a ``loader`` from data that this
repository does not carry. A group names other suites under ``suites`` instead. ``columns`` lets files with other names
be used as they are, ``comparators`` loosens single parameters (``needle.evals.comparators``), ``skills`` say what a
suite asks for.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.comparators import check_rules
from needle.evals.datafiles import VARIABLE, DataFiles
from needle.evals.hub import HubFiles
from needle.evals.loaders import LOADERS, Rows

NAMES = ("suite.toml", "suite.yaml", "suite.yml", "suite.json")
"""Files that make a folder a suite."""
SKILLS = ("select", "fill", "abstain", "ask", "parallel", "order", "robust", "fair")
"""What a suite may ask for: choosing among tools, filling arguments, making no call, asking back, several calls, their
order, the same under disturbance, the same for everyone.
"""
DERIVED = ("robustness",)
"""Loaders that make their rows from those of another suite (``needle.evals.suites``)."""
_TEXTS = ("licence", "measures", "revision", "source", "title")


@dataclass(frozen=True)
class Definition:
    """One definition."""

    name: str
    """Name of its folder."""
    about: dict[str, str]
    """Title, licence, source, revision and what it measures, as far as given."""
    rows: int = 0
    """Rows in all parts; 0 where it is not said."""
    files: tuple[Path, ...] = ()
    """Files of example rows."""
    loader: str = ""
    """One of ``LOADERS`` or ``DERIVED``, instead of files."""
    remedy: str = ""
    """How to get data that are not here."""
    skills: tuple[str, ...] = ()
    """Of ``SKILLS``."""
    members: tuple[str, ...] = ()
    """Other suites that this one is made of."""
    comparators: dict[str, str] = field(default_factory=dict, hash=False)
    """``tool.parameter`` to comparator."""
    columns: dict[str, str] = field(default_factory=dict, hash=False)
    """Our name of a column to that of the files."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that can be asked for alone."""
        return LOADERS[self.loader].parts if self.loader in LOADERS else ()

    def find(self, folder: str | Path | None = None) -> DataFiles | HubFiles | None:
        """Where a loader's data are: on this machine, else on the hub unless ``folder`` was named, else nowhere."""
        loader = LOADERS[self.loader]
        return loader.find(folder) or (None if folder else loader.hub)

    def place(self, folder: str | Path | None = None) -> str:
        """Whether the rows are ``here``, on the ``hub``, or not here."""
        if self.loader not in LOADERS:  # files, rows of other suites, or a group of suites
            return "here" if all(file.is_file() for file in self.files) else "not here"
        found = self.find(folder)
        return "not here" if found is None else "hub" if isinstance(found, HubFiles) else "here"

    def load(
        self, part: str | None, folder: str | Path | None, seed: int = 0
    ) -> tuple[Rows, dict[str, str], list[str]]:
        """Rows by the loader, the hashes of what was read, and notes on files that are not the published ones.

        Raises ``UserError`` where data or part are not there.
        """
        if part and part not in self.parts:
            known = ", ".join(self.parts) or "it has none"
            raise UserError(f"{self.name}/{part}: no such part of {self.name} ({known})")
        data = self.find(folder)
        if data is None:
            place = f"not in {folder}" if folder else f"not installed, and {VARIABLE} names no folder with them"
            raise UserError(f"{self.name}: its rows are not here ({place}); {self.remedy}")
        loader = LOADERS[self.loader]
        rows = loader.load(data, part, seed)
        notes = [
            f"{name}: not the file that published figures rest on "
            f"(SHA-256 {found[:12]}..., not {loader.known[name][:12]}...)"
            for name, found in data.hashes.items()
            if loader.known.get(name, found) != found
        ]
        return rows, data.hashes, notes

    def tags(self) -> tuple[str, ...]:
        """What ``needle eval --list --tag`` filters by: skills, and the licence in small letters."""
        return (*self.skills, *filter(None, [self.about.get("licence", "").lower()]))

    def line(self) -> str:
        """The suite in one line for people: name, size, licence, availability, skills, what it measures, its source."""
        size = f"{self.rows:,} rows" if self.rows else "size unknown"
        place = self.place()
        here = {"here": "here", "hub": "fetched from the hub when asked for"}.get(place, f"not here ({self.remedy})")
        licence, measures = (self.about.get(key, "") for key in ("licence", "measures"))
        source = f" From: {self.about['source']}" if self.about.get("source") else ""
        skills = f" [{', '.join(self.skills)}]" if self.skills else ""
        return f"{self.name:<16} {size:>12}  {licence:<14} {here}.{skills} {measures}.{source}"


def definition_in(folder: Path) -> Path | None:
    """The definition in a folder, or None."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def read_definition(path: Path) -> Definition:
    """The definition in ``path``. Raises ``UserError`` for one that is broken or names files that are not there."""
    about = _parsed(path)
    files, rows, skills = about.pop("files", None), about.pop("rows", 0), about.pop("skills", [])
    loader, remedy = about.pop("loader", ""), about.pop("remedy", "")
    comparators = check_rules(about.pop("comparators", {}), str(path))
    columns, members = about.pop("columns", {}), about.pop("suites", [])
    strange = sorted(set(about) - set(_TEXTS))
    if strange or not all(isinstance(value, str) for value in (*about.values(), loader, remedy)):
        unknown = ", ".join(strange) or "none"
        raise UserError(
            f"{path}: write {', '.join(_TEXTS)}, loader, remedy as text and files as a list; unknown: {unknown}"
        )
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 0:
        raise UserError(f"{path}: rows must be a whole number, not {rows!r}")
    if not isinstance(skills, list) or not set(map(str, skills)) <= set(SKILLS):
        raise UserError(f"{path}: skills must be a list of these: {', '.join(SKILLS)}")
    if not isinstance(columns, dict) or not all(isinstance(value, str) for value in columns.values()):
        raise UserError(f'{path}: columns map our names to those of the files, such as query = "instruction"')
    more = {"skills": tuple(skills), "comparators": comparators, "columns": columns}
    if members:
        if not isinstance(members, list) or not all(isinstance(one, str) for one in members) or files or loader:
            raise UserError(f"{path}: suites must be a list of names, and files and loader have no place beside it")
        return Definition(path.parent.name, about, rows, remedy=remedy, members=tuple(members), **more)
    if loader:
        known = (*LOADERS, *DERIVED)
        if loader not in known or files is not None:
            raise UserError(f"{path}: loader must be one of {', '.join(known)}, and files has no place beside it")
        return Definition(path.parent.name, about, rows, loader=loader, remedy=remedy, **more)
    return Definition(path.parent.name, about, rows, _files(path, files), remedy=remedy, **more)


def _files(path: Path, files: Any) -> tuple[Path, ...]:
    if not isinstance(files, list) or not files or not all(isinstance(file, str) for file in files):
        raise UserError(f"{path}: files must be a list of paths relative to it")
    paths = tuple(path.parent / file for file in files)
    missing = next((file for file in paths if not file.is_file()), None)
    if missing:
        raise UserError(f"{path}: {missing} is missing; fetch it or correct files")
    return paths


def _parsed(path: Path) -> dict[str, Any]:
    kind = {".toml": "TOML", ".json": "JSON"}.get(path.suffix, "YAML")
    try:
        text = path.read_text(encoding="utf-8")
        if kind == "YAML":
            import yaml  # here: it comes with the hub's client, and only YAML definitions need it

            try:
                about = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise ValueError(" ".join(str(error).split())) from error
        else:
            about = tomllib.loads(text) if kind == "TOML" else json.loads(text)
    except (ValueError, OSError) as error:  # every parser's errors, and text that is not UTF-8
        raise UserError(f"{path}: not valid {kind} ({error}); mend it") from error
    except ImportError as error:
        raise UserError(f"{path}: pip install pyyaml, or write the definition as suite.toml or suite.json") from error
    if not isinstance(about, dict):
        raise UserError(f"{path}: a definition is a table of names and values; see evals/README.md")
    return about
