"""A broker killed with SIGKILL under load, again and again: what was acknowledged is delivered.

The load and its book-keeping are build/tests/kill/kill_load (tests/kill/kill.c). LINESIDE_KILLS=300 makes the long form, about six
minutes; LINESIDE_SEED=n draws other moments.
"""

import json
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from gateway import HOST, binary, free_port

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
KILLS = int(os.environ.get("LINESIDE_KILLS", "8"))
KILL_S = 10  # hardly any takes longer, start included
SEED = os.environ.get("LINESIDE_SEED", "1")
FAULTS = ("lost", "repeated", "reordered", "damaged", "retained_old", "sessions_lost", "ids_reused", "acks_out_of_order",
          "strange", "refused", "stalled", "died")


def load(port, *words):
    """Run the load; its report."""
    program = Path(binary()).parent / "tests" / "kill" / "kill_load"
    done = subprocess.run([str(program), "-p", str(port), "-s", SEED, *map(str, words)], capture_output=True, text=True)
    print(done.stdout, done.stderr[-20000:], sep="\n")  # pytest shows it when the test fails
    assert done.returncode in (0, 1) and done.stdout, f"status {done.returncode}"
    return json.loads(done.stdout)


def faults(report):
    return {key: report[key] for key in FAULTS if report[key]}


def gateway(folder, storage=None, workers=2):
    """A configuration whose limits drop nothing, and the command that runs it."""
    port = free_port()
    config = {
        "gateway": {"control_socket": "control.sock"},
        "broker": {"workers": workers, "spread_after": 0, "max_queued_messages": 100000000, "max_queued_bytes": "8GiB"},
        "listeners": [{"name": "l", "protocol": "mqtt", "address": HOST, "port": port, "allow_anonymous": True}],
    }
    if storage:
        config["storage"] = storage
    path = folder / "gateway.yaml"
    path.write_text(json.dumps(config))
    return port, [binary(), "serve", "-c", path]


def mosquitto(folder):
    port = free_port()
    (folder / "kept").mkdir()
    path = folder / "mosquitto.conf"
    path.write_text(f"listener {port} {HOST}\nallow_anonymous true\nuser {pwd.getpwuid(os.getuid()).pw_name}\n"
                    f"persistence true\npersistence_location {folder}/kept/\nautosave_interval 1\nlog_dest none\n"
                    "max_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\n")
    return port, [MOSQUITTO, "-c", path]


@pytest.mark.parametrize("workers", [2] if KILLS > 50 else [1, 3])
def test_what_was_acknowledged_outlives_sigkill(tmp_path, workers):
    signal.alarm(120 + KILLS * KILL_S)  # instead of the limit of other tests
    port, command = gateway(tmp_path, {"path": "data"}, workers)
    report = load(port, "-k", KILLS, "-m", 2500 if KILLS > 50 else 1000, "-r", 5000, *command)
    assert faults(report) == {}
    assert report["kills"] == KILLS
    # it was busy: a message a millisecond at the least, and some were under way when the broker died
    assert report["acknowledged"] > 300 * KILLS and report["delivered"] > 1000 * KILLS and report["sent_again"] > KILLS
    assert report["retained_looks"] > 0


@pytest.mark.parametrize("storage", [None, {"path": "data"}], ids=["memory", "disk"])
def test_connections_that_are_cut_cost_nothing(tmp_path, storage):
    port, command = gateway(tmp_path, storage)
    report = load(port, "-k", 0, "-m", 3000, "-r", 10000, *command)
    assert faults(report) == {}
    assert report["acknowledged"] > 3000 and report["delivered"] > 10000 and report["retained_looks"] == 1


def test_the_load_finds_what_mosquitto_loses(tmp_path):
    """With its state saved each second, a second is lost."""
    port, command = mosquitto(tmp_path)
    report = load(port, "-k", 2, "-m", 2000, "-r", 3000, "-w", 2, *command)
    assert report["lost"] > 0 and report["delivered"] > 0
