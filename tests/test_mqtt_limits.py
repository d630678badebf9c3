"""Limits of the broker: many connections, many subscriptions, no descriptors left, and memory that is asked for in every way."""

import os
import resource
import socket
import struct
import time

import pytest

from gateway import Gateway
from mqtt_clients import unique
from rawmqtt import HOST, PUBACK, SUBACK, V5, V311, Closed, Raw, packet, string

MIB = 1 << 20
SANITIZED = any(x in os.environ.get("LINESIDE_BIN", "") for x in ("asan", "tsan"))
release = pytest.mark.release


# -- numbers --


def test_one_client_subscribes_100000_filters_in_seconds():
    with Gateway(workers=2) as gw:
        c, other = Raw(gw.port, V5).connect("many"), Raw(gw.port, V5).connect("other")
        began = time.monotonic()
        for first in range(0, 100000, 1000):
            filters = b"".join(string(f"plant/{i % 100}/dev/{i}") + b"\x01" for i in range(first, first + 1000))
            c.send(packet(8, struct.pack(">H", first // 1000 + 1) + b"\0" + filters, 2))
            assert c.expect(SUBACK).codes == [1] * 1000
        took = time.monotonic() - began
        print(f"100,000 subscriptions in {took:.2f} s, {gw.resident() / MIB:.0f} MiB")
        c.subscribe("one/more", granted=[0x97])
        other.publish("plant/42/dev/4242", b"here", qos=1)
        assert c.message().payload == b"here"
        assert took < (60 if SANITIZED else 10)


@release
def test_ten_thousand_connections_with_defaults(gateway_of_defaults):
    gw = gateway_of_defaults
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 10200:
        pytest.skip(f"the hard limit of descriptors is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (10200, hard))
    clients = []
    try:
        before = gw.resident()
        for n in range(10000):
            s = socket.create_connection((HOST, gw.port))
            s.sendall(packet(1, string("MQTT") + b"\x04\x02\0\0" + string(f"c{n}")))
            clients.append(s)
        for s in clients:
            assert s.recv(4) == b"\x20\x02\0\0"
        print(f"{(gw.resident() - before) / 10000:.0f} bytes a connection")
        Raw(gw.port, V5).connect("one more").ping()
    finally:
        for s in clients:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def gateway_of_defaults():
    with Gateway() as g:
        yield g


def test_without_descriptors_clients_are_told_and_others_served():
    with Gateway({"broker": {"max_connections": 100}}, workers=1) as gw:
        held = Raw(gw.port, V5).connect("held")
        used = len(os.listdir(f"/proc/{gw.process.pid}/fd"))
        before = resource.prlimit(gw.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(gw.process.pid, resource.RLIMIT_NOFILE, (used + 2, before[1]))
        try:
            fits = [Raw(gw.port, V5).connect(f"fits{i}") for i in range(2)]
            for _ in range(20):
                # closed at once: an end or a reset, not silence
                with pytest.raises((Closed, BrokenPipeError, ConnectionResetError)):
                    Raw(gw.port, V5, timeout=10).connect("too many")
                held.ping()
        finally:
            resource.prlimit(gw.process.pid, resource.RLIMIT_NOFILE, before)
        Raw(gw.port, V5).connect("again").ping()
        assert len(fits) == 2
        gw.wait_log("connections are accepted again, 20 were closed meanwhile")
        assert gw.log().count("connections are closed as they come") == 1


# -- memory --

LIMIT = 48 * MIB
BESIDES = 32 * MIB  # docs/configuration.md


def flood_sessions(gw):
    """Sessions without end of clients that never come back."""
    for _ in range(200000):
        c = Raw(gw.port, V5)
        if c.try_connect(unique("gone"), SESSION_EXPIRY=0xFFFFFFFF).reason == 0x97:
            return
        c.close()
    pytest.fail("nobody was refused")


def flood_subscriptions(gw):
    for n in range(50):
        c = Raw(gw.port, V5).connect(f"subs{n}", SESSION_EXPIRY=0xFFFFFFFF)
        for first in range(0, 20000, 2000):
            filters = b"".join(string(f"f/{n}/{first + i}/{'x' * 20}") + b"\x01" for i in range(2000))
            c.send(packet(8, struct.pack(">H", 1) + b"\0" + filters, 2))
            if 0x97 in c.expect(SUBACK).codes:
                return
        c.close()
    pytest.fail("no subscription was refused")


def flood_retained(gw):
    c = Raw(gw.port, V5).connect("retainer")
    for first in range(0, 1000000, 500):
        c.send(b"".join(c.publish_packet(f"retained/{first + i}", b"r" * 300, 1, True, packet_id=i + 1) for i in range(500)))
        if 0x97 in [c.expect(PUBACK).reason for _ in range(500)]:
            return
    pytest.fail("no retained topic was refused")


def flood_offline(gw):
    """Queues of sessions that are away, of many topics, small and large messages."""
    for n in range(20):
        c = Raw(gw.port, V5).connect(f"away{n}", SESSION_EXPIRY=0xFFFFFFFF)
        c.subscribe(f"q/{n}/#", qos=2)
        c.close()
    p = Raw(gw.port, V5).connect("p")
    for turn in range(60):
        size = 30000 if turn % 4 == 0 else 200
        p.send(b"".join(p.publish_packet(f"q/{i % 20}/{turn * 400 + i}", b"m" * size, 1, packet_id=i + 1) for i in range(400)))
        for _ in range(400):
            assert p.expect(PUBACK).reason in (0, 0x97)


def flood_deaf(gw):
    """Subscribers that read nothing, of all QoS, and packets that never end."""
    deaf = []
    p = Raw(gw.port, V5).connect("shouter")
    for n in range(10):
        c = Raw(gw.port, V311)
        c.connect(f"deaf{n}")
        c.subscribe("d/#", qos=n % 3)
        deaf.append(c)
    for n in range(100):
        c = Raw(gw.port, V5)
        deaf.append(c)
        try:
            if c.try_connect(f"half{n}").reason == 0x97:
                break
            c.send(bytes([0x30, 0x80, 0x80, 0x3F]) + b"\0" * 900000)
        except (OSError, Closed):
            pass  # it was cut
    else:
        pytest.fail("nobody was refused")
    for turn in range(100):
        p.send(b"".join(p.publish_packet(f"d/{i}", bytes([turn]) * 5000, i % 2, packet_id=i // 2 + 1) for i in range(200)))
        for _ in range(100):
            assert p.expect(PUBACK).reason in (0, 0x97)
    return deaf


@release
@pytest.mark.parametrize("flood", [flood_sessions, flood_subscriptions, flood_retained, flood_offline, flood_deaf])
def test_memory_stays_below_its_limit_whatever_is_asked(flood):
    config = {"broker": {"memory_limit": LIMIT, "max_sessions": 1000000, "max_queued_bytes": "1GiB", "max_queued_messages": 1000000}}
    with Gateway(config, workers=3) as gw:
        old = Raw(gw.port, V5).connect("old", SESSION_EXPIRY=3600)
        old.subscribe("old/#", qos=1)
        kept = flood(gw)
        print(f"{flood.__name__}: peak {gw.resident('VmHWM') / MIB:.1f} MiB, limit {LIMIT / MIB:.0f}")
        assert gw.resident("VmHWM") < LIMIT + BESIDES
        # who was there is served all the same
        old.publish("old/a", b"1", qos=1)
        assert old.message().payload == b"1"
        old.ping()
        del kept
