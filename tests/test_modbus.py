"""`lineside modbus` against devices and masters that nobody here wrote: pymodbus, libmodbus, mbpoll."""

import json
import math
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest
from modbus_devices import libmodbus_server, pymodbus_device
from pymodbus.client import ModbusTcpClient

SIZE = 200  # registers and bits of a device
SCRATCH = 150  # first one that nothing is read from

LONG = {"ABCD": "ABCDEFGH", "CDAB": "GHEFCDAB", "BADC": "BADCFEHG", "DCBA": "HGFEDCBA"}
ORDERS = {1: ["AB", "BA"], 2: list(LONG), 4: list(LONG) + list(LONG.values())}
NUMBERS = {  # type: (struct letter, registers, values)
    "int16": (">h", 1, [-2, 32767]),
    "uint16": (">H", 1, [0x1234]),
    "int32": (">i", 2, [-123456789]),
    "uint32": (">I", 2, [0xFEDCBA98]),
    "int64": (">q", 4, [-9007199254740993]),
    "uint64": (">Q", 4, [0xFFFFFFFFFFFFFFFE]),
    "float32": (">f", 2, [230.5]),
    "float64": (">d", 4, [-1.1]),
    "bcd16": (None, 1, [9876]),
    "bcd32": (None, 2, [12345678]),
}


def registers(data):
    data += b"\0" * (len(data) % 2)
    return list(struct.unpack(f">{len(data) // 2}H", data))


def numbers():
    """(arguments of read and write, value, registers), the registers put in order letter by letter."""
    for kind, (letter, nregs, values) in NUMBERS.items():
        for order in ORDERS[nregs]:
            for value in values:
                big = struct.pack(letter, value) if letter else bytes.fromhex(f"{value:0{4 * nregs}d}")
                letters = LONG.get(order, order) if nregs == 4 else order
                yield ["-t", kind, "-o", order], value, registers(bytes(big[ord(c) - 65] for c in letters))


def cases():
    yield from numbers()
    yield ["-t", "int8"], -3, [0x12FD]
    yield ["-t", "uint8"], 0xFD, [0x12FD]
    yield ["-t", "int8", "--high"], -3, [0xFD12]
    yield ["-t", "uint8", "--high"], 0xFD, [0xFD12]
    yield ["-t", "string", "-l", "6"], "Meter", registers(b"Meter")
    yield ["-t", "string", "-l", "6", "-o", "BA"], "Meter", registers(b"eMet\0r")
    yield ["-t", "string", "-l", "5"], "Meter", registers(b"Meter")
    yield ["-t", "string", "-l", "5"], "°C", registers("°C".encode())[:2] + [0]
    yield ["-t", "bytes", "-l", "4"], "00ff2000", registers(b"\x00\xff\x20\x00")
    yield ["-t", "bytes", "-l", "4", "-o", "BA"], "00ff2000", registers(b"\xff\x00\x00\x20")


def layout():
    at = 0
    for args, value, regs in cases():
        if at + len(regs) > SCRATCH:
            at = 0  # the rest is another device's
        yield at, args, value, regs
        at += len(regs)


def contents():
    """Registers of the devices that together hold all cases, and what is where."""
    devices, at_last = [], SIZE
    for at, args, value, regs in layout():
        if at < at_last:
            devices.append(([0] * SIZE, []))
        at_last = at
        devices[-1][0][at : at + len(regs)] = regs
        devices[-1][1].append((at, args, value, regs))
    return devices


BITS = [i % 3 == 0 for i in range(SIZE)]


@pytest.fixture(params=["pymodbus", "libmodbus"])
def device(request):
    """device(registers): a context that gives the port of a device with them as input and holding registers."""

    def start(regs):
        if request.param == "pymodbus":
            return pymodbus_device(BITS, regs)
        return libmodbus_server(request.getfixturevalue("libmodbus_device"), BITS, regs)

    return start


def modbus(lineside, *args):
    return subprocess.run([lineside, "modbus", *map(str, args)], capture_output=True, text=True, timeout=30)


def values(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["value"] for line in done.stdout.splitlines()]


@contextmanager
def serving(lineside, *args):
    """`lineside modbus serve` at a free port."""
    process = subprocess.Popen(
        [lineside, "modbus", "serve", "-p", "0", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        told = []
        for line in process.stdout:
            told.append(line)
            if line.startswith("listening on "):
                break
        process.map = "".join(told)
        process.port = int(told[-1].rsplit(":", 1)[1])
        yield process
        if process.poll() is None:
            process.terminate()
            out, err = process.communicate(timeout=10)
            assert (process.returncode, out, err) == (0, "", "")
    finally:
        process.kill()
        process.communicate()


@contextmanager
def fake_device(behave):
    """A TCP server that calls behave(connection) for each connection in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=behave, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


# ---- our master, their device ----


@pytest.mark.parametrize("area", ["holding", "input"])
def test_every_type_and_order_is_read(lineside, device, area):
    faults = []
    for regs, held in contents():
        with device(regs) as port:
            for at, args, value, _ in held:
                done = modbus(lineside, "read", f"127.0.0.1:{port}", f"{area}:{at}", "--json", *args)
                if done.returncode or json.loads(done.stdout)["value"] != value:
                    faults.append((args, value, done.stdout, done.stderr))
    assert faults == []


def test_every_type_and_order_is_written(lineside, device):
    faults = []
    with device([0] * SIZE) as port:
        client = ModbusTcpClient("127.0.0.1", port=port)
        for at, args, value, regs in layout():
            # All bits of the registers are set before: what is not the value's own must stay so.
            if not client.connect() or client.write_registers(at, [0xFFFF] * len(regs), slave=1).isError():
                pytest.fail("the peer does not take registers")
            client.close()
            done = modbus(lineside, "write", f"127.0.0.1:{port}", f"holding:{at}", value, *args)
            back = modbus(lineside, "read", f"127.0.0.1:{port}", f"holding:{at}", "--json", *args)
            client.connect()
            got = client.read_holding_registers(at, len(regs), slave=1).registers
            client.close()
            if "int8" in args[1]:
                regs = [r | (0x00FF if "--high" in args else 0xFF00) for r in regs]
            if args[:4] == ["-t", "string", "-l", "5"]:
                regs = regs[:-1] + [regs[-1] | 0x00FF]
            if done.returncode or got != regs or values(back) != [value]:
                faults.append((args, value, got, regs, done.stderr))
    assert faults == []


def test_bits_are_read_and_written(lineside, device):
    with device([0b1000] + [0] * (SIZE - 1)) as port:
        at = f"127.0.0.1:{port}"
        for area in ("coil", "discrete"):
            assert values(modbus(lineside, "read", at, f"{area}:0", "-c", SIZE, "--json")) == BITS
        assert [values(modbus(lineside, "read", at, f"holding:0.{i}", "--json"))[0] for i in range(5)] == [
            False, False, False, True, False,
        ]  # fmt: skip
        assert modbus(lineside, "write", at, "coil:1", "on").returncode == 0
        assert modbus(lineside, "write", at, "coil:3", 0, "true", "off", 1).returncode == 0
        assert values(modbus(lineside, "read", at, "coil:0", "-c", 7, "--json")) == [
            True, True, False, False, True, False, True,
        ]  # fmt: skip
        assert modbus(lineside, "write", at, "holding:0.15", 1).returncode == 0
        assert modbus(lineside, "write", at, "holding:0.3", 0).returncode == 0
        assert values(modbus(lineside, "read", at, "holding:0", "--json")) == [0x8000]


def test_more_than_one_request_brings_is_read_in_parts(lineside, device):
    with device(list(range(SIZE))) as port:
        done = modbus(lineside, "read", f"127.0.0.1:{port}", "holding:0", "-c", SIZE, "--json")
        assert values(done) == list(range(SIZE))
        done = modbus(lineside, "read", f"127.0.0.1:{port}", "holding:1", "-t", "uint32", "-c", 99)
        expected = [f"holding:{a}\t{a * 65536 + a + 1}" for a in range(1, 198, 2)]
        assert done.stdout.splitlines() == expected


def test_addresses_may_be_written_as_in_manuals(lineside, device):
    with device([0] * SIZE) as port:
        wrote = modbus(lineside, "write", f"127.0.0.1:{port}", "400061", "1234")
        assert wrote.returncode == 0, wrote.stderr
        for address in ("40061", "400061", "holding:60"):
            assert modbus(lineside, "read", f"127.0.0.1:{port}", address).stdout == "holding:60\t1234\n"


def test_exceptions_are_named_with_advice(lineside, device):
    with device([0] * SIZE) as port:
        done = modbus(lineside, "read", f"127.0.0.1:{port}", f"holding:{SIZE}")
        assert done.returncode == 1 and done.stdout == ""
        assert "exception 2, illegal data address" in done.stderr and "count from 0" in done.stderr


def test_nan_and_infinity_are_null_in_json(lineside, device):
    with device(registers(struct.pack(">ff", math.nan, -math.inf)) + [0] * (SIZE - 4)) as port:
        args = ["read", f"127.0.0.1:{port}", "holding:0", "-t", "float32", "-c", 2]
        assert values(modbus(lineside, *args, "--json")) == [None, None]
        assert [line.split("\t")[1] for line in modbus(lineside, *args).stdout.splitlines()] == ["nan", "-inf"]


def test_a_register_that_is_no_bcd_is_said_so(lineside, device):
    with device([0x12AB] + [0] * (SIZE - 1)) as port:
        done = modbus(lineside, "read", f"127.0.0.1:{port}", "holding:0", "-t", "bcd16")
        assert done.returncode == 1 and "0x12ab holds no bcd16" in done.stderr


# ---- devices that do not answer as they should ----


def test_a_dead_device_is_named_with_advice(lineside):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        done = modbus(lineside, "read", f"127.0.0.1:{free.getsockname()[1]}", "holding:0")
    assert done.returncode == 1 and "cannot connect" in done.stderr and "port (-p)" in done.stderr


def test_a_slow_device_needs_a_longer_timeout(lineside):
    def slowly(connection):
        request = connection.recv(260)
        time.sleep(0.5)
        connection.sendall(request[:4] + b"\0\5" + request[6:8] + b"\2\0\x2a")
        connection.recv(260)

    with fake_device(slowly) as port:
        done = modbus(lineside, "read", f"127.0.0.1:{port}", "holding:0", "-W", "100ms")
        assert done.returncode == 1
        assert "unit 1 gives no answer within 100 ms" in done.stderr and "(-W)" in done.stderr
        done = modbus(lineside, "read", f"127.0.0.1:{port}", "holding:0", "-W", "20s")
        assert done.stdout == "holding:0\t42\n"


@pytest.mark.parametrize(
    "behave, text",
    [
        (lambda c: c.close(), "closed the connection"),
        (lambda c: (c.recv(260), c.sendall(b"HTTP/1.1 400 Bad Request\r\n"), c.recv(260)), "Is this a Modbus/TCP device?"),
    ],
)
def test_a_device_that_is_none_is_said_so(lineside, behave, text):
    with fake_device(behave) as port:
        done = modbus(lineside, "read", f"127.0.0.1:{port}", "holding:0", "-W", "20s")
        assert done.returncode == 1 and text in done.stderr


def test_answers_in_pieces_are_put_together(lineside):
    def in_pieces(connection):
        request = connection.recv(260)
        for byte in request[:4] + b"\0\5" + request[6:8] + b"\2\0\x2a":
            connection.sendall(bytes([byte]))
            time.sleep(0.005)
        connection.recv(260)

    with fake_device(in_pieces) as port:
        assert modbus(lineside, "read", f"127.0.0.1:{port}", "holding:0", "-W", "20s").stdout == "holding:0\t42\n"


def test_reading_again_goes_on_when_the_device_fails_between(lineside):
    connections = []

    def first_fails(connection):
        connections.append(connection)
        if len(connections) == 1:
            connection.recv(260)
            connection.close()
            return
        while request := connection.recv(260):
            connection.sendall(request[:4] + b"\0\5" + request[6:8] + b"\2\0\x2a")

    with fake_device(first_fails) as port:
        process = subprocess.Popen(
            [lineside, "modbus", "read", f"127.0.0.1:{port}", "holding:0", "-i", "10ms", "-W", "20s"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert [process.stdout.readline() for _ in range(3)] == ["holding:0\t42\n"] * 3
        finally:
            process.kill()
        assert "closed the connection" in process.communicate()[1]


# ---- our device, their master ----


def test_mbpoll_reads_and_writes_the_simulated_device(lineside):
    if not shutil.which("mbpoll"):
        pytest.skip("mbpoll is not installed")

    def mbpoll(*args):
        command = ["mbpoll", "-m", "tcp", "-p", str(device.port), "-0", "-1", *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stdout + done.stderr
        return re.findall(r"^\[\d+\]:\s+(\S+)", done.stdout, re.MULTILINE)

    with serving(lineside) as device:
        (volts,) = mbpoll("-t", "4:float", "-B", "-r", "0", "127.0.0.1")
        assert 220 < float(volts) < 240
        assert mbpoll("-t", "0", "-r", "0", "127.0.0.1") == ["1"]
        mbpoll("-t", "4", "-r", "100", "127.0.0.1", "7", "8", "9")
        assert mbpoll("-t", "4", "-r", "100", "-c", "3", "127.0.0.1") == ["7", "8", "9"]
        assert len(mbpoll("-t", "1", "-r", "0", "-c", "8", "127.0.0.1")) == 8
        assert len(mbpoll("-t", "3", "-r", "0", "-c", "100", "127.0.0.1")) == 100


def test_pymodbus_meets_the_map_and_the_exceptions(lineside):
    with serving(lineside, "-a", "5") as device:
        client = ModbusTcpClient("127.0.0.1", port=device.port)
        assert client.connect()
        regs = client.read_holding_registers(0, 31, slave=5).registers
        assert 220 < struct.unpack(">f", struct.pack(">2H", *regs[:2]))[0] < 240
        assert struct.pack(">8H", *regs[20:28]).rstrip(b"\0") == b"LINESIDE-SIM-01"
        assert regs[30] == 300
        assert client.write_register(30, 500, slave=5).isError() is False
        assert client.read_holding_registers(30, 1, slave=0).registers == [500]
        expected = {
            1: client.read_exception_status(slave=5),
            2: client.read_holding_registers(200, 1, slave=5),
            3: client.write_register(30, 501, slave=5),
            11: client.read_holding_registers(0, 1, slave=6),
        }
        assert {code: answer.exception_code for code, answer in expected.items()} == {code: code for code in expected}
        assert client.write_register(0, 1, slave=5).exception_code == 2
        assert client.write_coils(0, [False] * 16, slave=5).isError() is False
        assert client.read_coils(0, 16, slave=5).bits == [False] * 16
        client.close()


def test_the_simulated_device_moves_and_its_relay_works(lineside):
    with serving(lineside) as device:
        at = f"127.0.0.1:{device.port}"

        def read(address, kind):
            return values(modbus(lineside, "read", at, address, "-t", kind, "--json"))[0]

        def wait_for(condition):
            until = time.monotonic() + 20
            while not condition():
                assert time.monotonic() < until
                time.sleep(0.02)

        first = read("input:0", "float32"), read("holding:16", "uint64")
        wait_for(lambda: read("input:0", "float32") != first[0])
        assert read("holding:16", "uint64") > first[1]
        assert read("holding:2", "float32") > 0
        assert modbus(lineside, "write", at, "coil:0", "off").returncode == 0
        wait_for(lambda: read("holding:2", "float32") == 0)
        assert values(modbus(lineside, "read", at, "holding:7.0", "--json")) == [False]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_serve_stops_at_a_signal_with_status_0(lineside, how):
    with serving(lineside) as device:
        client = socket.create_connection(("127.0.0.1", device.port))
        device.send_signal(how)
        assert device.wait(timeout=10) == 0
        client.close()


def test_the_map_is_printed_at_the_start_and_in_help(lineside):
    with serving(lineside) as device:
        described = [line for line in device.map.splitlines() if line.startswith("  ")]
    assert len(described) > 15
    assert set(described) <= set(modbus(lineside, "serve", "--help").stdout.splitlines())


def test_a_port_in_use_is_said_so(lineside):
    with serving(lineside) as device:
        done = modbus(lineside, "serve", "-p", device.port)
        assert done.returncode == 1 and "Address already in use" in done.stderr and "-p PORT" in done.stderr


# ---- arguments ----


@pytest.mark.parametrize(
    "args, text",
    [
        ([], "read, write, serve, scan, map and trace"),
        (["scna"], 'no command "scna"'),
        (["read"], "HOST is missing"),
        (["read", "h"], "ADDRESS is missing"),
        (["read", "h", "holdin:0"], "areas are coil, discrete, input and holding"),
        (["read", "h", "holding"], "area:number"),
        (["read", "h", "holding:65536"], "0 to 65535"),
        (["read", "h", "holding:0.16"], "bits from 0 to 15"),
        (["read", "h", "coil:0.1"], "area:number"),
        (["read", "h", "holding:0", "-t", "float"], "float64"),
        (["read", "h", "holding:0", "-o", "ABDC"], "GHEFCDAB"),
        (["read", "h", "holding:0", "-t", "float32", "-o", "BA"], "does not fit type float32"),
        (["read", "h", "holding:0", "-t", "string"], "length"),
        (["read", "h", "holding:0", "-l", "3"], "not for uint16"),
        (["read", "h", "holding:0", "--high"], "not for uint16"),
        (["read", "h", "holding:0", "-t", "bool"], "holding:0.0"),
        (["read", "h", "coil:0", "-t", "int16"], "only be bool"),
        (["read", "h", "holding:65535", "-t", "int32"], "end of the area"),
        (["read", "h", "holding:0.1", "-c", "2"], "stands alone"),
        (["read", "h", "holding:0", "-c", "0"], "1 to 65536"),
        (["read", "h", "holding:0", "-a", "256"], "0 to 255"),
        (["read", "h", "holding:0", "-p", "70000"], "65535"),
        (["read", "h:0", "holding:0"], 'host "h:0"'),
        (["read", "h", "holding:0", "-W", "fast"], "500ms"),
        (["read", "h", "holding:0", "-x"], 'no option "-x"'),
        (["read", "h", "holding:0", "-t"], "TYPE"),
        (["read", "h", "holding:0", "--json=1"], "takes no argument"),
        (["read", "h", "holding:0", "5"], "one argument too many"),
        (["write", "h", "holding:0"], "VALUE is missing"),
        (["write", "h", "input:0", "1"], "only coils and holding"),
        (["write", "h", "holding:0", "65536"], "does not fit type uint16"),
        (["write", "h", "holding:0", "-1"], "does not fit type uint16"),
        (["write", "h", "holding:0", "1.5"], "no value of type uint16"),
        (["write", "h", "holding:0", "-t", "bytes", "-l", "2", "abc"], "no value of type bytes"),
        (["write", "h", "holding:0", "-t", "bytes", "-l", "2", "abcdef"], "does not fit 2 bytes"),
        (["write", "h", "holding:0", *["1"] * 124], "123 at most"),
        (["serve", "x"], "one argument too many"),
        (["serve", "-p", "65536"], "65535"),
        (["serve", "--registers", "65437"], "65436"),
    ],
)
def test_wrong_arguments_are_explained_with_status_2(lineside, args, text):
    done = modbus(lineside, *args)
    assert done.returncode == 2 and done.stdout == ""
    assert text in done.stderr
