"""Requests and calls as the turns of a chat model, written by the model's own template: what it reads, and what it is
to write.

The template gets the tools as ``transformers`` intends (``tools=``). A model whose template ignores tools, or that has
none, is asked in
plain words instead. Answers are written as tool calls where the template can write them, else as a JSON list. One
place for evaluation
and training, so that a model is trained on exactly the text that it is asked with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from needle.errors import UserError
from needle.tools.caller import Request
from needle.tools.spec import ToolCall

TEMPLATE, PLAIN = "chat template", "plain words"
PLAIN_PROMPT = (
    "You call tools. These are the tools, as JSON schemas:\n{tools}\n"
    'Answer with a JSON list of the calls that the request needs, as in [{{"name": "tool", "arguments": {{}}}}], '
    "or with [] when no tool fits. Write nothing else."
)
"""What a model is told whose chat template knows no tools."""
NO_CALL = "No tool fits this request."
"""What a chat model is taught to say where no call is due: words, which every parser of chat models reads as no
call."""


def chat_tools(request: Request) -> list[dict[str, Any]]:
    """The tools in the shape that chat templates expect (OpenAI's)."""
    return [{"type": "function", "function": tool.to_dict()} for tool in request.tools]


def chat_messages(request: Request, system: bool = True) -> list[dict[str, Any]]:
    """The request as chat turns; ``system`` False puts the facts before the request, for templates without."""
    if not request.system:
        return [*request.messages, {"role": "user", "content": request.query}]
    if system:
        turns = [*request.messages, {"role": "user", "content": request.query}]
        return [{"role": "system", "content": request.system}, *turns]
    return [*request.messages, {"role": "user", "content": f"{request.system}\n\n{request.query}"}]


def prompt_of(tokenizer: Any, request: Request, style: str = TEMPLATE) -> str:
    """The text that the model reads for a request."""
    options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True}
    if style == TEMPLATE:
        options["tools"] = chat_tools(request) or None
        try:
            return str(tokenizer.apply_chat_template(chat_messages(request), **options))
        except Exception:  # noqa: BLE001 - templates that know no system turn raise as they please
            return str(tokenizer.apply_chat_template(chat_messages(request, system=False), **options))
    turns = _plain_turns(request)
    if not getattr(tokenizer, "chat_template", None):
        return f"{turns[-1]['content']}\nAnswer: "
    return str(tokenizer.apply_chat_template(turns, **options))


def _plain_turns(request: Request) -> list[dict[str, Any]]:
    """The turns of a request whose last one tells of the tools in words."""
    told = PLAIN_PROMPT.format(tools=json.dumps([tool.to_dict() for tool in request.tools], ensure_ascii=False))
    text = f"{told}\n\n{request.system or ''}\n\nRequest: {request.query}".replace("\n\n\n\n", "\n\n")
    return [*request.messages, {"role": "user", "content": text}]


def template_knows_tools(tokenizer: Any) -> bool:
    """Whether the chat template writes the tools that it is given."""
    if not getattr(tokenizer, "chat_template", None):
        return False
    tool = {
        "type": "function",
        "function": {"name": "zq_probe", "description": "d", "parameters": {"type": "object", "properties": {}}},
    }
    turns = [{"role": "user", "content": "hello"}]
    try:
        return "zq_probe" in tokenizer.apply_chat_template(
            turns, tools=[tool], tokenize=False, add_generation_prompt=True
        )
    except Exception:  # noqa: BLE001 - see prompt_of
        return False


def answer_of(tokenizer: Any, request: Request, calls: Sequence[ToolCall], style: str, as_tool_calls: bool) -> str:
    """The text that follows ``prompt_of`` in a right answer, with the mark that ends the turn.

    ``as_tool_calls``: by the template (see ``template_writes_calls``), else as a JSON list in the turn's text.
    Raises ``UserError`` when the
    template writes an answered request otherwise than it asks one.
    """
    prompt = prompt_of(tokenizer, request, style)
    if style == PLAIN or not as_tool_calls:
        text = (
            json.dumps([call.to_dict() for call in calls], ensure_ascii=False) if calls or style == PLAIN else NO_CALL
        )
        turn: dict[str, Any] = {"role": "assistant", "content": text}
    elif calls:
        made = [{"type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in calls]
        turn = {"role": "assistant", "content": "", "tool_calls": made}
    else:
        turn = {"role": "assistant", "content": NO_CALL}
    if not getattr(tokenizer, "chat_template", None):
        return turn["content"] + (tokenizer.eos_token or "")
    whole = _answered(tokenizer, request, turn, style)
    if not whole.startswith(prompt):
        raise UserError(
            "the chat template writes an answered request otherwise than it asks one; give the tokenizer a "
            "template that only adds"
        )
    return whole[len(prompt) :]


def _answered(tokenizer: Any, request: Request, turn: dict[str, Any], style: str) -> str:
    """All turns with the answer, asked like ``prompt_of``."""
    options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": False}
    if style == PLAIN:
        return str(tokenizer.apply_chat_template([*_plain_turns(request), turn], **options))
    options["tools"] = chat_tools(request) or None
    try:
        return str(tokenizer.apply_chat_template([*chat_messages(request), turn], **options))
    except Exception:  # noqa: BLE001 - see prompt_of
        return str(tokenizer.apply_chat_template([*chat_messages(request, system=False), turn], **options))


def template_writes_calls(tokenizer: Any) -> bool:
    """Whether the chat template writes several tool calls of an assistant after the prompt as it asks (Llama 3's
    takes one only)."""
    calls = [ToolCall("zq_probe", {"zq_key": 1}), ToolCall("zq_second", {})]
    try:
        text = answer_of(tokenizer, Request("hello", ()), calls, TEMPLATE, as_tool_calls=True)
    except Exception:  # noqa: BLE001 - templates raise as they please
        return False
    return all(word in text for word in ("zq_probe", "zq_key", "zq_second"))
