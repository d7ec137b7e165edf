"""Evaluation: suites, matching, verdicts, statistics, floors, runs and their reports.

from needle.evals import baseline, evaluate, load_suite, summary_table
print(summary_table(evaluate(baseline("lexical"), load_suite("needle-unseen", limit=200), "runs/lexical")))
"""

from needle.evals.adapters import open_adapter
from needle.evals.baselines import BASELINES, FLOORS, baseline
from needle.evals.compare import Comparison, Comparisons, compare, compare_all
from needle.evals.finding import named_suites, suite_lines
from needle.evals.match import MODES, correct
from needle.evals.parsers import PARSERS, parse_output
from needle.evals.provenance import require_one_scorer
from needle.evals.run import SCORER_VERSION, Results, evaluate, load_results, rescore
from needle.evals.selftest import self_test
from needle.evals.suites import Suite, load_suite
from needle.evals.text import summary_table, to_markdown
from needle.evals.verdict import Verdict, judge

__all__ = [
    "BASELINES",
    "FLOORS",
    "MODES",
    "PARSERS",
    "SCORER_VERSION",
    "Comparison",
    "Comparisons",
    "Results",
    "Suite",
    "Verdict",
    "baseline",
    "compare",
    "compare_all",
    "correct",
    "evaluate",
    "judge",
    "load_results",
    "load_suite",
    "named_suites",
    "open_adapter",
    "parse_output",
    "require_one_scorer",
    "rescore",
    "self_test",
    "suite_lines",
    "summary_table",
    "to_markdown",
]
