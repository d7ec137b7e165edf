"""The 26M-parameter student: tokenizer, prompt rendering, model, constrained decoding.

Shape legend, used as suffixes of tensor names everywhere below:

``G`` groups (one toolset each) · ``S`` source tokens of a group (tools, then its requests) · ``T`` target tokens of a group
``B`` rows (one request each) · ``C`` new tokens of a decoding step · ``D`` width · ``H`` query heads · ``K`` key/value heads · ``E`` head width · ``V`` vocabulary
"""
