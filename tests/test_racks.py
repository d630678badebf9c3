"""I/O racks as MQTT clients see them: attributes, pulses, counters, broken wires, and a folder that looks like the system's."""

import shutil
import signal

import pytest
from test_field import Gateway

RACK = "plant1/m1/"


@pytest.fixture
def rack(lineside, tmp_path):
    made = []

    def make(modules, driver="sim", scan="50ms", **more):
        line = {"name": "rack", "type": "io", "driver": driver, "modules": modules, **more}
        device = {"name": "m1", "line": "rack", "groups": [{"name": "g", "scan": scan}]}
        made.append(Gateway(lineside, tmp_path, [line], [device]))
        made[-1].await_(RACK + "_status", lambda p: p["state"] == "online")
        return made[-1]

    yield make
    for g in made:
        g.stop()


def test_pulses_are_put_out_and_counted(rack):
    g = rack([{"kind": "do", "channels": 2, "pulse_on": "20ms", "pulse_off": "20ms"},
              {"kind": "di", "channels": 2, "signal": "loopback", "names": ["motor", "flow"]}])
    g.value(RACK + "flow.counter", 0)
    assert g.set("do1.pulse_count", "7")["ok"]
    assert g.set("do1.pulse", "true")["ok"]
    g.value(RACK + "flow.counter", 7)
    g.value(RACK + "do1.pulse", False)
    g.value(RACK + "do1", False)
    g.value(RACK + "do1.pulses_left", 0)
    g.value(RACK + "motor.counter", 0)
    assert g.set("flow.counter", "0")["ok"]
    g.value(RACK + "flow.counter", 0)
    assert g.set("do1.pulse_on", "0")["error"] == "range"
    assert g.set("do1.pulses_left", "1")["error"] == "read_only"


def test_a_counter_runs_over_and_its_flag_is_cleared(rack):
    g = rack([{"kind": "di", "signal": "loopback"}, {"kind": "do"}])
    assert g.set("di0.counter", str(2 ** 32 - 1))["ok"]
    g.value(RACK + "di0.counter", 2 ** 32 - 1)
    g.value(RACK + "di0.overflow", False)
    assert g.set("do0", "true")["ok"]
    g.value(RACK + "di0.overflow", True)
    g.value(RACK + "di0.counter", 0)
    assert g.set("di0.overflow_clear", "true")["ok"]
    g.value(RACK + "di0.overflow", False)


def test_extremes_begin_anew_when_they_are_told_to(rack):
    g = rack([{"kind": "ao", "mode": "+-10V"}, {"kind": "ai", "mode": "+-10V", "signal": "loopback"}])
    for value in (-4, 6, 1):
        assert g.set("ao0", str(value))["ok"]
        g.value(RACK + "ai0", value)
    g.value(RACK + "ai0.min", -4)
    g.value(RACK + "ai0.max", 6)
    assert g.set("ai0.reset_min", "true")["ok"]
    assert g.value(RACK + "ai0.min", 1)["unit"] == "V"
    assert g.set("ai0.reset", "true")["ok"]
    g.value(RACK + "ai0.max", 1)
    assert g.set("ao0", "10.5")["error"] == "range"


def test_a_wire_that_breaks_is_said_and_so_is_the_range(rack):
    g = rack([{"kind": "ao", "mode": "0-20mA"}, {"kind": "ai", "mode": "4-20mA-burnout", "signal": "loopback"}])
    steps = [(12, "good", None, 0), (3.7, "uncertain", "range", 3), (2, "bad", "range", 1), (12, "good", None, 0)]
    for value, quality, reason, status in steps:
        assert g.set("ao0", str(value))["ok"]
        got = g.await_(RACK + "ai0", lambda p: p["quality"] == quality)
        assert got.get("reason") == reason
        assert got["value"] == (None if quality == "bad" else value)
        g.value(RACK + "ai0.status", status)


def test_relays_count_and_a_disabled_input_has_no_value(rack):
    g = rack([{"kind": "relay"}, {"kind": "tc", "mode": "disabled"}, {"kind": "rtd", "signal": "constant", "low": 900}])
    for value in ("true", "false", "true"):
        assert g.set("relay0", value)["ok"]
    g.value(RACK + "relay0.total_count", 2)
    assert g.set("relay0.reset_count", "true")["ok"]
    g.value(RACK + "relay0.current_count", 0)
    g.value(RACK + "relay0.total_count", 2)
    assert g.await_(RACK + "tc0", lambda p: p["quality"] == "bad")["reason"] == "config"
    assert g.await_(RACK + "rtd0", lambda p: p["quality"] == "uncertain")["value"] == 900


def put(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_folder_like_the_systems_is_read_and_followed(rack, tmp_path):
    root = tmp_path / "machine"
    chips = root / "sys/class/hwmon"
    put(chips, "hwmon0/name", "coretemp\n")
    put(chips, "hwmon0/temp1_input", "45250\n")
    put(chips, "hwmon0/temp2_label", "Core 1\n")
    put(chips, "hwmon0/temp2_input", "50000\n")
    g = rack([{"kind": "ai", "device": "coretemp", "points": ["temp1", "Core 1"], "names": ["cpu", "core"]}],
             driver="hwmon", root=str(root), backoff={"first": "100ms", "max": "200ms"})
    assert g.value(RACK + "cpu", 45.25)["unit"] == "°C"
    g.value(RACK + "core", 50)
    g.value(RACK + "cpu.raw", 45250)
    (chips / "hwmon0/temp2_input").rename(chips / "away")  # one sensor goes: the other stays
    assert g.await_(RACK + "core", lambda p: p["quality"] == "bad")["reason"] == "offline"
    g.value(RACK + "core.status", 4)
    put(chips, "hwmon0/temp1_input", "46000\n")
    g.value(RACK + "cpu", 46)
    (chips / "away").rename(chips / "hwmon0/temp2_input")
    g.value(RACK + "core", 50)
    shutil.move(chips / "hwmon0", root / "unplugged")  # the chip goes
    status = g.await_(RACK + "_status", lambda p: p["state"] == "offline")
    assert "no chip is called \"coretemp\"" in status["last_error"]
    assert g.await_(RACK + "cpu", lambda p: p["quality"] == "bad")["reason"] == "offline"
    put(chips, "hwmon0/name", "another\n")
    put(chips, "hwmon0/temp1_input", "1000\n")
    shutil.move(root / "unplugged", chips / "hwmon1")  # and is back under another number
    g.value(RACK + "cpu", 46)
    g.await_(RACK + "_status", lambda p: p["state"] == "online")


def test_an_output_of_a_converter_is_written(rack, tmp_path):
    root = tmp_path / "machine"
    chip = "sys/bus/iio/devices/iio:device0/"
    put(root, chip + "name", "mcp4725\n")
    put(root, chip + "out_voltage0_raw", "0\n")
    put(root, chip + "out_voltage0_scale", "2.5\n")
    g = rack([{"kind": "ao", "device": "mcp4725", "points": ["voltage0"], "names": ["valve"], "mode": "0-10V"}],
             driver="iio", root=str(root))
    g.value(RACK + "valve", 0)
    assert g.set("valve", "5")["ok"]
    assert (root / chip / "out_voltage0_raw").read_text() == "2000\n"
    g.value(RACK + "valve", 5)
    g.value(RACK + "valve.raw", 2000)
    assert g.set("valve", "11")["error"] == "range"


def test_extremes_are_scaled_like_their_channel_also_after_a_reload(lineside, tmp_path):
    line = {"name": "rack", "type": "io", "driver": "sim", "modules": [
        {"kind": "ao", "mode": "4-20mA"}, {"kind": "ai", "mode": "4-20mA", "signal": "loopback"}]}
    devices = [{"name": "m1", "line": "rack", "groups": [{"name": "g", "scan": "50ms"}], "tags": [
        {"name": "valve", "address": "ao:0", "access": "rw", "scale": 6.25, "offset": -25, "unit": "%"},
        {"name": "level", "address": "ai:0", "scale": 0.5, "offset": -2, "unit": "m"}]}]
    g = Gateway(lineside, tmp_path, [line], devices)
    try:
        g.await_(RACK + "_status", lambda p: p["state"] == "online")
        for percent, metres in ((50, 4), (100, 8), (0, 0)):
            assert g.set("valve", str(percent))["ok"]
            g.value(RACK + "level", metres)
        assert g.set("valve", "101")["error"] == "range"
        assert g.value(RACK + "level.max", 8)["unit"] == "m"
        g.write([line], devices + [{"name": "m2", "line": "rack"}])
        g.process.send_signal(signal.SIGHUP)
        g.await_("plant1/m2/ai0", lambda p: p["quality"] == "good")
        assert g.set("level.reset", "true")["ok"]
        assert g.value(RACK + "level.max", 0)["unit"] == "m"
        assert g.set("valve", "50")["ok"]
        assert g.value(RACK + "level.max", 4)["unit"] == "m"
        assert g.value(RACK + "level.mode", "4-20mA").get("unit") is None
    finally:
        g.stop()
