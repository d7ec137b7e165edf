"""``suite.toml``: what a named suite is, where its rows are, and how to get them where they are not.

Rows are either ``files`` beside the definition or read by a ``loader`` from data that this repository does not carry.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals import seal_tools, snips
from needle.evals.bfcl.load import CATEGORIES, find_bfcl, load_bfcl
from needle.evals.datafiles import VARIABLE, DataFiles
from needle.traces.trace import Trace


@dataclass(frozen=True)
class Loader:
    """How the rows of a suite are found and read that are not files of example rows."""

    parts: tuple[str, ...]
    """Names that may stand behind the suite's, as in ``bfcl/parallel``."""
    find: Callable[[str | Path | None], DataFiles | None]
    """Where the data are, given a folder to look in or None."""
    load: Callable[[DataFiles, str | None, int], list[Trace]]
    """The rows of one part, or all; the seed draws the order of tools where a suite shuffles them."""


LOADERS = {
    "bfcl": Loader(CATEGORIES, find_bfcl, lambda data, part, seed: load_bfcl(data, part)),
    "seal-tools": Loader(tuple(seal_tools.PARTS), seal_tools.find_seal_tools, seal_tools.load_seal_tools),
    "snips": Loader(snips.PARTS, snips.find_snips, snips.load_snips),
}
"""Loaders by the name that ``suite.toml`` gives."""

_TEXTS = ("licence", "measures", "source", "title")


@dataclass(frozen=True)
class Definition:
    """One ``suite.toml``."""

    name: str
    """Name of its folder."""
    about: dict[str, str]
    """Title, licence, source and what it measures, as far as given."""
    rows: int = 0
    """Rows in all parts; 0 where it is not said."""
    files: tuple[Path, ...] = ()
    """Files of example rows."""
    loader: str = ""
    """One of ``LOADERS``, instead of files."""
    remedy: str = ""
    """How to get data that are not here."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that can be asked for alone."""
        return LOADERS[self.loader].parts if self.loader else ()

    def available(self, folder: str | Path | None = None) -> bool:
        """Whether the rows are here."""
        if self.loader:
            return LOADERS[self.loader].find(folder) is not None
        return all(file.is_file() for file in self.files)

    def load(self, part: str | None, folder: str | Path | None, seed: int = 0) -> list[Trace]:
        """Rows by the loader. Raises ``UserError`` where the data are not here or the part is unknown."""
        if part and part not in self.parts:
            known = ", ".join(self.parts) or "it has none"
            raise UserError(f"{self.name}/{part}: no such part of {self.name} ({known})")
        data = LOADERS[self.loader].find(folder)
        if data is None:
            place = f"not in {folder}" if folder else f"not installed, and {VARIABLE} names no folder with them"
            raise UserError(f"{self.name}: its rows are not here ({place}); {self.remedy}")
        return LOADERS[self.loader].load(data, part, seed)

    def line(self) -> str:
        """The suite in one line for people: name, size, licence, availability, what it measures."""
        size = f"{self.rows:,} rows" if self.rows else "size unknown"
        here = "here" if self.available() else f"not here ({self.remedy})"
        licence, measures = (self.about.get(key, "") for key in ("licence", "measures"))
        return f"{self.name:<16} {size:>12}  {licence:<14} {here}. {measures}"


def read_definition(path: Path) -> Definition:
    """The definition in ``path``. Raises ``UserError`` for one that is broken or names files that are not there."""
    try:
        about: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid TOML ({error}); mend it") from error
    files, rows = about.pop("files", None), about.pop("rows", 0)
    loader, remedy = about.pop("loader", ""), about.pop("remedy", "")
    strange = sorted(set(about) - set(_TEXTS))
    if strange or not all(isinstance(value, str) for value in (*about.values(), loader, remedy)):
        unknown = ", ".join(strange) or "none"
        raise UserError(
            f"{path}: write {', '.join(_TEXTS)}, loader, remedy as text and files as a list; unknown: {unknown}"
        )
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 0:
        raise UserError(f"{path}: rows must be a whole number, not {rows!r}")
    if loader:
        if loader not in LOADERS or files is not None:
            raise UserError(f"{path}: loader must be one of {', '.join(LOADERS)}, and files has no place beside it")
        return Definition(path.parent.name, about, rows, loader=loader, remedy=remedy)
    if not isinstance(files, list) or not files or not all(isinstance(file, str) for file in files):
        raise UserError(f"{path}: files must be a list of paths relative to it")
    paths = tuple(path.parent / file for file in files)
    missing = next((file for file in paths if not file.is_file()), None)
    if missing:
        raise UserError(f"{path}: {missing} is missing; fetch it or correct files")
    return Definition(path.parent.name, about, rows, paths)
