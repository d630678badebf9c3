"""Uplinks to a real Mosquitto: renaming, both directions, killed brokers, full buffers, reloads.

LINESIDE_UPLINK_KILLS    how often the long test kills Mosquitto or the gateway (6; 200 for the whole proof)
"""

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from gate import Gate
from gateway import HOST, Gateway, can_connect, free_port, wait_until

VERSIONS = ["3.1.1", "5.0"]
KILLS = int(os.environ.get("LINESIDE_UPLINK_KILLS", "6"))


class Mosquitto:
    """A Mosquitto that can be killed and started again. It sends at once whatever comes, and keeps nothing on disk."""

    def __init__(self, extra=""):
        self.dir = Path(tempfile.mkdtemp(prefix="lineside-mosquitto-"))
        self.port = free_port()
        (self.dir / "conf").write_text(
            f"listener {self.port} {HOST}\nallow_anonymous true\npersistence false\nlog_dest none\n"
            "max_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n" + extra)
        self.process = None

    def start(self):
        self.process = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(self.dir / "conf")], stdin=subprocess.DEVNULL)
        wait_until("Mosquitto accepts", lambda: can_connect(self.port))
        return self

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


class Peer:
    """A client that notes what it gets: (topic, payload, retained)."""

    def __init__(self, port, *filters, version=mqtt.MQTTv311, client_id=""):
        self.got = []
        self.ready = threading.Event()
        self.filters = filters
        self.client = mqtt.Client(client_id, protocol=version)
        self.client.on_message = lambda _c, _u, m: self.got.append((m.topic, m.payload.decode(), m.retain))
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.connect(HOST, port)
        self.client.loop_start()
        if filters:
            self.client.subscribe([(f, 1) for f in filters])
            assert self.ready.wait(10)

    def publish(self, topic, payload, qos=1, retain=False):
        info = self.client.publish(topic, payload, qos, retain)
        info.wait_for_publish(10)
        assert info.is_published()

    def wait(self, n, timeout=10):
        wait_until(f"{n} messages, of {len(self.got)}", lambda: len(self.got) >= n, timeout)
        return self.got

    def settle(self):
        """All that comes within a moment after the last."""
        before = -1
        while len(self.got) != before:
            before = len(self.got)
            time.sleep(0.3)
        return self.got

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def uplink(port, version="5.0", **keys):
    return {"name": "up", "url": f"mqtt://{HOST}:{port}", "version": version,
            "reconnect": {"first": "50ms", "max": "200ms"}, **keys}


def config(*uplinks, **more):
    return {"gateway": {"name": "plant1"}, "uplinks": list(uplinks), **more}


def whole_status(gw):
    done = subprocess.run([os.environ.get("LINESIDE_BIN") or "build/lineside", "status", "-c", str(gw.config_path), "--json"],
                          capture_output=True, text=True, timeout=10, cwd=Path(__file__).resolve().parent.parent, check=True)
    return json.loads(done.stdout)


def status(gw):
    return {u["name"]: u for u in whole_status(gw)["uplinks"]}


def wait_state(gw, state, name="up", timeout=10):
    return wait_until(f"{name} is {state}", lambda: status(gw).get(name, {}).get("state") == state, timeout)


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_go_up_and_down_under_their_new_names(version):
    keys = {"publish": ["plant1/line/#", {"filter": "x/#", "template": "factory/{3}/{2}", "retain": False}],
            "subscribe": [{"filter": "cmd/#", "strip": "cmd/", "prefix": "plant1/in/"}]}
    with Mosquitto() as remote, Gateway(config(uplink(remote.port, version, **keys)), workers=2) as gw:
        wait_state(gw, "online")
        with Peer(remote.port, "#") as there, Peer(gw.port, "plant1/in/#", "plant1/_gateway/uplink/#") as here:
            here.publish("plant1/line/a", "1", retain=True)
            here.publish("x/b/c", "2", qos=0, retain=True)
            here.publish("other", "3")
            assert there.wait(2) == [("plant1/line/a", "1", False), ("factory/c/b", "2", False)]
            with Peer(remote.port, "#") as late:  # of the two, one is retained there
                assert late.wait(1) == [("plant1/line/a", "1", True)]
            there.publish("cmd/valve", "on")
            wait_until("the command came down", lambda: ("plant1/in/valve", "on", False) in here.got)
            state = [json.loads(p) for t, p, _ in here.got if t == "plant1/_gateway/uplink/up"][0]
            assert state["state"] == "online" and state["last_error"] is None
        now = status(gw)["up"]
        assert (now["acknowledged"], now["received"], now["queued"]) == (2, 1, 0)
        assert not any(now["dropped"].values())


@pytest.mark.parametrize("version", VERSIONS)
def test_both_directions_may_have_the_same_filter(version):
    both = {"publish": ["a/#"], "subscribe": ["a/#"]}
    with Mosquitto() as remote, Gateway(config(uplink(remote.port, version, **both)), workers=2) as gw:
        wait_state(gw, "online")
        with Peer(remote.port, "a/#") as there, Peer(gw.port, "a/#") as here:
            for i in range(50):
                here.publish("a/here", str(i))
                there.publish("a/there", str(i))
            there.wait(100), here.wait(100)
            assert len(there.settle()) == 100 and len(here.settle()) == 100


def test_late_records_say_so():
    with Mosquitto() as remote, Gateway(config(uplink(remote.port, publish=["a/#"]))) as gw:
        wait_state(gw, "online")
        with Peer(remote.port, "#") as there, Peer(gw.port) as here:
            now = int(time.time() * 1000)
            here.publish("a/old", json.dumps({"value": 1.50, "ts": now - 11000}))
            here.publish("a/new", json.dumps({"value": 1.50, "ts": now}))
            here.publish("a/text", "ts")
            got = {t: p for t, p, _ in there.wait(3)}
            assert json.loads(got["a/old"]) == {"value": 1.5, "ts": now - 11000, "historical": True}
            assert json.loads(got["a/new"]) == {"value": 1.5, "ts": now}
            assert got["a/text"] == "ts"


@pytest.mark.parametrize("more", [{}, {"storage": {"path": "data"}}], ids=["in memory", "on disk"])
@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
def test_a_full_buffer_misses_exactly_what_was_counted(policy, more):
    keys = {"publish": ["a/#"], "buffer": {"max_bytes": "64KiB", "policy": policy}}
    with Mosquitto() as remote, Gateway(config(uplink(remote.port, **keys), **more), workers=2) as gw:
        wait_state(gw, "online")
        remote.kill()
        wait_state(gw, "offline")
        with Peer(gw.port) as here:
            for i in range(3000):
                here.client.publish("a/t", str(i), 1)
            here.publish("a/t", "3000")
        counted = status(gw)["up"]["dropped"]
        cause = "queue_oldest" if policy == "drop_oldest" else "queue_full"
        assert counted[cause] > 1000 and sum(counted.values()) == counted[cause]
        remote.start()
        with Peer(remote.port, "#") as there:  # the first may come before it is subscribed: they are counted by the uplink
            wait_until("all went up", lambda: status(gw)["up"]["queued"] == 0)
            assert status(gw)["up"]["acknowledged"] + counted[cause] == 3001
            if policy == "drop_oldest":
                assert there.settle()[-1][1] == "3000"


def test_a_reload_starts_changes_and_ends_uplinks():
    with Mosquitto() as one, Mosquitto() as two:
        first = uplink(one.port, publish=["a/#"])
        with Gateway(config(first)) as gw:
            wait_state(gw, "online")
            second = dict(uplink(two.port, publish=["b/#"]), name="second")
            changed = dict(first, publish=["c/#"])
            gw.reload(config(changed, second))
            wait_state(gw, "online", "second")
            gw.wait_log("was read again")
            with Peer(one.port, "#") as at_one, Peer(two.port, "#") as at_two, Peer(gw.port) as here:
                wait_state(gw, "online")
                here.publish("a/1", "x")
                here.publish("b/1", "x")
                here.publish("c/1", "x")
                assert at_one.wait(1) == [("c/1", "x", False)]
                assert at_two.wait(1) == [("b/1", "x", False)]
            gw.reload(config(second))
            wait_until("it is gone", lambda: list(status(gw)) == ["second"])
            gw.wait_log(r"\$uplink/up/2: configured no more")
            with Peer(gw.port, "plant1/_gateway/uplink/#") as late:
                assert [t for t, _, _ in late.settle()] == ["plant1/_gateway/uplink/second"]


def test_complaint_8_what_is_buffered_outlives_a_restart_and_goes_with_the_uplink():
    with Mosquitto() as remote:
        remote.kill()
        kept = config(uplink(remote.port, publish=["a/#"]), storage={"path": "data"})
        with Gateway(kept) as gw:
            wait_until("its filter is there", lambda: whole_status(gw)["subscriptions"] == 1)
            with Peer(gw.port) as here:
                for i in range(500):
                    here.client.publish("a/t", str(i), 1)
                here.publish("a/t", "500")
            gw.kill()
            gw.start()
            wait_until("it is read back", lambda: status(gw)["up"]["queued"] == 501)
            gw.stop()
            gw.wanted = config(storage={"path": "data"})
            gw.start()
            gw.wait_log(r"\$uplink/up: configured no more, the buffer is ended; messages in it: 501")
            wait_until("it is ended", lambda: whole_status(gw)["clients"]["sessions"] == 0)
            gw.stop()
            gw.wanted = kept
            gw.start()
            remote.start()
            wait_state(gw, "online")
            assert status(gw)["up"]["sent"] == 0


def test_a_password_comes_from_its_file(tmp_path):
    passwords = tmp_path / "passwords"
    passwords.write_text("gateway:secret\n")
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, timeout=20)
    passwords.chmod(0o644)
    tmp_path.chmod(0o755)
    word = tmp_path / "word"
    word.write_text("wrong\n")
    keys = {"publish": ["a/#"], "username": "gateway", "password_file": str(word)}
    with Mosquitto() as remote:
        conf = remote.dir / "conf"
        remote.kill()
        shutil.copy(passwords, remote.dir / "passwords")
        os.chmod(remote.dir, 0o755)
        os.chmod(remote.dir / "passwords", 0o644)
        conf.write_text(conf.read_text().replace("allow_anonymous true", f"allow_anonymous false\npassword_file {remote.dir}/passwords"))
        remote.start()
        with Gateway(config(uplink(remote.port, **keys))) as gw:
            wait_until("it is refused", lambda: "not authorized" in (status(gw)["up"]["last_error"] or "").lower())
            word.write_text("secret\n")
            gw.reload(config(uplink(remote.port, **keys)))
            wait_state(gw, "online")
            assert "secret" not in gw.log()


def is_acked(info):
    try:
        return info.is_published()
    except RuntimeError:  # there was no connection to publish on
        return False


class Source(threading.Thread):
    """Changes tags, each with a number that grows; a record counts once the gateway has acknowledged it."""

    def __init__(self, gw, ntags):
        super().__init__(daemon=True)
        self.gw, self.ntags = gw, ntags
        self.acked, self.ends, self.number = [set() for _ in range(ntags)], False, 0

    def _round(self, here):
        self.number += 1
        infos = [here.client.publish(f"a/{tag}", json.dumps({"value": self.number, "ts": int(time.time() * 1000)}), 1)
                 for tag in range(self.ntags)]
        end = time.monotonic() + 10
        while not is_acked(infos[-1]) and here.client.is_connected() and time.monotonic() < end:
            time.sleep(0.002)
        done = [is_acked(info) for info in infos]
        for tag, yes in enumerate(done):
            if yes:
                self.acked[tag].add(self.number)
        return all(done)

    def run(self):
        while not self.ends:
            try:
                with Peer(self.gw.port, client_id="source") as here:
                    wait_until("it is connected", here.client.is_connected)
                    while not self.ends and self._round(here):
                        time.sleep(self.ntags / 4000)
            except (OSError, AssertionError):
                time.sleep(0.02)


def check_tags(got, acked):
    """Every acknowledged number of each tag, in order when it comes first, with its own time."""
    seen = {}
    for topic, payload, _ in got:
        record = json.loads(payload)
        seen.setdefault(topic, []).append((record["value"], record["ts"]))
    for tag, numbers in enumerate(acked):
        first, times = [], {}
        for number, ts in seen.get(f"a/{tag}", []):
            if number not in times:
                first.append(number)
            times.setdefault(number, ts)
        assert first == sorted(first), f"a/{tag} is out of order"
        ordered = [times[n] for n in first]
        assert ordered == sorted(ordered), f"the times of a/{tag}"
        assert not numbers - set(first), f"a/{tag} was acknowledged and did not arrive: {sorted(numbers - set(first))[:10]}"


@pytest.mark.parametrize("version", VERSIONS)
def test_complaint_8_nothing_is_lost_when_brokers_are_killed(version):
    random.seed(version)
    signal.alarm(0 if KILLS > 50 else 120)
    got, ntags = [], 20 if KILLS < 50 else 1000
    storage = {"storage": {"path": "data"}}
    with Mosquitto() as remote, Gate(remote.port) as gate:
        with Gateway(config(uplink(gate.port, version, publish=["a/#"], buffer={"max_bytes": "1GiB"}), **storage)) as gw:
            there = Peer(remote.port, "a/#")
            gate.open()
            wait_state(gw, "online")
            gw.fixed_port = gw.port
            source = Source(gw, ntags)
            source.start()
            for kill in range(KILLS):
                time.sleep(random.uniform(0.1, 0.6))
                if kill % 2:
                    gw.kill()
                    gw.start()
                else:
                    gate.close()  # what was acknowledged is on its way to the receiver
                    got += there.settle()
                    there.close()
                    remote.kill()
                    remote.start()
                    there = Peer(remote.port, "a/#")
                    gate.open()
            time.sleep(0.3)
            source.ends = True
            source.join()
            wait_until("all went up", lambda: status(gw)["up"]["queued"] == 0 and status(gw)["up"]["state"] == "online", 60)
            got += there.settle()
            there.close()
    check_tags(got, source.acked)
    assert sum(len(numbers) for numbers in source.acked) > 5 * KILLS and min(len(numbers) for numbers in source.acked) > 0
