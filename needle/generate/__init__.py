"""Generation: plan -> ask a teacher for a request -> ask for its calls -> verify -> deduplicate -> store;
resumable.

from needle.generate import GenerateConfig, generate report =
generate(GenerateConfig(tools="data/toolsets/home.json", out="out/home", n=1000))
"""

from needle.generate.config import DEFAULT_MIX, GenerateConfig
from needle.generate.job import Interrupted, generate
from needle.generate.report import GenerateReport, Snapshot

__all__ = ["DEFAULT_MIX", "GenerateConfig", "GenerateReport", "Interrupted", "Snapshot", "generate"]
