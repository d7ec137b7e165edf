"""``StudentCaller``: the trained student as a ``Caller``. It renders, constrains, batches, decodes and parses; an ``Engine`` does the arithmetic.

Engines: ``needle.student.modeling.engine.TorchEngine`` (any checkpoint) and ``needle.device.engine.OnnxEngine`` (no torch needed).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.agreement import Agreement
from needle.student.alignment import request_weights, value_tokens
from needle.student.alternatives import Writer, alternatives, told_before
from needle.student.confidence import Calibration, features
from needle.student.decoding import Decoded, Lean, Stepper, Told, beam, greedy
from needle.student.grammar import Constraint
from needle.student.leaning import Priors
from needle.student.offer import Offer
from needle.student.prior import Judging, Prior
from needle.student.rendering import check_length, compact, parse_answer, render_request, render_tools
from needle.student.reranking import Candidates, candidates, doubtful
from needle.student.streaming import teller
from needle.student.tokenizer import EOS, SPECIAL_IDS
from needle.tools import Caller, CallResult, Delta, Evidence, Request, ToolSpec, fingerprint
from needle.tools.caller import Watch
from needle.tools.described import as_described, with_formats

if TYPE_CHECKING:
    from needle.student.retrieval import Finder, RetrievalHead, Source

KEPT_TOOLSETS = 4096
"""Rendered toolsets that are kept; beyond it all are forgotten."""
Rendered = tuple[str, list[int], list[int]]
"""Fingerprint of the toolset, its tokens, tokens of the request."""


class Limits(Protocol):
    """What a caller must know of a model's configuration (``NeedleConfig``, ``Shape``)."""

    max_source_tokens: int
    max_request_tokens: int
    max_target_tokens: int
    @property
    def shares_toolsets(self) -> bool:
        """Whether the rows of a batch can read one copy of their toolset."""


class Engine(Protocol):
    """The model behind a ``StudentCaller``: from tokens to logits. Must be safe to use from several threads."""

    @property
    def config(self) -> Limits:
        """Limits of the model."""

    def stepper(
        self, toolsets: Sequence[Sequence[int]], requests: Sequence[Sequence[int]], toolset_of: Sequence[int], align: bool = False
    ) -> Stepper:
        """Encode the source of a batch of rows and stand before their answers.

        Request ``i`` belongs to ``toolsets[toolset_of[i]]``; each list holds at least one token. ``align``: the stepper tells after each
        step where the decoder looked (``Stepper.alignment``).
        """

    def prepare(self, toolset: Sequence[int]) -> object:
        """Encode a toolset ahead and keep it, where the engine can."""

    def pooled(self, sources: Sequence[Source], keep: bool | None = None) -> np.ndarray:
        """``[N, D]``: what ``needle.student.retrieval`` knows texts by, each encoded by itself.

        ``keep``: None for texts that come once, False to take what lies on the engine's disk, where it has one, True to put it there too.
        """

    def facts(self) -> dict[str, Any]:
        """``parameters`` (their number) and ``bytes`` (of the weights file; None where there is none)."""


@dataclass(frozen=True)
class PreparedTools:
    """A toolset that a student has read: give it to ``call`` in place of the tools."""

    specs: tuple[ToolSpec, ...]
    """The tools."""
    fingerprint: str
    """Key under which the student knows them."""
    tokens: int
    """Length of their text for the student."""

    def __iter__(self) -> Iterator[ToolSpec]:
        """The tools, in order."""
        return iter(self.specs)

    def __len__(self) -> int:
        """Number of tools."""
        return len(self.specs)


class StudentCaller(Caller):
    """Answers with calls that the tools' schemas allow; ``constrained=False`` lets the model write freely."""

    def __init__(
        self, engine: Engine, tokenizer: Tokenizer, *, name: str = "student", constrained: bool = True, beams: int = 1, rows: int = 32,
        calibration: Calibration | None = None, explain: bool = False, most_tools: int | None = None, retrieval: RetrievalHead | None = None,
        prior: Prior | None = None, second_look: bool = True,
    ) -> None:  # fmt: skip
        """``calibration`` turns the probability of a greedy answer under its grammar into a confidence; ``explain``: always give evidence.

        ``most_tools``: of larger toolsets only so many that fit the request best are shown to the model. Toolsets that do not fit into its context
        are cut down in any case; ``CallResult.offered`` says to what. ``retrieval`` finds these tools by meaning beside their words.
        ``prior``: what the words of a request count where the model names a tool, writes a value, or is unsure of a whole answer (under its grammar
        alone). ``second_look=False``: unsure answers stay as they are, in a quarter of the time.
        """
        self.engine, self.tokenizer, self.name = engine, tokenizer, name
        self.constraint = Constraint(tokenizer) if constrained else None
        self.beams, self.rows, self.explain = beams, rows, explain
        self.calibration = calibration if constrained and beams == 1 else None
        self.retrieval = retrieval
        self.priors = Priors(prior, tokenizer) if prior is not None and constrained else None
        self._judges = second_look and beams == 1 and self.priors is not None and self.priors.prior.answers != Judging()
        self._offer = Offer(lambda tools: len(self._rendered_tools(tools)[1]), most_tools, self._finder())
        self._tools: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    parallel = True

    @property
    def settings(self) -> dict[str, Any]:
        """What decides answers and confidence beside the weights, for those who keep answers."""
        found: dict[str, Any] = {} if self.calibration is None else {"calibration": [*self.calibration.weights, self.calibration.bias]}
        if self.priors is not None:
            found["prior"] = self.priors.prior.weights
        return found if self.retrieval is None else found | {"retrieval": self.retrieval.digest}

    def _finder(self) -> Finder | None:
        if self.retrieval is None:
            return None
        from needle.student.retrieval import Finder  # here: most models answer from small toolsets

        return Finder(self.retrieval, self.engine, self.tokenizer)

    def answer(self, requests: Sequence[Request]) -> list[CallResult]:
        """Answer in batches of similar requests, tools of a batch read once for all requests that share them."""
        return self._answer(requests, self.explain)

    def answer_explained(self, requests: Sequence[Request]) -> list[CallResult]:
        """``answer`` with evidence by text and attention (by text alone with more than one beam)."""
        return self._answer(requests, explain=True)

    def answer_watched(self, requests: Sequence[Request], watch: Watch) -> list[CallResult]:
        """``answer``, telling of each piece of a call as it is decided; with more than one beam nothing is told.

        Where a description tells another form of a day or a time than the model writes, calls are told when they are whole.
        """
        if all(with_formats(request.tools) is request.tools for request in requests):
            return self._answer(requests, self.explain, watch)
        results = self._answer(requests, self.explain)
        for place, result in enumerate(results):
            for number, call in enumerate(result):
                watch(place, Delta(number, call.name, compact(call.arguments)))
        return results

    def _answer(self, requests: Sequence[Request], explain: bool, watch: Watch | None = None) -> list[CallResult]:
        results: list[CallResult | None] = [None] * len(requests)
        rendered: dict[int, Rendered] = {}
        cut, toolsets = [self._shown(request) for request in requests], [request.tools for request in requests]
        requests = [request for request, _ in cut]
        for place, request in enumerate(requests):
            try:
                rendered[place] = self._render(request)
            except UserError as error:
                results[place] = CallResult(error=str(error))
        order = sorted(rendered, key=lambda place: (len(rendered[place][1]), rendered[place][0], len(rendered[place][2])))
        rows = 1 if self.beams > 1 else self.rows
        for start in range(0, len(order), rows):
            places = order[start : start + rows]
            asked = [requests[place] for place in places]
            told = teller(self.tokenizer, [request.tools for request in asked], places, watch) if watch else None
            answers = self._answer_batch(asked, [rendered[place] for place in places], explain, told)
            for place, result in zip(places, answers, strict=True):
                results[place] = result
        for result, tools, (request, ranked) in zip(results, toolsets, cut, strict=True):
            if result is not None and ranked is not None:
                result.offered, result.ranked = tuple(tool.name for tool in request.tools), ranked
            if result:
                result[:] = as_described(result, tools)
        return [result for result in results if result is not None]

    def _shown(self, request: Request) -> tuple[Request, tuple[str, ...] | None]:
        """The request with the tools that the model is shown, and the order of all where these are not all (``Offer.shown``).

        Formats that descriptions tell are given to the model as such; ``needle.tools.described`` takes its calls back.
        """
        return self._offer.shown(replace(request, tools=with_formats(request.tools)), self._room(request))

    def _room(self, request: Request) -> int:
        """Tokens that are left for tools."""
        return self.engine.config.max_source_tokens - len(render_request(self.tokenizer, request))

    def show_prompt(self, request: Request) -> str:
        """What the model reads, as text with its marks."""
        ids = [*self._rendered_tools(self.shown(request).tools)[1], *render_request(self.tokenizer, request)]
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def prompt_length(self, request: Request) -> int:
        """Tokens of the request with its tools; what rows are sorted by before they are put into batches."""
        most = self.engine.config.max_source_tokens
        return min(len(self._rendered_tools(request.tools)[1]) + len(render_request(self.tokenizer, request)), most)

    def facts(self) -> dict[str, Any]:
        """Number of parameters, and bytes of the weights file (None for a model that was not loaded from one)."""
        return self.engine.facts()

    def _rendered_tools(self, tools: Sequence[ToolSpec]) -> tuple[str, list[int]]:
        """Fingerprint and tokens of a toolset, rendered once."""
        key = fingerprint(tools)
        with self._lock:
            ids = self._tools.get(key)
        if ids is None:
            ids = render_tools(self.tokenizer, tools)
            with self._lock:
                if len(self._tools) >= KEPT_TOOLSETS:
                    self._tools.clear()
                self._tools[key] = ids
        return key, ids

    def _render(self, request: Request) -> Rendered:
        """Raises ``UserError`` for what does not fit or compile."""
        config, (key, tools) = self.engine.config, self._rendered_tools(request.tools)
        ids = render_request(self.tokenizer, request)
        check_length(ids, config.max_request_tokens, "the request", "shorten it")
        check_length([*tools, *ids], config.max_source_tokens, "the toolset with the request", "offer fewer or shorter tools")
        if self.constraint is not None:
            self.constraint.matcher(request.tools, request.choice)
        return key, tools, ids

    def prepare(self, tools: Iterable[Any]) -> PreparedTools:
        """Read a toolset ahead of its first request: its grammar, and its encoding, which is kept on disk as well.

        Returns a toolset that ``call`` takes like any other. Raises ``UserError`` for tools that cannot be read, or of which one alone is too long.
        """
        from needle.tools.read import read_tools  # here: the reader is not needed to answer

        specs = tuple(read_tools(tools))
        request = Request("", with_formats(specs))
        if self._offer.prepare(request.tools, self._room(request)):  # a large set is indexed; which tools are encoded is known with the request
            key, ids = self._rendered_tools(request.tools)
            return PreparedTools(specs, key, len(ids))
        key, ids, _ = self._render(request)
        self.engine.prepare(ids)
        return PreparedTools(specs, key, len(ids))

    def _answer_batch(
        self, requests: Sequence[Request], batch: Sequence[Rendered], explain: bool, told: Told | None = None
    ) -> list[CallResult]:
        began = time.perf_counter()
        stepper = self._stepper(batch, explain and self.beams == 1)
        limit = self.engine.config.max_target_tokens
        matchers = [self.constraint.matcher(one.tools, one.choice) if self.constraint else None for one in requests]
        leans = [None if self.priors is None else self.priors.of(request, rendered[0]) for request, rendered in zip(requests, batch, strict=True)]
        if self.beams > 1:
            decoded = beam(stepper, matchers[0], self.constraint, limit, self.beams, leans[0])[:1]
        else:
            decoded = greedy(stepper, matchers, self.constraint, limit, told, request=batch[0][2] if len(batch) == 1 else (), leans=leans)
        shares: list[float | None] = [None] * len(batch)
        if self._judges and told is None:
            looks = [self._second_look(*one, stepper if len(batch) == 1 else None, explain) for one in zip(requests, batch, decoded, leans, strict=True)]
            decoded, shares = [row for row, _ in looks], [share for _, share in looks]
        seconds = (time.perf_counter() - began) / len(batch)
        results = [
            self._result(one.tools, len(rendered[1]) + len(rendered[2]), row, share, seconds)
            for one, rendered, row, share in zip(requests, batch, decoded, shares, strict=True)
        ]
        if explain:
            for request, row, result in zip(requests, decoded, results, strict=True):
                result.evidence = self._evidence(request, row, result)
        return results

    def _second_look(
        self, request: Request, rendered: Rendered, first: Decoded, lean: Lean | None, stepper: Any, explain: bool
    ) -> tuple[Decoded, float | None]:
        """The best of an unsure answer and others, with its share; a sure answer as it is. ``stepper``: that which wrote it, where it can go back."""
        if not doubtful(first):
            return first, None
        found = self._considered(request, rendered, first, lean, stepper, explain)
        if not found.answers:
            return first, None
        assert self.priors is not None
        place, share = found.best(self.priors.prior.answers)
        return found.answers[place], share

    def _considered(self, request: Request, rendered: Rendered, first: Decoded, lean: Lean | None, stepper: Any, explain: bool) -> Candidates:
        """The first answer alone where it is sure."""
        assert self.constraint is not None and self.priors is not None
        found = [first]
        if doubtful(first):
            told = told_before(first, first.choices[-1].place) if stepper is not None else ()
            matcher = partial(self.constraint.matcher, request.tools, request.choice)
            limit = self.engine.config.max_target_tokens
            writer = Writer(stepper or self._stepper([rendered], explain), told, matcher, self.constraint, limit, rendered[2], lean)
            found += alternatives(first, writer)
        return candidates(found, Agreement(request, self.priors.index(request.tools, rendered[0])), self.tokenizer)

    def considered(self, request: Request) -> Candidates:
        """The greedy answer to ``request``, and those that a second look at it would weigh, for those who fit what counts there.

        Raises ``UserError`` for what does not fit. The caller has a prior.
        """
        assert self.constraint is not None and self.priors is not None
        request = self.shown(request)
        rendered = self._render(request)
        stepper, lean = self._stepper([rendered]), self.priors.of(request, rendered[0])
        matchers = [self.constraint.matcher(request.tools, request.choice)]
        [first] = greedy(stepper, matchers, self.constraint, self.engine.config.max_target_tokens, request=rendered[2], leans=[lean])
        return self._considered(request, rendered, first, lean, stepper, False)

    def _evidence(self, request: Request, row: Decoded, result: CallResult) -> list[Evidence]:
        from needle.tools.grounding.evidence import find_evidence  # here: only an explanation needs its tables

        if row.alignment_TS is None:
            return find_evidence(request, result)
        places = value_tokens(self.tokenizer, row.ids)
        weights = {path: request_weights(self.tokenizer, request.query, row.alignment_TS, tokens) for path, tokens in places.items() if tokens}
        return find_evidence(request, result, weights)

    def shown(self, request: Request) -> Request:
        """The request with the tools that the model reads for it."""
        return self._shown(request)[0]

    def stepper(self, request: Request) -> Stepper:
        """A decoder at the start of an answer to ``request``, for those who look at what the model thinks. Raises ``UserError`` for what does not fit."""
        return self._stepper([self._render(request)])

    def _stepper(self, batch: Sequence[Rendered], align: bool = False) -> Stepper:
        """A stepper for a batch; rows share their toolset where the model can."""
        if self.engine.config.shares_toolsets:
            toolsets = {key: ids for key, ids, _ in batch}
            places = {key: place for place, key in enumerate(toolsets)}
            return self.engine.stepper(list(toolsets.values()), [ids for _, _, ids in batch], [places[key] for key, _, _ in batch], align)
        return self.engine.stepper([tools for _, tools, _ in batch], [ids for _, _, ids in batch], list(range(len(batch))), align)

    def _result(self, tools: Sequence[ToolSpec], prompt_tokens: int, row: Decoded, share: float | None, seconds: float) -> CallResult:
        raw = self.tokenizer.decode([token for token in row.ids if token != SPECIAL_IDS[EOS]], skip_special_tokens=False)
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(row.ids)}
        signals = features(row, self.tokenizer, share)
        sure = signals["probability"] if self.calibration is None else self.calibration.confidence(signals)
        details = {"raw": raw, "usage": usage, "seconds": seconds, "confidence": sure, "calibrated": self.calibration is not None, "signals": signals}
        try:
            return CallResult(parse_answer(self.tokenizer, row.ids, tools), **details)
        except ValueError as error:
            return CallResult(error=str(error), **details)
