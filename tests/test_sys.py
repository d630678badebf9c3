"""$SYS/broker/...: figures that are right, where Mosquitto's users look for them."""

import re
import subprocess
from pathlib import Path

import pytest

from gateway import HOST, Gateway, wait_until
from rawmqtt import V5, Raw

DOCS = Path(__file__).resolve().parent.parent / "docs" / "sys.md"
PREFIX = "$SYS/broker/"
OWN = 1  # the gateway says _gateway/status "online"


@pytest.fixture(params=[1, 3], ids=["one worker", "three workers"])
def gw(request):
    with Gateway({"broker": {"workers": request.param, "spread_after": 0, "sys_interval": "200ms"}}) as g:
        yield g


def read_sys(port):
    """topic: value of all there is, as mosquitto_sub sees it: what is retained comes before what it publishes itself."""
    done = subprocess.run(["mosquitto_sub", "-h", HOST, "-p", str(port), "-t", "$SYS/#", "-v", "--retained-only", "-W", "1"],
                          capture_output=True, text=True, timeout=20)
    return dict(re.match(r"\$SYS/broker/(.*?) ([^ ]+( seconds| version .*)?)$", line).group(1, 2) for line in done.stdout.splitlines())


class Watch:
    """A client that reads one topic after the other; what it does itself is counted in `own`."""

    def __init__(self, gw):
        self.c = Raw(gw.port, V5).connect("watch")
        self.last = {}
        self.c.subscribe(PREFIX + "#")

    def value(self, topic):
        return self.last.get(topic)

    def wait(self, also=lambda last: True, **expected):
        """Until all of these stand as expected at the end of a round; names with _ for / and __ for _."""
        want = {k.replace("__", "\0").replace("_", "/").replace("\0", "_"): str(v) for k, v in expected.items()}

        def seen():
            m = self.c.message()
            self.last[m.topic.removeprefix(PREFIX)] = m.payload.decode()
            # changes in each round, and stands behind all but other workers' figures
            return m.topic == PREFIX + "workers/0/turns" and also(self.last) and all(self.last.get(k) == v for k, v in want.items())

        try:
            wait_until(f"{want}", seen, every=0)
        except AssertionError:
            raise AssertionError(f"{want}, but {({k: self.last.get(k) for k in want})}") from None


def of_workers(last, figure):
    return [int(value) for topic, value in last.items() if re.fullmatch(rf"workers/\d+/{figure}", topic)]


def documented():
    """The topics of docs/sys.md, spelled out."""
    rows = re.findall(r"^\| (`.*?) \|", DOCS.read_text(), re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    loads = re.search(r"`L` is (.*)\|", DOCS.read_text()).group(1)
    out = set()
    for name in names - {"dropped/C"}:
        if name.startswith("load/L/"):
            out |= {name.replace("L", load) for load in re.findall(r"`([^`]+)`", loads)}
        else:
            out.add(name.replace("/N/", "/0/"))
    return out


def test_the_page_lists_every_topic_there_is():
    with Gateway({"broker": {"workers": 3, "sys_interval": "200ms"}, "storage": {"path": "data"}}) as gw:
        there = {re.sub(r"^workers/\d+/", "workers/0/", topic) for topic in read_sys(gw.port)}
        assert there == documented()


def test_without_a_store_there_are_no_topics_of_it(gw):
    assert [topic for topic in read_sys(gw.port) if "storage/" in topic] == []


def test_figures_are_exact(gw):
    n, k = 5, 40
    watch = Watch(gw)
    clients = [Raw(gw.port, V5).connect(f"c{i}") for i in range(n)]
    away = Raw(gw.port, V5).connect("away", SESSION_EXPIRY=100)
    away.subscribe("kept/#", qos=1)
    away.disconnect()
    for i, c in enumerate(clients):
        c.subscribe(f"t/{i}")
        c.subscribe(f"u/{i}/+")
    clients[0].subscribe("$share/g/s")
    watch.wait(clients_connected=n + 1, clients_total=n + 2, clients_disconnected=1, clients_maximum=n + 2,
               subscriptions_count=2 * n + 2, shared__subscriptions_count=1)
    watch.wait(publish_messages_received=OWN)
    payload, stored = int(watch.value("publish/bytes/received")), int(watch.value("store/messages/count"))
    for i in range(k):
        clients[i % n].publish("kept/x", b"0123456789", qos=1)
        clients[i % n].publish(f"t/{(i + 1) % n}", b"four", qos=1)
        clients[(i + 1) % n].message()
    watch.wait(publish_messages_received=OWN + 2 * k, publish_bytes_received=payload + 14 * k, publish_messages_dropped=0,
               store_messages_count=stored + k, also=lambda last: sum(of_workers(last, "messages/received")) == 2 * k)
    for c in clients[1:]:
        c.disconnect()
    watch.wait(clients_connected=2, clients_total=3, subscriptions_count=2 + 2, clients_maximum=n + 2)


def test_bytes_and_packets_are_those_of_the_wire(gw):
    watch = Watch(gw)
    watch.wait(clients_connected=1, messages_received=2 + OWN, publish_messages_received=OWN)
    before = {t: int(watch.value(t)) for t in ("messages/received", "bytes/received", "publish/bytes/received")}
    with Raw(gw.port, V5) as c:
        c.connect("c")
        for i in range(10):
            c.publish("x", b"y" * 100, qos=1)
        c.ping()
        sent = len(c.connect_packet("c")) + 10 * len(c.publish_packet("x", b"y" * 100, 1, packet_id=1)) + 2
        watch.wait(messages_received=before["messages/received"] + 12, bytes_received=before["bytes/received"] + sent,
                   publish_messages_received=OWN + 10, publish_bytes_received=before["publish/bytes/received"] + 1000)


def test_a_reload_changes_the_interval_and_takes_it_away(lineside):
    def ends(m):
        return m.topic == PREFIX + "workers/1/backlog_bytes" and m.payload == b""

    with Gateway({"broker": {"workers": 2, "sys_interval": "1d"}}) as gw:
        watch = Watch(gw)
        assert read_sys(gw.port)["clients/connected"] == "0"  # of the start: the next would be tomorrow's
        gw.reload({"broker": {"workers": 2, "sys_interval": "100ms"}})
        watch.wait(clients_connected=1)
        gw.reload({"broker": {"workers": 2, "sys_interval": 0}})
        wait_until("the end of $SYS", lambda: ends(watch.c.message()), every=0)
        assert read_sys(gw.port) == {}
        assert "broker changed" not in gw.log()


def test_clients_cannot_publish_there(gw):
    with Raw(gw.port, V5) as c:
        c.connect("liar")
        assert c.publish(PREFIX + "uptime", b"0 seconds", qos=1, retain=True).reason == 0x87
