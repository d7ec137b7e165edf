"""From the decoder's attention to the request's characters: which tokens of an answer write which argument, and where they looked.

The decoder's cross-attention is averaged over the tokens of a value; the part that falls on the request's words says where it came from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from json.decoder import scanstring

import numpy as np
from tokenizers import Tokenizer

from needle.student.tokenizer import CALL, EOS, NONE, SPECIAL_IDS

_NUMBERS = json.JSONDecoder()


def value_tokens(tokenizer: Tokenizer, ids: Sequence[int]) -> dict[str, list[int]]:
    """Places in an answer of the tokens that write each value, by ``call index.argument path``; answers that are cut give what is whole.

    Tokens that also hold quotation marks or braces count when a character of the value is in them.
    """
    found: dict[str, list[int]] = {}
    marks = {SPECIAL_IDS[name] for name in (CALL, NONE, EOS)}
    starts = [place for place, token in enumerate(ids) if token == SPECIAL_IDS[CALL]]
    for number, start in enumerate(starts):
        end = next((place for place in range(start + 1, len(ids)) if ids[place] in marks), len(ids))
        pieces = [_width(tokenizer, token) for token in ids[start + 1 : end]]
        ends = np.cumsum(pieces)
        text = tokenizer.decode(ids[start + 1 : end], skip_special_tokens=False)
        brace = text.find("{")
        for path, first, last in _values(text, brace) if brace >= 0 else ():
            low, high = (len(text[:place].encode()) for place in (first, last))
            inside = np.flatnonzero((ends > low) & (ends - pieces < high))
            found[f"{number}{path}"] = [start + 1 + int(place) for place in inside]
    return found


def _width(tokenizer: Tokenizer, token: int) -> int:
    """Bytes that a token stands for: in a byte-level vocabulary each character is one."""
    return len(tokenizer.id_to_token(token) or "")


def _values(text: str, place: int, path: str = "") -> Iterator[tuple[str, int, int]]:
    """Path, first character and one past the last of each text, number, truth value or null in JSON without white space."""
    try:
        yield from _scan(text, place, path)
    except (ValueError, IndexError):
        return


def _scan(text: str, place: int, path: str) -> Iterator[tuple[str, int, int]]:
    """``_values``; raises where the text ends too soon. Returns (as a generator) the place after the value."""
    if text[place] == '"':
        end = scanstring(text, place + 1)[1]
        yield path, place + 1, end - 1
    elif text[place] in "{[":
        close = "}" if text[place] == "{" else "]"
        number, end = 0, place + 1
        while text[end] != close:
            end += text[end] == ","
            key = str(number)
            if close == "}":
                key, end = scanstring(text, end + 1)
                end += 1
            end = yield from _scan(text, end, f"{path}.{key}")
            number += 1
        end += 1
    else:
        end = _NUMBERS.raw_decode(text, place)[1]
        yield path, place, end
    return end


def request_weights(tokenizer: Tokenizer, query: str, alignment_TS: np.ndarray, places: Sequence[int]) -> list[float]:
    """Attention to each character of the request while the tokens at ``places`` were written; sums to at most one.

    ``alignment_TS`` has one row for each token of the answer, over the source tokens; the words of the request are the last of these.
    """
    encoding = tokenizer.encode(query, add_special_tokens=False)
    weights = [0.0] * len(query)
    if not encoding.ids or not len(places):
        return weights
    seen = alignment_TS[np.asarray(places)].mean(0)[-len(encoding.ids) :]
    for (start, end), mass in zip(encoding.offsets, seen.tolist(), strict=True):
        for character in range(start, end):
            weights[character] += mass / (end - start)
    return weights
