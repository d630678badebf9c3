"""What outlives the process, with clients that nobody here wrote."""

import collections
import json
import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from gateway import HOST, Gateway, wait_until
from mqtt_clients import MosquittoSub, Paho, mosquitto_pub, props
from rawmqtt import DISCONNECT, PUBACK, PUBREC, PUBREL, V5, V311, Raw

STORED = {"storage": {"path": "data"}}
WORKERS = [1, 3]


def stored(durability="fsync", **more):
    return {"storage": {"path": "data", "durability": durability, **more}}


@pytest.fixture(params=WORKERS, ids=["one worker", "three workers"])
def gw(request):
    with Gateway(STORED, workers=request.param) as g:
        yield g


def restart(gw, how):
    """SIGKILL, or SIGTERM with a clean end."""
    (gw.kill if how == "kill" else gw.stop)()
    gw.start()


def status(lineside, gw):
    done = subprocess.run([lineside, "status", "--json", "-c", gw.config_path], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def away(gw, client_id, *filters, qos=1):
    """A session whose client is away."""
    with Paho(gw.port, client_id=client_id, clean=False) as c:
        for f in filters:
            c.subscribe(f, qos)


def store(lineside, *args, **kw):
    return subprocess.run([lineside, "store", *args], capture_output=True, text=True, timeout=60, **kw)


# ---- what survives ----


@pytest.mark.parametrize("how", ["kill", "term"])
def test_messages_of_a_session_that_is_away_survive(gw, how):
    away(gw, "panel", "t/#")
    for i in range(50):
        mosquitto_pub(gw.port, "-t", f"t/{i}", "-m", f"m{i}", "-q", "1")
    restart(gw, how)
    with Paho(gw.port, client_id="panel", clean=False) as c:
        assert c.session_present
        assert [m.payload.decode() for m in c.messages(50)] == [f"m{i}" for i in range(50)]


@pytest.mark.parametrize("how", ["kill", "term"])
def test_qos_2_of_both_directions_survives_once(gw, how):
    away(gw, "panel", "t/#", qos=2)
    with Paho(gw.port) as p:
        for i in range(30):
            p.publish("t/x", f"m{i}", qos=2)
    restart(gw, how)
    with Paho(gw.port, client_id="panel", clean=False) as c:
        assert [m.payload.decode() for m in c.messages(30)] == [f"m{i}" for i in range(30)]
        mosquitto_pub(gw.port, "-t", "t/x", "-m", "last", "-q", "2")
        assert c.message().payload == b"last"


@pytest.mark.parametrize("how", ["kill", "term"])
def test_retained_messages_survive_and_cleared_ones_do_not_come_back(gw, how):
    for topic, payload in (("r/a", "1"), ("r/b", "2"), ("r/a", "3")):
        mosquitto_pub(gw.port, "-t", topic, "-m", payload, "-q", "1", "-r")
    mosquitto_pub(gw.port, "-t", "r/b", "-n", "-q", "1", "-r")
    restart(gw, how)
    sub = MosquittoSub(gw.port, "-t", "r/#", "-v", count=1)
    assert sub.lines() == [b"r/a 3"]


def test_a_session_with_expiry_0_does_not_survive(gw):
    with Paho(gw.port, client_id="short", clean=True) as c:
        c.subscribe("t/#", 1)
        restart(gw, "kill")
    with Paho(gw.port, client_id="short", clean=False) as c:
        assert not c.session_present


def test_a_subscription_that_was_taken_back_stays_so(gw):
    away(gw, "panel", "a", "b")
    with Paho(gw.port, client_id="panel", clean=False) as c:
        c.unsubscribe("a")
    restart(gw, "kill")
    mosquitto_pub(gw.port, "-t", "a", "-m", "no", "-q", "1")
    mosquitto_pub(gw.port, "-t", "b", "-m", "yes", "-q", "1")
    with Paho(gw.port, client_id="panel", clean=False) as c:
        assert c.session_present and c.message().payload == b"yes"


def test_what_the_client_had_acknowledged_does_not_come_again(gw):
    with Paho(gw.port, client_id="panel", clean=False) as c:
        c.subscribe("t", 2)
        for i in range(20):
            mosquitto_pub(gw.port, "-t", "t", "-m", str(i), "-q", "2")
        c.messages(20)
    restart(gw, "term")
    mosquitto_pub(gw.port, "-t", "t", "-m", "new", "-q", "1")
    with Paho(gw.port, client_id="panel", clean=False) as c:
        assert c.message().payload == b"new"


@pytest.mark.parametrize("durability", ["os", "none"])
def test_with_less_durability_a_clean_stop_loses_nothing(durability):
    with Gateway(stored(durability), workers=2) as gw:
        away(gw, "panel", "t/#")
        for i in range(20):
            mosquitto_pub(gw.port, "-t", "t/x", "-m", str(i), "-q", "1")
        restart(gw, "term")
        with Paho(gw.port, client_id="panel", clean=False) as c:
            assert [m.payload.decode() for m in c.messages(20)] == [str(i) for i in range(20)]


def test_the_log_says_what_was_there_and_how_long_it_took(gw):
    away(gw, "panel", "t/#")
    mosquitto_pub(gw.port, "-t", "t/x", "-m", "m", "-q", "1", "-r")
    restart(gw, "term")
    assert gw.wait_log(r"data: sessions: 1, messages that wait: 1, retained: 1, read in \d+ ms")


def test_without_a_path_nothing_survives(lineside):
    with Gateway({}, workers=1) as gw:
        assert status(lineside, gw)["store"] is None
        away(gw, "panel", "t/#")
        restart(gw, "term")
        with Paho(gw.port, client_id="panel", clean=False) as c:
            assert not c.session_present


def test_the_will_of_a_session_is_published_after_a_restart_when_its_client_stays_away(gw):
    will = {"topic": "w/gone", "payload": b"gone", "qos": 1}
    lost = Raw(gw.port, V5).connect("lost", clean=False, will=will, SESSION_EXPIRY=3600)
    back = Raw(gw.port, V5).connect("back", clean=False, will={**will, "topic": "w/back"}, SESSION_EXPIRY=3600)
    gw.kill()
    lost.close()
    back.close()
    gw.start()
    with Raw(gw.port, V5) as watch, Raw(gw.port, V5) as back:
        watch.connect("watch")
        watch.subscribe("w/#")
        assert back.connect("back", clean=False, SESSION_EXPIRY=3600).connack.present
        # clients have 30 s to come back
        p = wait_until("the will", lambda: wait_for(watch, 40), timeout=45)
        assert (p.topic, p.payload) == ("w/gone", b"gone") and watch.pending() == []


def wait_for(client, seconds):
    client.sock.settimeout(seconds)
    return client.message()


@pytest.mark.release
def test_a_million_retained_messages_are_there_at_once(lineside):
    n, queued = 1_000_000, 100_000
    with Gateway(STORED, workers=4) as gw:
        gw.stop()
        with open(gw.dir / "export", "w") as f:
            f.write('{"type":"lineside-store","version":1}\n')
            f.writelines(f'{{"type":"session","client":"c{i}"}}\n' for i in range(100))
            f.writelines(f'{{"type":"retained","message":{{"topic":"plant/{i % 100}/{i // 100}","payload":"{i}","qos":1,"retain":true}}}}\n'
                         for i in range(n))
            f.writelines(f'{{"type":"message","client":"c{i // 1000}","qos":1,"message":{{"topic":"t","payload":"{i}","qos":1}}}}\n'
                         for i in range(queued))
            f.write(f'{{"type":"end","lines":{101 + n + queued}}}\n')
        assert store(lineside, "import", "-c", gw.config_path, "-i", gw.dir / "export").returncode == 0
        begin = time.monotonic()
        gw.start()
        with Raw(gw.port, V5) as c:
            c.connect("c")
            assert time.monotonic() - begin < 3
        all_of_them = subprocess.run(["mosquitto_sub", "-h", HOST, "-p", str(gw.port), "-t", "plant/#", "-C", str(n), "-W", "60"],
                                     capture_output=True, timeout=90)
        assert len(set(all_of_them.stdout.split())) == n


# ---- the folder ----


def test_folder_and_files_are_for_the_gateway_alone():
    before = os.umask(0)
    try:
        with Gateway(STORED, workers=1) as gw:
            away(gw, "panel", "t/#")
            folder = gw.dir / "data"
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            files = {f.name: stat.S_IMODE(f.stat().st_mode) for f in folder.iterdir()}
            assert {"lineside.db", "lineside.db-wal"} <= set(files) and set(files.values()) == {0o600}
    finally:
        os.umask(before)


def test_a_second_gateway_on_the_folder_is_refused(lineside, gw):
    other = gw.dir / "other.json"
    other.write_text(json.dumps({"storage": {"path": "data"}, "gateway": {"control_socket": "other.sock"}}))
    done = subprocess.run([lineside, "serve", "-c", other], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert f"another gateway uses {gw.dir}/data: process {gw.pid}; stop it, or name another folder" in done.stderr
    assert "runs gateway" not in done.stderr


def test_a_folder_that_cannot_be_made_is_said(lineside, tmp_path):
    file = tmp_path / "g.json"
    file.write_text(json.dumps({"storage": {"path": "no/such/folder"}}))
    done = subprocess.run([lineside, "serve", "-c", file], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "cannot make the folder" in done.stderr and "No such file" in done.stderr


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(lineside):
    with Gateway(STORED, workers=1) as gw:
        away(gw, "panel", "t/#")
        gw.stop()
        path = gw.dir / "data" / "lineside.db"
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
        before = path.read_bytes()
        done = subprocess.run([lineside, "serve", "-c", gw.config_path], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and "made by a newer version" in done.stderr
        assert path.read_bytes() == before
        checked = store(lineside, "check", "-c", gw.config_path)
        assert checked.returncode == 1 and "made by a newer version" in checked.stderr


# ---- what is told ----


def test_status_and_sys_tell_how_the_store_does(lineside):
    with Gateway({**STORED, "broker": {"sys_interval": "100ms"}}, workers=2) as gw:
        away(gw, "panel", "t/#")
        for i in range(10):
            mosquitto_pub(gw.port, "-t", "t/x", "-m", "m" * 100, "-q", "1")
        s = status(lineside, gw)["store"]
        assert s["health"] == "ok" and s["durability"] == "fsync" and s["path"].endswith("/data")
        assert s["commits"] >= 10 and s["rows"] == 10 and s["failures"] == 0 and s["rows_per_message"] == 1.0
        assert 0 < s["commit_us_mean"] <= s["commit_us_max"] and s["bytes"] >= 10 * 100
        with Raw(gw.port, V5) as c:
            c.connect("watch")
            c.subscribe("$SYS/broker/storage/rows")
            wait_until("10 rows", lambda: c.message().payload == b"10", every=0)
        told = subprocess.run([lineside, "status", "-c", gw.config_path], capture_output=True, text=True, timeout=20).stdout
        assert "durability fsync; in order" in told and "10 written" in told


def test_a_subscriber_that_acknowledges_in_time_costs_no_row(lineside):
    with Gateway(stored(linger="1s"), workers=1) as gw:
        with Paho(gw.port, client_id="panel", clean=False) as c:
            c.subscribe("t", 1)
            for i in range(10):
                mosquitto_pub(gw.port, "-t", "t", "-m", str(i), "-q", "1")
            c.messages(10)
            s = status(lineside, gw)["store"]
            assert s["rows"] == 0 and s["elided"] == 10 and s["rows_per_message"] == 0


# ---- when the disk does not take it ----


def mounted(size):
    """A small file system, or None where this user may not mount one."""
    at = Path(tempfile.mkdtemp(prefix="lineside-disk-"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", at], capture_output=True).returncode == 0:
        return at
    at.rmdir()
    return None


@pytest.fixture
def small():
    """A gateway whose store is on a file system of 3 MiB."""
    at = mounted("3m")
    if at is None:
        pytest.skip("file systems cannot be mounted here")
    try:
        with Gateway({"storage": {"path": str(at / "data")}}, workers=2) as g:
            g.disk = at
            yield g
    finally:
        subprocess.run(["umount", "-l", at], check=True)
        at.rmdir()


def health(lineside, gw):
    return status(lineside, gw)["store"]["health"]


def refused_until(gw, c, topic, payload, reason):
    """Publish with QoS 1 until it is refused with this reason; how many were taken before."""
    for n in range(20000):
        ack = c.publish(topic, payload, qos=1)
        if ack.reason >= 0x80:
            assert ack.reason == reason, hex(ack.reason)
            return n
    raise AssertionError("all of it was taken")


def what_needs_no_disk_goes_on(gw):
    with Raw(gw.port, V5) as plain:
        plain.connect("plain")
        plain.subscribe("q/#", qos=1)
        assert plain.publish("q/1", b"qos 1 for nobody who is stored", qos=1).reason == 0
        assert plain.message().topic == "q/1"
        plain.publish("t/0", b"qos 0", qos=0)
        plain.publish("q/2", b"qos 0", qos=0)
        assert plain.message().topic == "q/2"


def test_a_full_disk_costs_only_what_would_have_to_be_stored_and_recovers_by_itself(lineside, small):
    away(small, "panel", "t/#")
    with Raw(small.port, V5) as c:
        c.connect("p")
        taken = refused_until(small, c, "t/x", b"x" * 2000, 0x97)
        assert taken > 100 and health(lineside, small) == "full"
        what_needs_no_disk_goes_on(small)
        assert c.publish("r", b"x", qos=1, retain=True).reason == 0x97
        with Raw(small.port, V5) as late:
            assert late.try_connect("late", clean=False, SESSION_EXPIRY=100).reason in (0x97, 0x88)
    with Paho(small.port, client_id="panel", clean=False) as panel:
        assert len(panel.messages(taken)) == taken
        wait_until("it is in order again", lambda: health(lineside, small) == "ok", timeout=30)
        mosquitto_pub(small.port, "-t", "t/x", "-m", "after", "-q", "1")
        assert panel.message().payload == b"after"
    restart(small, "kill")
    with Paho(small.port, client_id="panel", clean=False) as panel:
        assert panel.session_present


def test_nothing_that_was_acknowledged_before_the_disk_was_full_is_lost(lineside, small):
    away(small, "panel", "t/#")
    with Raw(small.port, V5) as c:
        c.connect("p")
        taken = refused_until(small, c, "t/x", b"x" * 2000, 0x97)
    restart(small, "kill")
    with Paho(small.port, client_id="panel", clean=False) as panel:
        assert len(panel.messages(taken)) == taken


def test_a_client_of_version_3_gets_no_answer_when_the_store_is_full():
    with Gateway(stored(max_bytes="1MiB"), workers=2) as gw:
        away(gw, "panel", "t/#")
        with Raw(gw.port, V5) as c:
            c.connect("p")
            refused_until(gw, c, "t/x", b"x" * 2000, 0x97)
        with Raw(gw.port, V311) as old:
            old.connect("old")
            old.sock.settimeout(60)
            old.send(old.publish_packet("t/x", b"x", 1, packet_id=5))
            assert [p for p in old.at_end() if p.kind == PUBACK] == []  # closed after 30 s


def test_max_bytes_is_a_full_disk(lineside):
    with Gateway(stored(max_bytes="1MiB"), workers=1) as gw:
        away(gw, "panel", "t/#")
        with Raw(gw.port, V5) as c:
            c.connect("p")
            taken = refused_until(gw, c, "t/x", b"x" * 2000, 0x97)
        assert health(lineside, gw) == "full"
        what_needs_no_disk_goes_on(gw)
        with Paho(gw.port, client_id="panel", clean=False) as panel:
            assert len(panel.messages(taken)) == taken
        wait_until("it is in order again", lambda: health(lineside, gw) == "ok", timeout=30)


@pytest.fixture
def disk():
    """A file system on a disk of its own, which can be made to fail."""
    at = Path(tempfile.mkdtemp(prefix="lineside-disk-"))
    image = at.with_suffix(".img")
    with open(image, "wb") as f:
        f.truncate(32 << 20)
    made = subprocess.run(["/sbin/mkfs.ext4", "-q", image], capture_output=True).returncode == 0
    if not made or subprocess.run(["mount", "-o", "loop", image, at], capture_output=True).returncode != 0:
        at.rmdir()
        image.unlink()
        pytest.skip("disks cannot be mounted here")
    yield at, image
    subprocess.run(["umount", "-l", at], check=True)
    at.rmdir()
    image.unlink()


def test_a_disk_that_became_read_only_costs_only_what_would_have_to_be_stored(lineside, disk):
    at, image = disk
    with Gateway({"storage": {"path": str(at / "data")}}, workers=2) as gw:
        away(gw, "panel", "t/#")
        mosquitto_pub(gw.port, "-t", "t/x", "-m", "before", "-q", "1")
        subprocess.run(["mount", "-o", "remount,abort", at], check=True)  # as the kernel does after an error of the disk
        with Raw(gw.port, V5) as c:
            c.connect("p")
            c.send(c.publish_packet("t/x", b"in hand", 1, packet_id=1))  # no answer: nobody knows whether it is on disk
            wait_until("failing", lambda: health(lineside, gw) == "failing", timeout=30)
            with Raw(gw.port, V5) as other:
                other.connect("other")
                assert other.publish("t/x", b"refused", qos=1).reason == 0x83
            what_needs_no_disk_goes_on(gw)
        gw.kill()
        subprocess.run(["umount", at], check=True)
        subprocess.run(["mount", "-o", "loop", image, at], check=True)
        gw.start()
        assert health(lineside, gw) == "ok"
        with Paho(gw.port, client_id="panel", clean=False) as panel:
            assert panel.session_present and panel.message().payload == b"before"


def test_a_read_only_folder_ends_the_start_with_the_reason(lineside, disk):
    at, _ = disk
    with Gateway({"storage": {"path": str(at / "data")}}, workers=1) as gw:
        away(gw, "panel", "t/#")
        gw.stop()
        subprocess.run(["mount", "-o", "remount,ro", at], check=True)
        done = subprocess.run([lineside, "serve", "-c", gw.config_path], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and "Read-only file system" in done.stderr and "runs gateway" not in done.stderr
        for command in ("info", "check", "export"):
            done = store(lineside, command, "-c", gw.config_path)
            assert done.returncode == 0, done.stderr
        subprocess.run(["mount", "-o", "remount,rw", at], check=True)
        gw.start()


def filled(gw, n=300):
    """A session that is owed `n` messages, and the gateway stopped."""
    away(gw, "panel", "t/#")
    with Paho(gw.port) as p:
        for i in range(n):
            p.publish(f"t/{i}", str(i) * 100, qos=1, retain=True)


def set_aside(gw):
    return [p.name for p in (gw.dir / "data").iterdir() if "lineside.db" in p.name and p.name not in (
        "lineside.db", "lineside.db-wal", "lineside.db-shm")]


def test_a_damaged_database_is_set_aside_salvaged_and_the_gateway_starts(lineside):
    with Gateway(STORED, workers=1) as gw:
        filled(gw)
        gw.stop()
        path = gw.dir / "data" / "lineside.db"
        with open(path, "r+b") as f:
            f.seek(path.stat().st_size // 4096 // 2 * 4096)
            f.write(os.urandom(4096))
        checked = store(lineside, "check", "-c", gw.config_path)
        assert checked.returncode == 1 and "start the gateway again" in checked.stderr
        gw.start()
        gw.wait_log("damaged")
        assert set_aside(gw) != []
        with Paho(gw.port, client_id="panel", clean=False) as panel:  # of 300, most
            mosquitto_pub(gw.port, "-t", "t/end", "-m", "end", "-q", "1")
            if not panel.session_present:
                panel.subscribe("t/#", 1)
                mosquitto_pub(gw.port, "-t", "t/end", "-m", "end", "-q", "1")
            while panel.message().payload != b"end":
                pass
        assert store(lineside, "check", "-c", gw.config_path).returncode == 0


def test_a_file_that_is_no_database_is_set_aside(lineside):
    with Gateway(STORED, workers=1) as gw:
        filled(gw, 3)
        gw.stop()
        (gw.dir / "data" / "lineside.db").write_bytes(b"this is a text" * 1000)
        gw.start()
        assert set_aside(gw) != []
        away(gw, "panel", "t/#")
        restart(gw, "kill")
        with Paho(gw.port, client_id="panel", clean=False) as panel:
            assert panel.session_present


@pytest.mark.parametrize("left", [0.0, 0.3, 0.9])
def test_a_log_that_was_cut_short_costs_its_end_only(lineside, left):
    with Gateway(STORED, workers=1) as gw:
        filled(gw)
        gw.kill()
        log = gw.dir / "data" / "lineside.db-wal"
        os.truncate(log, int(log.stat().st_size * left))
        gw.start()
        with Paho(gw.port, client_id="panel", clean=False) as panel:
            if not panel.session_present:
                panel.subscribe("t/#", 1)
            mosquitto_pub(gw.port, "-t", "t/end", "-m", "end", "-q", "1")
            got = []
            while not got or got[-1] != "end":
                m = panel.message()
                if not m.retain:
                    got.append(m.topic.removeprefix("t/"))
        assert got[:-1] == [str(i) for i in range(len(got) - 1)]
        assert store(lineside, "check", "-c", gw.config_path).returncode == 0


# ---- lineside store ----

EXPORT = [
    {"type": "lineside-store", "version": 1},
    {"type": "session", "client": "a", "expiry_s": 3600000, "away_ms": 4000000000000},
    {"type": "session", "client": "b", "away_ms": 4000000000001, "will": {"delay_s": 5, "expiry_s": 7, "message": {
        "topic": "w/b", "payload_base64": "AP8=", "qos": 2, "retain": True}}},
    {"type": "session", "client": "c \u00fc"},
    {"type": "subscription", "client": "a", "filter": "$share/g/t/#", "qos": 1, "subscription_id": 77},
    {"type": "subscription", "client": "a", "filter": "t/+", "qos": 2, "no_local": True, "retain_as_published": True,
     "retain_handling": 2},
    {"type": "received", "client": "b", "packet_id": 7},
    {"type": "received", "client": "b", "packet_id": 65535},
    {"type": "retained", "message": {"topic": "r/1", "payload": "plain", "qos": 1, "retain": True, "expires_ms": 4000000000000}},
    {"type": "retained", "message": {"topic": "r/2", "payload_base64": "gIGCg4SFhoc=", "qos": 0, "retain": True}},
    {"type": "message", "client": "a", "qos": 1, "message": {"topic": "t/x", "payload": "21.5", "qos": 1}},
    {"type": "message", "client": "a", "qos": 2, "state": "sent", "packet_id": 9, "subscription_ids": [1, 77], "message": {
        "topic": "t/x", "payload": "", "qos": 2, "expires_ms": 4000000000000, "properties_base64": "AQE="}},
    {"type": "message", "client": "a", "qos": 2, "state": "released", "packet_id": 10},
    {"type": "message", "client": "b", "qos": 1, "retain": True, "message": {
        "topic": "t/y", "payload": "\u00fc\n\"x\"", "qos": 2, "retain": True}},
    {"type": "end", "lines": 14},
]


def lines_of(export):
    return "".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in export)


def numbered(lines):
    return [*lines, {"type": "end", "lines": len(lines)}]


def test_what_was_exported_and_imported_is_exported_the_same(lineside, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(lines_of(EXPORT))
    for _ in range(2):  # into a new store, and then over what is there
        done = store(lineside, "import", tmp_path / "data", "-i", first, "--replace")
        assert done.returncode == 0, done.stderr
        done = store(lineside, "export", tmp_path / "data", "-o", second)
        assert done.returncode == 0, done.stderr
        assert second.read_text() == first.read_text()
        assert stat.S_IMODE(second.stat().st_mode) == 0o600
    assert store(lineside, "check", tmp_path / "data").returncode == 0
    assert {p.name for p in (tmp_path / "data").iterdir()} <= {"lineside.db", "lineside.db-shm", "lineside.db-wal", "lock"}


def test_large_and_binary_payloads_and_many_lines_come_back(lineside, tmp_path):
    lines = [EXPORT[0], {"type": "session", "client": "a"}]
    lines += [{"type": "retained", "message": {"topic": f"r/{i:05}", "payload": "x" * (i % 300 + 1), "qos": 1, "retain": True}}
              for i in range(9000)]
    lines += [{"type": "message", "client": "a", "qos": 1, "message": {"topic": "t", "payload": "y" * 3_000_000, "qos": 1}}]
    lines += [{"type": "message", "client": "a", "qos": 1, "message": {"topic": "t", "payload_base64": "/w" + "A" * 400_000 + "==",
               "qos": 1}}]
    text = lines_of(numbered(lines))
    assert store(lineside, "import", tmp_path / "data", input=text).returncode == 0
    done = store(lineside, "export", tmp_path / "data")
    assert done.returncode == 0 and done.stdout == text


def test_an_import_leaves_what_is_there_unless_it_is_told_otherwise(lineside, tmp_path):
    def one(payload):
        return lines_of(numbered([
            EXPORT[0], {"type": "session", "client": "a"},
            {"type": "retained", "message": {"topic": "r", "payload": payload, "qos": 1, "retain": True}},
            {"type": "message", "client": "a", "qos": 1, "message": {"topic": "t", "payload": payload, "qos": 1}}]))

    data = tmp_path / "data"
    assert store(lineside, "import", data, input=one("old")).returncode == 0
    kept = store(lineside, "import", data, input=one("new"))
    assert kept.returncode == 0 and "left as they are: sessions: 1, retained: 1" in kept.stderr
    assert store(lineside, "export", data).stdout == one("old")
    assert store(lineside, "import", data, "--replace", input=one("new")).returncode == 0
    assert store(lineside, "export", data).stdout == one("new")


@pytest.mark.parametrize("line, change, why", [
    (2, {"client": ""}, '"client": needed'),
    (5, {"client": "nobody"}, '"client": the session of this client is not in a line before'),
    (4, {"client": "a"}, '"client": there is a session of this client before'),
    (8, {"packet_id": 7}, '"packet_id": 7 is that of a line before'),
    (9, {"more": 1}, '"more" is not a member of this line'),
    (15, {"lines": 13}, "13 lines should be before this one"),
    (1, {"version": 2}, '"version": this version of lineside reads version 1'),
])
def test_a_faulty_file_changes_nothing(lineside, tmp_path, line, change, why):
    faulty = [dict(each) for each in EXPORT]
    faulty[line - 1].update(change)
    done = store(lineside, "import", tmp_path / "data", input=lines_of(faulty))
    assert done.returncode == 1 and f"standard input:{line}: {why}" in done.stderr and "nothing was taken" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_file_that_was_cut_short_changes_nothing(lineside, tmp_path):
    text = lines_of(EXPORT)
    for end in (0, 1, len(text) // 2, len(text) - 3):
        done = store(lineside, "import", tmp_path / "data", input=text[:end])
        assert done.returncode == 1 and "nothing was taken" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_gateway_serves_what_was_imported(lineside):
    with Gateway(STORED, workers=3) as gw:
        gw.stop()
        shutil.rmtree(gw.dir / "data")
        assert store(lineside, "import", "-c", gw.config_path, input=lines_of(EXPORT)).returncode == 0
        gw.start()
        with Raw(gw.port, V5) as c:
            c.connect("a", clean=False, SESSION_EXPIRY=100)
            assert c.connack.present
            assert c.expect(PUBREL).packet_id == 10
            got = {m.payload: m for m in c.messages(2)}
            assert set(got) == {b"21.5", b""} and got[b""].packet_id == 9 and got[b""].dup
        sub = MosquittoSub(gw.port, "-t", "r/1", "-v", count=1)
        assert sub.lines() == [b"r/1 plain"]


def test_a_running_gateway_is_looked_at_exported_and_compacted_while_clients_go_on(lineside, gw):
    away(gw, "panel", "t/#")
    with Paho(gw.port) as p:
        for i in range(300):
            p.publish(f"t/{i}", os.urandom(500).hex(), qos=1, retain=True)
            if i % 100 == 0:
                for command in ("info", "check", "export", "compact"):
                    done = store(lineside, command, "-c", gw.config_path)
                    assert done.returncode == 0, done.stderr
    told = json.loads(store(lineside, "info", "--json", "-c", gw.config_path).stdout)
    assert told["retained"]["messages"] == 300 and told["waiting"]["messages"] == 300
    assert told["sessions"][0]["client"] == "panel" and told["sessions"][0]["subscriptions"] == 1
    exported = [json.loads(line) for line in store(lineside, "export", "-c", gw.config_path).stdout.splitlines()]
    assert [x["message"]["topic"] for x in exported if x["type"] == "message"] == [f"t/{i}" for i in range(300)]
    refused = store(lineside, "import", gw.dir / "data", input=lines_of(EXPORT))
    assert refused.returncode == 1 and "a gateway uses it: name its configuration with -c" in refused.stderr
    with Paho(gw.port, client_id="panel", clean=False) as c:
        assert [m.topic for m in c.messages(300)] == [f"t/{i}" for i in range(300)]


# ---- import into a gateway that runs ----


def test_what_is_imported_while_it_runs_is_exported_the_same_and_served_at_once(lineside, gw, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(lines_of(EXPORT))
    for replace in ([], ["--replace"]):
        done = store(lineside, "import", "-c", gw.config_path, "-i", first, *replace)
        assert done.returncode == 0, done.stderr
        assert "taken: sessions: 3, subscriptions: 2, messages: 4, packet ids: 2, retained: 2" in done.stderr
        assert store(lineside, "export", "-c", gw.config_path, "-o", second).returncode == 0
        assert sorted(second.read_text().splitlines()) == sorted(first.read_text().splitlines())
        assert store(lineside, "check", "-c", gw.config_path).returncode == 0
    sub = MosquittoSub(gw.port, "-t", "r/1", "-v", count=1)
    assert sub.lines() == [b"r/1 plain"]
    for how in (None, "kill"):
        if how:
            assert store(lineside, "import", "-c", gw.config_path, "-i", first, "--replace").returncode == 0
            restart(gw, how)
        assert status(lineside, gw)["clients"]["sessions"] == 3
        with Raw(gw.port, V5) as c:
            c.connect("a", clean=False, SESSION_EXPIRY=100)
            assert c.connack.present
            assert c.expect(PUBREL).packet_id == 10
            got = {m.payload: m for m in c.messages(2)}
            assert set(got) == {b"21.5", b""} and got[b""].packet_id == 9 and got[b""].dup
            mosquitto_pub(gw.port, "-t", "t/fresh", "-m", "x", "-q", "1")
            assert c.message().payload == b"x"


def many(sessions, rows):
    lines = [EXPORT[0]]
    for i in range(sessions):
        lines.append({"type": "session", "client": f"s{i}"})
        lines.append({"type": "subscription", "client": f"s{i}", "filter": f"news/{i}", "qos": 1})
    for row in range(rows):
        lines += [{"type": "message", "client": f"s{i}", "qos": 1,
                   "message": {"topic": f"old/{row}", "payload": "x" * 200, "qos": 1}} for i in range(sessions)]
    lines += [{"type": "retained", "message": {"topic": f"kept/{i}", "payload": "r", "qos": 1, "retain": True}} for i in range(1500)]
    return lines_of(numbered(lines))


def test_an_import_goes_on_while_clients_publish_and_a_power_cut_loses_nothing_of_it(lineside, gw):
    sessions, rows = 20, 400
    acked = []
    stop = threading.Event()

    def publish():
        with Paho(gw.port) as p:
            while not stop.is_set():
                p.publish(f"busy/{len(acked) % 50}", str(len(acked)), qos=1)
                acked.append(len(acked))

    away(gw, "watcher", "busy/#")
    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        wait_until("messages", lambda: acked)
        before = len(acked)
        done = store(lineside, "import", "-c", gw.config_path, input=many(sessions, rows))
        assert done.returncode == 0, done.stderr
        assert f"sessions: {sessions}, subscriptions: {sessions}, messages: {sessions * rows}, packet ids: 0, retained: 1500" in done.stderr
        assert len(acked) > before
    finally:
        stop.set()
        publisher.join()
    with Paho(gw.port) as p:
        for i in range(sessions):
            p.publish(f"news/{i}", "new", qos=1)
    restart(gw, "kill")
    exported = store(lineside, "export", "-c", gw.config_path).stdout.splitlines()
    assert sum(line.startswith('{"type":"retained","message":{"topic":"kept/') for line in exported) == 1500
    for i in range(sessions):
        with Paho(gw.port, client_id=f"s{i}", clean=False) as c:
            assert [m.topic for m in c.messages(rows + 1)] == [f"old/{row}" for row in range(rows)] + [f"news/{i}"]
    with Paho(gw.port, client_id="watcher", clean=False) as c:
        assert len(c.messages(len(acked))) == len(acked)


def test_a_gateway_that_is_killed_in_the_midst_of_an_import_has_whole_sessions_or_none(lineside):
    sessions, rows = 40, 600
    with Gateway(STORED, workers=2) as gw:
        text = many(sessions, rows)
        tool = subprocess.Popen([lineside, "store", "import", "-c", gw.config_path], stdin=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
        tool.stdin.write(text)
        tool.stdin.close()
        wait_until("the first sessions", lambda: status(lineside, gw)["clients"]["sessions"])
        gw.kill()
        assert tool.wait(timeout=60) in (0, 1)
        tool.stderr.close()
        gw.start()
        exported = [json.loads(line) for line in store(lineside, "export", "-c", gw.config_path).stdout.splitlines()]
        there = {x["client"] for x in exported if x["type"] == "session"}
        owed = collections.Counter(x["client"] for x in exported if x["type"] == "message")
        assert owed == {client: rows for client in there}
        assert {x["client"] for x in exported if x["type"] == "subscription"} == there
        assert store(lineside, "check", "-c", gw.config_path).returncode == 0
        done = store(lineside, "import", "-c", gw.config_path, input=text)  # the rest
        assert done.returncode == 0, done.stderr
        exported = [json.loads(line) for line in store(lineside, "export", "-c", gw.config_path).stdout.splitlines()]
        owed = collections.Counter(x["client"] for x in exported if x["type"] == "message")
        assert owed == {f"s{i}": rows for i in range(sessions)}


def test_an_import_into_a_running_gateway_leaves_what_is_there_unless_it_is_told_otherwise(lineside, gw):
    def one(payload):
        return lines_of(numbered([
            EXPORT[0], {"type": "session", "client": "a"},
            {"type": "retained", "message": {"topic": "r", "payload": payload, "qos": 1, "retain": True}},
            {"type": "message", "client": "a", "qos": 1, "message": {"topic": "t", "payload": payload, "qos": 1}}]))

    with Raw(gw.port, V5) as c:
        c.connect("a", clean=False, SESSION_EXPIRY=100)
        mosquitto_pub(gw.port, "-t", "r", "-m", "there", "-q", "1", "-r")
        kept = store(lineside, "import", "-c", gw.config_path, input=one("new"))
        assert kept.returncode == 0 and "left as they are: sessions: 1, retained: 1" in kept.stderr
        c.ping()
        done = store(lineside, "import", "-c", gw.config_path, "--replace", input=one("new"))
        assert done.returncode == 0, done.stderr
        assert c.expect(DISCONNECT).reason == 0x8E
    with Paho(gw.port, client_id="a", clean=False) as p:
        assert [m.payload for m in p.messages(1)] == [b"new"]
    assert MosquittoSub(gw.port, "-t", "r", "-v", count=1).lines() == [b"r new"]


def test_a_broken_file_changes_nothing_in_a_running_gateway(lineside, gw):
    text = lines_of(EXPORT)
    before = store(lineside, "export", "-c", gw.config_path).stdout
    for broken in (text[:-30], text.replace('"qos":1', '"qos":7', 1), ""):
        done = store(lineside, "import", "-c", gw.config_path, input=broken)
        assert done.returncode == 1 and "nothing was taken" in done.stderr
        with tempfile.TemporaryFile("w+") as f:  # nor does the gateway trust who asks
            f.write(broken)
            f.flush()
            answer = ask_import(gw, f.fileno())
        assert answer["line"] and answer["taken"]["sessions"] == 0, answer
    assert "no file" in ask_import(gw, None)["error"]
    r, w = os.pipe()
    assert "no file" in ask_import(gw, r)["error"]
    os.close(r)
    os.close(w)
    assert store(lineside, "export", "-c", gw.config_path).stdout == before


def ask_import(gw, fd):
    """What the gateway itself answers."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(gw.dir / "control.sock"))
        socket.send_fds(s, [b'{"command":"import"}\n'], [fd] if fd is not None else [])
        return json.loads(s.makefile().read())


def test_a_gateway_without_a_store_takes_no_import():
    with Gateway({}, workers=1) as gw, tempfile.TemporaryFile() as f:
        assert "no storage.path" in ask_import(gw, f.fileno())["error"]


def test_compacting_gives_room_back(lineside):
    with Gateway(STORED, workers=1) as gw:
        for i in range(20):
            mosquitto_pub(gw.port, "-t", f"r/{i}", "-r", "-q", "1", "-s", input=os.urandom(100_000))
        for i in range(20):
            mosquitto_pub(gw.port, "-t", f"r/{i}", "-r", "-q", "1", "-n")
        gw.stop()
        gw.start()
        gw.stop()  # what was cleared is forgotten at a start
        before = (gw.dir / "data" / "lineside.db").stat().st_size
        done = store(lineside, "compact", "-c", gw.config_path)
        assert done.returncode == 0 and "before" in done.stdout
        assert (gw.dir / "data" / "lineside.db").stat().st_size < before / 10
        gw.start()


def test_the_examples_of_the_page_do_what_they_say(lineside, tmp_path):
    page = (Path(__file__).resolve().parent.parent / "docs" / "man" / "lineside-store.1").read_text()
    commands = [line[2:].replace("\\-", "-") for line in page.splitlines() if line.startswith("$ ")]
    assert len(commands) >= 5
    (tmp_path / "plant.yaml").write_text("storage: {path: data}\n")
    assert store(lineside, "import", tmp_path / "data", input=lines_of(EXPORT)).returncode == 0
    for command in commands:
        done = subprocess.run(command.replace("lineside", str(lineside), 1), shell=True, cwd=tmp_path, capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, (command, done.stderr)
    assert store(lineside, "export", tmp_path / "new").stdout == lines_of(EXPORT)


@pytest.mark.parametrize("args", [[], ["look"], ["info"], ["info", "a", "b"], ["check", "-j", "a"], ["export", "-r", "a"]])
def test_wrong_arguments_are_status_2(lineside, args):
    assert store(lineside, *args).returncode == 2


def test_a_configuration_without_a_store_is_said(lineside, tmp_path):
    (tmp_path / "g.yaml").write_text("gateway: {name: a}\n")
    done = store(lineside, "info", "-c", tmp_path / "g.yaml")
    assert done.returncode == 1 and "it has no storage.path" in done.stderr
