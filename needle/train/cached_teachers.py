"""Soft labels of a teacher cache: the columns that are kept of a distribution, the pass that fills it, and reading it
in a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from needle.errors import UserError
from needle.student.modeling.model import to_device
from needle.train.batches import Batch, micro_batches
from needle.train.cache import Cache, Header, example_key, tokenizer_digest
from needle.train.config import TrainConfig
from needle.train.examples import Example, ExampleSet
from needle.train.losses import SoftTargets
from needle.train.teachers import Scorer, Source, Teachers


def columns(probabilities_NV: Tensor, examples: Sequence[Example], k: int, draws: bool) -> tuple[Tensor, Tensor]:
    """Tokens ``[N, k]`` and shares ``[N, k + 1]`` to keep of full distributions; draws depend on the row alone.

    Draws come with replacement, each with share 1/k; the last column is then 0.
    """
    if not draws:
        best = probabilities_NV.topk(k)
        rest = (
            (probabilities_NV.sum(-1, dtype=torch.float64) - best.values.sum(-1, dtype=torch.float64))
            .clamp_min(0)
            .float()
        )
        return best.indices, torch.cat((best.values, rest[:, None]), dim=-1)
    drawn = []
    for example, part in zip(
        examples, probabilities_NV.cpu().split([len(example.answer) for example in examples]), strict=True
    ):
        generator = torch.Generator().manual_seed(int.from_bytes(example_key(example)[:7], "little"))
        drawn.append(torch.multinomial(part, k, replacement=True, generator=generator))
    tokens = torch.cat(drawn).to(probabilities_NV.device)
    shares = torch.full((len(tokens), k), 1 / k, device=tokens.device)
    return tokens, torch.cat((shares, torch.zeros_like(shares[:, :1])), dim=-1)


def fill(
    cache: Cache, teachers: Teachers, examples: Iterable[Example], device: torch.device,
    dtype: torch.dtype = torch.float32, rows: int = 64, report: Callable[[int], None] = lambda _: None,
) -> int:  # fmt: skip
    """Ask the ``teachers`` about every row that is not in the cache yet; how many those were. ``report`` hears the
    rows done so far."""
    waiting = list(
        {example_key(example): example for example in examples if example_key(example) not in cache.rows}.values()
    )
    header, weights = cache.header, dict.fromkeys(range(5), 1.0)
    done = 0
    for start in range(0, len(waiting), 16 * rows):
        for batch in micro_batches(
            waiting[start : start + 16 * rows], rows, weights, share_toolsets=teachers.shares_toolsets
        ):
            batch = to_device(batch, device)
            said = teachers.targets(batch, dtype, header.temperature).probabilities
            tokens, shares = columns(said, batch.examples, header.k, header.draws)
            cache.put(batch.examples, tokens.cpu().numpy(), shares.cpu().numpy())
            done += len(batch.examples)
            report(done)
    return done


class CachedTeachers:
    """Soft labels from a cache; rows that are not in it go to the teachers, where there are any in the loop."""

    def __init__(self, cache: Cache, live: Teachers | None = None) -> None:
        """Raises ``UserError`` when the ``live`` teachers are not those that the cache was made with."""
        if live is not None and sorted(map(str, live.identity())) != sorted(map(str, cache.header.teachers)):
            raise UserError(
                f"{cache.folder}: the cache there was made with other teachers or weights; "
                "give those, or another folder"
            )
        self.cache, self.live = cache, live

    @property
    def shares_toolsets(self) -> bool:
        """As the teachers in the loop; a cache does not mind."""
        return self.live is None or self.live.shares_toolsets

    def identity(self) -> list[dict[str, str | float]]:
        """The teachers that the cache was made with."""
        return list(self.cache.header.teachers)

    def missing(self, examples: Iterable[Example]) -> int:
        """How many of the rows the cache does not have."""
        return sum(example_key(example) not in self.cache.rows for example in examples)

    def targets(self, batch: Batch, dtype: torch.dtype, temperature: float) -> SoftTargets:
        """``k`` columns a position. Raises ``UserError`` for a row that is not in the cache when no teacher is in the
        loop."""
        header, device = self.cache.header, batch.labels_N.device
        found = [self.cache.get(example) for example in batch.examples]
        if any(entry is None for entry in found):
            if self.live is None:
                raise UserError(
                    f"{self.cache.folder}: a row is not in the cache and no teacher is at hand; "
                    "give --teacher, or run `needle teach`"
                )
            said = self.live.targets(batch, dtype, temperature).probabilities
            tokens, shares = columns(said, batch.examples, header.k, header.draws)
        else:
            tokens, shares = (
                torch.from_numpy(np.concatenate([entry[side] for entry in found])).to(device) for side in (0, 1)
            )
        rest = None if header.draws else shares[:, -1]
        return SoftTargets(shares[:, :-1], tokens.long(), header.draws, rest)


def open_cache(
    folder: Path, teachers: Teachers, tokenizer: Tokenizer, k: int, draws: bool, temperature: float
) -> Cache:
    """The cache of these ``teachers`` in ``folder``, made if there is none. Raises ``UserError`` when another is
    there."""
    vocabulary = tokenizer.get_vocab_size()
    return Cache.create(
        folder, Header(vocabulary, tokenizer_digest(tokenizer), k, draws, temperature, tuple(teachers.identity()))
    )


def soft_source(
    scorers: Sequence[Scorer],
    shares: Sequence[float],
    folder: Path | None,
    tokenizer: Tokenizer,
    config: TrainConfig,
    examples: ExampleSet,
) -> Source | None:
    """Who gives a run its soft labels: teachers in the loop, a cache in ``folder``, or (None) the votes of its rows
    alone.

    Raises ``UserError`` when the cache belongs to something else or lacks rows that no teacher is there for, or where
    nobody says anything.
    """
    live = Teachers(scorers, shares) if scorers else None
    if folder is not None:
        cache = Cache.open(folder)
        cache.check(tokenizer, config.temperature)
        if cache.header.draws and (config.divergence or config.skew):
            raise UserError(
                f"{folder}: random draws estimate KL(teacher || student) only; "
                "leave divergence and skew at 0, or keep the likeliest"
            )
        source = CachedTeachers(cache, live)
        if live is None and (missing := source.missing(examples.rendered())):
            raise UserError(
                f"{folder}: {missing:,} of {len(examples):,} rows are not in the cache; "
                "run `needle teach` on them, or give --teacher"
            )
        return source
    if live is None and not any("votes" in trace.meta for rows in examples.groups.values() for trace in rows):
        raise UserError(
            "--loss soft: no teacher, no cache of one and no row with votes; "
            "give --teacher, --teacher-cache or such traces"
        )
    return live
