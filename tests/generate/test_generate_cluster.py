"""The Ray engine on a local cluster of two workers: the rows of a local run, one budget, one store."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from generate_helpers import bytes_of

from needle.errors import UserError
from needle.generate import GenerateConfig, generate

HERE = Path(__file__).parent


def test_without_ray_the_remedy_is_said(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"needle-distill\[ray\]"):
        run(engine="ray")


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray")
    import os

    os.environ["PYTHONPATH"] = f"{HERE.parents[1]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield ray
    ray.shutdown()


@pytest.fixture
def server(tmp_path):
    log = tmp_path / "paid.log"
    process = subprocess.Popen([sys.executable, HERE / "paid_server.py", log, "0.01"], stdout=subprocess.PIPE, text=True)
    yield int(process.stdout.readline()), log
    process.kill()
    process.wait()


def _settings(server, tools_file, folder, **more) -> GenerateConfig:
    teacher = {"teacher": f"http://127.0.0.1:{server[0]}/v1", "model": "m", "price_in": 2.0, "price_out": 8.0}
    return GenerateConfig(**({"tools": tools_file, "out": folder, "n": 60} | teacher | more))


@pytest.mark.slow
def test_a_cluster_gives_the_rows_of_a_local_run_and_either_engine_continues_the_other(cluster, server, tools_file, tmp_path):
    spread = generate(_settings(server, tools_file, tmp_path / "ray", engine="ray"))
    local = generate(_settings(server, tools_file, tmp_path / "local"))
    assert spread.complete and bytes_of(spread) == bytes_of(local)
    rounded = [[row | {"usd": round(row["usd"], 9)} for row in report.bill] for report in (spread, local)]
    assert rounded[0] == rounded[1] and spread.asked_now == local.asked_now, (spread.lost, local.lost)
    assert spread.usd - spread.lost["usd"] == pytest.approx(local.usd - local.lost["usd"])
    for engine in ("local", "ray"):
        again = generate(_settings(server, tools_file, tmp_path / "ray", engine=engine))
        assert again.asked_now == 0 and bytes_of(again) == bytes_of(local)


@pytest.mark.slow
def test_one_budget_holds_for_the_whole_cluster(cluster, server, tools_file, tmp_path):
    short = generate(_settings(server, tools_file, tmp_path / "ray", engine="ray", n=500, budget_usd=0.2))
    assert not short.complete and 0.15 < short.usd <= 0.2
    paid = Counter(server[1].read_text().split())
    assert max(paid.values()) == 1 and sum(row["calls"] for row in short.bill) == len(paid)


@pytest.mark.slow
def test_a_refusing_endpoint_stops_the_cluster_in_one_line(cluster, tools_file, tmp_path):
    with pytest.raises(UserError, match="rows failed in a row"):
        generate(GenerateConfig(tools_file, tmp_path / "out", teacher="http://127.0.0.1:9/v1", model="m", n=30, engine="ray", deadline_s=2))
