"""Foreign masters on two serial lines at once, through the routes and the map of the Modbus view, while both lines are polled faster than fits.

The lines are ptys behind the relay of test_rtu.py, which stamps every byte. The masters are mbpoll and modbus-serial.

LINESIDE_VIEW_SECONDS    how long they work; 10 by default
"""

import json
import os
import re
import subprocess
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from pymodbus.client import ModbusTcpClient

from gateway import HOST, Gateway, can_connect, free_port, wait_until
from test_rtu import Relay, Units, crc, first, gaps, silence_us
from test_views import mbpoll

NODE = Path(__file__).resolve().parent / "node"
SECONDS = int(os.environ.get("LINESIDE_VIEW_SECONDS", "10"))
MAP, TAGS = 100, 10
BAUDS = {"a": 38400, "b": 19200}
UNITS = {"a": [1, 2, 3], "b": [11, 12, 13]}
PAUSE_US = 15000  # of the relay; 20 ms end a frame
ALL = [u for units in UNITS.values() for u in units]


def device(unit, line):
    tags = [{"name": f"r{i}", "address": f"holding:{i}", "type": "uint16"} for i in range(TAGS)]
    # One for each script: of two writes to a tag that wait, the older is answered "busy".
    tags += [{"name": f"out{i}", "address": f"holding:{TAGS + i}", "type": "uint16", "access": "rw"} for i in range(2)]
    return {"name": f"u{unit}", "line": line, "unit": unit, "groups": [{"name": "g", "scan": "10ms"}], "tags": tags}


def config(relays, port):
    return {
        "lines": [{"name": n, "type": "modbus-rtu", "path": str(r.near), "baud": BAUDS[n], "parity": "even", "timeout": "1s"}
                  for n, r in relays.items()],
        "devices": [device(u, n) for n, units in UNITS.items() for u in units],
        "views": {"modbus": {"port": port, "unit": MAP, "pass": [{"units": "1-9", "line": "a"}, {"units": "11-19", "line": "b"}]}},
    }


def everything_is_read(port):
    def is_good():
        with ModbusTcpClient(HOST, port=port) as c:
            return all(not c.read_holding_registers(100 * k, TAGS, slave=MAP).isError() for k in range(len(ALL)))

    wait_until("the view listens", lambda: can_connect(port))
    wait_until("good values in the map", is_good)


class Poller(threading.Thread):
    """mbpoll, again and again: a unit of a line, then the same unit's tags on the map."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.wrong, self.reads, self.unanswered, self.stop = port, [], 0, 0, threading.Event()
        self.start()

    def run(self):
        n = 0
        while not self.stop.is_set():
            k = n % len(ALL)
            unit, at = ALL[k], 50 + n % 40
            self.read(unit, at, 1000 * unit + at, 1 + n % 10)
            self.read(MAP, 100 * k + n % 5, 1000 * unit + n % 5, 1 + n % 5)
            n += 1

    def read(self, unit, at, value, count):
        done = mbpoll(self.port, "-a", str(unit), "-r", str(at), "-c", str(count), "-t", "4", HOST)
        got = [int(v) for v in re.findall(r"\[\d+\]:\s+(\d+)", done.stdout)]
        self.reads += 1
        if "Target device failed to respond" in done.stdout + done.stderr:
            self.unanswered += 1
        elif got != list(range(value, value + count)):
            self.wrong.append((unit, at, got, done.stdout + done.stderr))


def masters_work(port):
    """What they saw."""
    pollers = [Poller(port), Poller(port)]
    scripts = [subprocess.Popen(["node", str(NODE / "modbus_serial_units.js"), *map(str, [port, SECONDS, me, *ALL])],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for me in range(2)]
    try:
        told = [s.communicate(timeout=SECONDS + 60) for s in scripts]
    finally:
        for s in scripts:
            s.kill()
        for p in pollers:
            p.stop.set()
        for p in pollers:
            p.join()
    assert all(s.returncode == 0 for s in scripts), told
    seen = [json.loads(out) for out, _ in told]
    assert not any(s["wrong"] for s in seen), seen
    assert not any(p.wrong for p in pollers), [p.wrong for p in pollers]
    unanswered = sum(p.unanswered for p in pollers) + sum(s["unanswered"] for s in seen)
    return sum(p.reads for p in pollers), sum(s["reads"] for s in seen), sum(s["writes"] for s in seen), unanswered


def kind(frame):
    address = frame.bytes[2] << 8 | frame.bytes[3]
    return "passed" if address >= 2 * TAGS else "polls" if frame.bytes[1] == 3 else "writes"


def check_line(name, relay):
    """How many answers there were none of, or that were broken, or that paused in their middle: all when the machine runs others instead."""
    frames = relay.frames()[1:]
    # Where the relay was not run, it hands the end of an answer on after we gave it up.
    silences = [gap for gap, stall in gaps(frames) if stall < PAUSE_US]
    assert len(silences) > 20 and min(silences) >= silence_us(BAUDS[name])
    ours = [f for f in frames if f.side == "A"]
    took = Counter()
    for f, after in zip(ours, ours[1:]):
        took[kind(f)] += after.start - f.start
    whole = sum(took.values())
    print(f"line {name}: {dict(Counter(map(kind, ours)))}, {100 * took['polls'] / whole:.0f} % of the time for polls, least silence "
          f"{min(silences):.0f} us of {silence_us(BAUDS[name]):.0f}")
    assert relay.collisions() == 0
    assert took["polls"] >= 0.15 * whole, "polls keep their share"
    assert {f.bytes[0] for f in ours} == set(UNITS[name]), "a route leads to its own line"
    return sum(f.stall > PAUSE_US for f in frames) + sum(
        f.side == "A" and not (after.side == "B" and crc(after.bytes[:-2]) == after.bytes[-2:]) for f, after in zip(frames, frames[1:]))


def test_complaint_10_15_masters_on_two_live_lines_by_ranges_of_units(tmp_path):
    assert (NODE / "node_modules" / "modbus-serial").is_dir(), "npm ci --prefix tests/node"
    port = free_port()
    with ExitStack() as stack:
        relays = {}
        for name, units in UNITS.items():
            (tmp_path / name).mkdir()
            relays[name] = stack.enter_context(Relay(tmp_path / name, BAUDS[name]))
            stack.enter_context(Units(relays[name], max(units)))
        gw = stack.enter_context(Gateway(config(relays, port)))
        first(gw.process)
        everything_is_read(port)
        for relay in relays.values():
            relay.frames()
        mbpolled, reads, writes, unanswered = masters_work(port)
        print(f"{SECONDS} s: mbpoll {mbpolled} reads, modbus-serial {reads} reads and {writes} writes, none wrong, {unanswered} unanswered")
        assert min(mbpolled, reads, writes) > 20
        lost = sum(check_line(name, relay) for name, relay in relays.items())
        print(f"{lost} answers not, broken or interrupted on the wire")
        assert unanswered <= lost, "what was answered gets to whoever asked"
