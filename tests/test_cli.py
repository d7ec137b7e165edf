"""Every verb: its help, its options (frozen here), and its main job on small inputs, with the result where the last line says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from needle import __version__, doctor
from needle.cli import app
from needle.traces.read import read_traces

ROOT = Path(__file__).parents[1]
HOME = ROOT / "data" / "toolsets" / "home.json"

OPTIONS = {
    "": "--version --debug",
    "quickstart": "--tools --out --rows --minutes --teacher --seed",
    "generate": "--tools --out --config --teacher --model --n --seed --budget --max-tokens-total --price-in --price-out --concurrency --batch --engine --workers "
    "--student --round --noise --locale --votes --judge --no-repair --decontaminate --teacher-terms --licence --estimate --preview --reverify --config-schema --parquet",
    "train": "--traces --out --base --preset --loss --teacher --teacher-cache --on-policy --preferences --dpo --minutes --steps --bits --rows --lora --shard --curves --set --resume --seed",
    "teach": "--traces --teacher --out --k --draws --temperature --seed",
    "train-base": "--out --data --minutes --steps --rows --piece --seed",
    "train-tokenizer": "--traces --out --text --vocabulary",
    "eval": "--model --suite --out --limit --free --both --beams --parser --cache --concurrency --batch --threshold --fallback --most-tools --fail-under --selftest --rescore --seed --list --tag",
    "compare": "FOLDERS --max-regression --fail-under --rows --json",
    "report": "FIRST SECOND --out",
    "leaderboard": "DIRECTORIES --out",
    "run": "QUERY --tools --model --system --free --threshold --fallback --most-tools --threads --explain",
    "serve": "--model --port --host --key-env --threshold --fallback --workers --threads --cors",
    "playground": "--model --tools --out --port",
    "calibrate": "--traces --model --out --limit --retrieval --seed",
    "average": "CHECKPOINTS --out --weight",
    "export": "--out --model --bits --rows --check",
    "mcp": "--server --config --model --threshold --port",
    "doctor": "",
    "traces stats": "PATH --json",
    "traces convert": "SOURCE TARGET --to",
    "traces split": "SOURCE --out --seed",
    "traces card": "FOLDER --text --out",
    "traces show": "PATH --kind --reason --id --part --text --limit",
    "traces quarantine": "FOLDER --reason --kind --out --limit",
    "traces report": "FOLDER --out",
    "traces preferences": "FOLDER --out --planned",
    "traces push": "FOLDER --repo --public",
    "traces contamination": "FILES --against --out --show",
    "tools lint": "TOOLS",
    "tools synth": "--out --teacher --model --domains --per-domain --budget --price-in --price-out --seed",
    "tools evolve": "TOOLS --out --ops --traces --force --seed",
    "teacher list": "--profiles",
    "teacher show": "TEACHER --model --profiles",
    "teacher probe": "TEACHER --model --out --profiles",
    "teacher schema": "",
    "teacher prices": "FILE MODELS",
    "corpora list": "",
    "corpora build": "CONFIG --out --data --workers --against",
}
"""What each verb takes, in order. Options are a promise: add one here on purpose, with the words that explain it in its help."""


def verbs() -> dict[str, object]:
    """Every command of the program by the words that call it; "" is the program itself."""
    root = typer.main.get_command(app)
    found = {"": root}
    for name, command in root.commands.items():
        found |= {f"{name} {part}": inner for part, inner in command.commands.items()} if hasattr(command, "commands") else {name: command}
    return found


def options(command: object) -> str:
    """Arguments in capitals and options by their first name, without ``--help``."""
    names = [p.opts[0] if p.param_type_name == "option" else p.name.upper() for p in command.params]
    return " ".join(name for name in names if name != "--help")


def test_the_options_of_every_verb_are_frozen():
    assert {name: options(command) for name, command in verbs().items()} == OPTIONS


@pytest.mark.parametrize("verb", [name for name in OPTIONS if name])
def test_every_verb_and_every_option_of_it_is_explained(cli, verb):
    outcome = cli(*verb.split(), "--help")
    command = verbs()[verb]
    assert outcome.code == 0 and outcome.err == "" and "Usage:" in outcome.out
    assert (command.help or "").strip().splitlines()[0].split(".")[0][:40] in outcome.out
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert parameter.opts[0] in outcome.out and (parameter.help or parameter.name == "help"), f"{verb} {parameter.name} says nothing"


def test_the_version_is_printed(cli):
    assert cli("--version").out == f"needle {__version__}\n"


def test_without_a_verb_the_help_is_shown_and_a_wrong_option_is_a_mistake(cli):
    assert "quickstart" in cli("--help").out
    outcome = cli("generate", "--toools", HOME)
    assert outcome.code == 2 and "--toools" in outcome.err and "Traceback" not in outcome.err
    assert cli("generte").code == 2


def test_the_plain_install_evaluates_and_checks_tools_without_the_heavy_packages(tmp_path):
    """``import needle``, ``--help``, ``tools lint``, ``generate`` with the embedded teacher and ``eval`` of a floor need none of them."""
    code = f"""
import sys
for name in ("torch", "transformers", "datasets", "tensorboard", "faker"):
    sys.modules[name] = None  # importing it fails
import needle
assert "openai" not in sys.modules and "jsonschema_rs" not in sys.modules
from needle.cli import app, guarded
for command in (["--help"], ["tools", "lint", {str(HOME)!r}],
                ["eval", "--model", "baseline:lexical", "--suite", "home-smoke", "--limit", "5", "--out", {str(tmp_path / "eval")!r}],
                ["generate", "--tools", {str(HOME)!r}, "--n", "12", "--out", {str(tmp_path / "traces")!r}]):
    assert guarded(lambda: app(command, standalone_mode=False)) == 0, command
"""
    environment = {"PYTHONPATH": str(ROOT), "NEEDLE_DATA": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "eval" / "results.json").is_file() and (tmp_path / "traces" / "manifest.json").is_file()


def test_generate_says_where_the_traces_are(home_traces):
    assert json.loads((home_traces / "manifest.json").read_text())["complete"]
    assert sum(len((home_traces / f"{part}.jsonl").read_text().splitlines()) for part in ("train", "validation", "test")) == 60


def test_run_prints_one_line_of_json(cli, tiny_base):
    for free in ((), ("--free",)):
        outcome = cli("run", "dim the kitchen to 10", "--tools", HOME, "--model", tiny_base, *free)
        if free:  # random weights write nothing that can be read; then it is said in one line
            assert outcome.code == 0 or "no calls" in outcome.complaint
            continue
        assert outcome.code == 0 and len(outcome.out.splitlines()) == 1
        names = {tool["name"] for tool in json.loads(HOME.read_text())}
        for call in json.loads(outcome.out):
            assert call.keys() == {"name", "arguments"} and call["name"] in names


def test_run_without_a_model_takes_the_bundled_base(cli, monkeypatch, tiny_base, tmp_path):
    monkeypatch.setattr("needle.models.BUNDLED", tiny_base)
    assert json.loads(cli("run", "dim the kitchen", "--tools", HOME).out) is not None
    monkeypatch.setattr("needle.models.BUNDLED", tmp_path / "nothing")
    assert "no checkpoint" in cli("run", "dim the kitchen", "--tools", HOME).complaint


def test_eval_writes_its_files_and_compare_reads_them(cli, tmp_path, tiny_base):
    command = ("eval", "--suite", "home-smoke", "--limit", 8, "--out")
    floor, student = tmp_path / "floor", tmp_path / "student"
    outcome = cli(*command, floor, "--model", "baseline:never")
    assert outcome.code == 0 and outcome.last == f"The report is in {floor / 'report.html'}"
    assert len((floor / "rows.jsonl").read_text().splitlines()) == 8 and (floor / "report.html").read_text().startswith("<!doctype html>")
    results = json.loads((floor / "results.json").read_text())
    assert results["n"] == 8 and results["rates"]["well_formed"]["value"] == 1.0
    assert cli(*command, student, "--model", tiny_base).code == 0
    outcome = cli("compare", floor, student)
    assert outcome.code == 0 and "baseline:never" in outcome.out and "tiny" in outcome.out
    assert "no finished run there" in cli("compare", floor, tmp_path / "nothing").complaint


def test_eval_lists_the_suites_and_a_gold_caller_is_always_right(cli, tmp_path):
    assert {"home-smoke", "needle-unseen"} <= set(cli("eval", "--list").out.split())
    assert cli("eval", "--model", "baseline:gold", "--suite", "home-smoke", "--out", tmp_path / "gold").code == 0
    assert json.loads((tmp_path / "gold" / "results.json").read_text())["rates"]["correct"]["value"] == 1.0


def test_traces_are_counted_converted_and_split(cli, tmp_path, home_traces):
    train = home_traces / "train.jsonl"
    rows = len(train.read_text().splitlines())
    assert "single" in cli("traces", "stats", home_traces).out
    assert json.loads(cli("traces", "stats", train, "--json").out)["rows"] == rows
    openai = tmp_path / "openai.jsonl"
    outcome = cli("traces", "convert", train, openai, "--to", "openai")
    assert outcome.code == 0 and outcome.last == f"{rows} rows are in {openai}"
    assert "messages" in json.loads(openai.read_text().splitlines()[0])
    outcome = cli("traces", "split", train, "--out", tmp_path / "parts")
    assert outcome.code == 0 and outcome.last == f"The parts are in {tmp_path / 'parts'}"
    assert len(read_traces(tmp_path / "parts")[0]) == rows


def test_lint_names_what_is_wrong_and_fails_on_errors_only(cli, write):
    assert cli("tools", "lint", HOME).code == 0
    twins = [{"name": name, "description": "Switch a lamp on.", "parameters": {"type": "object", "properties": {}}} for name in ("a_on", "b_on")]
    outcome = cli("tools", "lint", write("twins.json", twins))
    assert "a_on" in outcome.out and "b_on" in outcome.out and outcome.last.startswith("2 tools, ")


def test_an_evolved_toolset_replaces_nothing_unless_told_to(cli, tmp_path):
    command = ("tools", "evolve", HOME, "--ops", "rename_tools", "--out", tmp_path / "new.json")
    assert cli(*command).code == 0
    before = (tmp_path / "new.json").read_bytes()
    assert "--force" in cli(*command, "--seed", 7).complaint and (tmp_path / "new.json").read_bytes() == before
    assert cli(*command, "--seed", 7, "--force").code == 0 and (tmp_path / "new.json").read_bytes() != before


def test_train_leaves_a_checkpoint_that_resumes_and_answers(cli, tmp_path, tiny_base, home_traces):
    run = tmp_path / "run"
    command = ("train", "--traces", home_traces, "--base", tiny_base, "--rows", 16, "--out", run)
    outcome = cli(*command, "--steps", 3)
    assert outcome.code == 0 and outcome.last == f"The checkpoint is in {run / 'best'}", outcome.err
    assert "598,918" in outcome.err and {"best", "last", "log.jsonl", "tensorboard"} <= {path.name for path in run.iterdir()}
    assert cli(*command, "--steps", 5, "--resume").code == 0
    steps = [record["step"] for record in map(json.loads, (run / "log.jsonl").read_text().splitlines()) if "loss" in record]
    assert steps == [1, 2, 3, 4, 5]
    assert cli("run", "dim the kitchen", "--tools", HOME, "--model", run).code == 0
    assert "rows 16 there and 8 now" in cli(*command[:-3], 8, "--out", run, "--steps", 9, "--resume").err


def test_train_learns_soft_labels_from_another_checkpoint(cli, tmp_path, tiny_base, home_traces):
    command = ("train", "--traces", home_traces, "--base", tiny_base, "--rows", 8, "--steps", 1, "--out", tmp_path / "run")
    assert "give --teacher" in cli(*command, "--loss", "soft").complaint
    assert cli(*command, "--loss", "soft", "--teacher", tiny_base).code == 0


def test_export_makes_a_small_checkpoint_that_answers(cli, tmp_path, tiny_base):
    small = tmp_path / "small"
    outcome = cli("export", "--model", tiny_base, "--bits", 4, "--out", small)
    assert outcome.code == 0 and str(small) in outcome.last, outcome.err
    assert (small / "model.safetensors").stat().st_size < (tiny_base / "model.safetensors").stat().st_size / 6
    assert cli("run", "dim the kitchen", "--tools", HOME, "--model", small).code == 0


def test_train_tokenizer_learns_a_vocabulary_that_the_student_takes(cli, tmp_path, home_traces):
    from needle.student.tokenizer import load_tokenizer

    target = tmp_path / "made" / "tokenizer.json"
    outcome = cli("train-tokenizer", "--traces", home_traces, "--vocabulary", 400, "--out", target)
    assert outcome.code == 0 and outcome.last == f"The tokenizer is in {target}"
    assert 300 < load_tokenizer(target).get_vocab_size() <= 400


def test_doctor_names_versions_device_and_what_is_missing(cli, monkeypatch, tiny_base, tmp_path):
    monkeypatch.setattr("needle.doctor.BUNDLED", tiny_base)
    outcome = cli("doctor")
    assert outcome.code == 0 and __version__ in outcome.out and "torch" in outcome.out and "device:" in outcome.out
    monkeypatch.setitem(doctor.EXTRAS, "mcp", ("no-such-package",))
    outcome = cli("doctor")
    assert outcome.code == 0 and 'mcp: not installed\n  missing: no-such-package; pip install "needle-distill[mcp]"' in outcome.out
    monkeypatch.setattr("needle.doctor.LIGHT", ("no-such-package",))
    monkeypatch.setattr("needle.doctor.BUNDLED", tmp_path)
    outcome = cli("doctor")
    assert outcome.code == 1 and "missing: no-such-package; pip install needle-distill\n" in outcome.out and "bundled base: missing" in outcome.out


def test_the_quickstart_runs_the_whole_loop(cli, monkeypatch, tmp_path, tiny_base, no_traces):
    monkeypatch.setattr("needle.models.BUNDLED", tiny_base)
    monkeypatch.setenv("NEEDLE_DATA", no_traces)
    out = tmp_path / "quickstart"
    outcome = cli("quickstart", "--rows", 60, "--minutes", 0.01, "--out", out)
    assert outcome.code == 0, outcome.err
    for number in range(1, 5):
        assert f"[{number}/4]" in outcome.err
    assert "schema" in outcome.out and "lexical" in outcome.out and f"--model {out / 'run'}" in outcome.out
    assert outcome.last == f"Everything is in {out}"
    for part in ("traces/manifest.json", "run/best/model.safetensors", "eval/results.json", "eval/report.html"):
        assert (out / part).is_file(), part
