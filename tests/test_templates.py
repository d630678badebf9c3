"""The built-in device templates, read from simulated devices whose registers are written here by hand."""

import json
import struct
import subprocess
import sys

import pytest
import yaml
from test_field import Gateway, free_port, wait_for_port


def f32(value):
    return list(struct.unpack(">2H", struct.pack(">f", value)))


def i32(value):
    return list(struct.unpack(">2H", struct.pack(">i", value)))


def u64(value):
    return list(struct.unpack(">4H", struct.pack(">Q", value)))


def text(value, registers):
    raw = value.encode().ljust(2 * registers, b"\0")
    return list(struct.unpack(f">{registers}H", raw))


# Template: parameters; registers, coils and discrete inputs by address; tags with the value that a person with the maker's document
# would expect (None: bad).
DEVICES = {
    "eastron-sdm630": ({}, {"input": {0: f32(230.5), 2: f32(231.25), 4: f32(229.75), 6: f32(10.5), 12: f32(2400.0), 18: f32(2500.5), 24: f32(-120.5), 30: f32(0.96875),
                                      52: f32(7200.5), 70: f32(50.0), 72: f32(12345.5), 74: f32(12.5), 76: f32(400.25), 78: f32(3.0), 342: f32(12358.0)}},
                       {"voltage_l1": 230.5, "voltage_l2": 231.25, "voltage_l3": 229.75, "current_l1": 10.5, "power_l1": 2400, "apparent_power_l1": 2500.5,
                        "reactive_power_l1": -120.5, "power_factor_l1": 0.96875, "power": 7200.5, "frequency": 50, "energy_import": 12345.5, "energy_export": 12.5,
                        "energy_reactive_import": 400.25, "energy_reactive_export": 3, "energy_total": 12358}),
    "schneider-iem3000": ({}, {"holding": {49: text("iEM3155", 20), 129: [0x0001, 0xE240], 1844: [26, 0x0B16, 0x0A1E, 5000], 2999: f32(5.5), 3001: f32(6.5), 3003: f32(7.5),
                                           3019: f32(400.5), 3027: f32(230.5), 3029: f32(231.5), 3031: f32(232.5), 3053: f32(1.25), 3059: f32(4.5), 3109: f32(49.96875),
                                           3203: u64(123456789), 3207: u64(42)}},
                          {"model": "iEM3155", "serial": 123456, "clock": "2026-11-22T10:30:05Z", "current_l1": 5.5, "current_l2": 6.5, "current_l3": 7.5, "voltage_l1_l2": 400.5,
                           "voltage_l1": 230.5, "voltage_l2": 231.5, "voltage_l3": 232.5, "power_l1": 1.25, "power": 4.5, "frequency": 49.96875, "energy_import": 123456789,
                           "energy_export": 42}),
    "abb-b23": ({}, {"holding": {0x5000: u64(1234567), 0x5004: u64(89), 0x5008: u64(2**64 - 150), 0x5B00: [0, 2305], 0x5B02: [0xFFFF, 0xFFFF], 0x5B04: [0, 2299], 0x5B06: [0, 3991],
                                 0x5B0C: [0, 1025], 0x5B14: i32(-123456), 0x5B16: i32(50000), 0x5B18: [0x7FFF, 0xFFFF], 0x5B2C: [4998]}},
                {"energy_import": 12345.67, "energy_export": 0.89, "energy_net": -1.5, "voltage_l1": 230.5, "voltage_l2": None, "voltage_l3": 229.9, "voltage_l1_l2": 399.1,
                 "current_l1": 10.25, "power": -1234.56, "power_l1": 500, "power_l2": None, "frequency": 49.98}),
    "sunspec-inverter": ({"common": 40000, "inverter": 40069},
                         {"holding": {40000: [0x5375, 0x6E53, 1, 65], 40004: text("SolarEdge", 16), 40020: text("SE10K", 16), 40044: text("4.18.34", 8), 40052: text("7E1A2B3C", 16),
                                      40069: [103, 50, 1450, 483, 484, 0xFFFF, 0xFFFE, 4001, 4002, 4003, 2301, 2302, 2303, 0xFFFF, 10005, 0, 49987, 0xFFFD, 10050, 0, 0xFF38, 0,
                                              9950, 0xFFFE, 0x0012, 0xD687, 0, 137, 0xFFFE, 7501, 0xFFFF, 1020, 1, 0x8000, 4512, 0x8000, 0x8000, 0xFFFE, 4, 0, 0, 5]}},
                         {"manufacturer": "SolarEdge", "model": "SE10K", "version": "4.18.34", "serial": "7E1A2B3C", "model_id": "three phase", "current": 14.5, "current_a": 4.83,
                          "current_b": 4.84, "current_c": None, "voltage_ab": 400.1, "voltage_a": 230.1, "voltage_c": 230.3, "power": 10005, "frequency": 49.987, "apparent_power": 10050,
                          "reactive_power": -200, "power_factor": 99.5, "energy": 1234567, "dc_current": 1.37, "dc_voltage": 750.1, "dc_power": 10200, "cabinet_temperature": None,
                          "heat_sink_temperature": 45.12, "state": "mppt", "events": 5}),
    "waveshare-relay-8ch": ({}, {"coil": {0: [1, 0, 0, 0, 0, 0, 0, 1]}, "discrete": {0: [0, 1, 0, 0, 0, 0, 1, 0]}},
                            {"relay1": True, "relay2": False, "relay8": True, "input1": False, "input2": True, "input7": True, "input8": False}),
    "eurotherm-3200": ({"scale": 0.1}, {"holding": {1: [2215, 2200, 500, 505, 2200], 273: [0]}},
                       {"temperature": 221.5, "target_setpoint": 220, "manual_output": 50, "output": 50.5, "setpoint": 220, "mode": "auto"}),
}

SERVER = """
import json, sys
from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartTcpServer

blocks = {}
for area in ("discrete", "coil", "holding", "input"):
    values = [0] * 65536
    for at, those in json.loads(sys.argv[2]).get(area, {}).items():
        values[int(at):int(at) + len(those)] = those
    blocks[area] = ModbusSequentialDataBlock(0, values)
unit = ModbusSlaveContext(di=blocks["discrete"], co=blocks["coil"], hr=blocks["holding"], ir=blocks["input"], zero_mode=True)
StartTcpServer(context=ModbusServerContext(slaves={1: unit}, single=False), address=("127.0.0.1", int(sys.argv[1])), allow_reuse_address=True)
"""


def names(lineside):
    listed = subprocess.run([lineside, "templates"], capture_output=True, text=True, check=True, timeout=10).stdout
    return [line for line in listed.splitlines() if line and not line.startswith(" ")]


def test_each_built_in_template_has_a_simulated_device_here(lineside):
    assert sorted(DEVICES) == names(lineside)
    assert len(DEVICES) >= 6


@pytest.mark.parametrize("name", DEVICES)
def test_complaint_11_a_template_reads_its_device(lineside, tmp_path, name):
    parameters, areas, expected = DEVICES[name]
    port = free_port()
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(port), json.dumps(areas)])
    try:
        wait_for_port(port)
        m1 = {"name": "m1", "line": "press", "template": name} | ({"parameters": parameters} if parameters else {})
        g = Gateway(lineside, tmp_path, [{"name": "press", "type": "modbus-tcp", "host": "127.0.0.1", "port": port}], [m1])
        try:
            for tag, value in expected.items():
                got = g.await_(f"plant1/m1/{tag}", lambda p: True)
                assert got["value"] == (pytest.approx(value, rel=1e-7) if isinstance(value, float) else value), tag
                assert got["quality"] == ("bad" if value is None else "good"), tag
        finally:
            g.stop()
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("name", DEVICES)
def test_a_template_names_its_source_and_can_be_copied(lineside, tmp_path, name):
    shown = subprocess.run([lineside, "templates", "show", name], capture_output=True, text=True, check=True, timeout=10).stdout
    template = yaml.safe_load(shown)
    assert template["name"] == name and len(template["source"]) > 20
    config = {"lines": [{"name": "l", "type": "modbus-tcp", "host": "h"}], "templates": [template | {"name": "mine"}],
              "devices": [{"name": "d", "line": "l", "template": "mine"}, {"name": "e", "line": "l", "template": name}]}
    path = tmp_path / "copied.yaml"
    path.write_text(yaml.safe_dump(config))
    done = subprocess.run([lineside, "check", "-c", path], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stdout
    assert f"tags: {2 * len(template['tags'])}" in done.stdout


def test_a_template_that_is_not_there_is_said_with_the_nearest(lineside, tmp_path):
    done = subprocess.run([lineside, "templates", "show", "nothing"], capture_output=True, text=True, timeout=10)
    assert done.returncode == 1 and "lists them" in done.stderr
    path = tmp_path / "f.yaml"
    path.write_text("lines: [{name: l, type: modbus-tcp, host: h}]\ndevices: [{name: d, line: l, template: abb-b24}]\n")
    done = subprocess.run([lineside, "check", "-c", path], capture_output=True, text=True, timeout=10)
    assert done.returncode == 1 and 'did you mean "abb-b23"?' in done.stdout
