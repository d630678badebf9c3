"""Lines of type modbus-rtu and rtu-over-tcp on a wire that takes its time: pymodbus, libmodbus and a line full of units behind a relay.

The relay (tests/modbus/relay.c) passes bytes between two ptys at the pace of a wire and stamps them. What is judged are its stamps: silence before each
frame is counted from when it handed the byte before to the gateway, and what the relay itself was late is taken off.

LINESIDE_RTU_LONG=1     more speeds and numbers of units, for longer
"""

import json
import os
import queue
import subprocess
from collections import Counter, namedtuple
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from gateway import HOST, Gateway, binary, wait_until
from modbus_devices import crc, libmodbus_server, pymodbus_device

PROGRAMS = Path(binary()).parent / "tests" / "modbus"
LONG = bool(os.environ.get("LINESIDE_RTU_LONG"))
IDLE_MOST = 0.05
SIZE = 200

Frame = namedtuple("Frame", "side start end seen length stall bytes")


def silence_us(baud, bits=11):
    return 1750.0 if baud > 19200 else 3.5 * bits * 1e6 / baud


def first(process):
    """Ask for more of the scheduler than the noise around, for all its threads: what is measured is microseconds."""
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        try:
            os.setpriority(os.PRIO_PROCESS, int(thread), -20)
        except PermissionError:
            pass
    return process


class Told:
    """A program that is told things on stdin and answers a line."""

    def __init__(self, *command):
        self.process = first(subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert self.process.stdout.readline() == "ready\n"

    def tell(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


class Relay(Told):
    def __init__(self, folder, baud, bits=11):
        self.near, self.far = folder / "near", folder / "far"
        super().__init__(PROGRAMS / "modbus_relay", baud, bits, self.near, self.far)

    def frames(self):
        """Those since the last call."""
        line, got = self.tell("frames"), []
        while line != "end":
            f = line.split()
            got.append(Frame(f[0], *map(float, f[1:4]), int(f[4]), float(f[5]), bytes.fromhex(f[6])))
            line = self.process.stdout.readline().rstrip("\n")
        return got

    def collisions(self):
        return int(self.tell("stats").split()[0])

    def passed(self):
        return int(self.tell("stats").split()[1])

    def wait_bytes(self, n, timeout=60):
        """Until so many more have passed."""
        end = self.passed() + n
        wait_until(f"{n} bytes on the wire", lambda: self.passed() >= end, timeout, every=0.02)


class Units(Told):
    def __init__(self, relay, n, silent=()):
        super().__init__(PROGRAMS / "rtu_units", relay.far, n, *silent)


def device(unit, count=10, scan="10ms", writable=False, **keys):
    tags = [{"name": f"r{i}", "address": f"holding:{i}", "type": "uint16"} for i in range(count)]
    if writable:
        tags[-1]["access"] = "rw"
    return {"name": f"u{unit}", "line": "bus", "unit": unit, "groups": [{"name": "g", "scan": scan}], "tags": tags, **keys}


def line(relay, baud, **keys):
    return {"name": "bus", "type": "modbus-rtu", "path": str(relay.near), "baud": baud, "parity": "even", "timeout": "1s", **keys}


@contextmanager
def gateway(the_line, devices):
    with Gateway({"gateway": {"name": "g"}, "lines": [the_line], "devices": devices}) as g:
        first(g.process)
        yield g


class Values:
    """The newest value of each tag, and results of writes, by topic."""

    def __init__(self, g):
        self.seen, self.results = {}, queue.Queue()
        self.client = mqtt.Client()
        self.client.on_message = self.arrived
        self.client.connect(HOST, g.port)
        self.client.subscribe("g/#", 1)
        self.client.loop_start()

    def arrived(self, _client, _data, m):
        if m.topic.endswith("/result"):
            self.results.put(json.loads(m.payload))
        elif m.payload:
            self.seen[m.topic] = json.loads(m.payload)

    def wait(self, topic, good, timeout=15):
        return wait_until(f"{topic}", lambda: topic in self.seen and good(self.seen[topic]), timeout)

    def write(self, topic, value):
        self.client.publish(f"{topic}/set", json.dumps({"id": "w", "value": value}), 1)
        return self.results.get(timeout=15)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.loop_stop()
        self.client.disconnect()


def gaps(frames):
    """(silence, what the relay was late) before each frame of ours that follows an answer, in microseconds."""
    return [(f.start - p.seen, f.stall) for p, f in zip(frames, frames[1:]) if f.side == "A" and p.side == "B"]


def keeps_silence(frames, baud, least):
    """At least the silence of the standard before every frame of ours."""
    found = gaps(frames)
    assert len(found) >= least
    assert min(gap for gap, _ in found) >= silence_us(baud)


QUIET_US = 100  # what a unit needs for its answer, through the same ptys, when the machine has nothing else to do


def idle(frames, baud):
    """(part of the time that the line was idle beyond the silences, part for which the units were late to answer)

    A unit does as little as a program can between request and answer. When it is late, so are we: the machine is busy with others.
    """
    need, whole = silence_us(baud), frames[-1].end - frames[0].start
    ours = sum(max(0.0, gap - need - stall) for gap, stall in gaps(frames))
    theirs = sum(max(0.0, f.start - p.seen - f.stall - QUIET_US)
                 for p, f in zip(frames, frames[1:]) if f.side == "B" and p.side == "A")
    return ours / whole, theirs / whole


def asked(frames):
    """How often each unit was asked."""
    return Counter(f.bytes[0] for f in frames if f.side == "A")


# ---- pace ----


PACES = [(9600, 1), (9600, 4), (19200, 8), (57600, 32), (115200, 1), (115200, 32)]
LONG_PACES = [(baud, n) for baud in (9600, 19200, 38400, 57600, 115200) for n in (1, 2, 8, 32)]


@pytest.mark.parametrize("baud, nunits", LONG_PACES if LONG else PACES)
def test_complaint_4_the_silence_is_kept_and_the_line_is_hardly_idle(tmp_path, baud, nunits):
    count = 60 if nunits == 1 else 10  # so that more is asked than fits, also of one unit at 115200 baud
    scan = 13 + 2 * count
    with Relay(tmp_path, baud) as relay, Units(relay, nunits), \
            gateway(line(relay, baud), [device(u + 1, count) for u in range(nunits)]):
        relay.wait_bytes(scan * 3 * nunits)
        # What others take of this machine looks like idling of ours: the best of some looks counts.
        for _ in range(12):
            relay.frames()
            relay.wait_bytes(max(scan * 25, scan * 4 * nunits, baud // 11 * (20 if LONG else 0.7)))
            frames = relay.frames()[1:]
            keeps_silence(frames, baud, least=20)
            ours, theirs = idle(frames, baud)
            print(f"{baud} baud, {nunits} units: idle {100 * ours:.2f} %, units late {100 * theirs:.2f} %")
            if ours - theirs <= IDLE_MOST:
                break
        assert ours - theirs <= IDLE_MOST
        assert relay.collisions() == 0
        assert len(asked(frames)) == nunits, "each has its turn"


def test_complaint_4_more_silence_is_kept_where_the_file_asks_for_it(tmp_path):
    baud = 57600
    with Relay(tmp_path, baud) as relay, Units(relay, 2), \
            gateway(line(relay, baud, silence="4ms"), [device(1, silence="10ms"), device(2)]):
        relay.wait_bytes(33 * 10)
        relay.frames()
        relay.wait_bytes(33 * 60)
        frames = relay.frames()[1:]
        least = {unit: min(f.start - p.seen for p, f in zip(frames, frames[1:])
                           if f.side == "A" and p.side == "B" and f.bytes[0] == unit) for unit in (1, 2)}
        assert least[1] >= silence_us(baud) + 14000
        assert silence_us(baud) + 4000 <= least[2] < least[1]


# ---- units that do not answer ----


@pytest.mark.parametrize("nsilent", [1, 5])
def test_complaint_1_silent_units_cost_the_others_a_twentieth_at_most(tmp_path, nsilent):
    """Of ten units. What the others lose is the time from each request to a silent one until the next request; one probe with the whole
    time-out, which is paid for afterwards, and what was saved up for short ones may lie in the time that is looked at."""
    nlive, baud, timeout_us, saved_us = 10 - nsilent, 57600, 300e3, 150e3
    with Relay(tmp_path, baud) as relay, Units(relay, 10, range(nlive + 1, 11)), \
            gateway(line(relay, baud, timeout=f"{timeout_us / 1e3:.0f}ms"), [device(u + 1) for u in range(10)]) as g, Values(g) as values:
        for u in range(nlive + 1, 11):
            values.wait(f"g/u{u}/_status", lambda v: v["state"] == "offline")
        relay.frames()
        relay.wait_bytes(baud // 11 * (60 if LONG else 5))
        ours = [f for f in relay.frames() if f.side == "A"]
        lost = sum(after.start - f.start for f, after in zip(ours, ours[1:]) if f.bytes[0] > nlive)
        assert {f.bytes[0] for f in ours} >= set(range(1, nlive + 1))
        assert lost <= 0.05 * (ours[-1].start - ours[0].start) + timeout_us + saved_us
        assert relay.collisions() == 0


# ---- devices of others ----


BITS = [0] * SIZE


def pymodbus(*arguments):
    return pymodbus_device(BITS, list(range(1000, 1000 + SIZE)), *arguments)


def libmodbus(program, path):
    return libmodbus_server(program, BITS, list(range(1000, 1000 + SIZE)), path)


def check_reads_and_writes(g):
    with Values(g) as values:
        values.wait("g/u1/r3", lambda v: v["value"] == 1003)
        result = values.write("g/u1/r9", 4711)
        assert result["ok"] is True, result
        values.wait("g/u1/r9", lambda v: v["value"] == 4711)
        values.wait("g/u1/far", lambda v: v["value"] == 1100)


def one_device():
    d = device(1, scan="50ms", writable=True)
    d["tags"].append({"name": "far", "address": "input:100", "type": "uint16"})
    return d


@pytest.mark.parametrize("peer", ["pymodbus", "libmodbus"])
def test_devices_that_nobody_here_wrote_are_read_and_written(tmp_path, libmodbus_device, peer):
    with Relay(tmp_path, 19200) as relay:
        with pymodbus("rtu", relay.far) if peer == "pymodbus" else libmodbus(libmodbus_device, relay.far), \
                gateway(line(relay, 19200), [one_device()]) as g:
            check_reads_and_writes(g)
            relay.wait_bytes(300)
        keeps_silence(relay.frames()[1:], 19200, least=5)
        assert relay.collisions() == 0


def test_ascii(tmp_path):
    with Relay(tmp_path, 19200, 10) as relay, pymodbus("ascii", relay.far), \
            gateway(line(relay, 19200, mode="ascii", rs485={"delay_after": "1ms"}), [one_device()]) as g:
        check_reads_and_writes(g)
        # A pty has neither; that it was asked for shows that the keys get there.
        assert "the port did not take parity data_bits" in g.log()
        assert "cannot switch the direction of RS-485" in g.log()
        assert all(f.bytes[:1] == b":" and f.bytes[-2:] == b"\r\n" for f in relay.frames() if f.side == "A")


def test_rtu_through_tcp():
    with pymodbus("rtu-over-tcp") as port:
        the_line = {"name": "bus", "type": "rtu-over-tcp", "host": "127.0.0.1", "port": port, "timeout": "1s"}
        with gateway(the_line, [one_device()]) as g:
            check_reads_and_writes(g)


# ---- what the keys of a line do ----


def test_a_broadcast_is_written_by_all_units_and_has_its_turnaround(tmp_path):
    everybody = {**device(0, count=1, scan="1h", writable=True), "name": "all"}
    with Relay(tmp_path, 19200) as relay, Units(relay, 3) as units, \
            gateway(line(relay, 19200, turnaround="150ms"), [everybody] + [device(u + 1) for u in range(3)]) as g, \
            Values(g) as values:
        values.wait("g/u1/r0", lambda v: v["value"] == 1000)
        relay.frames()
        assert values.write("g/all/r0", 99)["ok"] is True
        assert [units.tell(f"register {u + 1} 0") for u in range(3)] == ["99"] * 3
        values.wait("g/u1/r0", lambda v: v["value"] == 99)
        frames = [f for f in relay.frames() if f.side == "A"]
        at = next(i for i, f in enumerate(frames) if f.bytes[0] == 0)
        # The relay sees what we write a little later.
        assert frames[at + 1].start - frames[at].end >= 145e3


def test_a_reload_changes_the_silence(tmp_path):
    with Relay(tmp_path, 19200) as relay, Units(relay, 2), \
            gateway(line(relay, 19200), [device(u + 1) for u in range(2)]) as g:
        relay.wait_bytes(300)
        config = {**g.config, "lines": [line(relay, 19200, silence="20ms")]}
        g.reload(config)
        wait_until("longer silences", lambda: (f := gaps(relay.frames())) and min(gap for gap, _ in f) >= silence_us(19200) + 20e3,
                   every=0.2)
        assert relay.collisions() == 0


# ---- a bad wire ----


def test_complaint_14_broken_and_foreign_frames_never_become_values(tmp_path):
    """Register i of unit u is 1000 * u + i, always; whatever else is published as good came from a broken frame."""
    foreign = [bytes([9, 3, 4, 0, 1, 0, 2]), bytes([1, 3, 0, 0, 0, 10]), bytes([2, 3, 20]) + bytes(range(7))]
    with Relay(tmp_path, 57600) as relay, Units(relay, 3), \
            gateway(line(relay, 57600, timeout="200ms", retries=3), [device(u + 1) for u in range(3)]) as g, \
            Values(g) as values:
        wrong = []
        good = values.arrived

        def arrived(client, data, m):
            good(client, data, m)
            unit, _, tag = m.topic[3:].partition("/")
            if tag.startswith("r") and (v := json.loads(m.payload))["quality"] == "good":
                if v["value"] != 1000 * int(unit) + int(tag[1:]):
                    wrong.append((m.topic, v))

        values.client.on_message = arrived
        for u in (1, 2, 3):
            values.wait(f"g/u{u}/r0", lambda v: v["quality"] == "good")
        relay.frames()
        relay.tell("flip 97")
        relay.wait_bytes(8000)
        relay.tell("flip 0")
        for i in range(20):
            data = foreign[i % len(foreign)]
            relay.tell("inject " + (data + crc(data)).hex())
            relay.wait_bytes(200)
        frames = relay.frames()
        assert sum(f.side == "A" for f in frames) > 100
        keeps_silence(frames[1:], 57600, least=50)
        for u in (1, 2, 3):
            values.wait(f"g/u{u}/r0", lambda v: v["quality"] == "good")
        assert wrong == []


def test_complaint_14_an_answer_of_another_unit_is_none(tmp_path):
    """It has the function and the length that were asked for, and comes while the unit that was asked is silent."""
    data = bytes([9, 3, 20]) + bytes(range(20))
    foreign = data + crc(data)
    with Relay(tmp_path, 57600) as relay, Units(relay, 2, [2]), \
            gateway(line(relay, 57600, timeout="200ms", backoff={"first": "100ms", "max": "100ms"}), [device(2)]) as g, \
            Values(g) as values:
        good = []
        arrived = values.arrived

        def watched(client, data, m):
            arrived(client, data, m)
            if m.topic.startswith("g/u2/r") and m.payload and json.loads(m.payload)["quality"] == "good":
                good.append((m.topic, m.payload))

        values.client.on_message = watched
        frames = []

        def heard_in_between():
            relay.tell("inject " + foreign.hex())
            relay.wait_bytes(len(foreign))
            frames.extend(relay.frames())
            hits = [f for p, f in zip(frames, frames[1:])
                    if p.side == "A" and p.bytes[0] == 2 and f.side == "B" and foreign in f.bytes]
            return len(hits) >= 3

        wait_until("foreign answers while a unit was asked", heard_in_between, 15)
        values.wait("g/u2/_status", lambda v: v["state"] == "offline")
        assert good == []


def test_complaint_13_a_port_that_is_pulled_out_comes_back(tmp_path):
    with Relay(tmp_path, 57600) as relay, Units(relay, 1), \
            gateway(line(relay, 57600, backoff={"first": "100ms", "max": "1s"}), [device(1)]) as g, Values(g) as values:
        values.wait("g/u1/r0", lambda v: v["quality"] == "good")
        relay.tell("unplug")
        values.wait("g/u1/r0", lambda v: v["quality"] == "bad")
        assert values.seen["g/u1/r0"]["reason"] == "offline"
        g.wait_log(r"near: cannot open: it is not there")
        relay.tell("plug")
        values.wait("g/u1/r0", lambda v: v["quality"] == "good")
        assert g.log().count("cannot open: it is not there") == 1


def test_a_port_that_another_program_has_is_said_so(tmp_path):
    with Relay(tmp_path, 57600) as relay, Units(relay, 1), gateway(line(relay, 57600), [device(1)]) as g:
        relay.wait_bytes(100)
        with gateway(line(relay, 57600), [device(1)]) as other:
            other.wait_log(rf"cannot open: process {g.pid} has it")
