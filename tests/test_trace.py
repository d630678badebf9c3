"""`lineside modbus trace`: frames of a line as they are on the wire, of every framing, and what cannot be looked at."""

import json
import re
import signal
import socket
import struct
import subprocess
from contextlib import contextmanager

from gateway import Gateway, binary, wait_until
from modbus_devices import crc
from test_rtu import Relay, Units, device, gateway, line, one_device, pymodbus

TIMEOUT_S = 20
FRAME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)  (\w+) +unit (\d+|-) +(.*)\[(.*)\]")


def command(g, *args):
    return [str(binary()), "modbus", "trace", *map(str, args), "--socket", str(g.dir / "control.sock")]


def trace(g, *args, status=0):
    done = subprocess.run(command(g, *args), capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


def frames(text):
    found = [FRAME.fullmatch(line) for line in text.splitlines()]
    assert all(found), text
    return [(m[2], m[3], m[4].strip(), m[5]) for m in found]


def requests(g):
    done = subprocess.run([binary(), "status", "--json", "-c", g.config_path], capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    return json.loads(done.stdout)["devices"][0]["sent"]


@contextmanager
def looking(g, *args):
    """One that looks until the end; it looks when this begins."""
    process = subprocess.Popen(command(g, *args, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def test_frames_of_modbus_tcp():
    with pymodbus("tcp") as port:
        the_line = {"name": "bus", "type": "modbus-tcp", "host": "127.0.0.1", "port": port}
        with gateway(the_line, [one_device()]) as g:
            got = frames(trace(g, "bus", "-n", 8))
            assert ("sent", "1", "read holding registers: 10 from 0") in [f[:3] for f in got]
            answer = next(f for f in got if f[2] == "read holding registers: 10 registers")
            assert answer[0] == "received" and answer[3].endswith("01 03 14 " + " ".join(f"03 {0xe8 + i:02x}" for i in range(10)))


def test_frames_of_rtu_with_foreign_and_broken_ones(tmp_path):
    with Relay(tmp_path, 57600) as relay, Units(relay, 1), gateway(line(relay, 57600, timeout="200ms"), [device(1)]) as g:
        got = frames(trace(g, "bus", "-n", 20))
        request = bytes([1, 3, 0, 0, 0, 10])
        assert ("sent", "1", "read holding registers: 10 from 0", (request + crc(request)).hex(" ")) in got
        assert any(f[:3] == ("received", "1", "read holding registers: 10 registers") for f in got)
        relay.tell("flip 40")
        with looking(g, "bus") as look:
            while json.loads(look.stdout.readline())["kind"] != "broken":
                pass
            relay.tell("flip 0")
            foreign = bytes([9, 4, 2, 0, 1])
            foreign += crc(foreign)
            while (frame := json.loads(look.stdout.readline()))["kind"] != "foreign":
                if frame["kind"] == "received":  # when it comes between two of ours, it is whole
                    relay.tell("inject " + foreign.hex())
            assert (frame["hex"], frame["unit"], frame["text"]) == (foreign.hex(), 9, "read input registers")


def test_frames_of_ascii_are_shown_as_they_are(tmp_path):
    with Relay(tmp_path, 19200, 10) as relay, pymodbus("ascii", relay.far), \
            gateway(line(relay, 19200, mode="ascii"), [one_device()]) as g:
        got = frames(trace(g, "bus", "-n", 6))
        assert ("sent", "1", "read holding registers: 10 from 0", ":01030000000AF2") in got


def test_json_has_the_same_and_a_time_ends_it():
    with pymodbus("tcp") as port:
        the_line = {"name": "bus", "type": "modbus-tcp", "host": "127.0.0.1", "port": port}
        with gateway(the_line, [one_device()]) as g:
            got = [json.loads(text) for text in trace(g, "bus", "--json", "--seconds", "0.5").splitlines()]
            assert {"sent", "received"} == {f["kind"] for f in got}
            assert {f["unit"] for f in got} == {1}
            assert all(bytes.fromhex(f["hex"])[6] == 1 for f in got)
            assert [f["at_us"] for f in got] == sorted(f["at_us"] for f in got)


def test_what_cannot_be_looked_at_is_said():
    lines = [{"name": "rack", "type": "sim"}, {"name": "bus", "type": "modbus-tcp", "host": "127.0.0.1", "port": 1}]
    devices = [{"name": "r", "line": "rack", "tags": [{"name": "a", "address": "di:0"}]}]
    with Gateway({"gateway": {"name": "g"}, "lines": lines, "devices": devices}) as g:
        assert "bsu: there is no such line; allowed: bus" in trace(g, "bsu", status=1)
        assert "rack: it has no frames, only Modbus lines have; allowed: bus" in trace(g, "rack", status=1)
        assert "needs the name of one line" in trace(g, status=2)
        assert "--count, allowed: 1 to" in trace(g, "bus", "-n", "0", status=2)
        assert "--seconds, allowed: 0.1 to" in trace(g, "bus", "--seconds", "nan", status=2)
        assert trace(g, "bus", "--seconds", "0.2") == ""  # nobody is there, so nothing is sent
        g.stop()
        assert "no gateway answers at" in trace(g, "bus", status=1)


def test_one_looks_and_the_next_may_when_he_is_gone():
    with pymodbus("tcp") as port:
        the_line = {"name": "bus", "type": "modbus-tcp", "host": "127.0.0.1", "port": port}
        with gateway(the_line, [one_device()]) as g:
            with looking(g, "bus") as look:
                assert "somebody else looks at this line already" in trace(g, "bus", status=1)
                look.send_signal(signal.SIGINT)
                assert look.wait(TIMEOUT_S) == 0
            wait_until("the line is free", lambda: subprocess.run(command(g, "bus", "-n", 1), capture_output=True).returncode == 0)


def test_it_ends_when_the_line_is_changed_and_when_the_gateway_stops():
    with pymodbus("tcp") as port:
        the_line = {"name": "bus", "type": "modbus-tcp", "host": "127.0.0.1", "port": port}
        with gateway(the_line, [one_device()]) as g:
            with looking(g, "bus") as look:
                g.reload({**g.wanted, "lines": [{**the_line, "timeout": "900ms"}]})
                assert "bus: the line is no more" in look.communicate(timeout=TIMEOUT_S)[1]
                assert look.returncode == 1
            with looking(g, "bus") as look:
                g.stop()
                assert "bus: the line is no more" in look.communicate(timeout=TIMEOUT_S)[1]


def test_the_line_does_not_wait_for_who_looks(tmp_path):
    """Who takes nothing loses frames, and is told how many."""
    with pymodbus("tcp") as port:
        the_line = {"name": "bus", "type": "modbus-tcp", "host": "127.0.0.1", "port": port}
        with gateway(the_line, [device(1)]) as g:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.settimeout(TIMEOUT_S)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least that there is
            ask = socket.socket(socket.AF_UNIX)
            ask.connect(str(g.dir / "control.sock"))
            ask.sendmsg([b'{"command":"trace","line":"bus"}\n'],
                        [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", theirs.fileno()))])
            assert json.loads(ask.recv(4096)) == {"framing": "tcp"}
            theirs.close()
            before = requests(g)
            wait_until("requests go on", lambda: requests(g) > before + 100)
            taken = 0
            while not (record := json.loads(ours.recv(4096)))["lost"]:
                taken += 1
            assert taken >= 1 and record["lost"] > 100
