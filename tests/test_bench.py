"""`lineside bench`: every mode against our broker and Mosquitto, and that it sees what a broker does wrong."""

import importlib.machinery
import importlib.util
import json
import os
import pty
import re
import shlex
import shutil
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from gateway import HOST, Gateway, can_connect, free_port, wait_until
from rawmqtt import CONNACK, CONNECT, DISCONNECT, PINGREQ, PINGRESP, PUBACK, PUBLISH, SUBACK, SUBSCRIBE, Raw, packet

ROOT = Path(__file__).resolve().parent.parent
MAN = ROOT / "docs" / "man" / "lineside-bench.1"
MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
TIMEOUT_S = 30
PERCENTILES = ("p50", "p90", "p99", "p999", "max")
FAULTS = ("lost", "duplicates", "out_of_order", "wrong", "unacknowledged", "refused", "disconnects")
SHORT = ["-L", "3000", "-c", "6", "--workers", "2"]
TIMED = ["--seconds", "0.3", "--warmup", "0.05", "-c", "6", "--workers", "2"]
# mode: its options here, and what its report has beside the rest
MODES = {
    "exchange": (SHORT, ("per_second", "sent", "delivered", "subscribe_seconds")),
    "fan-in": (SHORT + ["--subscribers", "2"], ("per_second",)),
    "fan-out": (SHORT + ["--slow", "1"], ("per_second",)),
    "subscribe": (SHORT + ["--filters", "60"], ("per_second", "subscribe_seconds")),
    "retained": (["--topics", "300"], ("set_per_second", "fetch_per_second", "set_seconds", "fetch_seconds", "seconds")),
    "offline": (["-c", "5", "-L", "200"], ("queue_per_second", "drain_per_second", "queue_seconds", "drain_seconds")),
    "connect": (TIMED, ("per_second", "connects", "latency_p50_us", "latency_p999_us")),
    "idle": (["-c", "6", "--filters", "3"], ("connections", "subscriptions", "connect_seconds")),
    "pub": (SHORT + ["-t", "bench/%i", "-q", "1"], ("per_second", "sent", "ack_p50_us")),
    "sub": (TIMED + ["-t", "bench/#"], ("delivered",)),
}


class Mosquitto:
    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        self.port = free_port()
        conf = self.folder / "mosquitto.conf"
        conf.write_text(f"listener {self.port} {HOST}\nallow_anonymous true\npersistence false\nlog_dest none\n"
                        "set_tcp_nodelay true\nmax_queued_messages 0\nmax_inflight_messages 0\n")
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(conf)])
        wait_until("mosquitto accepts", lambda: can_connect(self.port))
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)

    @property
    def pid(self):
        return self.process.pid


@pytest.fixture(scope="module", params=["one worker", "three workers", "mosquitto"])
def broker(request, tmp_path_factory):
    if request.param == "mosquitto":
        with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as m:
            yield m
    else:
        with Gateway(workers=1 if request.param == "one worker" else 3) as g:
            yield g


def bench(lineside, port, *args, status=0):
    """The report of a run, which must end with `status`."""
    done = subprocess.run([lineside, "bench", *map(str, args), "-p", str(port), "--json"], capture_output=True, text=True,
                          timeout=TIMEOUT_S)
    assert done.returncode == status, f"status {done.returncode}\n{done.stdout}{done.stderr}"
    assert status != 2 or not done.stdout
    return json.loads(done.stdout) if status != 2 else done.stderr


def assert_faultless(report):
    assert {key: report[key] for key in FAULTS if report.get(key)} == {}


# ---- what it measures ----


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_runs_and_finds_no_fault(lineside, broker, mode):
    options, keys = MODES[mode]
    report = bench(lineside, broker.port, mode, *options)
    assert report["mode"] == mode
    assert [key for key in keys if key not in report] == []
    assert [key for key in keys if not report[key] > 0 and mode != "sub"] == []
    assert_faultless(report)


@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_version_and_quality_of_service(lineside, broker, version, qos):
    report = bench(lineside, broker.port, "exchange", "-V", version, "-q", qos, *SHORT)
    assert_faultless(report)
    assert report["delivered"] > 0 and report["qos"] == qos
    kinds = ["latency"] + ["ack"] * (qos > 0)
    for kind in kinds:
        times = [report[f"{kind}_{p}_us"] for p in PERCENTILES]
        assert times == sorted(times) and times[0] > 0
    assert ("ack_p50_us" in report) == (qos > 0)


@pytest.mark.parametrize("size", [16, 17, 127, 1000, 300000])
def test_payloads_of_any_size_are_checked(lineside, broker, size):
    report = bench(lineside, broker.port, "fan-out", "-q", 1, "-s", size, "-c", 3, "-L", 40, "--workers", 2)
    assert report["sent"] == 40 and report["delivered"] == 120 and report["size"] == size
    assert_faultless(report)


@pytest.mark.parametrize("mode, copies", [("exchange", 1), ("fan-in", 1), ("fan-out", 7)])
def test_a_limit_counts_messages_of_all_publishers(lineside, broker, mode, copies):
    report = bench(lineside, broker.port, mode, "-c", 7, "-L", 1001, "--window", 5, "--batch", 3, "--workers", 3)
    assert report["sent"] == 1001 and report["delivered"] == 1001 * copies
    assert_faultless(report)


def test_a_rate_is_kept(lineside, broker):
    report = bench(lineside, broker.port, "exchange", "-c", 4, "--rate", 2000, "-L", 1000)
    assert report["sent"] == report["delivered"] == 1000
    assert_faultless(report)
    assert report["seconds"] >= 0.49  # the last of them has its time after 999/2000 s
    assert report["unsent"] == 0


def test_a_rate_that_is_out_of_reach_is_said(lineside, broker):
    done = subprocess.run([lineside, "bench", "exchange", "-c", "4", "--rate", "20000000", *TIMED[:4], "--workers", "1", "--json", "-p",
                           str(broker.port)], capture_output=True, text=True, timeout=TIMEOUT_S)
    report = json.loads(done.stdout)
    assert report["unsent"] > report["sent"] and report["delivered"] > 0
    assert "the rate was not reached" in done.stderr


def test_the_words_and_flags_of_emqtt_bench(lineside, broker):
    began = time.monotonic()
    report = bench(lineside, broker.port, "pub", "-c", 5, "-I", 20, "-t", "bench/%i/v", "-s", 64, "-q", 1, "-F", 10, "-L", 50)
    assert time.monotonic() - began > 0.15  # each sends ten, twenty milliseconds apart
    assert report["sent"] == 50 and report["publishers"] == 5
    report = bench(lineside, broker.port, "conn", "-c", 10, "-R", 100)
    assert report["mode"] == "idle" and report["connect_seconds"] >= 0.09


def test_sub_counts_what_pub_publishes(lineside, broker):
    sub = subprocess.Popen([lineside, "bench", "sub", "-c", "2", "-t", "bench/+", "-p", str(broker.port), "--json", "--warmup", "0"],
                           stdout=subprocess.PIPE, text=True)
    try:
        # It subscribes before it says anything: ask until a message has come through to it.
        for _ in range(50):
            bench(lineside, broker.port, "pub", "-c", 1, "-t", "bench/%i", "-I", 1, "-L", 10)
        sub.terminate()  # ends the run early, with a report
        out, _ = sub.communicate(timeout=TIMEOUT_S)
    finally:
        sub.kill()
    assert sub.returncode == 0
    assert json.loads(out)["delivered"] > 0


def test_the_brokers_cpu_and_memory_are_told_with_its_pid(lineside, broker):
    report = bench(lineside, broker.port, "exchange", "--pid", broker.pid, "-c", 4, "--seconds", 0.5)
    assert report["us_per_message"] > 0 and report["broker_bytes"] > 100000
    # A process whose own work it is not.
    other = bench(lineside, broker.port, "exchange", "--pid", 1, "-c", 4, "--seconds", 0.2)
    assert other["us_per_message"] < report["us_per_message"]


def test_nothing_is_left_in_the_broker(lineside, broker):
    bench(lineside, broker.port, "retained", "--topics", 100, "--prefix", "left")
    bench(lineside, broker.port, "offline", "-c", 3, "--prefix", "left")
    left = subprocess.run([lineside, "sub", "-p", str(broker.port), "-t", "left/#", "-W", "1"], capture_output=True, text=True)
    assert left.returncode == 27 and left.stdout == ""


@pytest.mark.parametrize("options, copies", [(["--publishers", 2, "--sessions", 6], 1), (["--sessions", 6, "--to-all"], 6),
                                              (["--publishers", 3, "--sessions", 1, "--to-all"], 1)])
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_goes_to_one_session_or_to_all(lineside, broker, options, copies, qos):
    report = bench(lineside, broker.port, "offline", *options, "-q", qos, "-L", 601, "--pid", broker.pid)
    assert_faultless(report)
    assert report["rows_per_second"] == pytest.approx(copies * report["queue_per_second"], rel=0.01)
    assert report["drain_per_second"] * report["drain_seconds"] == pytest.approx(601 * copies, rel=0.3)  # of rounded times
    assert report["drain_growth_bytes"] >= 0


@pytest.mark.parametrize("mode", [["retained", "--topics", 200, "-q", 1], ["offline", "-c", 3, "-L", 300]], ids=lambda m: m[0])
def test_what_one_run_leaves_another_fetches(lineside, broker, mode):
    mode = [*mode, "--prefix", f"{mode[0]}-left"]
    assert_faultless(bench(lineside, broker.port, *mode, "--leave"))
    report = bench(lineside, broker.port, *mode, "--resume")
    assert_faultless(report)
    assert "set_seconds" not in report and "queue_seconds" not in report
    with Raw(broker.port).connect() as watcher:
        watcher.subscribe(f"{mode[-1]}/#")
        assert bench(lineside, broker.port, *mode, "--resume", "--drain", 0.2, status=1)["lost"] in (200, 300)
        watcher.publish(f"{mode[-1]}/end", b"end")
        while (p := watcher.message()).payload != b"end":
            assert p.payload == b"", "it sets what it is to fetch"


def test_persistent_sessions_of_an_exchange_are_removed_at_the_end(lineside, gw):
    report = bench(lineside, gw.port, "exchange", "-q", 1, "--persistent", "--prefix", "stay", *SHORT)
    assert_faultless(report)
    with Raw(gw.port).connect("stays0", clean=False) as c:
        assert not c.connack.present


def test_a_report_for_people_and_a_progress_line_on_a_terminal_only(lineside, broker):
    command = [str(lineside), "bench", "exchange", "-c", "2", "--seconds", "1.2", "-p", str(broker.port)]
    plain = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert plain.returncode == 0 and plain.stderr == ""
    assert re.search(r"^messages a second +[\d,]+$", plain.stdout, re.MULTILINE)
    assert re.search(r"^lost +0$", plain.stdout, re.MULTILINE)
    try:
        ours, theirs = pty.openpty()
    except OSError as e:  # a container without /dev/pts
        pytest.skip(f"no pseudo-terminal: {e}")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, timeout=TIMEOUT_S)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0 and re.search(r"exchange measuring: \d+ s, \d+/s", shown)


# ---- what it refuses ----


@pytest.mark.parametrize(
    "args, message",
    [
        ([], "a mode is missing"),
        (["fan"], 'there is no mode "fan"'),
        (["--json", "exchange"], '"--json" stands where the mode comes'),
        (["retained", "-L", "5"], "--topics says how many"),
        (["retained", "--seconds", "1"], "--topics says how many"),
        (["exchange", "--qos", "3"], "from 0 to 2"),
        (["exchange", "-s", "15"], "from 16"),
        (["exchange", "-w", "1.5"], "a whole number"),
        (["exchange", "--window", "4", "--batch", "5"], "--batch 5 is more than --window 4"),
        (["exchange", "--publishers", "2", "--subscribers", "3"], "each publisher has one subscriber"),
        (["exchange", "-t", "a"], "-t is for pub and sub"),
        (["exchange", "--json=yes"], "takes no argument"),
        (["exchange", "--rate"], "--rate wants an argument"),
        (["exchange", "--batch", "100", "--window", "100", "-s", "1000000"], "lower --batch"),
        (["exchange", "-L", "99"], "less than one message of each"),
        (["fan-out", "--filters", "2"], "--filters is for"),
        (["offline", "-q", "0"], "nothing is kept with QoS 0"),
        (["offline", "--rate", "5"], "no rate"),
        (["offline", "--publishers", "2", "--sessions", "5"], "no multiple of 2 publishers"),
        (["exchange", "--to-all"], "--to-all is for offline"),
        (["idle", "--persistent"], "--persistent is for"),
        (["exchange", "--leave"], "are for retained and offline"),
        (["offline", "--resume"], "need a --prefix"),
        (["exchange", "--rate", "5", "--interval", "5"], "both say how fast"),
        (["connect", "--interval", "5"], "connect has none"),
        (["pub", "-t", "a/#"], "wildcard"),
        (["connect", "--slow", "1"], "--slow is for"),
        (["exchange", "-P", "x"], "give -u"),
        (["exchange", "--pid", "4194305"], "there is no process"),
        (["exchange", "-h", "host.invalid"], "host.invalid"),
        (["exchange", "-c", "1000000"], "raise ulimit -n"),
    ],
)
def test_what_cannot_run_says_why(lineside, args, message):
    done = subprocess.run([lineside, "bench", *args], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 2 and message in done.stderr and not done.stdout


@pytest.mark.parametrize("mode", MODES)
def test_without_a_broker_it_says_where_it_looked(lineside, mode):
    said = bench(lineside, free_port(), mode, status=2)
    assert "Connection refused" in said and "is a broker running there (-h, -p)?" in said


# ---- what it sees: a broker that does wrong on purpose ----


class Fake:
    """Serves connections one packet at a time. forward(n, publish) says what subscribers get for the n-th PUBLISH."""

    def __init__(self, forward=lambda n, p: [p], connack=b"\0\0", suback=b"\0", puback=lambda n: 1):
        self.forward, self.connack, self.suback, self.puback = forward, connack, suback, puback
        self.subscribers, self.all, self.lock, self.count = [], [], threading.Lock(), 0

    def __enter__(self):
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()
        for s in self.all:
            s.close()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.all.append(s)
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        stream = s.makefile("rb")
        try:
            while first := stream.read(1):
                length = stream.read(1)[0]  # no test here sends more than 127 bytes
                self.act(s, first[0], stream.read(length))
        except (OSError, ValueError, IndexError):
            pass

    def act(self, s, first, body):
        kind = first >> 4
        if kind == CONNECT:
            s.sendall(packet(CONNACK, self.connack))
        elif kind == SUBSCRIBE:
            self.subscribers.append(s)
            s.sendall(packet(SUBACK, body[:2] + self.suback))
        elif kind == PINGREQ:
            s.sendall(packet(PINGRESP))
        elif kind == DISCONNECT:
            s.close()
        elif kind == PUBLISH:
            self.publish(s, first, body)

    def publish(self, s, first, body):
        with self.lock:
            n, self.count = self.count, self.count + 1
            for out in self.forward(n, packet(first >> 4, body, first & 15)):
                for each in self.subscribers:
                    each.sendall(out)
        if first & 6:
            at = 2 + struct.unpack(">H", body[:2])[0]
            for _ in range(self.puback(n)):
                s.sendall(packet(PUBACK, body[at:at + 2]))


def swapper():
    held = []

    def forward(n, p):
        if n == 20:
            held.append(p)
            return []
        return [p, held.pop()] if n == 21 else [p]

    return forward


ONE_PAIR = ("exchange", "-c", 1, "--workers", 1, "--drain", 0.5)


@pytest.mark.parametrize("rated", [False, True], ids=["closed loop", "rate"])
@pytest.mark.parametrize(
    "forward, expected",
    [
        (lambda n, p: [p], {}),
        (lambda n, p: [] if n == 20 else [p], {"lost": 1}),
        (lambda n, p: [] if 20 <= n < 23 else [p], {"lost": 3}),
        (lambda n, p: [p, p] if n == 20 else [p], {"duplicates": 1}),
        (swapper(), {"out_of_order": 1}),
        (lambda n, p: [p[:-1] + b"\x07"] if n == 20 else [p], {"wrong": 1, "lost": 1}),  # a number far from its turn
        (lambda n, p: [packet(PUBLISH, p[2:-1])] if n == 20 else [p], {"wrong": 1, "lost": 1}),  # a byte is missing
        (lambda n, p: [packet(PUBLISH, b"\0\1tx", 0), p] if n == 20 else [p], {"wrong": 1}),  # not ours
    ],
    ids=["nothing", "lost", "three lost", "repeated", "swapped", "other number", "cut", "foreign"],
)
def test_what_a_broker_does_wrong_is_counted(lineside, forward, expected, rated):
    if forward.__name__ == "forward":
        forward = swapper()
    with Fake(forward) as fake:
        report = bench(lineside, fake.port, *ONE_PAIR, "-L", 60, "--window", 8, *(["--rate", 1000] if rated else []),
                       status=1 if expected else 0)
    assert {key: report[key] for key in FAULTS if report[key]} == expected
    assert report["sent"] == 60


@pytest.mark.parametrize("acks, key", [(0, "unacknowledged"), (2, "wrong")])
def test_acknowledgements_are_checked(lineside, acks, key):
    with Fake(puback=lambda n: acks if n == 20 else 1, suback=b"\1") as fake:
        report = bench(lineside, fake.port, *ONE_PAIR, "-q", 1, "-L", 60, status=1)
    assert report[key] >= 1 and report["lost"] == 0


def test_a_stall_of_the_broker_shows_in_every_message_that_it_made_wait(lineside):
    def stall(n, p):
        if n == 50:
            time.sleep(0.3)  # the broker's, not the test's: this is what is measured
        return [p]

    with Fake(stall) as fake:
        report = bench(lineside, fake.port, *ONE_PAIR, "--rate", 500, "-L", 400)
    # 150 of 400 messages had their time during the stall.
    assert report["latency_max_us"] > 290_000 and report["latency_p90_us"] > 150_000
    assert report["latency_p50_us"] < report["latency_p90_us"]


def test_a_refused_connection_and_a_refused_subscription_say_why(lineside):
    with Fake(connack=b"\0\5") as fake:
        assert "refused connection 1: not authorized" in bench(lineside, fake.port, *ONE_PAIR, status=2)
        report = bench(lineside, fake.port, "connect", "-c", 1, "--seconds", 0.2, "--warmup", 0, status=1)
        assert report["refused"] > 0 and report["connects"] == 0
    with Fake(suback=b"\x80") as fake:
        assert "refused a subscription" in bench(lineside, fake.port, *ONE_PAIR, status=2)
    with Fake() as fake:
        assert "grants QoS 0 instead of 1" in bench(lineside, fake.port, *ONE_PAIR, "-q", 1, status=2)


def test_a_connection_that_the_broker_closes_is_counted_and_the_run_ends(lineside):
    def close_all(n, p):
        if n == 20:
            for s in fake.all:
                s.shutdown(socket.SHUT_RDWR)
        return [p]

    with Fake(close_all) as fake:
        done = subprocess.run([lineside, "bench", *map(str, ONE_PAIR), "-p", str(fake.port), "--json"], capture_output=True, text=True,
                              timeout=TIMEOUT_S)
    assert done.returncode == 1 and json.loads(done.stdout)["disconnects"] == 2
    assert re.search(r"2 connections broke; the first: (publisher|subscriber) 0: ", done.stderr)


# ---- the manual page, and the speed table ----


def test_the_examples_of_the_manual_page_run(lineside):
    block = MAN.read_text().split(".SH EXAMPLES\n.nf\n")[1].split(".fi")[0]
    examples = [line.replace("\\-", "-") for line in block.splitlines() if line.strip()]
    assert len(examples) > 4
    with Gateway() as gw:
        for example in examples:
            words = shlex.split(example)
            assert words[:2] == ["lineside", "bench"]
            done = subprocess.run([lineside, *words[1:], "-p", str(gw.port)], capture_output=True, text=True, timeout=TIMEOUT_S)
            assert done.returncode == 0, f"{example}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def table():
    """bench/run as a module."""
    loader = importlib.machinery.SourceFileLoader("bench_run", str(ROOT / "bench" / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_run", loader))
    loader.exec_module(module)
    return module


def test_every_row_of_the_speed_table_has_a_floor_and_an_aim(table):
    limits = json.loads((ROOT / "bench" / "limits.json").read_text())
    assert set(limits) == set(table.ROWS)
    for name, row in table.ROWS.items():
        floor, aim = limits[name]["floor"], limits[name]["aim"]
        assert (aim >= floor) if row.more_is_better else (aim <= floor), name


@pytest.mark.parametrize(
    "name, ours, other, figure, missed",
    [
        ("exchange-qos0", [3, 1, 2], [40, 50, 30], 2 / 40, False),
        ("exchange-qos0", [3, 1, 2.8], [40, 50, 30], 2.8 / 40, True),
        ("two-workers", [17, 17, 17], [10, 10, 10], 1.7, False),
        ("two-workers", [16, 16, 20], [10, 10, 10], 1.6, True),
        ("idle-connection", [1024], [5], 1024, False),
        ("idle-connection", [1025], [5], 1025, True),
        ("retained-1m", [251], None, 251, True),
        ("offline-1000", [60000], None, 60000, False),
        ("offline-1000", [59999], None, 59999, True),
    ],
)
def test_a_floor_is_judged_by_medians(table, name, ours, other, figure, missed):
    limits = json.loads((ROOT / "bench" / "limits.json").read_text())
    field = table.ROWS[name].field
    samples = {"ours": [{field: v} for v in ours]}
    if other:
        samples["other"] = [{field: v} for v in other]
    row = table.judge(name, samples, 3)
    assert row["figure"] == pytest.approx(figure)
    assert table.status([row], limits, check=True, cores=4) == int(missed)
    assert table.status([row], limits, check=False, cores=4) == 0
    assert table.status([row], limits, check=True, cores=3) == 0  # it only reports


def test_a_lost_message_fails_the_table_whatever_its_speed(table):
    row = table.judge("exchange-qos0", {"ours": [{"us_per_message": 1, "lost": 1}], "other": [{"us_per_message": 99}]}, 3)
    assert table.status([row], {"exchange-qos0": {}}, check=False, cores=1) == 1


@pytest.mark.release
def test_the_table_runs_and_keeps_its_result(tmp_path):
    done = subprocess.run([ROOT / "bench" / "run", "--rounds", "1", "--seconds", "0.5", "--row", "exchange-qos0", "--row", "two-workers",
                           "--results", tmp_path], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    (kept,) = tmp_path.glob("*.json")
    rows = json.loads(kept.read_text())["rows"]
    assert [row["row"] for row in rows] == ["exchange-qos0", "two-workers"]
    assert all(row["ours"] > 0 and row["wrong"] == 0 for row in rows)
    assert str(kept) in done.stdout
