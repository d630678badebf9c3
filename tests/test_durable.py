"""What is on disk when something is acknowledged: seen in the system calls of `lineside serve`, and by paho across SIGKILL."""

import json
import re
import shutil
import stat
import subprocess
import threading

import paho.mqtt.client as mqtt
import pytest

from gate import Gate
from gateway import HOST, Gateway, binary, free_port, wait_until
from mqtt_clients import unique
from rawmqtt import PUBACK, Raw

STRACE = shutil.which("strace") or "/usr/bin/strace"
CALLS = "fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg,read,readv,recvfrom,recvmsg"
WAL = b"-wal"  # end of the file's name
END = -1  # comes after all others
EXPIRY = {"clean": False, "SESSION_EXPIRY": 3600}
# "4711 20:15:00.000001 name(text", and what a call that another thread cut short says later.
LINE = re.compile(r"^(?P<pid>\d+) +[\d:.]+ (?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<name>\w+)\()(?P<text>.*)$")


class Call:
    """A system call: its name, what strace printed of it, and the lines at which it began and ended."""

    def __init__(self, name, text, begin):
        self.name, self.text, self.begin, self.end = name, text, begin, None

    def has(self, data):
        return "".join(f"\\x{byte:02x}" for byte in data) in self.text


def calls(trace):
    done, open_calls = [], {}
    for number, line in enumerate(trace.read_text().splitlines()):
        m = LINE.match(line)
        if not m:
            continue
        if m["name"]:
            call = Call(m["name"], m["text"], number)
            done.append(call)
        elif m["pid"] in open_calls:
            call = open_calls.pop(m["pid"])
            call.text += m["text"]
        else:
            continue
        if "<unfinished" in m["text"]:
            open_calls[m["pid"]] = call
        else:
            call.end = number
    return [c for c in done if c.end is not None]


@pytest.fixture
def traced(tmp_path):
    """A gateway with a disk, and a function that stops it and returns its system calls."""
    if subprocess.run([STRACE, "-o", "/dev/null", "true"], capture_output=True).returncode != 0:
        pytest.skip("nobody may trace processes here")
    trace, script = tmp_path / "trace", tmp_path / "traced"
    # -D: the gateway stays the child that gets the signals; -y: names of files; -xx: bytes as they are
    script.write_text(f'#!/bin/sh\nexec {STRACE} -D -f -tt -y -xx -s 20000 -e trace={CALLS} -o {trace} {binary()} "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    with Gateway({"storage": {"path": "data"}}, workers=2, binary_path=str(script)) as gw:

        def stop():
            pid = gw.pid
            gw.stop()
            wait_until("the trace is complete", lambda: re.search(rf"^{pid} .*\+\+\+ exited", trace.read_text(), re.MULTILINE))
            return calls(trace)

        yield gw, stop


@pytest.mark.release  # a leak checker does not run under strace
def test_fdatasync_stands_between_publish_and_puback(traced):
    gw, stop = traced
    topic, payload = unique("durable"), b"\xfe\xed\xfa\xce to be found again"
    with Raw(gw.port).connect("sleeper", **EXPIRY) as sub:
        sub.subscribe(topic, qos=1)
        sub.disconnect()
    with Raw(gw.port).connect("speaker") as pub:
        pub.next_id = 0x1233
        assert pub.publish(topic, payload, qos=1).packet_id == 0x1234
    all_calls = stop()
    publish = next(c for c in all_calls if c.name in ("read", "readv", "recvfrom", "recvmsg") and c.has(payload))
    puback = next(c for c in all_calls if c.name in ("write", "writev", "sendto", "sendmsg") and c.has(b"\x40\x02\x12\x34"))
    written = [c for c in all_calls if c.name == "pwrite64" and c.has(WAL) and c.has(payload)]
    assert written and publish.end < written[0].begin
    assert [c for c in all_calls if c.name in ("fdatasync", "fsync") and c.has(WAL)
            and written[0].end < c.begin and c.end < puback.begin]


def status(gw):
    done = subprocess.run([binary(), "status", "--json", "-c", gw.config_path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.release  # a leak checker does not run under strace
def test_nothing_is_written_while_subscribers_answer(traced):
    """Thousands of messages, and hardly a row or an fdatasync."""
    gw, stop = traced
    topic, count = unique("elided"), 3000
    with Raw(gw.port).connect("awake", **EXPIRY) as sub, Raw(gw.port).connect("speaker") as pub:
        sub.subscribe(topic, qos=1)
        for i in range(count):
            pub.send(pub.publish_packet(topic, b"x", qos=1, packet_id=i % 65535 + 1))
            sub.message()
            pub.expect(PUBACK)
        store = status(gw)["store"]
        assert store["rows"] < count / 50, store
        assert store["rows"] + store["elided"] >= count
    syncs = [c for c in stop() if c.name in ("fdatasync", "fsync")]
    assert 0 < len(syncs) < count / 20


class Forever:
    """
    A paho client with a session, which connects again by itself and sends again what was not acknowledged.

    It needs a broker that accepts its first attempt: paho 1.6.1 prepares its open messages before each attempt, and from the second
    one on takes those whose PUBREC it has for unsent (_messages_reconnect_reset_out() turns resend_pubrel into publish). It then
    sends PUBLISH after PUBREL, against 4.3.3; a broker that has seen that PUBREL must take it for a new message.
    """

    def __init__(self, port, client_id):
        self.client = mqtt.Client(client_id, clean_session=False)
        self.client.reconnect_delay_set(0.05, 0.1)
        self.client.max_inflight_messages_set(50)
        self.published, self.arrived, self.granted = set(), [], threading.Event()
        self.client.on_publish = lambda c, u, mid: self.published.add(mid)
        self.client.on_message = lambda c, u, m: self.arrived.append((m.topic, int(m.payload)))
        self.client.on_subscribe = lambda *a: self.granted.set()
        self.connections, self.cuts = 0, 0
        self.client.on_connect = self.connected
        self.client.on_disconnect = self.disconnected
        self.client.connect(HOST, port)
        self.client.loop_start()

    def connected(self, *_):
        self.connections += 1

    def disconnected(self, *_):
        self.cuts += 1

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def all_arrived(pub, sub, topic):
    """When all is acknowledged: one message more, behind which none can come."""
    pub.client.publish(topic, str(END), qos=2)
    wait_until("all arrived", lambda: (topic, END) in sub.arrived, 30)


def test_paho_loses_nothing_when_the_broker_is_killed():
    topics, count = {unique("paho/1"): 1, unique("paho/2"): 2}, 600
    with Gateway({"storage": {"path": "data"}}, workers=2, port=free_port()) as gw, Gate(gw.port) as gate:
        gate.open()
        sub, pub = Forever(gate.port, "paho-sub"), Forever(gate.port, "paho-pub")
        try:
            sub.client.subscribe([(topic, 2) for topic in topics])
            assert sub.granted.wait(15)
            for i in range(count):
                for topic, qos in topics.items():
                    pub.client.publish(topic, str(i), qos=qos)
                if i in (150, 300, 450):
                    wait_until("some are acknowledged", lambda: len(pub.published) > i)
                    connections, cuts = pub.connections, pub.cuts
                    gate.hold()  # nobody is refused while no broker is there, see Forever
                    gw.kill()
                    wait_until("paho knows", lambda: pub.cuts > cuts)
                    known = len(pub.published)
                    gw.start()
                    gate.open()
                    # It gets no more while it sends again what was open: both threads would write to one queue.
                    wait_until("paho is back", lambda: pub.connections > connections)
                    wait_until("it has sent again", lambda: len(pub.published) > known or known == 2 * (i + 1))
            wait_until("all are acknowledged", lambda: len(pub.published) == 2 * count, 30)
            for topic in topics:
                all_arrived(pub, sub, topic)
        finally:
            pub.close()
            sub.close()
        wanted = {(topic, i) for topic in topics for i in (END, *range(count))}
        assert wanted == set(sub.arrived)
        once = [topic for topic, qos in topics.items() if qos == 2]
        assert sorted(x for x in sub.arrived if x[0] in once) == sorted(x for x in wanted if x[0] in once)


def test_what_paho_sends_again_is_known_after_a_kill():
    """Nobody heard that the broker had taken the messages, nor got them."""
    topic, count = unique("paho/again"), 20
    with Gateway({"storage": {"path": "data"}}, workers=2, port=free_port()) as gw, Gate(gw.port) as gate:
        gate.open()
        sub, pub = Forever(gate.port, "paho-sub"), Forever(gate.port, "paho-pub")
        try:
            sub.client.subscribe(topic, 2)
            assert sub.granted.wait(15)
            wait_until("both are there", lambda: sub.connections and pub.connections)
            gate.hold()
            mids = [pub.client.publish(topic, str(i), qos=2).mid for i in range(count)]
            wait_until("PUBRECs are lost", lambda: all(b"\x50\x02" + mid.to_bytes(2, "big") in gate.lost for mid in mids))
            gw.kill()
            gw.start()
            gate.open()
            wait_until("all are acknowledged", lambda: len(pub.published) == count, 30)
            all_arrived(pub, sub, topic)
        finally:
            pub.close()
            sub.close()
        assert sorted(sub.arrived) == [(topic, i) for i in (END, *range(count))]
