"""Clients that mean harm, or behave as if: storms, half-open and dribbling connections, deep topics, a hundred thousand
subscriptions, mutated packets. Others are served within a second all the while, and memory comes back."""

import os
import random
import select
import socket
import struct
import time

import pytest

from gateway import HOST, Gateway, wait_until
from rawmqtt import (CONNACK, DISCONNECT, PUBACK, PUBLISH, PUBREC, PUBREL, SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE, V5, V311,
                     Closed, Raw, packet, properties, string)
from witness import Witness

MIB = 1 << 20
SLASHES = "/" * 65535
SLOWED = "TSAN_OPTIONS" in os.environ or "ASAN_OPTIONS" in os.environ  # sanitizers; they keep freed memory too


@pytest.fixture(scope="module")
def gw():
    with Gateway({"broker": {"connect_timeout": "2s"}}, workers=3) as g:
        yield g


def reset(sock):
    """Close without the courtesies: the peer gets RST, and no port here stays in TIME_WAIT."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# ---- deep topics ----

def test_topics_of_65535_slashes(gw):
    with Witness(gw), Raw(gw.port).connect("slashes") as c:
        for n in range(50):
            c.send(c.publish_packet(SLASHES, b"x", 1, packet_id=n + 1, retain=True))
            assert c.expect(PUBACK).reason == 0x90
            c.subscribe(SLASHES, qos=0, granted=[0x8F])
            c.subscribe("$share/g/" + SLASHES[:65526], qos=0, granted=[0x8F])
            assert c.unsubscribe(SLASHES).codes == [0x11]
        before = gw.resident()
        for n in range(200):
            c.send(c.publish_packet(SLASHES, b"x", 1, packet_id=n + 1, retain=True))
            assert c.expect(PUBACK).reason == 0x90
        assert SLOWED or gw.resident() - before < MIB
        will = {"topic": SLASHES, "payload": b"gone", "qos": 1, "retain": True}
        with Raw(gw.port) as w:
            assert w.try_connect("slash-will", will=will).reason == 0x90


def test_topics_of_65535_slashes_in_311(gw):
    with Witness(gw), Raw(gw.port, V311).connect("slashes-3") as c:
        c.subscribe(SLASHES, qos=0, granted=[0x80])
        c.publish(SLASHES, b"x")
        c.ping()
        c.send(c.publish_packet(SLASHES, b"x", 1, packet_id=1))
        assert [p.kind for p in c.at_end()] == []


def test_the_deepest_topic_that_is_allowed(gw):
    """128 levels by default, matched by filters with + at many of them, and by # below each."""
    deep = "/".join("d" * 128)
    filters = ["/".join("+" if n >> (i % 8) & 1 else "d" for i in range(128)) for n in range(256)]
    with Witness(gw), Raw(gw.port, timeout=60).connect("deep") as c:
        for at in range(0, 256, 64):
            c.subscribe(*filters[at:at + 64])
        c.subscribe(*["/".join(["d"] * n + ["#"]) for n in range(1, 127)])
        for n in range(100):
            c.publish(deep, b"%d" % n)
        assert [m.payload for m in c.messages(100)] == [b"%d" % n for n in range(100)]
        c.subscribe(deep + "/d", granted=[0x8F])


# ---- a hundred thousand subscriptions of one client ----

def all_filters(count):
    """A third each: exact, one +, + and #."""
    shapes = ("many/{}/x", "many/+/{}", "many/{}/+/#")
    return [shapes[n % 3].format(n) for n in range(count)]


def ask(c, kind, filters, step=5000):
    tail = b"\0" if kind == SUBSCRIBE else b""
    for at in range(0, len(filters), step):
        c.send(packet(kind, b"\0\1\0" + b"".join(string(f) + tail for f in filters[at:at + step]), 2))
        ack = c.expect(SUBACK if kind == SUBSCRIBE else UNSUBACK)
        assert set(ack.codes) == {0}


@pytest.mark.parametrize("end", ["unsubscribes", "goes away"])
def test_a_hundred_thousand_subscriptions_of_one_client(gw, end):
    filters = all_filters(100000)
    with Witness(gw), Raw(gw.port, timeout=60).connect("many") as c:
        ask(c, SUBSCRIBE, filters)
        c.subscribe("one/more", granted=[0x97])
        for n in (0, 1, 2, 99997, 99998, 99999):
            c.publish(f"many/{n}/x", b"%d" % n)
        # an exact one and its + and # come once: a session gets one copy
        assert [m.payload for m in c.messages(4)] == [b"0", b"2", b"99998", b"99999"]
        if end == "unsubscribes":
            ask(c, UNSUBSCRIBE, filters)
            c.publish("many/0/x", b"nobody")
            assert c.pending() == []
        c.close()


# ---- takeovers ----

def answered(c):
    """Its CONNECT was handled: what comes later takes its place."""
    try:
        c.expect(CONNACK)
    except Closed:
        pass


def test_a_storm_of_takeovers(gw):
    """Many connections of few client ids, session kept, that subscribe and publish; in the end each id has one."""
    rng = random.Random(5)
    seconds, ids = 3, [f"storm-{n}" for n in range(8)]
    live = []
    with Witness(gw):
        end = time.monotonic() + seconds
        made = 0
        while time.monotonic() < end:
            c = Raw(gw.port)
            name = rng.choice(ids)
            c.send(c.connect_packet(name, clean=rng.random() < 0.3, SESSION_EXPIRY=rng.choice([0, 60]))
                   + packet(SUBSCRIBE, b"\0\1\0" + string("storm/+") + b"\1", 2)
                   + c.publish_packet("storm/x", b"payload", 1, packet_id=2)
                   + packet(UNSUBSCRIBE, b"\0\3\0" + string("storm/+"), 2))
            made += 1
            live.append(c)
            if len(live) > 60:
                victim = live.pop(rng.randrange(len(live)))
                reset(victim.sock) if rng.random() < 0.5 else victim.close()
        for c in live:
            answered(c)
        last = {name: Raw(gw.port).connect(name, clean=True) for name in ids}
        for c in live:
            c.sock.settimeout(20)
            c.at_end()  # every older one was closed
        for name, c in last.items():
            c.subscribe(name, qos=1)
            c.publish(name, b"mine", 1)
            assert c.message().payload == b"mine"
            c.close()
    assert made > 200


# ---- connections that do nothing, or little ----

def test_half_open_and_dribbling_connections(gw):
    """600 connections that say nothing, the half of a CONNECT, or dribble a byte at a time: closed at the CONNECT time-out."""
    probe = Raw(gw.port)
    connect = probe.connect_packet("dribble", will={"topic": "w", "payload": b"x" * 1000})
    probe.close()
    with Witness(gw):
        socks = [socket.create_connection((HOST, gw.port)) for _ in range(600)]
        start = time.monotonic()
        for s in socks[200:400]:
            s.sendall(connect[:len(connect) // 2])
        for s in socks[100:150] + socks[300:350]:
            s.shutdown(socket.SHUT_WR)
        dribblers = dict.fromkeys(socks[400:], 0)
        for s in socks:
            s.setblocking(False)
        open_ = set(socks)
        while open_ and time.monotonic() - start < 20:
            for s in [s for s in dribblers if s in open_]:
                at = dribblers[s]
                dribblers[s] = at + 1
                try:
                    s.send(connect[at:at + 1])
                except OSError:
                    pass
            for s in select.select(list(open_), [], [], 0.02)[0] if len(open_) < 1000 else []:
                try:
                    if s.recv(4096) == b"":
                        open_.discard(s)
                except OSError:
                    open_.discard(s)
        assert not open_, f"{len(open_)} are still there"
        assert time.monotonic() - start < 10
        for s in socks:
            s.close()


def test_a_large_publish_that_dribbles(gw):
    """Many clients that each announce a large packet: memory grows with the bytes that came, not with those announced."""
    with Witness(gw):
        clients = [Raw(gw.port).connect(f"announce-{n}") for n in range(200)]
        before = gw.resident()
        for c in clients:
            c.send(c.publish_packet("big", bytes(1000 * 1000), 1, packet_id=1)[:1000])
        for c in clients:
            c.sock.setblocking(False)
        for c in clients:
            reset(c.sock)
        assert SLOWED or gw.resident() - before < 8 * MIB


def test_clients_that_never_read(gw):
    """200 connections that ask and ask and never read the answers."""
    before = gw.resident()
    with Witness(gw):
        clients = [Raw(gw.port).connect(f"deaf-{n}") for n in range(200)]
        for c in clients:
            c.sock.setblocking(False)
        ask_ = (packet(12) + packet(SUBSCRIBE, b"\0\1\0" + string("deaf/#") + b"\1", 2)
                + clients[0].publish_packet("deaf/x", bytes(1000), 1, packet_id=7)) * 200
        for _ in range(5):
            for c in clients:
                try:
                    c.sock.send(ask_)
                except OSError:
                    pass
        for c in clients:
            reset(c.sock)
    if not SLOWED:
        wait_until("the memory is given back", lambda: gw.resident() - before < 100 * MIB, timeout=20)


# ---- mutated packets ----

def seeds(version):
    c = Raw.__new__(Raw)
    c.version = version
    v5 = version == V5
    props = properties({"CONTENT_TYPE": "t", "CORRELATION_DATA": b"c", "USER_PROPERTY": [("a", "b")]}) if v5 else b""
    none = b"\0" if v5 else b""
    return [
        c.connect_packet("mutant", will={"topic": "w", "payload": b"x", "qos": 1}, username="u", password="p"),
        packet(PUBLISH, string("m/a") + props + b"payload"), packet(PUBLISH, string("m/b") + b"\0\5" + props + b"x", 2),
        packet(PUBLISH, string("m/c") + b"\0\6" + props + b"x", 4), packet(PUBREL, b"\0\6", 2), packet(PUBACK, b"\0\1"),
        packet(PUBREC, b"\0\1"), packet(SUBSCRIBE, b"\0\1" + none + string("m/+") + b"\1" + string("$share/g/m/#") + b"\0", 2),
        packet(UNSUBSCRIBE, b"\0\1" + none + string("m/+"), 2), packet(12), packet(DISCONNECT),
    ]


def mutate(rng, data):
    b = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(b))
        how = rng.randrange(5)
        if how == 0:
            b[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            b[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif how == 2 and len(b) > 2:
            del b[at]
        elif how == 3:
            b[at:at] = bytes([rng.randrange(256)])
        else:
            b[at:] = b[at:at + rng.randrange(8)] * 2
            b = b or bytearray(b"\0")
    return bytes(b)


def throw(gw, rng, packets):
    """So many mutated packets, ten to a connection."""
    for n in range(0, packets, 10):
        version = rng.choice((V311, V5))
        some = seeds(version)
        with socket.create_connection((HOST, gw.port)) as s:
            head = b"" if n % 100 == 0 else some[0]
            try:
                s.sendall(head + b"".join(mutate(rng, rng.choice(some)) for _ in range(10)))
            except OSError:
                pass
            reset(s)


def test_a_hundred_thousand_mutated_packets():
    """After the second fifty thousand, memory is where it was after the first."""
    rng = random.Random(2)
    with Gateway(workers=2) as gw, Witness(gw):
        throw(gw, rng, 50000)
        half = gw.resident()
        throw(gw, rng, 50000)
        grown = gw.resident() - half
        with Raw(gw.port).connect("after") as c:
            c.ping()
        if not SLOWED:
            assert grown < MIB, f"{grown} bytes more than at half time"
