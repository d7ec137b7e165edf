"""``StudentCaller``: the trained student as a ``Caller``, in PyTorch."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.decoding import Decoded, beam, greedy
from needle.student.grammar import Constraint
from needle.student.modeling.batching import pack_source
from needle.student.modeling.model import NeedleModel
from needle.student.modeling.stepper import TorchStepper
from needle.student.modeling.storage import WEIGHTS, load_model
from needle.student.rendering import check_length, parse_answer, render_request, render_tools
from needle.student.tokenizer import EOS, SPECIAL_IDS, load_tokenizer
from needle.tools import Caller, CallResult, Request, ToolSpec, fingerprint


class StudentCaller(Caller):
    """Answers with calls that the tools' schemas allow; ``constrained=False`` lets the model write freely."""

    def __init__(
        self, model: NeedleModel, tokenizer: Tokenizer, *, name: str = "student", constrained: bool = True, beams: int = 1,
        rows: int = 32, dtype: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.constraint = Constraint(tokenizer) if constrained else None
        self.beams, self.rows, self.dtype = beams, rows, dtype
        self.weight_bytes: int | None = None
        self._tools: dict[str, list[int]] = {}

    @classmethod
    def from_folder(cls, folder: str | Path, **options: object) -> StudentCaller:
        """Load a checkpoint folder. Raises ``UserError`` when it holds no student."""
        folder = Path(folder)
        model = load_model(folder)
        digest = hashlib.blake2b((folder / WEIGHTS).read_bytes(), digest_size=4).hexdigest()
        mode = "".join(f", {key} {value}" for key, value in sorted(options.items()))
        caller = cls(model, load_tokenizer(folder), name=f"{folder} ({digest}{mode})", **options)
        caller.weight_bytes = (folder / WEIGHTS).stat().st_size
        return caller

    def answer(self, requests: Sequence[Request]) -> list[CallResult]:
        """Answer in batches of similar requests, tools of a batch read once for all requests that share them."""
        results: list[CallResult | None] = [None] * len(requests)
        rendered: dict[int, tuple[str, list[int]]] = {}
        for place, request in enumerate(requests):
            try:
                rendered[place] = self._render(request)
            except UserError as error:
                results[place] = CallResult(error=str(error))
        order = sorted(rendered, key=lambda place: (len(self._tools[rendered[place][0]]), rendered[place][0], len(rendered[place][1])))
        rows = 1 if self.beams > 1 else self.rows
        for start in range(0, len(order), rows):
            places = order[start : start + rows]
            for place, result in zip(places, self._answer_batch([(requests[p], *rendered[p]) for p in places]), strict=True):
                results[place] = result
        return [result for result in results if result is not None]

    def show_prompt(self, request: Request) -> str:
        """What the model reads, as text with its marks."""
        ids = [*render_tools(self.tokenizer, request.tools), *render_request(self.tokenizer, request)]
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def prompt_length(self, request: Request) -> int:
        """Tokens of the request with its tools; what rows are sorted by before they are put into batches."""
        key = fingerprint(request.tools)
        if key not in self._tools:
            self._tools[key] = render_tools(self.tokenizer, request.tools)
        return len(self._tools[key]) + len(render_request(self.tokenizer, request))

    def facts(self) -> dict[str, int | None]:
        """Number of parameters, and bytes of the weights file (None for a model that was not loaded from one)."""
        return {"parameters": sum(weight.numel() for weight in self.model.parameters()), "bytes": self.weight_bytes}

    def _render(self, request: Request) -> tuple[str, list[int]]:
        """Fingerprint of the tools and ids of the request. Raises ``UserError`` for what does not fit or compile."""
        config, key = self.model.config, fingerprint(request.tools)
        if key not in self._tools:
            if len(self._tools) > 4096:
                self._tools.clear()
            self._tools[key] = render_tools(self.tokenizer, request.tools)
        ids = render_request(self.tokenizer, request)
        check_length(ids, config.max_request_tokens, "the request", "shorten it")
        check_length([*self._tools[key], *ids], config.max_source_tokens, "the toolset with the request", "offer fewer or shorter tools")
        if self.constraint is not None:
            self.constraint.matcher(request.tools, request.choice)
        return key, ids

    def _answer_batch(self, batch: list[tuple[Request, str, list[int]]]) -> list[CallResult]:
        began = time.perf_counter()
        keys = [key for _, key, _ in batch]
        toolset_of = list(range(len(keys)))
        if self.model.config.shares_toolsets:
            keys, toolset_of = list(dict.fromkeys(keys)), [list(dict.fromkeys(keys)).index(key) for key in keys]
        source = pack_source([self._tools[key] for key in keys], [ids for _, _, ids in batch], toolset_of)
        stepper = TorchStepper(self.model, source, self.dtype)
        limit = self.model.config.max_target_tokens
        matchers = [self.constraint.matcher(request.tools, request.choice) if self.constraint else None for request, _, _ in batch]
        if self.beams > 1:
            decoded = beam(stepper, matchers[0], self.constraint, limit, self.beams)[:1]
        else:
            decoded = greedy(stepper, matchers, self.constraint, limit)
        seconds = (time.perf_counter() - began) / len(batch)
        return [
            self._result(request.tools, len(self._tools[key]) + len(ids), row, seconds)
            for (request, key, ids), row in zip(batch, decoded, strict=True)
        ]

    def _result(self, tools: Sequence[ToolSpec], prompt_tokens: int, row: Decoded, seconds: float) -> CallResult:
        raw = self.tokenizer.decode([token for token in row.ids if token != SPECIAL_IDS[EOS]], skip_special_tokens=False)
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(row.ids)}
        details = {"raw": raw, "usage": usage, "seconds": seconds, "confidence": math.exp(row.log_probability)}
        try:
            return CallResult(parse_answer(self.tokenizer, row.ids, tools), **details)
        except ValueError as error:
            return CallResult(error=str(error), **details)
