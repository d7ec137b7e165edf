"""Files of a data set on the Hugging Face hub, fetched once at a pinned revision and kept in the hub's cache.

Only the client that ``datasets`` itself uses is needed. Rows are read as the published JSON lines: turned into a table
they would lose which arguments a call leaves out. If the hub is out of reach the message says which file to put where.
"""

from __future__ import annotations

import hashlib
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

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
        where = {"repo_type": "dataset", "revision": self.revision}
        try:  # a revision never changes, so what is in the cache needs no question to the hub
            return Path(hf_hub_download(self.repository, name, local_files_only=True, **where)).read_bytes()
        except Exception:  # not in the cache, whatever the client's word for that
            pass
        logger = logging.getLogger("huggingface_hub")
        level = logger.level
        logger.setLevel(logging.ERROR)  # it tells of every try; one line at the end says it all
        try:
            _reachable()
            return Path(hf_hub_download(self.repository, name, **where)).read_bytes()
        except Exception as error:  # the client raises errors of several HTTP libraries, and its own
            raise UserError(
                f"{self.where}: the hub is out of reach or lacks {name} ({_reason(error)}); {self._by_hand(name)}"
            ) from error
        finally:
            logger.setLevel(level)

    def _by_hand(self, name: str) -> str:
        file = Path(name).name
        place = f"put it into {self.folder}/ in a folder and name that folder in {VARIABLE}"
        return f"download {file} from {self.where} by hand, {place}"


def _reachable() -> None:
    """Raise ``OSError`` at once where the hub's name has no address; the client would try for half a minute."""
    from huggingface_hub import constants

    address = urlsplit(constants.ENDPOINT)
    if address.hostname and not getproxies().get(address.scheme):  # behind a proxy the name need not be known here
        socket.getaddrinfo(address.hostname, address.port or 443)


def _reason(error: BaseException) -> str:
    """First line of the innermost cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (next(iter(str(error).strip().splitlines()), "") or type(error).__name__)[:160]
