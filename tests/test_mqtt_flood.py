"""Floods: publishers far faster than their subscribers. Memory stays under its limit, order and QoS 2 hold, and every message
that did not come is counted.

LINESIDE_FLOOD_S    how long each flood lasts (default 3)
"""

import os
import re
import select
import socket
import struct
import threading
import time

import pytest

from gateway import Gateway
from rawmqtt import PINGRESP, PUBACK, PUBLISH, PUBREC, PUBREL, V311, Raw, packet

FLOOD_S = float(os.environ.get("LINESIDE_FLOOD_S", "3"))
MIB = 1 << 20
# docs/configuration.md: what the program takes besides memory_limit
SANITIZED = any(x in os.environ.get("LINESIDE_BIN", "") for x in ("asan", "tsan"))  # they need memory of their own
BESIDES = 1 << 40 if SANITIZED else 32 * MIB
WINDOW = 500
PAYLOAD = b"x" * 500


def rss_peak(gw):
    status = open(f"/proc/{gw.process.pid}/status", encoding="ascii").read()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024


class Publisher(threading.Thread):
    """Publishes numbered messages to one topic, as many as it can; QoS 1 and 2 with a window."""

    def __init__(self, port, qos):
        super().__init__(daemon=True)
        self.raw = Raw(port, V311).connect(f"pub{qos}")
        self.qos, self.sent, self.failure = qos, 0, None
        self.end = time.monotonic() + FLOOD_S

    def block(self, n):
        """The next n messages; ids turn in the window, of which all are free."""
        head = bytes([0, 3]) + f"f/{self.qos}".encode()
        out = bytearray()
        for i in range(n):
            body = head + (struct.pack(">H", i + 1) if self.qos else b"") + struct.pack(">I", self.sent) + PAYLOAD
            out += bytes([0x30 | self.qos << 1, len(body) & 0x7F | 0x80, len(body) >> 7]) + body
            self.sent += 1
        return bytes(out)

    def take(self, n):
        """n acknowledgements, of 4 bytes each."""
        left = 4 * n
        while left:
            got = self.raw.sock.recv(left)
            assert got, "the broker closed the publisher's connection"
            left -= len(got)

    def run(self):
        try:
            while time.monotonic() < self.end:
                self.raw.send(self.block(WINDOW))
                if self.qos:
                    self.take(WINDOW)
                if self.qos == 2:
                    self.raw.send(b"".join(packet(PUBREL, struct.pack(">H", i + 1), 2) for i in range(WINDOW)))
                    self.take(WINDOW)
            self.raw.ping()  # all of it was handled
        except Exception as e:  # noqa: BLE001 - told by the main thread
            self.failure = e


class Subscriber(threading.Thread):
    """Takes a tenth of what its publisher sends, and what is left at the end; checks the numbers."""

    def __init__(self, port, publisher):
        super().__init__(daemon=True)
        self.publisher, self.qos = publisher, publisher.qos
        self.raw = Raw(port, V311)
        self.raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.raw.connect(f"sub{self.qos}")
        self.raw.subscribe(f"f/{self.qos}", qos=self.qos)
        self.got, self.last, self.answers, self.failure = 0, -1, 0, None

    def handle(self, p):
        if p.kind == PUBLISH:
            number = struct.unpack(">I", p.payload[:4])[0]
            assert p.qos == self.qos and not p.dup
            assert number > self.last, f"QoS {self.qos}: {number} came after {self.last}"
            self.last, self.got = number, self.got + 1
            if self.qos:
                self.raw.send(packet(PUBACK if self.qos == 1 else PUBREC, struct.pack(">H", p.packet_id)))
        elif p.kind == PUBREL:
            self.raw.send(packet(7, struct.pack(">H", p.packet_id)))
        else:
            assert p.kind == PINGRESP
            self.answers += 1

    def has_packet(self):
        """Has one begun to come, or does one within a moment? What was dropped never comes."""
        return self.raw.buffer or select.select([self.raw.sock], [], [], 0.05)[0]

    def drain(self):
        """Until nothing comes between two pings: acknowledgements before a ping make the broker send what waits."""
        quiet = 0
        while quiet < 3:
            before, answers = self.got, self.answers
            self.raw.send(packet(12))
            handled = 0
            while self.answers == answers:
                self.handle(self.raw.read())
                handled += 1
            quiet = quiet + 1 if self.got == before and handled == 1 else 0

    def run(self):
        try:
            while self.publisher.is_alive():
                if self.got * 10 > self.publisher.sent:
                    self.publisher.join(0.001)
                elif self.has_packet():
                    self.handle(self.raw.read())
            self.drain()
        except Exception as e:  # noqa: BLE001
            self.failure = f"QoS {self.qos}, {self.got} of {self.publisher.sent} came: {e!r}"


def dropped(log):
    """{cause: number} of the last line about it."""
    line = re.findall(r"messages dropped:(.*)", log)
    return {cause: int(n) for cause, n in re.findall(r"(\w+) (\d+)", line[-1])} if line else {}


FLOODS = {
    "queues are full": ({"max_queued_messages": 2000, "max_queued_bytes": "512KiB"}, {"qos0", "queue_full"}),
    "the oldest go": ({"max_queued_messages": 2000, "max_queued_bytes": "512KiB", "queue_policy": "drop_oldest"}, {"qos0", "queue_oldest"}),
    "memory is short": ({"memory_limit": "32MiB", "max_queued_messages": 10000000, "max_queued_bytes": "1GiB"}, {"memory"}),
}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_counted_in_order_and_within_memory(name, workers):
    limits, causes = FLOODS[name]
    with Gateway({"broker": {"memory_limit": "64MiB", **limits}}, workers=workers) as gw:
        publishers = [Publisher(gw.port, qos) for qos in (0, 1, 2)]
        subscribers = [Subscriber(gw.port, p) for p in publishers]
        for t in publishers + subscribers:
            t.start()
        for t in publishers + subscribers:
            t.join()
        for t in publishers + subscribers:
            assert t.failure is None, t.failure
        peak = rss_peak(gw)
        sent, got = sum(p.sent for p in publishers), sum(s.got for s in subscribers)
        gw.stop()
        counted = dropped(gw.log())
    limit = int(re.match(r"\d+", limits.get("memory_limit", "64MiB")).group(0)) * MIB
    print(f"sent {[p.sent for p in publishers]} got {[s.got for s in subscribers]} dropped {counted} peak {peak / MIB:.1f} MiB")
    assert sent == got + sum(counted.values()), counted
    assert causes <= set(counted) <= causes | {"qos0"}  # which QoS 0 may always lose, to a reader that is slow enough
    assert peak < limit + BESIDES
