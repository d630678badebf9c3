import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config):
    config.addinivalue_line("markers", "release: looks at the release build itself; left out with sanitizers")


@pytest.fixture(scope="session")
def lineside():
    """The program under test: build/lineside, or LINESIDE_BIN."""
    path = Path(os.environ.get("LINESIDE_BIN") or ROOT / "build" / "lineside")
    assert path.is_file(), f"{path} is not built: ./dev build"
    return path
