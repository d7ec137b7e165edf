"""Files of a data set on the Hugging Face hub, fetched once at a pinned revision and kept in the hub's cache.

Only the client that ``datasets`` itself uses is needed. Rows are read as the published JSON lines: turned into a table
they would lose which arguments a call leaves out. If the hub is out of reach the message says which file to put where.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from needle.errors import UserError
from needle.evals.datafiles import VARIABLE


@dataclass(frozen=True)
class HubFiles:
    """A data set on the hub, read like ``DataFiles``."""

    repository: str
    """Owner and name."""
    revision: str
    """Commit, so that two runs score the same rows."""
    folder: str
    """Name of the folder under ``NEEDLE_DATA`` where the same files are looked for first."""
    hashes: dict[str, str] = field(default_factory=dict, hash=False, compare=False)
    """SHA-256 of what was read, by file."""

    @property
    def where(self) -> str:
        """Address for messages."""
        return f"hf.co/datasets/{self.repository}"

    def read(self, names: Sequence[str]) -> dict[str, str]:
        """Text of the files ``names``. Raises ``UserError`` with the remedy where they cannot be had."""
        texts = {}
        for name in names:
            content = self._fetch(name)
            self.hashes[name] = hashlib.sha256(content).hexdigest()
            try:
                texts[name] = content.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UserError(f"{self.where}/{name}: not UTF-8 text ({error.reason}); fetch it again") from error
        return texts

    def _fetch(self, name: str) -> bytes:
        try:
            from huggingface_hub import hf_hub_download  # here: only these suites need it
        except ImportError as error:
            raise UserError(f"{self.where}: pip install huggingface_hub, or {self._by_hand(name)}") from error
        try:
            path = hf_hub_download(self.repository, name, repo_type="dataset", revision=self.revision)
            return Path(path).read_bytes()
        except Exception as error:  # the client raises errors of several HTTP libraries, and its own
            reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
            raise UserError(
                f"{self.where}: the hub is out of reach or lacks {name} ({reason[:160]}); {self._by_hand(name)}"
            ) from error

    def _by_hand(self, name: str) -> str:
        file = Path(name).name
        place = f"put it into {self.folder}/ in a folder and name that folder in {VARIABLE}"
        return f"download {file} from {self.where} by hand, {place}"
