import os
import signal
import subprocess
from pathlib import Path

import pytest

from gateway import Gateway
from modbus_devices import SOURCES
from mqtt_clients import unique
from rawmqtt import V5, Raw

TEST_LIMIT_S = 300
ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config):
    config.addinivalue_line("markers", "release: looks at the release build itself; left out with sanitizers")
    config.addinivalue_line("markers", "covers(version, *clauses): normative statements of MQTT, see conformance.py")


@pytest.fixture(scope="session")
def lineside():
    """The program under test: build/lineside, or LINESIDE_BIN."""
    path = Path(os.environ.get("LINESIDE_BIN") or ROOT / "build" / "lineside")
    assert path.is_file(), f"{path} is not built: ./dev build"
    return path


@pytest.fixture(scope="session")
def libmodbus_device(tmp_path_factory):
    """The program of tests/modbus/libmodbus_device.c."""
    program = tmp_path_factory.mktemp("libmodbus") / "device"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libmodbus"], capture_output=True, text=True, check=True)
    subprocess.run(["gcc", SOURCES / "libmodbus_device.c", "-o", program, *flags.stdout.split()], check=True)
    return program


@pytest.fixture(autouse=True)
def limit():
    """No test hangs the whole run."""

    def too_long(*_):
        raise TimeoutError(f"not done after {TEST_LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(TEST_LIMIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module", params=[1, 3], ids=["one worker", "three workers"])
def gw(request):
    """A running gateway, with each number of workers; a test file may have one of its own."""
    with Gateway(workers=request.param) as g:
        yield g


@pytest.fixture
def client(gw):
    """client(version=..., **connect arguments): connections, byte by byte, that end with the test."""
    opened = []

    def make(client_id=None, version=V5, **kw):
        c = Raw(gw.port, version)
        opened.append(c)
        return c.connect(client_id or unique("raw"), **kw)

    yield make
    for c in opened:
        c.close()
