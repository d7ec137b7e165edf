"""``hf:PATH_OR_ID``: any causal language model of Hugging Face, with its own chat template and a parser for its output.

The template gets the tools as the library intends (``tools=``). A model whose template ignores tools, or that has
none, is asked in plain words instead; ``settings["prompt"]`` says which of the two it was.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.adapters.text import Output, TextCaller
from needle.evals.parsers import AUTO
from needle.tools.caller import Request
from needle.tools.chat import PLAIN, TEMPLATE, prompt_of, template_knows_tools


class HuggingFaceCaller(TextCaller):
    """Greedy answers of a causal language model, in batches of similar length within a budget of tokens."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        parser: str = AUTO,
        max_new_tokens: int = 512,
        batch_tokens: int = 16384,
    ) -> None:
        """``batch_tokens``: most prompt tokens of a batch, padding included."""
        self.model, self.tokenizer, self.name, self.parser = model, tokenizer, name, parser
        self.max_new_tokens, self.batch_tokens = max_new_tokens, batch_tokens
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token or "<pad>"
        self.style = TEMPLATE if template_knows_tools(tokenizer) else PLAIN
        template = str(getattr(tokenizer, "chat_template", None) or "")
        self.settings = {
            "prompt": self.style,
            "template": hashlib.blake2b(template.encode(), digest_size=4).hexdigest(),
            "decoding": "greedy",
            "max_new_tokens": max_new_tokens,
            "dtype": str(model.dtype),
        }

    @classmethod
    def from_pretrained(cls, path_or_id: str, *, parser: str = AUTO, **options: Any) -> HuggingFaceCaller:
        """Load model and tokenizer. Raises ``UserError`` when torch is missing or there is no such model."""
        model, tokenizer = _load(path_or_id)
        return cls(model, tokenizer, name=f"hf:{path_or_id}{_revision(path_or_id, model)}", parser=parser, **options)

    def show_prompt(self, request: Request) -> str:
        """The text that the model reads."""
        return prompt_of(self.tokenizer, request, self.style)

    def facts(self) -> dict[str, int]:
        """Number of parameters, and bytes that they take in memory."""
        parameters = list(self.model.parameters())
        return {
            "parameters": sum(one.numel() for one in parameters),
            "bytes": sum(one.numel() * one.element_size() for one in parameters),
        }

    def write(self, requests: Sequence[Request]) -> list[Output]:
        """One output a request; a prompt that does not fit the model is an error of the model."""
        outputs: dict[int, Output] = {}
        lengths: dict[int, list[int]] = {}
        for place, request in enumerate(requests):
            try:
                ids = self.tokenizer(self.show_prompt(request), add_special_tokens=False)["input_ids"]
            except Exception as error:  # noqa: BLE001 - a template is a program of the model's author
                outputs[place] = Output(failure=f"template: {type(error).__name__}: {error}"[:300])
                continue
            room = getattr(self.model.config, "max_position_embeddings", None)
            if room and len(ids) >= room:
                outputs[place] = Output(error=f"too_long: {len(ids):,} tokens, the model takes {room:,}")
            else:
                lengths[place] = ids
        for batch in self._batches(lengths):
            outputs |= zip(batch, self._generate([lengths[place] for place in batch]), strict=True)
        return [outputs[place] for place in range(len(requests))]

    def _batches(self, prompts: dict[int, list[int]]) -> Iterator[list[int]]:
        batch: list[int] = []
        for place in sorted(
            prompts, key=lambda one: -len(prompts[one])
        ):  # the longest first: memory fails at once or never
            if batch and (len(batch) + 1) * (len(prompts[batch[0]]) + self.max_new_tokens) > self.batch_tokens:
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _generate(self, prompts: list[list[int]]) -> list[Output]:
        start = time.perf_counter()
        pad, longest = self.tokenizer.pad_token_id, max(map(len, prompts))
        padded = [[pad] * (longest - len(ids)) + ids for ids in prompts]
        mask = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]
        room = getattr(self.model.config, "max_position_embeddings", None) or 10**9
        limit = min(self.max_new_tokens, room - longest)
        written = _generate(
            self.model, padded, mask, max_new_tokens=limit, do_sample=False, num_beams=1, pad_token_id=pad
        )
        seconds = (time.perf_counter() - start) / len(prompts)
        return [self._output(ids, len(prompt), seconds) for ids, prompt in zip(written, prompts, strict=True)]

    def _output(self, ids: list[int], prompt_tokens: int, seconds: float) -> Output:
        ends = self.model.generation_config.eos_token_id
        stops = {
            self.tokenizer.pad_token_id,
            self.tokenizer.eos_token_id,
            *(ends if isinstance(ends, list) else [ends]),
        }
        end = next((place for place, token in enumerate(ids) if token in stops), len(ids))
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": min(end + 1, len(ids))}
        text = self.tokenizer.decode(ids[:end], skip_special_tokens=False)
        return Output(text=text, usage=usage, seconds=seconds, cut=end == len(ids))


def _load(path_or_id: str) -> tuple[Any, Any]:
    """Model on the best device at hand, and tokenizer."""
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise UserError(f'hf:{path_or_id} needs {error.name}: pip install "needle-distill[train]"') from error
    if path_or_id.startswith((".", "/", "~")) and not Path(path_or_id).is_dir():
        raise UserError(f"hf:{path_or_id}: no such folder; check the path")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path_or_id)
        model = AutoModelForCausalLM.from_pretrained(path_or_id, dtype="auto")
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"hf:{path_or_id}: cannot be loaded ({reason[:200]}); check the path or the network") from error
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer


def _generate(model: Any, ids: list[list[int]], mask: list[list[int]], **options: Any) -> list[list[int]]:
    """Tokens that the model writes after each row of ``ids`` (rows of equal length, padded on the left)."""
    import torch

    place = model.device
    with torch.inference_mode():
        given = {"input_ids": torch.tensor(ids, device=place), "attention_mask": torch.tensor(mask, device=place)}
        return model.generate(**given, **options)[:, len(ids[0]) :].tolist()


def _revision(path_or_id: str, model: Any) -> str:
    """What tells two versions of one name apart: the commit of the hub, or size and date of the weights."""
    commit = getattr(model.config, "_commit_hash", None)
    if commit:
        return f" ({commit[:8]})"
    folder = Path(path_or_id)
    if not folder.is_dir():
        return ""
    stamp = sorted((one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in folder.glob("*.safetensors"))
    return f" ({hashlib.blake2b(json.dumps(stamp).encode(), digest_size=4).hexdigest()})"
