"""Very many retained messages: all arrive, others are served, memory and limits hold, what expires goes."""

import itertools
import os
import struct
import threading
import time

import pytest

from gateway import Gateway, wait_until
from mqtt_clients import MosquittoSub, Paho, mosquitto_pub
from rawmqtt import PUBLISH, SUBSCRIBE, V5, V311, Closed, Raw, packet, string

MIB = 1 << 20
SLOW = any(name in os.environ for name in ("TSAN_OPTIONS", "ASAN_OPTIONS"))
SERVED_WITHIN_S = 5 if SLOW else 1
MANY = 20000 if SLOW else 200000


def fill(port, n, version=V311, payload=lambda i: b"v%d" % i, first=0):
    """n topics, in two halves of a tree; ends when the broker has them all."""
    c = Raw(port, version, timeout=120).connect("filler")
    batch = []
    for i in range(first, first + n):
        batch.append(c.publish_packet(f"plant/line{i % 7}/tag{i}", payload(i), retain=True))
        if len(batch) == 5000:
            c.send(b"".join(batch))
            batch = []
    c.send(b"".join(batch))
    c.ping()
    return c


def subscribe(raw, text, qos=0):
    body = struct.pack(">H", 7) + (b"\0" if raw.version == V5 else b"") + string(text) + bytes([qos])
    raw.send(packet(SUBSCRIBE, body, 2))


def publishes(raw):
    """(topic, payload) of each QoS 0 PUBLISH as it comes, without the cost of an object for the packet (3.1.1)."""
    data, at = raw.buffer, 0
    try:
        while True:
            while len(data) - at >= 4:
                size, head = (data[at + 1], 2) if data[at + 1] < 128 else (data[at + 1] & 127 | data[at + 2] << 7, 3)
                start, end = at + head + 2, at + head + size
                if len(data) < end:
                    break
                kind, at = data[at] >> 4, end
                if kind == PUBLISH:
                    topic = struct.unpack_from(">H", data, start - 2)[0] + start
                    yield data[start:topic], data[topic:end]
            raw.buffer = data[at:]
            raw.fill()
            data, at = raw.buffer, 0
    finally:
        raw.buffer = data[at:]


@pytest.mark.parametrize("text, own", [("#", 1), ("plant/+/+", 0)])
@pytest.mark.parametrize("workers", [1, 2])
def test_one_wildcard_over_very_many_brings_each_once_while_others_are_served(workers, text, own):
    """`own`: the gateway's status is there, too."""
    with Gateway(workers=workers) as gw:
        fill(gw.port, MANY)
        other, c = Raw(gw.port).connect("other"), Raw(gw.port, V311, timeout=60).connect("c")
        before, stop, worst = gw.resident(), [], [0.0]

        def ping():
            while not stop:
                start = time.monotonic()
                other.ping()
                worst[0] = max(worst[0], time.monotonic() - start)

        t = threading.Thread(target=ping)
        t.start()
        try:
            subscribe(c, text)
            topics = {topic for topic, _ in itertools.islice(publishes(c), MANY + own)}
        finally:
            stop.append(True)
            t.join()
        assert len(topics) == MANY + own
        c.ping()  # and nothing more
        assert not [p for p in c.waiting if p.kind == PUBLISH]
        assert worst[0] < SERVED_WITHIN_S
        assert gw.resident() - before < 8 * MIB


def test_values_that_change_while_a_wildcard_reads_them_never_go_back():
    with Gateway(workers=2) as gw:
        filler = fill(gw.port, MANY // 4, payload=lambda i: b"0")
        c = Raw(gw.port, V311, timeout=60).connect("c")
        subscribe(c, "plant/#", qos=1)
        changed = [f"plant/line{i % 7}/tag{i}" for i in range(0, MANY // 4, 97)]

        def change():
            for n in range(1, 4):
                for topic in changed:
                    filler.send(filler.publish_packet(topic, b"%d" % n, retain=True))
            filler.ping()

        t = threading.Thread(target=change)
        t.start()
        last, end = {}, time.monotonic() + 60
        for topic, payload in publishes(c):
            value = int(payload)
            assert last.get(topic, -1) < value, (topic, last[topic], value)
            last[topic] = value
            assert time.monotonic() < end
            if len(last) == MANY // 4 and all(last[x.encode()] == 3 for x in changed):
                break
        t.join()


def test_mosquitto_sub_gets_what_paho_retained():
    with Gateway(workers=2) as gw:
        with Paho(gw.port) as c:
            for n in range(300):
                c.publish(f"p/{n}", b"%d" % n, qos=1, retain=True)
        mosquitto_pub(gw.port, "-t", "p/0", "-m", "new", "-r", "-q", "1")
        mosquitto_pub(gw.port, "-t", "p/1", "-n", "-r", "-q", "1")
        sub = MosquittoSub(gw.port, "-t", "p/#", "-v", "--retained-only", count=299)
        assert sorted(sub.lines()) == sorted([b"p/0 new", *(b"p/%d %d" % (n, n) for n in range(2, 300))])


# ---- limits ----


def test_what_is_above_the_limit_is_refused_or_delivered_and_not_kept():
    with Gateway({"broker": {"workers": 1, "max_retained_messages": 10, "sys_interval": "100ms"}}) as gw:
        c, sub = Raw(gw.port).connect("c"), Raw(gw.port).connect("sub")
        for n in range(10):
            assert c.publish(f"t/{n}", b"x", qos=1, retain=True).reason in (0, 0x10)
        sub.subscribe("u/#", qos=1)
        for qos in (1, 2):
            assert c.publish("u/0", b"refused", qos=qos, retain=True).reason == 0x97
        c.publish("u/0", b"live", retain=True)
        m = sub.message()
        assert (m.payload, m.retain) == (b"live", False)
        assert c.publish("t/3", b"y", qos=1, retain=True).reason in (0, 0x10)
        assert c.publish("u/0", b"no retain", qos=1).reason == 0
        assert sub.message().payload == b"no retain"
        assert sorted(MosquittoSub(gw.port, "-t", "t/#", "-v", "--retained-only", count=10).lines()) == [
            b"t/%d %s" % (n, b"y" if n == 3 else b"x") for n in range(10)]
        old = Raw(gw.port, V311).connect("old")
        with pytest.raises(Closed):
            old.publish("u/1", b"x", qos=1, retain=True)
        assert c.publish("t/5", b"", qos=1, retain=True).reason in (0, 0x10)
        assert c.publish("u/1", b"x", qos=1, retain=True).reason in (0, 0x10)


def test_the_size_of_what_is_retained_has_a_limit():
    with Gateway({"broker": {"workers": 1, "max_retained_bytes": "1MiB"}}) as gw:
        c = Raw(gw.port, timeout=60).connect("c")
        kept = [c.publish(f"t/{n:02}", bytes(65000), qos=1, retain=True).reason for n in range(20)]
        assert kept == [0x10] * 16 + [0x97] * 4
        assert c.publish("t/00", b"", qos=1, retain=True).reason == 0x10
        assert c.publish("t/19", bytes(65000), qos=1, retain=True).reason == 0x10
        assert c.publish("t/18", b"x", qos=1, retain=True).reason == 0x10
        assert c.publish("t/18", bytes(65000), qos=1, retain=True).reason == 0x97


# ---- expiry ----


def test_what_expired_gives_its_room_back():
    n = 20000
    with Gateway({"broker": {"workers": 1, "max_retained_messages": n}}) as gw:
        c = Raw(gw.port, timeout=60).connect("c")
        c.send(b"".join(c.publish_packet(f"e/{i}", b"x", retain=True, MESSAGE_EXPIRY=2) for i in range(n)))
        assert c.publish("one/more", b"x", qos=1, retain=True).reason == 0x97
        wait_until("room for one more", lambda: c.publish("one/more", b"x", qos=1, retain=True).reason != 0x97, 60, 0.1)
        wait_until("room for all", lambda: c.publish("more/still", b"x", qos=1, retain=True).reason != 0x97, 60, 0.1)
        c.send(b"".join(c.publish_packet(f"f/{i}", b"x", retain=True) for i in range(100)))
        c.ping()
        sub = Raw(gw.port).connect("sub")
        sub.subscribe("f/#")
        assert len(sub.messages(100)) == 100
