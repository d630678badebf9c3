"""Starts and stops a gateway under test.

    with Gateway(workers=2) as gw:                 # one anonymous mqtt listener on 127.0.0.1
        client.connect("127.0.0.1", gw.port)

    with Gateway({"lines": [...], "devices": [...]}) as gw: ...

The configuration is a dict with the keys of a user's YAML file; what it leaves out of `broker` and `listeners` is
filled in. Leaving the block sends SIGTERM and asserts that the program ends with status 0 and that no sanitizer has
written a report; after an exception inside the block the log is printed, so that pytest shows it.

LINESIDE_BIN    the program, by default build/lineside beside this folder
LINESIDE_PEER   "mosquitto": the tests run against Debian's mosquitto, to find out whether a test itself is right
"""

import copy
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

HOST = "127.0.0.1"
START_S = 20
STOP_S = 20
REPORT = re.compile(r"(ERROR|WARNING): \w*Sanitizer|runtime error: |SUMMARY: \w*Sanitizer|Assertion .* failed")


def binary():
    """The program under test; fails when it isn't there."""
    path = Path(os.environ.get("LINESIDE_BIN") or Path(__file__).resolve().parent.parent / "build" / "lineside")
    assert os.access(path, os.X_OK), f"{path} is not there: build it, or name it in LINESIDE_BIN"
    return str(path.resolve())


def peer():
    """The stand-in broker that was asked for, or None."""
    return os.environ.get("LINESIDE_PEER") or None


def free_port():
    """A TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


def wait_until(what, condition, timeout=10.0, every=0.01):
    """Ask condition() until it returns something true, and return that; AssertionError after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        got = condition()
        if got:
            return got
        assert time.monotonic() < end, f"{timeout:g} s passed without: {what}"
        time.sleep(every)


def can_connect(port):
    try:
        socket.create_connection((HOST, port), timeout=1).close()
        return True
    except OSError:
        return False


class Gateway:
    """One gateway process in a directory of its own.

    port         of the first listener
    config       the dict as it was written to config_path
    dir          scratch directory, gone after stop(); its control socket is control.sock there
    """

    def __init__(self, config=None, workers=None, port=None, binary_path=None, env=None):
        self.dir = Path(tempfile.mkdtemp(prefix="lineside-test-"))
        self.config_path = self.dir / "gateway.yaml"
        self.log_path = self.dir / "log"
        self.binary_path = binary_path
        self.env = env or {}
        self.fixed_port = port
        self.wanted = copy.deepcopy(config or {})
        if workers is not None:
            # with several workers, tests want them all in use by the first few clients
            self.wanted.setdefault("broker", {}).update(workers=workers, spread_after=0)
        self.process = None
        self.port = None

    # -- life --

    def start(self):
        """Write the configuration, start the program and wait until all its listeners accept."""
        for last in (False, False, True):
            self._write(self._complete(self.wanted))
            self._spawn()
            try:
                self._wait_ready()
                return self
            except AssertionError:
                self.kill()
                # Somebody else may have taken a port between our look and the bind: try others.
                if last or self.fixed_port or "in use" not in self.log():
                    print(self.log())
                    raise
        return self

    def stop(self):
        """SIGTERM, and what a clean end looks like. Does nothing when it was stopped already."""
        if self.process is None:
            return
        process, self.process = self.process, None
        early = process.poll()
        if early is None:
            process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise AssertionError(f"still running {STOP_S} s after SIGTERM\n{self.log()}") from None
        log = self.log()
        assert early is None, f"ended by itself with status {early}\n{log}"
        assert status == 0, f"status {status} after SIGTERM\n{log}"
        found = REPORT.search(log)
        assert not found, f"a report in the log: {found.group(0)}\n{log}"

    def kill(self):
        """SIGKILL, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def reload(self, config=None):
        """Replace the configuration, if one is given, and send SIGHUP. Returns at once."""
        if config is not None:
            self.wanted = copy.deepcopy(config)
            self._write(self._complete(self.wanted, self.config["listeners"]))
        self.process.send_signal(signal.SIGHUP)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.kill()
            shutil.rmtree(self.dir, ignore_errors=True)
            raise

    def __exit__(self, kind, value, trace):
        try:
            if kind is not None:
                print(self.log())
            self.stop()
        except AssertionError:
            if kind is None:
                raise
        finally:
            self.kill()
            shutil.rmtree(self.dir, ignore_errors=True)

    # -- what it says --

    @property
    def pid(self):
        return self.process.pid

    def resident(self, what="VmRSS"):
        """Bytes of memory it has now; with "VmHWM", the most that it had so far."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(rf"^{what}:\s+(\d+) kB$", status, re.MULTILINE).group(1)) * 1024

    def log(self):
        """All that it wrote to stdout and stderr so far."""
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def wait_log(self, pattern, timeout=10.0):
        """Wait for a regular expression in the log; returns the match."""
        return wait_until(f"/{pattern}/ in the log", lambda: re.search(pattern, self.log()), timeout)

    # -- inside --

    def _complete(self, wanted, listeners=None):
        config = copy.deepcopy(wanted)
        if listeners is None:
            listeners = config.get("listeners") or [{"name": "local", "protocol": "mqtt", "allow_anonymous": True}]
            for each in listeners:
                each.setdefault("address", HOST)
                each.setdefault("port", self.fixed_port or free_port())
        config["listeners"] = listeners
        # beside the file: gateways of other tests run at the same time
        config.setdefault("gateway", {}).setdefault("control_socket", "control.sock")
        return config

    def _write(self, config):
        self.config = config
        self.port = config["listeners"][0]["port"]
        if peer() == "mosquitto":
            self.config_path.write_text(
                "log_dest stderr\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nset_tcp_nodelay true\n"
                + "".join(f"listener {x['port']} {x['address']}\n" for x in config["listeners"]))
            return
        # JSON is YAML: no writer of our own is needed. Written beside and renamed, so that nobody reads half.
        beside = self.config_path.with_suffix(".new")
        beside.write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n")
        beside.rename(self.config_path)

    def _spawn(self):
        if peer() == "mosquitto":
            command = ["/usr/sbin/mosquitto", "-c", str(self.config_path)]
        else:
            command = [self.binary_path or binary(), "serve", "-c", str(self.config_path)]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                                            env={**os.environ, **self.env})

    def _wait_ready(self):
        ports = [x["port"] for x in self.config["listeners"]]

        def ready():
            status = self.process.poll()
            assert status is None, f"ended with status {status} instead of starting\n{self.log()}"
            return all(can_connect(port) for port in ports)

        wait_until("all listeners accept", ready, START_S)
