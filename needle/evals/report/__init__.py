"""Reports to read: one self-contained HTML file for a run, for two runs side by side, for a leaderboard.

html = render_report(summary, rows)      # results.json and rows.jsonl of a run

Figures are plain HTML and SVG, drawn here; the script of the page only browses rows, and writes them as text.
"""

from needle.evals.report.pair_page import render_pair
from needle.evals.report.run_page import render_report

__all__ = ["render_pair", "render_report"]
