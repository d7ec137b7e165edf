"""What an endpoint says about the answers of rows: the likeliest tokens at each place, asked once and kept.

    OUT/teacher.jsonl    a header line (model, k, digest of the vocabulary), then a line a row: key, tokens [n, k],
    logprobs [n, k]

A killed run asks only for the rows that are not there yet.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from needle.errors import UserError
from needle.hf.rows import ChatRow
from needle.train.losses import SoftTargets

Ask = Callable[[Sequence[Sequence[int]], Callable[[int, list[dict[int, float] | None]], None]], None]
"""Scores texts of token ids: calls back with the place of a text and, for each of its tokens, log-probabilities by
token id."""
LEAST = -100.0
"""Log-probability that stands for minus infinity."""


class EndpointTargets:
    """Soft labels of rows by their key."""

    def __init__(self, path: Path, model: str, k: int, tokenizer: Any) -> None:
        """``path`` is read if it is there. Raises ``UserError`` when it belongs to another model, k or vocabulary."""
        self.path, self.k = path, k
        vocabulary = json.dumps(sorted(tokenizer.get_vocab().items())).encode()
        self.header = {"model": model, "k": k, "vocabulary": hashlib.blake2b(vocabulary, digest_size=8).hexdigest()}
        self.known: dict[str, tuple[list[list[int]], list[list[float]]]] = {}
        if path.is_file():
            self._read()

    def _read(self) -> None:
        whole = self.path.read_text(encoding="utf-8")
        lines = whole[
            : whole.rfind("\n") + 1
        ].splitlines()  # half a line, which a killed process left, is asked for again
        header = json.loads(lines[0]) if lines else self.header
        different = [key for key in self.header if header.get(key) != self.header[key]]
        if different:
            raise UserError(
                f"{self.path}: what a teacher said there has another {' and '.join(different)}; move it away, or "
                "give another --out"
            )
        for line in lines[1:]:
            row = json.loads(line)
            self.known[row["row"]] = row["tokens"], row["logprobs"]
        if len(lines) and not whole.endswith("\n"):
            self.path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def complete(self, rows: Sequence[ChatRow], ask: Ask) -> int:
        """Ask for the rows that are missing; returns how many. Each is written as it comes. Raises what
        ``ask`` raises."""
        missing = list({row.key: row for row in rows if row.key not in self.known}.values())
        if not missing:
            return 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self.path.exists() or not self.path.stat().st_size
        with self.path.open("a", encoding="utf-8") as file:
            if fresh:
                file.write(json.dumps(self.header) + "\n")

            def keep(place: int, said: list[dict[int, float] | None]) -> None:
                row = missing[place]
                tokens, logprobs = self._likeliest(said[len(row.prompt) :])
                file.write(json.dumps({"row": row.key, "tokens": tokens, "logprobs": logprobs}) + "\n")
                file.flush()
                self.known[row.key] = tokens, logprobs

            ask([row.ids for row in missing], keep)
        return len(missing)

    def _likeliest(self, said: Sequence[dict[int, float] | None]) -> tuple[list[list[int]], list[list[float]]]:
        tokens, logprobs = [], []
        for place in said:
            best = sorted((place or {}).items(), key=lambda item: -item[1])[: self.k]
            if len(best) < self.k:
                raise UserError(
                    f"the endpoint gave {len(best)} of {self.k} token probabilities; is it vLLM with "
                    f"--max-logprobs {self.k} or more?"
                )
            tokens.append([token for token, _ in best])
            logprobs.append([round(max(value, LEAST), 5) if math.isfinite(value) else LEAST for _, value in best])
        return tokens, logprobs

    def of(self, keys: Sequence[str], device: torch.device) -> SoftTargets:
        """Soft labels of the answers of these rows, one after the other: ``[N, k]``."""
        tokens = torch.tensor([place for key in keys for place in self.known[key][0]], device=device)
        logprobs = torch.tensor([place for key in keys for place in self.known[key][1]], device=device)
        return SoftTargets(logprobs.exp(), tokens)
