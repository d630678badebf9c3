"""Modbus devices that nobody here wrote, and what tests of serial lines need beside them."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "modbus"


@contextmanager
def started(command, stdin):
    """A program that reads its registers and then says its port, 0 for a serial one."""
    process = subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        process.stdin.write(stdin)
        process.stdin.flush()
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def pymodbus_device(bits, registers, *arguments):
    """A context with the port of a pymodbus server; tests/modbus/pymodbus_device.py tells of the arguments."""
    bits = [int(b) for b in bits]
    given = json.dumps({"co": bits, "di": bits, "ir": registers, "hr": registers}) + "\n"
    return started([sys.executable, SOURCES / "pymodbus_device.py", *arguments], given)


def libmodbus_server(program, bits, registers, *arguments):
    """The same of libmodbus, with the program of the fixture libmodbus_device."""
    bits = [int(b) for b in bits]
    return started([program, *arguments], " ".join(map(str, [*bits, *bits, *registers, *registers])) + "\n")


def crc(frame):
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")
