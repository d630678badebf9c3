"""`lineside status`: what a running gateway tells over its control socket."""

import json
import os
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from gateway import Gateway, wait_until
from rawmqtt import V5, Raw

FIELD = {
    "lines": [{"name": "r", "type": "sim"}, {"name": "none", "type": "modbus-tcp", "host": "127.0.0.1", "port": 1,
                                            "backoff": {"first": "1h", "max": "1h"}}],
    "devices": [{"name": "rack", "line": "r"},
                {"name": "gone", "line": "none", "tags": [{"name": "t", "address": "coil:0"}]}],
}


def run(lineside, *args, **kw):
    return subprocess.run([lineside, "status", *map(str, args)], capture_output=True, text=True, timeout=30, **kw)


def ask(lineside, gw):
    done = run(lineside, "-c", gw.config_path, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


def until(lineside, gw, what, condition):
    """The first answer for which the condition holds."""
    def asked():
        answer = ask(lineside, gw)
        return answer if condition(answer) else None

    return wait_until(what, asked)


@pytest.fixture(scope="module")
def gw():
    with Gateway({"gateway": {"name": "plant"}, **FIELD}, workers=2) as g:
        yield g


def test_json_tells_what_clients_did(lineside, gw):
    before = until(lineside, gw, "both devices known", lambda a: {d["state"] for d in a["devices"]} == {"online", "offline"})
    with Raw(gw.port, V5) as a, Raw(gw.port, V5) as b:
        a.connect("a").subscribe("x/+", "$share/g/y")
        b.connect("b")
        for _ in range(10):
            b.publish("x/1", b"12345", qos=1)
        b.publish("kept", b"123", qos=1, retain=True)
        a.messages(10)
        now = ask(lineside, gw)
    assert (now["gateway"], now["state"], now["pid"], now["config"]) == ("plant", "running", gw.pid, str(gw.config_path))
    assert now["clients"]["connected"] == 2 and now["clients"]["sessions"] == 2 and now["clients"]["maximum"] == 2
    assert (now["subscriptions"], now["shared_subscriptions"]) == (1, 1)
    assert now["retained"]["messages"] >= before["retained"]["messages"] + 1
    assert sum(w["messages_received"] for w in now["workers"]) == 11
    assert sum(w["messages_sent"] for w in now["workers"]) == 10
    assert sum(w["connections"] for w in now["workers"]) == 2
    assert now["counters"]["messages_sent"] - before["counters"]["messages_sent"] == 10
    assert set(now["dropped"].values()) == {0}
    assert now["listeners"] == [{"name": "local", "protocol": "mqtt", "address": "127.0.0.1", "port": gw.port}]
    assert 0 < now["memory"]["resident_bytes"] <= now["memory"]["resident_maximum_bytes"]
    assert 0 < now["memory"]["clients_bytes"] < now["memory"]["limit_bytes"]


def test_json_tells_how_lines_and_devices_do(lineside, gw):
    now = until(lineside, gw, "both devices known", lambda a: {d["state"] for d in a["devices"]} == {"online", "offline"})
    lines = {x["name"]: x for x in now["lines"]}
    devices = {x["name"]: x for x in now["devices"]}
    assert (lines["r"]["state"], lines["r"]["devices"], lines["r"]["online"]) == ("online", 1, 1)
    assert (lines["none"]["state"], lines["none"]["online"]) == ("offline", 0)
    assert devices["rack"]["state"] == "online" and devices["rack"]["ok"] > 0 and devices["rack"]["last_error"] is None
    assert devices["gone"]["line"] == "none" and "no connection to 127.0.0.1:1" in devices["gone"]["last_error"]


def test_text_is_for_people(lineside, gw):
    until(lineside, gw, "a device is offline", lambda a: any(d["state"] == "offline" for d in a["devices"]))
    done = run(lineside, "--socket", gw.dir / "control.sock")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Gateway        plant, running for 00:0")
    assert f"Listeners      local: mqtt on 127.0.0.1:{gw.port}" in lines
    assert "Dropped        none" in lines
    assert any(line.split()[:3] == ["gone", "none", "offline"] for line in lines)


def test_drops_are_told_by_cause(lineside):
    with Gateway({"broker": {"workers": 1, "max_queued_messages": 3}}) as gw:
        with Raw(gw.port, V5) as c:
            c.connect("away", SESSION_EXPIRY=100).subscribe("q", qos=1)
            c.disconnect()
        with Raw(gw.port, V5) as c:
            c.connect("b")
            for _ in range(5):
                c.publish("q", b"12345", qos=1)
            assert ask(lineside, gw)["dropped"]["queue_full"] == 2
            assert ask(lineside, gw)["queued"] == {"messages": 3, "payload_bytes": 15}
            assert "Dropped        queue_full 2" in run(lineside, "-c", gw.config_path).stdout


def test_watch_goes_on_until_the_gateway_is_gone(lineside):
    with Gateway() as gw:
        watch = subprocess.Popen([lineside, "status", "-c", gw.config_path, "--json", "--watch", "0.1"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        first, second = (json.loads(watch.stdout.readline()) for _ in range(2))
        assert first["pid"] == second["pid"] == gw.pid
        gw.stop()
        assert watch.wait(20) == 1
        assert watch.stderr.read().startswith("lineside status: ")
        watch.stdout.close()
        watch.stderr.close()


def test_without_a_gateway_it_says_what_to_do(lineside, tmp_path):
    file = tmp_path / "g.json"
    file.write_text(json.dumps({"gateway": {"control_socket": "c.sock"}, "listeners": [
        {"name": "l", "protocol": "mqtt", "address": "127.0.0.1", "port": 0, "allow_anonymous": True}]}))
    done = run(lineside, "-c", file)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (f"lineside status: no gateway answers at {tmp_path}/c.sock; "
                           f"start one with \"lineside serve -c {file}\"\n")
    done = run(lineside, "-s", tmp_path / "other")
    assert done.returncode == 1 and "start one with \"lineside serve\"\n" in done.stderr
    file.write_text("{")
    done = run(lineside, "-c", file)
    assert done.returncode == 1 and "not JSON" in done.stderr and "--socket" in done.stderr


@pytest.mark.parametrize("args", [["-x"], ["x"], ["--watch", "nan"], ["--watch", "0"], ["--watch", "1s"], ["-c", "a", "-s", "b"],
                                  ["--watch"]])
def test_wrong_arguments(lineside, args):
    done = run(lineside, *args)
    assert done.returncode == 2 and done.stdout == "" and "--help" in done.stderr


def test_what_answers_is_no_gateway(lineside, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def serve():
            for answer in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"[]\n", b'{"error":"busy, ask again"}\n'):
                c, _ = server.accept()
                c.recv(100)
                c.sendall(answer)
                c.close()

        thread = threading.Thread(target=serve)
        thread.start()
        for words in ("is no gateway", "is no gateway", "is no gateway", "busy, ask again"):
            done = run(lineside, "-s", path)
            assert done.returncode == 1 and done.stdout == "" and words in done.stderr
        thread.join()


# ---- the socket ----

def test_the_socket_is_for_its_user_and_goes_with_the_gateway(lineside):
    with Gateway() as gw:
        path = gw.dir / "control.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        gw.stop()
        assert not path.exists()


def test_a_socket_that_a_crash_left_is_replaced(lineside):
    with Gateway() as gw:
        gw.kill()
        assert (gw.dir / "control.sock").exists()
        gw.start()
        assert ask(lineside, gw)["pid"] == gw.pid


def test_a_configured_socket_in_use_ends_the_start(lineside, tmp_path):
    with Gateway() as gw:
        file = tmp_path / "second.json"
        file.write_text(json.dumps({**gw.config, "gateway": {"control_socket": str(gw.dir / "control.sock")},
                                    "listeners": [{**gw.config["listeners"][0], "port": 0}]}))
        done = subprocess.run([lineside, "serve", "-c", file], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1
        assert f"control socket {gw.dir}/control.sock: another gateway that runs answers there" in done.stderr
        assert ask(lineside, gw)["pid"] == gw.pid


class OfUser(Gateway):
    """A gateway whose control socket is where it is by default, for a user who is not root."""

    def _complete(self, wanted, listeners=None):
        config = super()._complete(wanted, listeners)
        del config["gateway"]["control_socket"]
        return config

    def _spawn(self):
        os.chmod(self.dir, 0o755)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([self.binary_path, "serve", "-c", str(self.config_path), "-l", "info"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                                            env={**os.environ, **self.env}, user=USER if os.geteuid() == 0 else None)


USER = 65534  # nobody


@pytest.fixture
def mine(lineside, tmp_path_factory):
    """Environment and copies for USER: a program and folder that it may use."""
    folder = tmp_path_factory.mktemp("run")
    program = folder / "lineside"
    program.write_bytes(lineside.read_bytes())
    program.chmod(0o755)
    for each in (folder, *folder.parents[:-2]):
        os.chmod(each, 0o755)
    runtime = folder / "runtime"
    runtime.mkdir(0o700)
    if os.geteuid() == 0:
        os.chown(runtime, USER, USER)
    return str(program), {"XDG_RUNTIME_DIR": str(runtime)}


def test_by_default_it_is_found_by_user_and_name_and_the_second_goes_without(mine):
    program, env = mine
    config = {"gateway": {"name": "mine"}}
    path = Path(env["XDG_RUNTIME_DIR"]) / "lineside" / "mine.sock"
    with OfUser(config, binary_path=program, env=env) as first:
        first.wait_log(f"control socket {path}")
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        done = run(program, "-c", first.config_path, "--json", env={**os.environ, **env}, user=USER if os.geteuid() == 0 else None)
        assert done.returncode == 0 and json.loads(done.stdout)["pid"] == first.pid
        with OfUser(config, binary_path=program, env=env) as second:
            second.wait_log("warning daemon: no control socket, .*mine.sock: another gateway that runs answers there")
        assert path.exists()
    assert not path.exists()


def test_a_reload_moves_the_socket(lineside):
    config = {"broker": {"workers": 1}}
    with Gateway(config) as gw:
        gw.reload({**config, "gateway": {"control_socket": "other.sock"}})
        wait_until("the other socket", (gw.dir / "other.sock").exists)
        wait_until("the first is gone", lambda: not (gw.dir / "control.sock").exists())
        answer = until(lineside, gw, "it was taken", lambda a: a["reloads"]["taken"] == 1)
        assert answer["state"] == "running" and answer["reloads"]["last"] == "taken" and answer["reloads"]["last_ms"] > 0
        # a place that cannot be had: the old one stays
        gw.reload({**config, "gateway": {"control_socket": "none/c.sock"}})
        gw.wait_log("the control socket stays .*other.sock")
        done = run(lineside, "-s", gw.dir / "other.sock", "--json")
        assert done.returncode == 0
        # a file with a fault
        gw.config_path.write_text("{}{")
        gw.reload()
        gw.wait_log("runs on as it was")
        assert "refused, it runs on as it was" in run(lineside, "-s", gw.dir / "other.sock").stdout


def test_hostile_peers_do_not_stop_it(lineside):
    with Gateway() as gw:
        path = str(gw.dir / "control.sock")

        def peer(data):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(20)
            s.connect(path)
            s.sendall(data)
            return s

        for data in (b"\x00" * 100 + b"\n", b"{" * 4000 + b"\n", b"x" * 4096, b'{"command":"' + b"a" * 1000 + b'"}\n'):
            with peer(data) as s:
                assert s.recv(1000).startswith(b'{"error":')
        silent = [peer(b"") for _ in range(8)]
        with peer(b"") as late:
            assert late.recv(1000) == b'{"error":"busy, ask again"}\n'
        assert run(lineside, "-s", path).returncode == 1
        for s in silent:
            assert s.recv(100) == b""  # after its time
            s.close()
        # who does not read gets no more than the kernel holds, and the gateway goes on
        deaf = [peer(b'{"command":"status"}\n') for _ in range(3)]
        assert ask(lineside, gw)["state"] == "running"
        for s in deaf:
            s.close()


def test_it_answers_while_clients_are_busy_and_reloads_come(lineside):
    config = {**FIELD, "broker": {"workers": 2}}
    with Gateway(config) as gw, Raw(gw.port, V5) as c:
        c.connect("c")
        for i in range(30):
            gw.reload(config)
            c.publish("x", b"y", qos=1)
            answer = ask(lineside, gw)
            assert answer["state"] in ("running", "reloading") and len(answer["devices"]) == 2
