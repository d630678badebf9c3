"""`lineside modbus` on serial lines, with pseudo terminals as the wire and other people's masters and devices at its end."""

import os
import re
import select
import shutil
import socket
import subprocess
import threading
import tty
from contextlib import contextmanager

import pytest
import yaml
from modbus_devices import crc, pymodbus_device
from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.diag_message import ReturnBusExceptionErrorCountRequest
from pymodbus.framer.ascii_framer import ModbusAsciiFramer
from pymodbus.framer.rtu_framer import ModbusRtuFramer
from pymodbus.mei_message import ReadDeviceInformationRequest
from pymodbus.register_write_message import MaskWriteRegisterRequest

FRAMERS = {"rtu": ModbusRtuFramer, "ascii": ModbusAsciiFramer}


@contextmanager
def wire():
    """The paths of two ports that are joined."""
    pairs = [os.openpty(), os.openpty()]
    for _, port in pairs:
        tty.setraw(port)
    masters = [master for master, _ in pairs]
    stop, stopped = os.pipe()

    def carry():
        while True:
            ready, _, _ = select.select([*masters, stop], [], [])
            if stop in ready:
                return
            for end in ready:
                os.write(masters[1 - masters.index(end)], os.read(end, 4096))

    thread = threading.Thread(target=carry, daemon=True)
    thread.start()
    try:
        yield [os.ttyname(port) for _, port in pairs]
    finally:
        os.close(stopped)
        thread.join()
        for fd in [stop, *masters, *(port for _, port in pairs)]:
            os.close(fd)


@contextmanager
def running(command, ready):
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            if line.startswith(ready):
                process.ready = line
                break
        else:
            pytest.fail(process.communicate()[1])
        yield process
    finally:
        process.kill()
        process.communicate()


def serving(lineside, *args):
    return running([lineside, "modbus", "serve", *args], "listening on ")


def foreign_device(port, mode, unit):
    return pymodbus_device([0] * 100, list(range(1000, 1100)), mode, port, unit)


def modbus(lineside, *args):
    return subprocess.run([lineside, "modbus", *map(str, args)], capture_output=True, text=True, timeout=60)


# ---- our device, their master ----


@pytest.mark.parametrize("mode", ["rtu", "ascii"])
def test_pymodbus_masters_several_units_on_one_line(lineside, mode):
    with wire() as (ours, theirs), serving(lineside, ours, "-m", mode, "-a", "3,5-6", "-b", "9600"):
        client = ModbusSerialClient(theirs, framer=FRAMERS[mode], baudrate=9600, timeout=2)
        assert client.connect()
        for unit in 3, 5, 6:
            assert not client.write_registers(100, [unit, 7], slave=unit).isError()
        for unit in 3, 5, 6:
            assert client.read_holding_registers(100, 2, slave=unit).registers == [unit, 7]
        assert client.read_holding_registers(0, 125, slave=5).registers[30] == 300
        assert client.read_holding_registers(200, 1, slave=5).exception_code == 2
        # 22, 23, 43/14
        assert not client.execute(MaskWriteRegisterRequest(101, 0xFFF0, 0x0001, unit=5)).isError()
        both = client.readwrite_registers(
            read_address=100, read_count=2, write_address=100, write_registers=[9], slave=5, unit=5
        )
        assert both.registers == [9, 1]
        told = client.execute(ReadDeviceInformationRequest(read_code=2, object_id=0, unit=5)).information
        assert told[0] == b"Lineside" and told[4] == b"simulated power meter"
        client.close()


def test_mbpoll_masters_it(lineside):
    if not shutil.which("mbpoll"):
        pytest.skip("mbpoll is not installed")

    def mbpoll(*args):
        command = ["mbpoll", "-m", "rtu", "-b", "19200", "-P", "even", "-0", "-1", *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stdout + done.stderr
        return re.findall(r"^\[\d+\]:\s+(\S+)", done.stdout, re.MULTILINE)

    with wire() as (ours, theirs), serving(lineside, ours, "-a", "7,8"):
        mbpoll("-a", "7", "-t", "4", "-r", "100", theirs, "1", "2", "3")
        assert mbpoll("-a", "7", "-t", "4", "-r", "100", "-c", "3", theirs) == ["1", "2", "3"]
        assert mbpoll("-a", "8", "-t", "4", "-r", "100", "-c", "3", theirs) == ["0", "0", "0"]
        assert len(mbpoll("-a", "8", "-t", "3", "-r", "0", "-c", "100", theirs)) == 100


def test_what_it_counts_can_be_asked_for(lineside):
    with serving(lineside, "-p", "0") as device:
        client = ModbusTcpClient("127.0.0.1", port=int(device.ready.rsplit(":", 1)[1]))
        assert client.connect()
        assert list(client.diag_query_data(0x1234, slave=1).message) == [0x1234]
        assert client.read_holding_registers(9999, 1, slave=1).exception_code == 2
        assert list(client.execute(ReturnBusExceptionErrorCountRequest(unit=1)).message) == [1]
        assert client.diag_clear_counters(slave=1).exception_code == 1
        client.close()


# ---- our master, their device ----


@pytest.mark.parametrize("mode", ["rtu", "ascii"])
def test_a_foreign_device_on_a_line_is_read_and_written(lineside, mode):
    with wire() as (ours, theirs), foreign_device(theirs, mode, 9):
        line = [ours, "-m", mode, "-b", 9600, "-a", 9]
        done = modbus(lineside, "read", *line, "holding:3", "-c", "2")
        assert done.stdout == "holding:3\t1003\nholding:4\t1004\n", done.stderr
        assert modbus(lineside, "write", *line, "holding:3", "77", "78").returncode == 0
        assert modbus(lineside, "read", *line, "holding:4").stdout == "holding:4\t78\n"
        refused = modbus(lineside, "read", *line, "holding:5000")
        assert refused.returncode == 1 and "exception 2" in refused.stderr
        silent = modbus(lineside, "read", ours, "-m", mode, "-a", 10, "holding:0", "-W", "200ms")
        assert silent.returncode == 1
        assert "unit 10 gives no answer within 200 ms" in silent.stderr and "-P" in silent.stderr


def test_frames_of_a_serial_line_go_through_tcp(lineside):
    for mode in "rtu-over-tcp", "ascii-over-tcp":
        with serving(lineside, "-m", mode, "-p", "0", "-a", "4") as device:
            at = f"127.0.0.1:{device.ready.rsplit(':', 1)[1].strip()}"
            done = modbus(lineside, "read", at, "holding:30", "-m", mode, "-a", "4")
            assert done.stdout == "holding:30\t300\n", done.stderr
            if mode == "rtu-over-tcp":
                wrong = modbus(lineside, "read", at, "holding:30", "-a", "4", "-W", "300ms")
                assert wrong.returncode == 1


# ---- scan ----


def snippet(done):
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout[done.stdout.index("lines:") :])


def test_scan_finds_a_foreign_device_and_what_it_is(lineside):
    with wire() as (ours, theirs), foreign_device(theirs, "rtu", 9):
        done = modbus(lineside, "scan", ours, "-b", "9600", "-P", "none", "-a", "8-10")
        assert "unit 9 at " in done.stdout
        assert re.search(r"vendor name +Foreign Meters\n", done.stdout)
        found = snippet(done)
        (line,) = found["lines"]
        assert (line["type"], line["path"], line["baud"], line["parity"]) == ("modbus-rtu", ours, 9600, "none")
        (device,) = found["devices"]
        assert (device["line"], device["unit"]) == (line["name"], 9)
        assert "# Foreign Meters FM-7 2.1" in done.stdout


def test_scan_tries_each_speed_and_parity_and_finds_who_refuses(lineside):
    """A device that knows no function at all: its exception says that it is there. Which speed it is at cannot be told on a pty."""
    with wire() as (ours, theirs):
        port = os.open(theirs, os.O_RDWR | os.O_NOCTTY)
        asked = []

        def behave():
            got = b""
            while True:
                try:
                    got += os.read(port, 256)
                except OSError:
                    return
                while len(got) >= 8 and got[1] == 3:
                    request, got = got[:8], got[8:]
                    asked.append(request[0])
                    if request[0] == 2:
                        os.write(port, bytes.fromhex("028301") + crc(bytes.fromhex("028301")))
                if got[1:2] == b"\x2b":
                    got = b""

        threading.Thread(target=behave, daemon=True).start()
        done = modbus(lineside, "scan", ours, "-a", "1-3", "-b", "9600,19200", "-P", "even,none", "-W", "50ms")
        assert asked == [1, 2, 3] * 4
        assert re.findall(r"^unit 2 at \S+ at (.*)$", done.stdout, re.MULTILINE) == [
            "9600 8E1", "9600 8N1", "19200 8E1", "19200 8N1",
        ]  # fmt: skip
        assert done.stdout.count("it does not say what it is") == 4
        os.close(port)


def test_scan_behind_a_gateway_leaves_out_whom_it_answers_for(lineside, tmp_path):
    """Units that are not there are answered with exception 11; what is found is a configuration that is right."""
    with serving(lineside, "-p", "0", "-a", "3,17") as device:
        port = device.ready.rsplit(":", 1)[1].strip()
        done = modbus(lineside, "scan", f"127.0.0.1:{port}", "-a", "1-20")
        assert re.findall(r"^unit (\d+)", done.stdout, re.MULTILINE) == ["3", "17"]
        config = tmp_path / "found.yaml"
        config.write_text(done.stdout[done.stdout.index("lines:") :])
        checked = subprocess.run([lineside, "check", "-c", config], capture_output=True, text=True, timeout=10)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_scan_says_when_nobody_answers_and_when_nobody_can(lineside):
    with wire() as (ours, _):
        done = modbus(lineside, "scan", ours, "-a", "1-2", "-W", "20ms")
        assert (done.returncode, done.stdout) == (1, "")
        assert "nobody answers" in done.stderr and "-P even,none" in done.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = modbus(lineside, "scan", f"127.0.0.1:{port}")
    assert done.returncode == 1 and "cannot connect" in done.stderr
    done = modbus(lineside, "scan", "/dev/there-is-none")
    assert done.returncode == 1 and "/dev/there-is-none" in done.stderr


@contextmanager
def tcp_gateway(answer):
    """A place that takes connections one after the other, and sends answer(request) where that is not empty."""

    def take():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connections.append(1)
                while request := connection.recv(260):
                    connection.sendall(answer(request))

    connections = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname()[1], connections
        server.shutdown(socket.SHUT_RDWR)


def test_scan_goes_on_behind_a_gateway_that_is_silent_for_those_that_are_not_there(lineside):
    def answer(request):
        return request[:4] + b"\0\3" + request[6:7] + bytes([request[7] | 0x80, 2]) if request[6] == 40 else b""

    with tcp_gateway(answer) as (port, connections):
        done = modbus(lineside, "scan", f"127.0.0.1:{port}", "-a", "1-40", "-W", "20ms")
        assert re.findall(r"^unit (\d+)", done.stdout, re.MULTILINE) == ["40"], done.stderr
        assert done.returncode == 0
        assert len(connections) > 1, "nobody gave the connection up, so this shows nothing"


def test_scan_of_what_is_no_modbus_ends_at_once(lineside):
    with tcp_gateway(lambda request: b"HTTP/1.1 400 Bad Request\r\n\r\n") as (port, _):
        done = modbus(lineside, "scan", f"127.0.0.1:{port}", "-W", "2s")
        assert (done.returncode, done.stdout) == (1, "")
        assert "Is this a Modbus/TCP device?" in done.stderr and "-m rtu-over-tcp" in done.stderr


def test_scan_tells_of_answers_that_cannot_be_read(lineside):
    with wire() as (ours, theirs):
        port = os.open(theirs, os.O_RDWR | os.O_NOCTTY)

        def behave():
            while True:
                try:
                    os.read(port, 256)
                    os.write(port, b"\x01\x03\x02\x00\x07\x00\x00")
                except OSError:
                    return

        threading.Thread(target=behave, daemon=True).start()
        done = modbus(lineside, "scan", ours, "-a", "1", "-W", "300ms")
        assert done.returncode == 1
        assert "unit 1: something answers that cannot be read" in done.stdout
        os.close(port)


@pytest.mark.parametrize(
    "args, text",
    [
        (["scan"], "HOST is missing"),
        (["scan", "h", "x"], "one argument too many"),
        (["scan", "h", "-a", "5-3"], "1,3,5-9"),
        (["scan", "h", "-a", "256"], "0 to 255"),
        (["scan", "/dev/x", "-b", "9600,"], "9600,19200"),
        (["scan", "/dev/x", "-P", "even,odd,none,even"], "even,none"),
        (["scan", "/dev/x", "-p", "502"], "--port is for TCP"),
        (["scan", "h", "-b", "9600"], "--baud is for serial lines"),
        (["scan", "h", "-m", "rtu-over-tcp", "--rs485"], "--rs485 is for serial ports"),
        (["read", "/dev/x", "holding:0", "-b", "9600,19200"], "a number from 50"),
        (["read", "/dev/x", "holding:0", "-b", "10"], "a number from 50"),
        (["read", "/dev/x", "holding:0", "-P", "mark"], "even, odd or none"),
        (["read", "/dev/x", "holding:0", "-d", "9"], "7 or 8"),
        (["read", "/dev/x", "holding:0", "-s", "3"], "1 or 2"),
        (["read", "h", "holding:0", "-m", "udp"], "rtu-over-tcp"),
        (["serve", "-m", "rtu"], "PATH of the serial port is missing"),
        (["serve", "/dev/x", "y"], "one argument too many"),
        (["serve", "-a", "1-"], "1,3,5-9"),
    ],
)
def test_wrong_arguments_are_explained_with_status_2(lineside, args, text):
    done = modbus(lineside, *args)
    assert done.returncode == 2 and done.stdout == ""
    assert text in done.stderr
