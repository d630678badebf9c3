"""Disks that are full, read-only or damaged, seen from outside."""

import json
import subprocess
import tempfile
from pathlib import Path

import pytest

from gateway import Gateway, wait_until
from rawmqtt import V5, Raw


def health(lineside, gw):
    done = subprocess.run([lineside, "status", "--json", "-c", gw.config_path], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["store"]["health"]


def session(gw, client_id, *filters, qos=1):
    """A session that stays, and its connection."""
    c = Raw(gw.port, V5).connect(client_id, clean=False, SESSION_EXPIRY=3600)
    if filters:
        c.subscribe(*filters, qos=qos)
    return c


def publish_until_refused(c, topic, size, qos=1, **kw):
    """Payloads that were acknowledged until one was refused for want of room."""
    taken = []
    for i in range(50000):
        payload = f"{i:08}".encode() + b"x" * size
        ack = c.publish(topic.format(i), payload, qos=qos, **kw)
        if ack.reason >= 0x80:
            assert ack.reason == 0x97, hex(ack.reason)
            return taken
        taken.append(payload)
    raise AssertionError("all of it was taken")


# ---- full ----


@pytest.fixture
def small(request):
    """A folder on a file system of so many MiB."""
    at = Path(tempfile.mkdtemp(prefix="lineside-disk-"))
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={request.param}m,mode=0700", "tmpfs", at], capture_output=True)
    if made.returncode != 0:
        at.rmdir()
        pytest.skip("file systems cannot be mounted here")
    yield at
    subprocess.run(["umount", "-l", at], check=True)
    at.rmdir()


@pytest.mark.parametrize("small", [2, 4, 8], indirect=True)
@pytest.mark.parametrize("killed", [False, True], ids=["running", "killed"])
def test_sessions_take_what_waits_when_the_disk_is_full_and_it_is_in_order_again(lineside, small, killed):
    with Gateway({"storage": {"path": str(small / "data")}}, workers=2) as gw:
        for i in range(4):
            session(gw, f"s{i}", "t", qos=1 + i % 2).disconnect()
        with Raw(gw.port, V5) as c:
            taken = publish_until_refused(c.connect("p"), "t", 4000, qos=2)
        assert taken and health(lineside, gw) == "full"
        assert len([x for x in gw.log().splitlines() if " error " in x]) == 1
        if killed:
            gw.kill()
            gw.start()
        for i in range(4):
            c = session(gw, f"s{i}")
            assert c.connack.present
            assert [m.payload for m in c.messages(len(taken))] == taken
            assert c.pending() == []
            c.disconnect()
        again = []
        while len(again) <= len(taken) // 4:
            wait_until("it is in order again", lambda: health(lineside, gw) == "ok", timeout=30)
            with Raw(gw.port, V5) as c:
                again += publish_until_refused(c.connect("p"), "t", 4000, qos=2)
        c = session(gw, "s1")
        assert [m.payload for m in c.messages(len(again))] == again


@pytest.mark.parametrize("small", [4], indirect=True)
def test_a_start_on_a_disk_that_others_have_filled_says_what_to_do(lineside, small):
    with Gateway({"storage": {"path": str(small / "data")}}, workers=1) as gw:
        session(gw, "s", "t").disconnect()
        with Raw(gw.port, V5) as c:
            assert c.connect("p").publish("t", b"kept", qos=1).reason == 0
        gw.stop()
        filler = small / "filler"
        with open(filler, "wb", buffering=0) as f, pytest.raises(OSError):
            while True:
                f.write(bytes(4096))
        done = subprocess.run([lineside, "serve", "-c", gw.config_path], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and "no space left" in done.stderr and "make room" in done.stderr
        filler.unlink()
        gw.start()
        assert session(gw, "s").message().payload == b"kept"


def test_a_full_store_does_not_go_to_and_fro_at_max_bytes(lineside):
    with Gateway({"storage": {"path": "data", "max_bytes": "2MiB"}}, workers=1) as gw:
        with Raw(gw.port, V5) as c:
            assert len(publish_until_refused(c.connect("p"), "r/{}", 1000, retain=True)) > 1000
            for i in range(100):
                assert c.publish(f"new/{i}", b"x", qos=1, retain=True).reason == 0x97
        assert health(lineside, gw) == "full" and "written to disk again" not in gw.log()


def test_retained_messages_can_be_cleared_when_the_store_is_full(lineside):
    with Gateway({"storage": {"path": "data", "max_bytes": "2MiB"}}, workers=2) as gw:
        with Raw(gw.port, V5) as c:
            publish_until_refused(c.connect("p"), "r/{}", 1000, retain=True)
            for i in range(100):
                assert c.publish(f"r/{i}", b"", qos=1, retain=True).reason in (0, 0x10)
            wait_until("there is room", lambda: health(lineside, gw) == "ok")
            assert c.publish("r/100", b"replaced", qos=1, retain=True).reason in (0, 0x10)
        gw.kill()
        gw.start()
        with Raw(gw.port, V5) as c:
            c.connect("s").subscribe(*(f"r/{i}" for i in range(101)))
            assert c.message().payload == b"replaced"
            assert c.pending() == []
