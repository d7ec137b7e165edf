"""What a vLLM endpoint says about texts that it did not write: log-probabilities of the likeliest tokens at each place.

``POST /completions`` with the text as token ids and ``prompt_logprobs`` (an extension of vLLM); the answer names
tokens by id, so no text
is aligned. The endpoint's tokens are compared with ours: ids of another vocabulary would be read without a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import httpx2

from needle.errors import UserError
from needle.teacher.client import Teacher
from needle.teacher.errors import TransientError, classify

Said = list[dict[int, float] | None]
"""For each token of a text: log-probability by token id (None for the first, which nothing precedes)."""


async def score_texts(
    teacher: Teacher,
    texts: Sequence[Sequence[int]],
    k: int,
    keep: Callable[[int, Said], None],
    spelled: Callable[[int], str],
    concurrency: int = 8,
) -> None:
    """Ask about every text; ``keep(place, said)`` gets each answer as it comes.

    ``spelled``: our spelling of a token, to compare. Raises ``UserError`` (``PermanentError``) when the endpoint
    refuses, has no
    ``prompt_logprobs`` or another tokenizer; ``TransientError`` when attempts are used up. What was kept before stands.
    """
    gate = asyncio.Semaphore(concurrency)

    async def one(place: int) -> None:
        async with gate:
            body = {
                "model": teacher.config.model,
                "prompt": list(texts[place]),
                "max_tokens": 1,
                "temperature": 0.0,
                "prompt_logprobs": k,
            }
            keep(place, _read(await _ask(teacher, body), texts[place], spelled, teacher.where))

    tasks = [asyncio.ensure_future(one(place)) for place in range(len(texts))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _ask(teacher: Teacher, body: dict[str, Any]) -> Any:
    """The endpoint's answer as JSON; waits and asks again as the config allows."""
    failures = 0
    while True:
        try:
            async with asyncio.timeout(teacher.config.attempt_s):
                response = await teacher.client.post("/completions", cast_to=httpx2.Response, body=body)
            return response.json()
        except Exception as error:
            ours = classify(error, teacher.asked)
            failures += 1
            if not isinstance(ours, TransientError) or failures >= teacher.config.max_attempts:
                raise ours from (None if teacher.asked.repeats_secret(error) else error)
            await asyncio.sleep(
                ours.retry_after if ours.retry_after is not None else teacher.config.backoff_s * 2**failures
            )


def _read(answer: Any, text: Sequence[int], spelled: Callable[[int], str], where: str) -> Said:
    try:
        places = answer["choices"][0]["prompt_logprobs"]
        said: Said = [
            None if place is None else {int(token): float(entry["logprob"]) for token, entry in place.items()}
            for place in places
        ]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{where}: gives no prompt_logprobs; soft labels need vLLM's completions endpoint (or the model "
            "itself as hf:...)"
        ) from error
    if len(said) != len(text):
        raise UserError(f"{where}: has another tokenizer than the student: {len(text)} tokens came back as {len(said)}")
    for token, place in zip(text, places, strict=True):
        theirs = None if place is None else place.get(str(token), {}).get("decoded_token")
        if theirs is not None and "\ufffd" not in theirs + spelled(token) and theirs != spelled(token):
            raise UserError(
                f"{where}: has another tokenizer than the student: token {token} is {theirs!r} there and "
                f"{spelled(token)!r} here"
            )
    return said
