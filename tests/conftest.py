import os
import signal
from pathlib import Path

import pytest

TEST_LIMIT_S = 300
ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config):
    config.addinivalue_line("markers", "release: looks at the release build itself; left out with sanitizers")


@pytest.fixture(scope="session")
def lineside():
    """The program under test: build/lineside, or LINESIDE_BIN."""
    path = Path(os.environ.get("LINESIDE_BIN") or ROOT / "build" / "lineside")
    assert path.is_file(), f"{path} is not built: ./dev build"
    return path


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
