"""Token probabilities of an answer, where the endpoint gives them: the tokens as bytes, the most likely alternatives,
and the probability mass that none of them covers.

The residual is kept, never spread over the alternatives: a cut-off distribution that is scaled up to 1 is a biased
target (Sparse Logit Sampling, arXiv 2503.16870). vLLM gives these for tool calls too, over the text that the model
wrote; most hosted APIs give them for plain text only, or not at all.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

IMPOSSIBLE = -9990.0
"""Some servers write -9999 for minus infinity."""


@dataclass(frozen=True)
class TokenProbability:
    """One token of an answer."""

    token: bytes
    """Its bytes; a character may be spread over several tokens."""
    logprob: float
    """Natural logarithm of its probability."""
    alternatives: tuple[tuple[bytes, float], ...] = ()
    """The likeliest tokens at this place with their log-probabilities, as far as the endpoint gave them."""
    residual: float = 0.0
    """Probability of all other tokens together."""


def read_logprobs(raw: bytes) -> tuple[TokenProbability, ...] | None:
    """Token probabilities in the body of a chat completion; None when there are none, or none that can be true."""
    try:
        items = json.loads(raw)["choices"][0]["logprobs"]["content"]
        tokens = tuple(_token(item) for item in items)
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    if not tokens or any(not token.logprob <= 1e-3 or token.logprob <= IMPOSSIBLE for token in tokens):
        return None
    others = [logprob for token in tokens for other, logprob in token.alternatives if other != token.token]
    if others and all(logprob <= IMPOSSIBLE for logprob in others) and all(token.logprob == 0 for token in tokens):
        return None  # a server that accepts the parameter and fills in zeros
    return tokens


def _token(item: dict[str, Any]) -> TokenProbability:
    token, logprob = _bytes(item), float(item["logprob"])
    alternatives = tuple((_bytes(other), float(other["logprob"])) for other in item.get("top_logprobs") or ())
    covered = {token: logprob, **dict(alternatives)}
    mass = math.fsum(math.exp(min(value, 0.0)) for value in covered.values())
    if mass > 1.02:
        raise ValueError("probabilities add up to more than 1")
    return TokenProbability(token, logprob, alternatives, max(0.0, 1.0 - mass))


def _bytes(item: dict[str, Any]) -> bytes:
    if isinstance(item.get("bytes"), list):
        return bytes(item["bytes"])
    return str(item["token"]).encode()
