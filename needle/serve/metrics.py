"""Counters of one server in Prometheus' text format. Numbers only: no request, no key and no name is kept."""

from __future__ import annotations

from collections import Counter

from needle.tools import CallResult

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram of seconds."""


class Metrics:
    """What a server has done since it started; written from its event loop only."""

    def __init__(self) -> None:
        self._statuses: Counter[int] = Counter()
        self._buckets: Counter[float] = Counter()
        self._seconds = 0.0
        self._tokens: Counter[str] = Counter({"prompt": 0, "completion": 0})
        self._calls = self._abstentions = self._batches = self._batched = 0
        self._unsure = self._escalated = self._rated = 0
        self._confidence = 0.0

    def request(self, status: int, seconds: float) -> None:
        """One chat completion was answered with ``status``."""
        self._statuses[status] += 1
        self._seconds += seconds
        self._buckets.update(bound for bound in BOUNDS if seconds <= bound)

    def result(self, result: CallResult) -> None:
        """The caller gave one answer."""
        self._calls += len(result)
        self._abstentions += not result
        self._unsure += result.unsure
        self._escalated += result.usage.get("escalated", 0)
        if result.confidence is not None:
            self._rated += 1
            self._confidence += result.confidence
        for kind in self._tokens:
            self._tokens[kind] += result.usage.get(f"{kind}_tokens", 0)

    def batch(self, rows: int) -> None:
        """One batch of ``rows`` requests went to the caller."""
        self._batches += 1
        self._batched += rows

    def text(self, waiting: int) -> str:
        """Everything, as Prometheus scrapes it; ``waiting`` is the length of the queue now."""
        total = sum(self._statuses.values())
        statuses = sorted(self._statuses.items())
        buckets = [(f'needle_request_seconds_bucket{{le="{bound:g}"}}', self._buckets[bound]) for bound in BOUNDS]
        families = [
            ("requests_total", "counter", "Chat completions by HTTP status.",
             [(f'needle_requests_total{{status="{status}"}}', count) for status, count in statuses]),
            ("request_seconds", "histogram", "Seconds from the request to its answer.",
             [*buckets, ('needle_request_seconds_bucket{le="+Inf"}', total),
              ("needle_request_seconds_sum", self._seconds), ("needle_request_seconds_count", total)]),
            ("calls_total", "counter", "Calls in all answers.", [("needle_calls_total", self._calls)]),
            ("abstentions_total", "counter", "Answers without a call.",
             [("needle_abstentions_total", self._abstentions)]),
            ("unsure_total", "counter", "Answers below the threshold that nobody surer gave.",
             [("needle_unsure_total", self._unsure)]),
            ("escalated_total", "counter", "Requests that went to the fallback.",
             [("needle_escalated_total", self._escalated)]),
            ("confidence", "summary", "Confidence of the answers that have one.",
             [("needle_confidence_sum", self._confidence), ("needle_confidence_count", self._rated)]),
            ("tokens_total", "counter", "Tokens as counted by the model.",
             [(f'needle_tokens_total{{kind="{kind}"}}', count) for kind, count in self._tokens.items()]),
            ("batch_rows", "summary", "Requests that were answered together.",
             [("needle_batch_rows_sum", self._batched), ("needle_batch_rows_count", self._batches)]),
            ("queue_length", "gauge", "Requests that wait for the model.", [("needle_queue_length", waiting)]),
        ]  # fmt: skip
        lines: list[str] = []
        for name, kind, words, samples in families:
            lines += [f"# HELP needle_{name} {words}", f"# TYPE needle_{name} {kind}"]
            lines += [
                f"{label} {value:g}" if isinstance(value, float) else f"{label} {value}" for label, value in samples
            ]
        return "\n".join(lines) + "\n"
