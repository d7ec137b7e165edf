"""Evaluation: suites, matching, verdicts, statistics, floors, runs and their reports.

from needle.evals import baseline, evaluate, load_suite, summary_table
print(summary_table(evaluate(baseline("lexical"), load_suite("needle-unseen", limit=200), "runs/lexical")))
"""

from needle.evals.baselines import BASELINES, FLOORS, baseline
from needle.evals.compare import Comparison, compare
from needle.evals.match import MODES, correct
from needle.evals.run import SCORER_VERSION, Results, evaluate, load_results, rescore
from needle.evals.finding import named_suites, suite_lines
from needle.evals.suites import Suite, load_suite
from needle.evals.text import summary_table, to_markdown
from needle.evals.verdict import Verdict, judge

__all__ = [
    "BASELINES",
    "FLOORS",
    "MODES",
    "SCORER_VERSION",
    "Comparison",
    "Results",
    "Suite",
    "Verdict",
    "baseline",
    "compare",
    "correct",
    "evaluate",
    "judge",
    "load_results",
    "load_suite",
    "named_suites",
    "rescore",
    "suite_lines",
    "summary_table",
    "to_markdown",
]
