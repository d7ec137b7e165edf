"""Causal models of Hugging Face (LLaMA, Qwen, Gemma ...) as students, with their own chat templates, through ``trl``
and ``peft``."""
