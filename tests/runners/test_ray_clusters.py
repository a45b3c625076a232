"""Clusters that are there already: one that `ray start` has started, and one of two nodes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import talking
from processes import contents, run

pytest.importorskip("ray", reason="the extra [ray] is not installed")
pytestmark = pytest.mark.slow  # a cluster needs ten seconds to start

TESTS = Path(__file__).resolve().parents[1]
PYTHONPATH = os.pathsep.join([str(TESTS.parent), str(TESTS)])
RAY = Path(sys.executable).with_name("ray")


def settings(token: str) -> dict[str, str]:
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token * 64, "PYTHONPATH": PYTHONPATH}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster on this machine, as its user starts it; it wants a token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="ray")  # the names of sockets in it may not be long
    options = ["--head", "--block", f"--port={port}", "--node-ip-address=127.0.0.1"]
    options += ["--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
    process = subprocess.Popen(
        [str(RAY), "start", *options, f"--temp-dir={folder}"],
        env=os.environ | settings("a"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(port, process)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError("ray start has started no cluster")


def test_a_running_cluster_gives_the_bytes_of_one_process(
    address: str, stand_in_model: Path, tmp_path: Path
) -> None:
    shards = talking.write_many(tmp_path / "shards", 24, 3 * talking.RATE)
    line = ["extract", str(stand_in_model), str(shards)]
    alone = run([*line, str(tmp_path / "one"), "--shard-size", "5"])
    assert alone.status == 0, alone.errors
    more = ["--shard-size", "5", "--runner", "ray", "--address", address]
    ended = run([*line, str(tmp_path / "many"), *more], **settings("a"))
    assert ended.status == 0, ended.errors
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_a_cluster_that_wants_another_token_is_one_clear_error(
    address: str, stand_in_model: Path, tmp_path: Path
) -> None:
    shards = talking.write_many(tmp_path / "shards", 2, 3 * talking.RATE)
    line = ["extract", str(stand_in_model), str(shards), str(tmp_path / "out")]
    ended = run([*line, "--runner", "ray", "--address", address], **settings("b"))
    assert ended.status == 1
    assert "no cluster can be started or reached" in ended.errors
    assert "RAY_AUTH_TOKEN" in ended.errors and "Traceback" not in ended.errors


TWO_NODES = """
import json, sys, time
from pathlib import Path
from ray.cluster_utils import Cluster
from cluster_work import ReportNode
from hostile_work import items
from speech2face.data.shards import fill_shards
from speech2face.data.store import Store
from speech2face.runners import ray_tasks

folder, kill = Path(sys.argv[1]), sys.argv[2] == "kill"
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)

def run(do, tasks, again):
    for number, done in enumerate(
        ray_tasks.run(do, tasks, again, address=cluster.address, workers=2)
    ):
        yield done
        if kill and number == 2:
            cluster.remove_node(second, allow_graceful=False)

store = Store(folder / "out", "tools")
outcomes = list(fill_shards(store, items(48), ReportNode(folder), run, shard_size=4))
rejected = [outcome.source for outcome in outcomes if outcome.rejected]
nodes = sorted(path.name for path in (folder / "nodes").iterdir())
print(json.dumps({"rejected": rejected, "nodes": len(nodes), "outcomes": len(outcomes)}))
cluster.shutdown()
"""


@pytest.mark.parametrize("fate", ["live", "kill"])
def test_two_nodes_share_the_work_and_one_may_be_lost(fate: str, tmp_path: Path) -> None:
    """Two raylets on this machine; the second one is killed while it works."""
    from hostile_work import harmless, items

    from speech2face.data.store import Store

    (tmp_path / "nodes").mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", TWO_NODES, str(tmp_path), fate],
        env=os.environ | {"PYTHONPATH": PYTHONPATH, "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == {
        "rejected": [7],
        "nodes": 2,
        "outcomes": 48,
    }
    list(Store(tmp_path / "one", "tools").fill(items(48), harmless, shard_size=4))
    assert contents(tmp_path / "out") == contents(tmp_path / "one")
