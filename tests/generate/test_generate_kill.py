"""``kill -9`` at random moments, against a server process that writes down what it would bill: nothing paid that reached
us is lost, nothing is paid twice but what was under way, and what was under way is known."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from generate_helpers import bytes_of

from needle.generate import GenerateConfig, generate
from needle.generate.store import ResponseStore

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONCURRENCY = 16


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "NEEDLE_DATA": str(tmp_path / "no-data")}


@pytest.fixture
def server(tmp_path, environment):
    """Port of the server, and the file with the keys of what it answered."""
    log = tmp_path / "paid.log"
    command = [sys.executable, HERE / "paid_server.py", log, "0.01"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    yield int(process.stdout.readline()), log
    process.kill()
    process.wait()


def kills_lose_nothing(server, tools_file, folder, environment, kills: int, rows: int, most: int) -> None:
    port, log = server
    rng = random.Random(kills)
    moments = [f"{rng.randrange(most)}:{rng.uniform(0, 0.02)}" for _ in range(kills)]
    command = [sys.executable, HERE / "killed_runs.py", tools_file, folder, port, rows, CONCURRENCY, log, *moments]
    done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.split().count("killed") >= kills * 0.9, done.stdout + done.stderr
    teacher = f"http://127.0.0.1:{port}/v1"
    config = GenerateConfig(tools_file, folder, teacher=teacher, model="m", n=rows, price_in=1.0, price_out=1.0)
    resumed = generate(config)
    assert resumed.complete
    paid = Counter(log.read_text().split())
    with ResponseStore(folder, read_only=True) as store:
        stored = {key for (key,) in store.rows("SELECT key FROM responses")}
        lost = Counter(key for (key,) in store.rows("SELECT key FROM losses"))
    assert paid.keys() <= stored, "an answer that was paid for is not there"
    twice = {key: count - 1 for key, count in paid.items() if count > 1}
    assert all(count <= lost[key] for key, count in twice.items()), "paid twice though it was not under way at a kill"
    assert 0 < sum(lost.values()) <= kills * CONCURRENCY and resumed.lost["calls"] == sum(lost.values())
    assert sum(twice.values()) < sum(paid.values()) / 2, "the kills left nothing to continue from"


def test_three_kills_lose_nothing_and_the_rows_are_those_of_a_run_that_was_left_alone(
    server, tools_file, tmp_path, environment
):
    kills_lose_nothing(server, tools_file, tmp_path / "killed", environment, 3, 40, 20)
    teacher = f"http://127.0.0.1:{server[0]}/v1"
    whole = generate(GenerateConfig(tools_file, tmp_path / "whole", teacher=teacher, model="m", n=40, price_in=1.0, price_out=1.0))
    assert bytes_of(whole) == bytes_of(generate(GenerateConfig(tools_file, tmp_path / "killed", teacher=teacher, model="m", n=40, price_in=1.0, price_out=1.0)))


@pytest.mark.slow
def test_a_hundred_kills_lose_nothing(server, tools_file, tmp_path, environment):
    kills_lose_nothing(server, tools_file, tmp_path / "killed", environment, 100, 800, 25)


def test_ctrl_c_waits_for_what_is_under_way_and_says_exactly_what_is_there(server, tools_file, tmp_path, environment):
    port, log = server
    out = tmp_path / "out"
    code = (
        "from needle.generate import *\n"
        f"config = GenerateConfig({str(tools_file)!r}, {str(out)!r}, teacher='http://127.0.0.1:{port}/v1', model='m', n=5000)\n"
        "try: generate(config)\n"
        "except Interrupted as stop: print(stop)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while (not log.exists() or len(log.read_text().split()) < 60) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[0]
    paid = Counter(log.read_text().split())
    with ResponseStore(out, read_only=True) as store:
        stored = {key for (key,) in store.rows("SELECT key FROM responses")}
        assert store.lost()["calls"] == 0 and not store.rows("SELECT 1 FROM flights")
    accepted = len((out / "rows.jsonl").read_text().splitlines())
    assert process.returncode == 0 and paid.keys() == stored
    assert f"{accepted:,} of 5,000 rows" in said and f"{len(stored):,} responses stored" in said
