"""Values of a device as an independent decoder sees them: Python's struct and datetime, and pymodbus for the registers."""

import json
import random
import struct
import subprocess
from datetime import datetime, timezone

import pytest
from test_field import ORDERS, PACK, device, example, gateway, in_order, registers, same  # noqa: F401 (fixtures)

ONLINE = ("plant1/m1/_status", lambda p: p["state"] == "online")
MOMENT = datetime(2026, 11, 22, 10, 30, 5, tzinfo=timezone.utc)
# Each type: the registers of MOMENT, most significant byte first.
DATES = {
    "unix32": struct.pack(">I", int(MOMENT.timestamp())),
    "unix64": struct.pack(">Q", int(MOMENT.timestamp())),
    "unix64ms": struct.pack(">Q", int(MOMENT.timestamp()) * 1000),
    "datetime3": bytes([26, 11, 22, 10, 30, 5]),
    "datetime3bcd": bytes.fromhex("261122103005"),
    "datetime4": struct.pack(">HBBBBH", 26, 11, 22, 10, 30, 5000),
    "datetime6": struct.pack(">6H", 2026, 11, 22, 10, 30, 5),
    "datetime7": struct.pack(">7H", 2026, 11, 22, 10, 30, 5, 0),
}


def in_switched_order(raw, order):
    """ABCD, CDAB, BADC, DCBA for any number of registers: swap in each, reverse their row."""
    words = [raw[i:i + 2] for i in range(0, len(raw), 2)]
    if order in ("BADC", "DCBA"):
        words = [w[::-1] for w in words]
    return b"".join(words[::-1] if order in ("CDAB", "DCBA") else words)


def test_complaint_6_every_type_is_written_in_every_order_as_it_is_read(device, gateway):  # noqa: F811
    rng = random.Random(11)
    tags, cases, address = [], {}, 0
    for kind in [*PACK, "bcd16", "bcd32"]:
        size = int("".join(c for c in kind if c.isdigit())) // 16
        for name, order in ORDERS[size].items():
            value, raw = example(kind, rng)
            cases[f"{kind}_{name}"] = (kind, value, address, registers(in_order(raw, order)))
            tags.append({"name": f"{kind}_{name}", "address": f"holding:{address}", "type": kind, "order": name, "access": "rw"})
            address += size
    g = gateway(tags)
    g.await_(*ONLINE)
    for name, (kind, value, at, expected) in cases.items():
        result = g.set(name, repr(value))
        assert result["ok"], (name, result)
        assert same(kind, result["value"], value), name
        assert device.read(at, len(expected)) == expected, name
        g.await_(f"plant1/m1/{name}", lambda p, k=kind, v=value: p["quality"] == "good" and same(k, p["value"], v))


def test_complaint_6_the_order_of_a_device_and_of_its_texts(device, lineside, tmp_path):  # noqa: F811
    from test_field import Gateway

    device.write(0, registers(in_order(struct.pack(">f", 230.1), "CDAB")))
    device.write(2, registers(in_order(struct.pack(">q", -5), "GHEFCDAB")))
    device.write(6, registers(b"eMet1r"))
    m1 = {"name": "m1", "line": "press", "order": "CDAB", "string_order": "BA", "tags": [
        {"name": "volt", "address": "40001", "type": "float32"},
        {"name": "energy", "address": "1!400003", "type": "int64"},
        {"name": "name", "address": "1!400007.6", "type": "string"},
        {"name": "plain", "address": "1!400001#LL", "type": "uint32"}]}
    g = Gateway(lineside, tmp_path, [{"name": "press", "type": "modbus-tcp", "host": "127.0.0.1", "port": device.port}], [m1])
    try:
        assert same("float32", g.await_("plant1/m1/volt", lambda p: p["quality"] == "good")["value"], 230.1)
        g.value("plant1/m1/energy", -5)
        g.value("plant1/m1/name", "Meter1")
        g.value("plant1/m1/plain", struct.unpack(">I", in_order(struct.pack(">f", 230.1), "CDAB"))[0])
    finally:
        g.stop()


def test_date_times_are_read_and_written_in_every_order(device, gateway):  # noqa: F811
    tags, expected, address = [], {}, 0
    for kind, raw in DATES.items():
        for order in ("ABCD", "CDAB", "BADC", "DCBA"):
            expected[f"{kind}_{order}"] = (address, registers(in_switched_order(raw, order)))
            device.write(address, expected[f"{kind}_{order}"][1])
            tags.append({"name": f"{kind}_{order}", "address": f"holding:{address}", "type": kind, "order": order, "access": "rw"})
            address += len(raw) // 2
    device.write(address, [0xFFFF] * 4)
    g = gateway([*tags, {"name": "none", "address": f"holding:{address}", "type": "datetime4"}])
    for name in expected:
        g.value(f"plant1/m1/{name}", "2026-11-22T10:30:05Z")
    got = g.await_("plant1/m1/none", lambda p: True)
    assert (got["value"], got["quality"], got["reason"]) == (None, "bad", "range")
    for name, (at, regs) in expected.items():
        device.write(at, [0] * len(regs))
        assert g.set(name, '"2026-11-22T12:30:05+02:00"')["value"] == "2026-11-22T10:30:05Z"
        assert device.read(at, len(regs)) == regs, name
    assert g.set("datetime6_ABCD", '"2026-11-31T10:30:05Z"')["error"] == "range"
    assert g.set("datetime6_ABCD", '"today"')["error"] == "type"
    assert g.set("datetime6_ABCD", "5")["error"] == "type"


def test_bit_fields_are_read_and_written_beside_each_other(device, gateway):  # noqa: F811
    rng = random.Random(3)
    tags, fields, address = [], [], 0
    for kind, width in (("uint16", 16), ("int16", 16), ("uint32", 32), ("int32", 32), ("uint64", 64)):
        for order in ("ABCD", "CDAB", "BADC", "DCBA"):
            cuts = sorted({0, width, *(rng.randrange(width) for _ in range(3))})
            number = rng.getrandbits(width)
            device.write(address, registers(in_switched_order(number.to_bytes(width // 8, "big"), order)))
            for low, high in zip(cuts, cuts[1:]):
                name = f"{kind}_{order}_{low}"
                fields.append((name, kind, order, address, width, low, high - low))
                tags.append({"name": name, "address": f"holding:{address}.{low}", "type": kind, "order": order, "bits": high - low, "access": "rw"})
            address += width // 16
    g = gateway(tags)

    def whole(order, at, width):
        raw = b"".join(r.to_bytes(2, "big") for r in device.read(at, width // 16))
        return int.from_bytes(in_switched_order(raw, order), "big")  # each order is its own inverse

    def part(number, kind, low, bits):
        value = number >> low & (1 << bits) - 1
        return value - (1 << bits) if kind.startswith("int") and value >> bits - 1 else value

    for name, kind, order, at, width, low, bits in fields:
        g.value(f"plant1/m1/{name}", part(whole(order, at, width), kind, low, bits))
    for name, kind, order, at, width, low, bits in fields:
        before = whole(order, at, width)
        value = part(rng.getrandbits(64), kind, 0, bits)
        assert g.set(name, str(value))["ok"], name
        after = whole(order, at, width)
        mask = (1 << bits) - 1 << low
        assert after & ~mask == before & ~mask, "its neighbours stay"
        assert part(after, kind, low, bits) == value
        if not kind.startswith("int") and bits < 64:
            assert g.set(name, str(1 << bits))["error"] == "range"


def test_a_map_is_read_written_and_clamped(device, gateway):  # noqa: F811
    current = {"raw": [4000, 20000], "value": [0, 250]}
    device.write(0, [12000, 3900, 21000, 0])
    g = gateway([
        {"name": "mid", "address": "holding:0", "type": "uint16", "map": current, "access": "rw", "unit": "bar"},
        {"name": "low", "address": "holding:1", "type": "uint16", "map": {**current, "clamp": True}},
        {"name": "high", "address": "holding:2", "type": "uint16", "map": {**current, "clamp": True}, "access": "rw"},
        {"name": "under", "address": "holding:1", "type": "uint16", "map": current}])
    g.value("plant1/m1/mid", 125)
    g.value("plant1/m1/low", 0)
    g.value("plant1/m1/high", 250)
    g.value("plant1/m1/under", -1.5625)
    for value in (0, 0.1, 62.5, 100, 249.99, 250):
        assert g.set("mid", str(value))["ok"]
        assert device.read(0) == [round(4000 + value * 64)]
    assert g.set("mid", "300")["ok"], "without clamp, whatever the register holds"
    assert device.read(0) == [23200]
    result = g.set("high", "300")
    assert (result["error"], result["text"]) == ("range", "outside the map, 0 to 250")
    assert g.set("mid", "1000")["error"] == "range"


def test_an_enumeration_is_text_and_takes_text_or_number(device, gateway):  # noqa: F811
    device.write(0, [1, 0b0110_0000, 7])
    states = {"0": "stopped", "1": "running", "7": "fault"}
    g = gateway([
        {"name": "state", "address": "holding:0", "type": "uint16", "enum": states, "access": "rw"},
        {"name": "mode", "address": "holding:1.5", "type": "uint16", "bits": 2, "enum": {"0": "off", "3": "auto"}, "access": "rw"},
        {"name": "lock", "address": "coil:0", "enum": {"0": "open", "1": "closed"}, "access": "rw"},
        {"name": "alarm", "address": "holding:2", "type": "int16", "enum": {"0": "none"}}])
    g.value("plant1/m1/state", "running")
    g.value("plant1/m1/mode", "auto")
    g.value("plant1/m1/lock", "open")
    got = g.await_("plant1/m1/alarm", lambda p: p["quality"] != "bad")
    assert (got["value"], got["quality"], got["reason"]) == (7, "uncertain", "range")
    assert g.set("state", '"fault"')["value"] == "fault"
    assert device.read(0) == [7]
    assert g.set("state", "0")["value"] == "stopped"
    assert device.read(0) == [0]
    g.value("plant1/m1/state", "stopped")
    assert g.set("mode", '"off"')["value"] == "off"
    assert device.read(1) == [0]
    assert g.set("lock", '"closed"')["ok"]
    assert device.client.read_coils(0, 1, slave=1).bits[0]
    assert g.set("lock", "false")["value"] == "open"
    assert g.set("state", '"flying"')["error"] == "range"
    assert g.set("state", "2")["error"] == "range"
    assert g.set("state", "1.5")["error"] == "type"


def test_a_scale_in_a_register_moves_with_its_value(device, gateway):  # noqa: F811
    device.write(0, [2301, 0xFFFF, 0x8000])
    g = gateway([
        {"name": "volt", "address": "holding:0", "type": "uint16", "scale_tag": "volt_sf", "access": "rw", "invalid": 65535},
        {"name": "volt_sf", "address": "holding:1", "type": "int16"},
        {"name": "none", "address": "holding:2", "type": "int16", "invalid": -32768, "scale_tag": "volt_sf"}])
    g.value("plant1/m1/volt", 230.1)
    assert g.await_("plant1/m1/none", lambda p: True)["quality"] == "bad"
    device.write(0, [23012, 0xFFFE])
    g.value("plant1/m1/volt", 230.12)
    assert g.set("volt", "229.5")["value"] == 229.5
    assert device.read(0) == [22950]
    device.write(0, [23, 1])
    g.value("plant1/m1/volt", 230)
    device.write(0, [23, 0x8000])
    got = g.await_("plant1/m1/volt", lambda p: p["quality"] == "bad")
    assert (got["value"], got["reason"]) == (None, "range")
    assert g.set("volt", "1")["error"] == "range"
    device.write(0, [0xFFFF, 0])
    assert g.await_("plant1/m1/volt", lambda p: p["quality"] == "bad")["reason"] == "range"


def test_the_tool_reads_and_writes_date_times(device, lineside):  # noqa: F811
    target = ["-p", str(device.port), "127.0.0.1"]
    done = subprocess.run([lineside, "modbus", "write", "-t", "datetime4", *target, "holding:0", "2026-11-22T10:30:05Z"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert device.read(0, 4) == registers(DATES["datetime4"])
    done = subprocess.run([lineside, "modbus", "read", "-t", "datetime4", "--json", *target, "holding:0"], capture_output=True, text=True, timeout=20)
    assert json.loads(done.stdout)["value"] == "2026-11-22T10:30:05Z", done.stderr


def test_complaint_6_the_tool_shows_registers_in_every_order(device, lineside):  # noqa: F811
    value = struct.pack(">f", 230.125)
    for order in ("ABCD", "CDAB", "BADC", "DCBA"):
        device.write(0, registers(in_switched_order(value, order)))
        done = subprocess.run([lineside, "modbus", "read", "127.0.0.1", "-p", str(device.port), "holding:0", "--all-orders"], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[2:]}
        columns = done.stdout.splitlines()[1].split()
        assert rows["float32"][columns.index(order)] == "230.125", done.stdout
    device.write(0, registers(b"Me"))
    device.write(1998, registers(b"eMet"))
    done = subprocess.run([lineside, "modbus", "read", "127.0.0.1", "-p", str(device.port), "holding:1998", "--all-orders"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and "string  BA  Mete" in done.stdout, "two registers are there, not four"
    done = subprocess.run([lineside, "modbus", "read", "127.0.0.1", "-p", str(device.port), "coil:0", "--all-orders"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
