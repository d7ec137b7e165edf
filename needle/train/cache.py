"""What teachers say about rows, asked once and kept on disk.

    DIR/cache.json    header: format, vocabulary, digest of the tokenizer, k or draws, temperature, teachers
    DIR/index.bin     a record a row: 16 bytes that name its tokens, first position, number of positions
    DIR/tokens.bin    uint16 [positions, k]: the likeliest tokens, or random draws
    DIR/shares.bin    float32 [positions, k + 1]: their probabilities, and that of all other tokens

Files only grow, the index last: a killed run has lost the rows that the index does not name, and the same command
goes on after them. A row is known by its token ids alone, so a varied row is simply not there. Draws are unbiased
where the likeliest k are not (random sampling knowledge distillation, arXiv:2503.16870).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from needle.errors import UserError
from needle.traces.write import atomic
from needle.train.examples import Example

HEADER, INDEX, TOKENS, SHARES = "cache.json", "index.bin", "tokens.bin", "shares.bin"
FORMAT = 1
RECORD = np.dtype([("key", "V16"), ("start", "<u8"), ("length", "<u4")])
MOST_TOKENS = 1 << 16
"""Largest vocabulary whose ids fit the file."""


@dataclass(frozen=True)
class Header:
    """What a cache belongs to; one that differs in anything is another cache."""

    vocabulary: int
    """Number of tokens."""
    tokenizer: str
    """Digest of the tokenizer."""
    k: int
    """Columns a position."""
    draws: bool
    """Whether the columns are random draws; else they are the likeliest tokens."""
    temperature: float
    """Temperature of the teachers' distributions."""
    teachers: tuple[dict[str, str | float], ...]
    """``digest`` of the weights and ``share`` of each."""
    format: int = FORMAT
    """Version of the layout."""


def tokenizer_digest(tokenizer: Tokenizer) -> str:
    """Name of a tokenizer's content (16 hex digits)."""
    return hashlib.blake2b(tokenizer.to_str().encode(), digest_size=8).hexdigest()


def example_key(example: Example) -> bytes:
    """16 bytes that name the token ids of a row."""
    parts = (np.asarray(part, dtype="<u2").tobytes() for part in (example.tools, example.request, example.answer))
    return hashlib.blake2b(b"".join(len(part).to_bytes(4, "little") + part for part in parts), digest_size=16).digest()


class Cache:
    """An open cache: rows looked up by their tokens, and new ones put behind."""

    def __init__(self, folder: Path, header: Header) -> None:
        self.folder, self.header = folder, header
        self._heal()
        index = np.fromfile(folder / INDEX, dtype=RECORD)
        self.rows = {record["key"].tobytes(): (int(record["start"]), int(record["length"])) for record in index}
        self._open()

    @classmethod
    def create(cls, folder: Path, header: Header) -> Cache:
        """The cache in ``folder``, made if there is none. Raises ``UserError`` when one is there that belongs to
        something else."""
        if (folder / HEADER).exists():
            cache = cls.open(folder)
            different = [name for name, value in asdict(header).items() if asdict(cache.header)[name] != value]
            if different:
                raise UserError(f"{folder}: the cache there has another {' and '.join(different)}; give another folder")
            return cache
        if header.vocabulary > MOST_TOKENS or not 0 < header.k <= header.vocabulary:
            raise UserError(
                f"{header.k} columns for a vocabulary of {header.vocabulary}: give 1 to all of them "
                f"(at most {MOST_TOKENS} tokens)"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name in (INDEX, TOKENS, SHARES):
            (folder / name).touch()
        with atomic(folder / HEADER) as path:
            path.write_text(json.dumps(asdict(header), indent=1), encoding="utf-8")
        return cls(folder, header)

    @classmethod
    def open(cls, folder: Path) -> Cache:
        """The cache in ``folder``. Raises ``UserError`` when there is none that can be read."""
        try:
            read = json.loads((folder / HEADER).read_text(encoding="utf-8"))
            header = Header(**{**read, "teachers": tuple(read["teachers"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{folder}: no teacher cache there ({HEADER}: {error}); make one with `needle teach`"
            ) from error
        if header.format != FORMAT:
            raise UserError(
                f"{folder}: a cache of format {header.format}, this version reads {FORMAT}; "
                "make it again with `needle teach`"
            )
        return cls(folder, header)

    def check(self, tokenizer: Tokenizer, temperature: float) -> None:
        """Raises ``UserError`` when the cache speaks of another vocabulary, tokenizer or temperature."""
        mine = (tokenizer.get_vocab_size(), tokenizer_digest(tokenizer))
        if mine[0] != self.header.vocabulary:
            raise UserError(
                f"{self.folder}: a cache of {self.header.vocabulary} tokens, the student has {mine[0]}; "
                "make one with its tokenizer"
            )
        if mine[1] != self.header.tokenizer:
            raise UserError(
                f"{self.folder}: a cache of another tokenizer; make one with the student's (`needle teach`)"
            )
        if temperature != self.header.temperature:
            raise UserError(
                f"{self.folder}: a cache at temperature {self.header.temperature}, the run has {temperature}; "
                "make one at that"
            )

    def get(self, example: Example) -> tuple[np.ndarray, np.ndarray] | None:
        """Tokens ``[n, k]`` and shares ``[n, k + 1]`` of a row's n answer positions; None for a row that is not
        there."""
        place = self.rows.get(example_key(example))
        if place is None:
            return None
        start, length = place
        return self._tokens[start : start + length], self._shares[start : start + length]

    def put(self, examples: Sequence[Example], tokens: np.ndarray, shares: np.ndarray) -> None:
        """Add rows (flat: the positions of one after the other); the index is written when the rest is."""
        start, records = self._positions(), []
        for example in examples:
            records.append((np.void(example_key(example)), start, len(example.answer)))
            start += len(example.answer)
        for name, content in (
            (TOKENS, tokens.astype("<u2")),
            (SHARES, shares.astype("<f4")),
            (INDEX, np.array(records, dtype=RECORD)),
        ):
            with (self.folder / name).open("ab") as file:
                file.write(content.tobytes())
        self.rows |= {
            example_key(example): (record[1], record[2]) for example, record in zip(examples, records, strict=True)
        }
        self._open()

    def _positions(self) -> int:
        return max((start + length for start, length in self.rows.values()), default=0)

    def _open(self) -> None:
        positions, k = self._positions(), self.header.k
        if not positions:  # an empty file cannot be mapped
            self._tokens, self._shares = np.zeros((0, k), "<u2"), np.zeros((0, k + 1), "<f4")
            return
        self._tokens = np.memmap(self.folder / TOKENS, dtype="<u2", mode="r", shape=(positions, k))
        self._shares = np.memmap(self.folder / SHARES, dtype="<f4", mode="r", shape=(positions, k + 1))

    def _heal(self) -> None:
        """Cut what a killed process left half written. Raises ``UserError`` when the index names more than there is."""
        sizes = {
            name: (self.folder / name).stat().st_size if (self.folder / name).is_file() else -1
            for name in (INDEX, TOKENS, SHARES)
        }
        whole = sizes[INDEX] // RECORD.itemsize * RECORD.itemsize
        index = (
            np.frombuffer((self.folder / INDEX).read_bytes()[:whole], dtype=RECORD)
            if whole > 0
            else np.zeros(0, RECORD)
        )
        positions = int((index["start"] + index["length"]).max()) if len(index) else 0
        ends = {INDEX: whole, TOKENS: positions * self.header.k * 2, SHARES: positions * (self.header.k + 1) * 4}
        for name, end in ends.items():
            if sizes[name] < end or sizes[name] < 0:
                raise UserError(
                    f"{self.folder / name}: shorter than its index says; copy the cache again or make another"
                )
            if sizes[name] > end:
                with (self.folder / name).open("r+b") as file:
                    file.truncate(end)
