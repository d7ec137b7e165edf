"""Every bad input ends in one line that names it and the remedy, exit code 2 (130 for Ctrl-C), and nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn

from needle.errors import UserError
from needle.teacher.faults import FaultApp

ROOT = Path(__file__).parents[1]
HOME = ROOT / "data" / "toolsets" / "home.json"
PING = {"name": "ping", "description": "Ping.", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture(autouse=True)
def without_recorded_traces(monkeypatch, no_traces):
    monkeypatch.setenv("NEEDLE_DATA", no_traces)
    monkeypatch.setattr("needle.teacher.client.Teacher._backoff", lambda self, attempt: 0.0)


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


# Files


@pytest.mark.parametrize("command", [
    ("generate", "--tools", "FILE", "--out", "OUT"), ("run", "hello", "--tools", "FILE"), ("tools", "lint", "FILE"),
    ("traces", "stats", "FILE"), ("traces", "convert", "FILE", "OUT/a.jsonl"),
    ("traces", "split", "FILE", "--out", "OUT"), ("train", "--traces", "FILE", "--steps", 1, "--base", "BASE", "--out", "OUT"),
    ("train-tokenizer", "--traces", "FILE", "--out", "OUT/tokenizer.json"),
    ("eval", "--suite", "FILE", "--model", "baseline:never", "--out", "OUT"),
])  # fmt: skip
@pytest.mark.parametrize("state", ["missing", "empty"])
def test_a_missing_or_empty_file_is_named_and_nothing_is_made(cli, tmp_path, tiny_base, command, state):
    file, out = tmp_path / "input.jsonl", tmp_path / "out"
    if state == "empty":
        file.touch()
    names = {"FILE": file, "OUT": out, "OUT/a.jsonl": out / "a.jsonl", "OUT/tokenizer.json": out / "tokenizer.json", "BASE": tiny_base}
    line = cli(*(names.get(part, part) for part in command)).complaint
    assert "input.jsonl" in line and (state in line or "no such" in line or "neither a file" in line)
    assert not out.exists() or not any(path.is_file() for path in out.rglob("*"))


def test_the_quickstart_on_a_missing_toolset_names_it(cli, tmp_path):
    outcome = cli("quickstart", "--tools", tmp_path / "nowhere.json", "--out", tmp_path / "out")
    assert outcome.code == 2 and "nowhere.json: no such file" in outcome.err.splitlines()[-1] and not (tmp_path / "out").exists()


def test_a_missing_checkpoint_is_named_with_the_way_to_get_one(cli, tmp_path):
    line = cli("run", "hello", "--tools", HOME, "--model", tmp_path / "nowhere").complaint
    assert "nowhere" in line and "needle train" in line


@pytest.mark.parametrize(("name", "words"), [("config.json", "config.json"), ("model.safetensors", "model.safetensors")])
def test_a_damaged_checkpoint_is_one_line(cli, tmp_path, tiny_base, name, words):
    shutil.copytree(tiny_base, tmp_path / "damaged")
    (tmp_path / "damaged" / name).write_bytes(b"{oops")
    assert words in cli("run", "hello", "--tools", HOME, "--model", tmp_path / "damaged").complaint


@pytest.mark.parametrize(("content", "words"), [
    ('[{"name": "ping",}]', "broken JSON at line 1, column"),
    ([PING | {"parameters": {"type": "object", "properties": {"n": {"type": "intger"}}}}], "no JSON Schema"),
    ([PING | {"parameters": {"type": "object", "properties": {"n": {"type": "string", "pattern": "("}}}}], "'ping'"),
    ([PING | {"parameters": [1]}], "'ping'"),
    ([PING, PING], "rename or remove one"),
    ([{"description": "Ping.", "parameters": {"type": "object", "properties": {}}}], 'no name; add a string under "name"'),
    ([PING | {"name": ""}], "give the tool a name"),
    ([], "add at least one tool"),
    ("42", "not a list of tools"),
])  # fmt: skip
def test_a_toolset_that_is_none_is_one_line_with_the_place(cli, write, tmp_path, content, words):
    path = write("tools.json", content)
    for command in (("generate", "--tools", path, "--out", tmp_path / "out"), ("tools", "lint", path)):
        line = cli(*command).complaint
        assert str(path) in line and words in line, line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [
    ("traces", "stats", "FILE"), ("train", "--traces", "FILE", "--steps", 1, "--base", "BASE", "--out", "OUT"),
    ("eval", "--suite", "FILE", "--model", "baseline:never", "--out", "OUT"),
])  # fmt: skip
def test_a_trace_file_of_broken_json_names_the_line(cli, write, tmp_path, tiny_base, command):
    path = write("rows.jsonl", '{"query": "hello",\nnothing\n')
    names = {"FILE": path, "OUT": tmp_path / "out", "BASE": tiny_base}
    line = cli(*(names.get(part, part) for part in command)).complaint
    assert str(path) in line and "rows.jsonl:1: broken JSON at column" in line and "no usable row" in line


# Rows, requests and toolsets


def test_a_trace_that_calls_an_unknown_tool_is_counted_and_left_out(cli, write, tmp_path, tiny_base, home_traces):
    rows = rows_of(home_traces)[:12]
    rows[0]["calls"] = [{"name": "launch_rocket", "arguments": {}}]
    path = write("rows.jsonl", rows)
    outcome = cli("train", "--traces", path, "--steps", 1, "--rows", 8, "--base", tiny_base, "--out", tmp_path / "run")
    assert outcome.code == 0 and "1 unusable" in outcome.err and "launch_rocket" in outcome.err and f"{path}:1" in outcome.err
    stats = cli("traces", "stats", path)
    assert stats.code == 0 and "left out" in stats.err and "launch_rocket" in stats.err


def test_a_file_of_nothing_but_unknown_tools_stops_training(cli, write, tmp_path, tiny_base, home_traces):
    rows = [row | {"calls": [{"name": "launch_rocket", "arguments": {}}]} for row in rows_of(home_traces)[:5]]
    path = write("rows.jsonl", rows)
    line = cli("train", "--traces", path, "--steps", 1, "--base", tiny_base, "--out", tmp_path / "run").complaint
    assert "launch_rocket" in line and str(path) in line and not (tmp_path / "run").exists()


def test_a_request_of_100_000_characters_is_refused(cli, tiny_base):
    line = cli("run", "dim the kitchen " * 6250, "--tools", HOME, "--model", tiny_base).complaint
    assert "the request" in line and "shorten it" in line and len(line) < 300


def test_an_empty_request_is_refused(cli, tiny_base):
    assert "the request is empty" in cli("run", "  ", "--tools", HOME, "--model", tiny_base).complaint


def test_a_toolset_too_large_for_the_context_is_cut_down_and_a_tool_too_large_is_refused(cli, write, tiny_base):
    tools = [PING | {"name": f"ping_{number}", "description": "Ping a server and report. " * 12} for number in range(60)]
    outcome = cli("run", "ping_59 please", "--tools", write("tools.json", tools), "--model", tiny_base)
    assert outcome.code == 0 and "too many tools for one reading" in outcome.err and "ping_0" in outcome.err
    huge = write("huge.json", [PING | {"description": "Ping a server and report. " * 1000}])
    line = cli("run", "ping one", "--tools", huge, "--model", tiny_base).complaint
    assert "the limit is" in line and "fewer or shorter tools" in line


def test_rows_too_large_for_the_context_are_counted_and_stop_training_when_nothing_is_left(cli, write, tmp_path, tiny_base, home_traces):
    rows = rows_of(home_traces)[:12]
    long = [row | {"query": row["query"] + " please" * 3000} for row in rows]
    mixed = write("mixed.jsonl", rows[1:] + long[:1])
    outcome = cli("train", "--traces", mixed, "--steps", 1, "--rows", 8, "--base", tiny_base, "--out", tmp_path / "run")
    assert outcome.code == 0 and "1 too long" in outcome.err
    line = cli("train", "--traces", write("long.jsonl", long), "--steps", 1, "--base", tiny_base, "--out", tmp_path / "other").complaint
    assert "longer than the context" in line


@pytest.mark.parametrize(("options", "words"), [
    (("--steps", 1, "--minutes", 1), "--minutes or --steps"), (("--steps", 0), "positive"), (("--steps", 1, "--preset", "huge"), "no preset 'huge'"),
    (("--steps", 1, "--resume"), "leave --resume out"),
])  # fmt: skip
def test_training_settings_that_make_no_sense_are_refused(cli, tmp_path, tiny_base, home_traces, options, words):
    line = cli("train", "--traces", home_traces, "--base", tiny_base, "--out", tmp_path / "run", *options).complaint
    assert words in line and not (tmp_path / "run").exists()


def test_a_run_is_never_overwritten(cli, tmp_path, tiny_base, home_traces):
    (tmp_path / "run" / "last").mkdir(parents=True)
    line = cli("train", "--traces", home_traces, "--base", tiny_base, "--steps", 1, "--out", tmp_path / "run").complaint
    assert "--resume" in line and "another --out" in line


# Teachers


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def server(monkeypatch):
    """Starts a misbehaving endpoint on a free port and gives its address."""
    running = []

    def start(*script: str) -> str:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        one = uvicorn.Server(uvicorn.Config(FaultApp(script).asgi, log_level="critical"))
        thread = threading.Thread(target=one.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((one, thread, listener))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

    monkeypatch.setenv("NEEDLE_API_KEY", "sk-wrong-but-secret")
    yield start
    for one, thread, listener in running:
        one.should_exit = True
        thread.join(5)
        listener.close()


@pytest.mark.parametrize("command", [
    ("generate", "--tools", HOME, "--teacher", "URL", "--model", "m", "--n", 20, "--out", "OUT"),
    ("run", "dim the hall", "--tools", HOME, "--model", "URL#m"),
])  # fmt: skip
def test_an_unreachable_teacher_is_named(cli, tmp_path, closed_port, command):
    url = f"http://127.0.0.1:{closed_port}/v1"
    names = {"URL": url, "URL#m": f"{url}#m", "OUT": tmp_path / "out"}
    line = cli(*(names.get(part, part) for part in command)).complaint
    assert "cannot reach" in line and url in line


def test_an_evaluation_of_an_unreachable_endpoint_says_that_it_failed(cli, tmp_path, closed_port):
    url = f"http://127.0.0.1:{closed_port}/v1"
    outcome = cli("eval", "--model", f"{url}#m", "--suite", "home-smoke", "--limit", 4, "--out", tmp_path / "eval")
    assert outcome.code == 2 and "cannot reach" in outcome.err + outcome.out and "Traceback" not in outcome.err


@pytest.mark.parametrize("command", [
    ("generate", "--tools", HOME, "--teacher", "URL", "--model", "m", "--n", 20, "--out", "OUT"),
    ("run", "dim the hall", "--tools", HOME, "--model", "URL#m"),
    ("eval", "--suite", "home-smoke", "--limit", 4, "--model", "URL#m", "--out", "OUT"),
])  # fmt: skip
def test_a_wrong_key_is_said_without_showing_it(cli, tmp_path, server, command):
    url = server("auth")
    names = {"URL": url, "URL#m": f"{url}#m", "OUT": tmp_path / "out"}
    line = cli(*(names.get(part, part) for part in command)).complaint
    assert "refused the key" in line and "OPENAI_API_KEY" in line and "secret" not in line


def test_a_missing_key_is_said_before_anything_is_made(cli, tmp_path, monkeypatch):
    for name in ("OPENAI_API_KEY", "NEEDLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    line = cli("generate", "--tools", HOME, "--teacher", "https://api.example.com/v1", "--model", "m", "--out", tmp_path / "out").complaint
    assert "OPENAI_API_KEY" in line and "--teacher embedded" in line and not (tmp_path / "out").exists()


def test_an_endpoint_without_a_model_name_is_refused(cli):
    assert "URL#name" in cli("run", "hello", "--tools", HOME, "--model", "http://127.0.0.1:1/v1").complaint


# A full disk


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_while_generating_keeps_what_was_paid_for(cli, tmp_path, monkeypatch):
    out, asked = tmp_path / "out", []
    command = ("generate", "--tools", HOME, "--n", 20, "--out", out)
    real = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda a, b: full() if str(b).endswith("train.jsonl") else real(a, b))
        line = cli(*command).complaint
    assert "No space left" in line and "free some space" in line
    assert not (out / "manifest.json").exists() and not (out / "train.jsonl").exists() and not list(out.glob(".*.jsonl*"))
    monkeypatch.setattr("needle.teacher.client.Teacher.complete", lambda *args: asked.append(args))
    assert cli(*command).code == 0 and (out / "manifest.json").exists() and not asked


def test_a_full_disk_while_training_keeps_the_last_checkpoint(cli, tmp_path, monkeypatch, tiny_base, home_traces):
    from safetensors import SafetensorError

    from needle.student.modeling import storage

    run = tmp_path / "run"
    command = ("train", "--traces", home_traces, "--base", tiny_base, "--rows", 8, "--out", run)
    assert cli(*command, "--steps", 1).code == 0
    before = {path: path.read_bytes() for path in (run / "last").iterdir()}

    def full_after_a_few_bytes(tensors, path, **_):
        Path(path).write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "save_file", full_after_a_few_bytes)
        outcome = cli(*command, "--steps", 2, "--resume")
    lines = [line for line in outcome.err.splitlines() if line.startswith("needle: ")]
    assert outcome.code == 2 and len(lines) == 1 and "Traceback" not in outcome.err, outcome.err
    assert "No space left" in lines[0] and "free some space" in lines[0] and "--resume" in lines[0]
    assert {path: path.read_bytes() for path in (run / "last").iterdir()} == before
    assert cli(*command, "--steps", 2, "--resume").code == 0


def test_a_full_disk_while_evaluating_keeps_the_finished_rows(cli, tmp_path, monkeypatch):
    from needle.evals import baselines

    out, asked = tmp_path / "eval", []
    command = ("eval", "--model", "baseline:lexical", "--suite", "home-smoke", "--out", out)
    real = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda a, b: full() if str(b).endswith(".html") else real(a, b))
        line = cli(*command).complaint
    assert "No space left" in line and not (out / "results.json").exists()
    rows = (out / "rows.jsonl").read_text().splitlines()
    assert len(rows) == 40 and not list(out.glob(".report*"))
    (out / "rows.jsonl").write_text("\n".join(rows[:30]) + "\n" + rows[30][:50])  # the disk was full within a row
    answer = baselines.Baseline.answer
    monkeypatch.setattr(baselines.Baseline, "answer", lambda self, some: asked.append(len(some)) or answer(self, some))
    assert cli(*command).code == 0 and len((out / "rows.jsonl").read_text().splitlines()) == 40
    assert asked[0] == 10  # later ones are the floors'


def test_an_output_that_cannot_be_a_folder_is_refused(cli, tmp_path):
    (tmp_path / "file").touch()
    for command in (("generate", "--tools", HOME), ("eval", "--model", "baseline:never", "--suite", "home-smoke")):
        assert str(tmp_path / "file") in cli(*command, "--out", tmp_path / "file" / "out").complaint


# Ctrl-C


def interrupted(cli, arguments: list[object], until, said: Path) -> SimpleNamespace:
    """Run ``needle`` in a forked process, press Ctrl-C once ``until()`` is true; ``said``: where its errors are kept."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            outcome = cli(*arguments)
            said.write_text(outcome.err)
            code = outcome.code
        finally:
            os._exit(code)
    end, status = time.monotonic() + 300, (0, 0)
    while not until() and time.monotonic() < end and status == (0, 0):
        time.sleep(0.02)
        status = os.waitpid(child, os.WNOHANG)
    assert status == (0, 0), f"ended by itself: {status}"
    os.kill(child, signal.SIGINT)
    return SimpleNamespace(code=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), err=said.read_text())


def test_ctrl_c_stops_generating_and_the_same_command_goes_on(cli, tmp_path):
    out = tmp_path / "out"
    command = ["generate", "--tools", HOME, "--n", 120, "--out", out]
    stored = out / "responses.sqlite-wal"
    done = interrupted(cli, command, lambda: stored.exists() and stored.stat().st_size > 30_000, tmp_path / "said")
    assert done.code == 130 and "Traceback" not in done.err
    # "stopped; ...", or once the first wave is out "Stopped: so many of 120 rows ..."
    assert [line for line in done.err.splitlines() if line][-1].lower().startswith("stopped") and not (out / "manifest.json").exists()
    assert cli(*command).code == 0 and json.loads((out / "manifest.json").read_text())["complete"]


def test_ctrl_c_stops_training_and_resume_goes_on(cli, tmp_path, tiny_base, home_traces):
    run = tmp_path / "run"
    command = ["train", "--traces", home_traces, "--base", tiny_base, "--rows", 8, "--out", run]
    log = run / "log.jsonl"
    done = interrupted(cli, [*command, "--steps", 100_000], lambda: log.exists() and log.stat().st_size > 300, tmp_path / "said")
    assert done.code == 130 and "Traceback" not in done.err
    assert [line for line in done.err.splitlines() if line][-1].startswith("stopped;") and "--resume" in done.err
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert cli(*command, "--steps", steps[-1] + 2, "--resume").code in (0, 1)  # 1: it ends well, with nothing learnt
    after = [json.loads(line)["step"] for line in log.read_text().splitlines() if "loss" in json.loads(line)]
    assert after == list(range(1, steps[-1] + 3))


def test_ctrl_c_in_this_process_says_what_to_do(cli, monkeypatch, tmp_path):
    def press(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("needle.generate.generate", press)
    outcome = cli("generate", "--tools", HOME, "--out", tmp_path / "out")
    assert outcome.code == 130 and len(outcome.err.splitlines()) == 1 and "the same command continues" in outcome.err


def test_ctrl_c_while_the_program_is_loaded_is_one_line():
    press = """
import signal, sys
from needle.__main__ import main
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == "needle.commands.measure":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Press())
main()
"""
    done = subprocess.run([sys.executable, "-c", press], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped before it began\n")
    light = "import needle.__main__, sys; print(*{'typer', 'numpy', 'json', 'needle.tools'} & sys.modules.keys()); needle.tools.Choice"
    assert subprocess.run([sys.executable, "-c", light], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == ""


def test_ctrl_c_that_the_shell_ignores_stays_ignored():
    code = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
import needle.cli, needle.__main__
needle.cli.main = lambda: signal.raise_signal(signal.SIGINT) or print("goes on")
needle.__main__.main()
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "goes on\n"


# --debug


def test_debug_shows_where_it_went_wrong(cli, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        cli("tools", "lint", tmp_path / "nowhere.json", debug=True)


def test_debug_is_an_option_of_the_command(tmp_path):
    command = [sys.executable, "-m", "needle.cli", "--debug", "tools", "lint", str(tmp_path / "nowhere.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "Traceback" in done.stderr and "UserError" in done.stderr
    done = subprocess.run([part for part in command if part != "--debug"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr
