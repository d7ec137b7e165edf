"""Chat templates in the manner of three families, the shape of a tiny model, and four rows."""

from __future__ import annotations

from needle.tools import ToolCall, ToolSpec
from needle.traces import Trace

TURNS = "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}"
HERMES = (
    "{% if tools %}<|start|>system\n# Tools{% for t in tools %}\n{{ t | tojson }}{% endfor %}<|end|>\n{% endif %}"
    + TURNS
    + '{% for c in m.tool_calls or [] %}<tool_call>\n{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}'
    "<|end|>\n{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
"""Qwen's manner: calls between tags, any number of them."""
ONE_CALL = (
    "{% for t in tools or [] %}{{ t | tojson }}\n{% endfor %}{% for m in messages %}"
    "{% if m.tool_calls %}{% if m.tool_calls | length > 1 %}{{ raise_exception('one call at once') }}{% endif %}{% endif %}"
    '<|start|>{{ m.role }}\n{% if m.tool_calls %}{"name": "{{ m.tool_calls[0].function.name }}", "parameters": {{ m.tool_calls[0].function.arguments | tojson }}}'
    "{% else %}{{ m.content }}{% endif %}<|end|>{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
"""Llama 3's manner: one call only, so that answers are written as a JSON list."""
NO_TOOLS = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    "<|start|>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|start|>model\n{% endif %}"
)
"""Gemma's manner: no tools and no system turn."""
FAMILIES = {"llama": ONE_CALL, "qwen": HERMES, "gemma": NO_TOOLS}
SHAPE = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
         "max_position_embeddings": 4096, "eos_token_id": 1, "pad_token_id": 0, "bos_token_id": None}  # fmt: skip
LIGHT = ToolSpec(
    "set_light",
    "Dim a room.",
    {"type": "object", "required": ["room"], "properties": {"room": {"type": "string"}, "level": {"type": "integer"}}},
)
TRACES = [
    Trace("one", "kitchen to 40", (LIGHT,), (ToolCall("set_light", {"room": "kitchen", "level": 40}),), "single", "home"),
    Trace("two", "hall 10, «café» 20", (LIGHT,), tuple(ToolCall("set_light", {"room": r, "level": n}) for r, n in (("hall", 10), ("«café»", 20))), "parallel", "home"),
    Trace("none", "sing a song", (LIGHT,), (), "irrelevant", "home"),
    Trace("facts", "and here?", (LIGHT,), (ToolCall("set_light", {"room": "den"}),), "single", "home", system="You are in the den.",
          messages=({"role": "user", "content": "dim the hall"}, {"role": "assistant", "content": "Done."})),
]  # fmt: skip
