"""The gateway's field side against a Modbus server, MQTT clients and a broker's wire that nobody here wrote."""

import json
import math
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pymodbus.client import ModbusTcpClient

SERVER = """
import sys
from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartTcpServer

def block():
    return ModbusSequentialDataBlock(0, [0] * 2000)

unit = ModbusSlaveContext(di=block(), co=block(), hr=block(), ir=block(), zero_mode=True)
StartTcpServer(context=ModbusServerContext(slaves={1: unit}, single=False), address=("127.0.0.1", int(sys.argv[1])), allow_reuse_address=True)
"""

ORDERS = {
    1: {"AB": "AB", "BA": "BA"},
    2: {o: o for o in ("ABCD", "CDAB", "BADC", "DCBA")},
    4: {o: o for o in ("ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA")}
    | {"ABCD": "ABCDEFGH", "CDAB": "GHEFCDAB", "BADC": "BADCFEHG", "DCBA": "HGFEDCBA"},
}
PACK = {"int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q", "uint64": ">Q",
        "float32": ">f", "float64": ">d"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, seconds=15):
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < end, f"nothing listens at {port}"
            time.sleep(0.02)


class Device:
    """A pymodbus server in a process of its own, so that it can die."""

    def __init__(self):
        self.port = free_port()
        self.start()

    def start(self):
        self.process = subprocess.Popen([sys.executable, "-c", SERVER, str(self.port)])
        wait_for_port(self.port)
        self.client = ModbusTcpClient("127.0.0.1", port=self.port)
        assert self.client.connect()

    def kill(self):
        self.client.close()
        self.process.kill()
        self.process.wait()

    def write(self, address, registers):
        assert not self.client.write_registers(address, registers, slave=1).isError()

    def read(self, address, count=1):
        return self.client.read_holding_registers(address, count, slave=1).registers


class Gateway:
    """`lineside serve` on a file, and everything it publishes, as mosquitto_sub sees it."""

    def __init__(self, lineside, folder, lines, devices):
        self.port = free_port()
        self.file = folder / "gateway.json"
        self.seen = {}
        self.news = threading.Condition()
        self.write(lines, devices)
        self.process = subprocess.Popen([lineside, "serve", "-c", str(self.file)])
        wait_for_port(self.port)
        self.sub = subprocess.Popen(
            ["mosquitto_sub", "-p", str(self.port), "-v", "-t", "plant1/#"], stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.listen, daemon=True).start()

    def write(self, lines, devices):
        listener = {"name": "l", "protocol": "mqtt", "address": "127.0.0.1", "port": self.port,
                    "allow_anonymous": True}
        self.file.write_text(json.dumps({"gateway": {"name": "plant1"}, "listeners": [listener], "lines": lines,
                                         "devices": devices}))

    def listen(self):
        for line in self.sub.stdout:
            topic, _, payload = line.rstrip("\n").partition(" ")
            with self.news:
                self.seen[topic] = (time.monotonic(), payload)
                self.news.notify_all()

    def await_(self, topic, condition, seconds=10):
        """The payload of `topic` once it fulfils the condition."""
        end = time.monotonic() + seconds
        with self.news:
            while True:
                payload = self.seen.get(topic, (0, ""))[1]
                if payload and condition(json.loads(payload)):
                    return json.loads(payload)
                assert self.news.wait(end - time.monotonic()), f"{topic} is {payload!r} after {seconds} s"

    def value(self, topic, value, seconds=10):
        return self.await_(topic, lambda p: p["value"] == value and p["quality"] == "good", seconds)

    def set(self, tag, payload):
        """Publish a command and wait for its result."""
        topic = f"plant1/m1/{tag}/set"
        with self.news:
            self.seen.pop(f"{topic}/result", None)
        subprocess.run(["mosquitto_pub", "-p", str(self.port), "-t", topic, "-m", payload, "-q", "1"], check=True)
        return self.await_(f"{topic}/result", lambda p: True)

    def stop(self):
        self.sub.kill()
        self.sub.wait()
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(10) == 0
        finally:
            self.process.kill()


@pytest.fixture
def device():
    d = Device()
    yield d
    d.kill()


@pytest.fixture
def gateway(lineside, tmp_path, device):
    running = []

    def start(tags, scan="200ms", **line):
        press = {"name": "press", "type": "modbus-tcp", "host": "127.0.0.1", "port": device.port, **line}
        m1 = {"name": "m1", "line": "press", "groups": [{"name": "g", "scan": scan}], "tags": tags}
        running.append(Gateway(lineside, tmp_path, [press], [m1]))
        return running[0]

    yield start
    for g in running:
        g.stop()


def registers(raw):
    return [raw[i] << 8 | raw[i + 1] for i in range(0, len(raw), 2)]


def in_order(raw, order):
    return bytes(raw["ABCDEFGH".index(letter)] for letter in order)


def example(kind, rng):
    """A value of this type and its bytes, the most significant first."""
    if kind.startswith("bcd"):
        digits = "".join(rng.choice("0123456789") for _ in range(int(kind[3:]) // 4))
        return int(digits), bytes.fromhex(digits)
    size = struct.calcsize(PACK[kind])
    while True:
        raw = rng.randbytes(size)
        value = struct.unpack(PACK[kind], raw)[0]
        if math.isfinite(value):
            return value, raw


def same(kind, published, value):
    return struct.pack(">f", published) == struct.pack(">f", value) if kind == "float32" else published == value


def test_every_type_and_order_is_read_right(device, gateway):
    rng = random.Random(7)
    tags, expected, address = [], {}, 0
    for kind in [*PACK, "bcd16", "bcd32"]:
        size = int("".join(c for c in kind if c.isdigit())) // 16
        for name, order in ORDERS[size].items():
            value, raw = example(kind, rng)
            device.write(address, registers(in_order(raw, order)))
            expected[f"{kind}_{name}"] = (kind, value)
            tags.append({"name": f"{kind}_{name}", "address": f"holding:{address}", "type": kind, "order": name})
            address += size
    extremes = {"int64": -(2**63), "uint64": 2**64 - 1, "int16": -(2**15), "uint32": 2**32 - 1}
    for kind, value in extremes.items():
        raw = struct.pack(PACK[kind], value)
        device.write(address, registers(raw))
        expected[f"{kind}_edge"] = (kind, value)
        tags.append({"name": f"{kind}_edge", "address": f"holding:{address}", "type": kind})
        address += len(raw) // 2
    g = gateway(tags)
    for name, (kind, value) in expected.items():
        got = g.await_(f"plant1/m1/{name}", lambda p: p["quality"] == "good")
        assert same(kind, got["value"], value), name


def test_bits_bytes_and_text_are_read_right(device, gateway):
    device.write(0, [0x8009, 0xFE7F])
    device.write(10, [0x6162, 0x6320, 0x2000])
    device.write(20, [0x6261, 0x0063])
    device.write(30, [0x00AB, 0xFF00])
    device.write(40, [0x7FC0, 0x0000])
    device.client.write_coils(5, [True, False], slave=1)
    cases = {
        "bit3": ({"address": "holding:0.3", "type": "bool"}, True),
        "bit4": ({"address": "holding:0.4", "type": "bool"}, False),
        "bit15": ({"address": "holding:0.15", "type": "bool"}, True),
        "low": ({"address": "holding:1", "type": "int8"}, 127),
        "high": ({"address": "holding:1", "type": "int8", "byte": "high"}, -2),
        "uhigh": ({"address": "holding:1", "type": "uint8", "byte": "high"}, 254),
        "coil5": ({"address": "coil:5", "type": "bool"}, True),
        "coil6": ({"address": "coil:6", "type": "bool"}, False),
        "text": ({"address": "holding:10", "type": "string", "length": 6}, "abc"),
        "swapped": ({"address": "holding:20", "type": "string", "length": 4, "order": "BA"}, "abc"),
        "bytes": ({"address": "holding:30", "type": "bytes", "length": 3}, "00abff"),
        "scaled": ({"address": "holding:30", "type": "int16", "scale": 0.1, "offset": -40}, -22.9),
    }
    g = gateway([{"name": name, **tag} for name, (tag, _) in cases.items()]
                + [{"name": "nan", "address": "holding:40", "type": "float32"}])
    for name, (_, value) in cases.items():
        g.value(f"plant1/m1/{name}", value)
    bad = g.await_("plant1/m1/nan", lambda p: True)
    assert (bad["value"], bad["quality"], bad["reason"]) == (None, "bad", "range")


def test_a_command_changes_the_register_and_the_result_comes_back(device, gateway):
    tags = [
        {"name": "limit", "address": "holding:30", "type": "int16", "access": "rw", "min": 0, "max": 500},
        {"name": "level", "address": "holding:31", "type": "float32", "order": "CDAB", "access": "rw"},
        {"name": "relay", "address": "coil:0", "type": "bool", "access": "rw"},
        {"name": "bit", "address": "holding:40.3", "type": "bool", "access": "rw"},
        {"name": "big", "address": "holding:50", "type": "uint64", "access": "rw"},
        {"name": "fixed", "address": "holding:60", "type": "int16"},
        {"name": "beyond", "address": "holding:1999", "type": "int32", "access": "rw"},
    ]
    device.write(40, [0x8001])
    g = gateway(tags)
    g.await_("plant1/m1/_status", lambda p: p["state"] == "online")
    before = time.time() * 1000
    result = g.set("limit", '{"value": 42, "id": "a1"}')
    assert abs(result.pop("ts") - before) < 5000
    assert result == {"id": "a1", "ok": True, "value": 42}
    assert device.read(30) == [42]
    g.value("plant1/m1/limit", 42)
    assert g.set("level", "23.5")["value"] == 23.5
    assert struct.pack(">HH", *reversed(device.read(31, 2))) == struct.pack(">f", 23.5)
    assert g.set("relay", "true")["ok"]
    assert device.client.read_coils(0, 1, slave=1).bits[0]
    assert g.set("bit", "true")["ok"]
    assert device.read(40) == [0x8009]
    assert g.set("big", "18446744073709551615")["value"] == 2**64 - 1
    assert device.read(50, 4) == [0xFFFF] * 4
    assert g.set("limit", "501")["error"] == "range"
    assert g.set("limit", '"x"')["error"] == "type"
    assert g.set("limit", "{")["error"] == "malformed"
    assert g.set("fixed", "1")["error"] == "read_only"
    assert g.set("nothing", "1")["error"] == "unknown_tag"
    result = g.set("beyond", '{"value":1,"id":"b"}')
    assert (result["id"], result["ok"], result["error"], result["exception"]) == ("b", False, "exception", 2)
    assert device.read(30) == [42]


def test_a_request_with_a_response_topic_is_answered_there(device, gateway):
    g = gateway([{"name": "limit", "address": "holding:30", "type": "int16", "access": "rw"}])
    g.await_("plant1/m1/_status", lambda p: p["state"] == "online")
    answers, ready = [], threading.Event()
    client = paho.Client(protocol=paho.MQTTv5)

    def message(_client, _data, m):
        answers.append((m.properties.CorrelationData, json.loads(m.payload)))
        ready.set()

    subscribed = threading.Event()
    client.on_message = message
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", g.port)
    client.loop_start()
    client.subscribe("answers/me", 1)
    assert subscribed.wait(10)
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = "answers/me"
    properties.CorrelationData = b"\x00\x01c7"
    client.publish("plant1/m1/limit/set", "7", qos=1, properties=properties)
    assert ready.wait(10)
    client.loop_stop()
    client.disconnect()
    assert answers[0][0] == b"\x00\x01c7"
    assert answers[0][1]["ok"] is True and answers[0][1]["value"] == 7
    assert device.read(30) == [7]
    assert "plant1/m1/limit/set/result" not in g.seen


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_device_that_dies_is_bad_in_time_and_good_again_in_time(device, gateway, how):
    scan, timeout, retries, first = 0.5, 0.5, 1, 5
    g = gateway([{"name": "x", "address": "holding:0", "type": "int16"},
                 {"name": "y", "address": "holding:500", "type": "int16"}],
                scan="500ms", timeout="500ms", retries=retries)
    g.value("plant1/m1/x", 0)
    g.value("plant1/m1/y", 0)
    died = time.monotonic()
    if how == "killed":
        device.kill()
    else:
        os.kill(device.process.pid, signal.SIGSTOP)
    for tag in "xy":
        got = g.await_(f"plant1/m1/{tag}", lambda p: p["quality"] == "bad")
        assert got["value"] is None
        assert got["reason"] == ("offline" if how == "killed" else "timeout")
    assert time.monotonic() - died < 2 * scan + timeout * (retries + 1) + 0.3
    g.await_("plant1/m1/_status", lambda p: p["state"] == "offline" and p["last_error"])
    time.sleep(1)
    if how == "killed":
        device.start()
    else:
        os.kill(device.process.pid, signal.SIGCONT)
    returned = time.monotonic()
    for tag in "xy":
        g.value(f"plant1/m1/{tag}", 0)
    assert time.monotonic() - returned < first
    g.await_("plant1/m1/_status", lambda p: p["state"] == "online")


def test_a_rack_moves_and_takes_commands(lineside, tmp_path):
    g = Gateway(lineside, tmp_path, [{"name": "rack", "type": "sim"}], [{"name": "m1", "line": "rack"}])
    try:
        first = g.await_("plant1/m1/ai3", lambda p: p["quality"] == "good")
        g.await_("plant1/m1/ai3", lambda p: p["value"] != first["value"])
        assert first["unit"] == "V"
        g.await_("plant1/m1/di0", lambda p: p["value"] is True)
        g.await_("plant1/m1/di0", lambda p: p["value"] is False)
        assert g.set("do1", "true")["ok"]
        g.value("plant1/m1/do1", True)
        assert g.set("di1", "true")["error"] == "read_only"
        assert g.await_("plant1/m1/ai0.mode", lambda p: True)["value"] == "0-10V"
    finally:
        g.stop()
