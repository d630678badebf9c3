"""Shared subscriptions: each message once per group, evenly, whatever worker the members sit on."""

import select

import pytest

from gateway import Gateway
from mqtt_clients import unique
from rawmqtt import V311, PUBLISH, Raw

MESSAGES = 10_000


@pytest.fixture(scope="module")
def gw():
    with Gateway(workers=2) as g:
        yield g


def connect(gw, **kw):
    return Raw(gw.port, **kw).connect(unique("member"))


def counts(members, total):
    """PUBLISHes that each member got, once all `total` are there."""
    got = [sum(p.kind == PUBLISH for p in m.waiting) for m in members]
    for m in members:
        m.waiting.clear()
    by_socket = {m.sock: i for i, m in enumerate(members)}
    while sum(got) < total:
        ready, _, _ = select.select(list(by_socket), [], [], 15)
        assert ready, f"{sum(got)} of {total} arrived: {got}"
        for sock in ready:
            i = by_socket[sock]
            members[i].fill()
            while (p := members[i].split()):
                got[i] += p.kind == PUBLISH
    for m in members:
        m.ping()
    assert sum(got) + sum(p.kind == PUBLISH for m in members for p in m.waiting) == total
    return got


# Which worker takes a connection is the broker's business: hashed, in turn, or by load. Connections in between ("-") and
# rounds move the members around, so that four members meet as 4 + 0, 3 + 1 and 2 + 2.
PLACES = ["MMMM", "M-M-MM", "M-M-M-M", "MM-M-M", "M--MM-M", "-M-MMM", "MMM-M", "M-MMM"]


@pytest.mark.parametrize("place", PLACES)
def test_four_members_get_a_quarter_each(gw, place):
    group, topic = unique("group"), unique("shared")
    connections = [connect(gw) for _ in place]
    members = [c for c, p in zip(connections, place) if p == "M"]
    for m in members:
        m.subscribe(f"$share/{group}/{topic}")
    pub = connect(gw)
    for start in range(0, MESSAGES, 500):
        pub.send(b"".join(pub.publish_packet(topic, b"%d" % i) for i in range(start, start + 500)))
    got = counts(members, MESSAGES)
    assert all(abs(n / MESSAGES - 0.25) <= 0.03 for n in got), got
    for c in [*connections, pub]:
        c.close()


@pytest.mark.parametrize("qos", [1, 2])
def test_many_publishers_one_copy_per_group(gw, qos):
    topic = unique("shared")
    groups = [[connect(gw) for _ in range(3)] for _ in range(2)]
    plain = connect(gw)
    for g, members in enumerate(groups):
        for m in members:
            m.subscribe(f"$share/{topic}-{g}/{topic}/+", qos=qos)
    plain.subscribe(f"{topic}/#", qos=qos)
    pubs = [connect(gw) for _ in range(4)]
    for i in range(25):
        for p in pubs:
            p.publish(f"{topic}/{i}", b"x", qos)
    assert len(plain.messages(100)) == 100
    for members in groups:
        got, quiet = 0, 0
        while got < 100 and quiet < 1000:
            for m in members:
                for p in m.pending():
                    m.waiting.remove(p)
                    m.acknowledge(p)
                    got += 1
            quiet += 1
        assert got == 100
        assert all(m.pending() == [] for m in members)


def test_members_of_both_versions_share(gw):
    topic = unique("shared")
    new, old = connect(gw), connect(gw, version=V311)
    for m in (new, old):
        m.subscribe(f"$share/g/{topic}", qos=1)
    pub = connect(gw)
    for i in range(100):
        pub.publish(topic, b"%d" % i, 1)
    got = [0, 0]
    while sum(got) < 100:
        for i, m in enumerate((new, old)):
            for p in m.pending():
                m.waiting.remove(p)
                m.acknowledge(p)
                got[i] += 1
    assert min(got) >= 25


def test_a_member_that_leaves_gets_nothing_more(gw):
    topic = unique("shared")
    stay, leave, drop = connect(gw), connect(gw), connect(gw)
    for m in (stay, leave, drop):
        m.subscribe(f"$share/g/{topic}")
    assert leave.unsubscribe(f"$share/g/{topic}").codes == [0]
    drop.disconnect()
    pub = connect(gw)
    for i in range(100):
        pub.publish(topic, b"%d" % i)
    assert [m.payload for m in stay.messages(100)] == [b"%d" % i for i in range(100)]
    assert leave.pending() == []


def test_retained_messages_are_not_sent_to_a_shared_subscription(gw):
    topic = unique("shared")
    pub, sub = connect(gw), connect(gw)
    pub.publish(topic, b"kept", 1, retain=True)
    sub.subscribe(f"$share/g/{topic}")  # 4.8.2
    assert sub.pending() == []


def test_a_client_may_hold_a_filter_shared_and_plain(gw):
    topic = unique("shared")
    both, pub = connect(gw), connect(gw)
    both.subscribe(f"$share/g/{topic}", topic)
    pub.publish(topic, b"x")
    pub.publish(topic, b"end")
    assert sorted(m.payload for m in both.messages(4)) == [b"end", b"end", b"x", b"x"]


def test_what_a_leaving_member_had_not_acknowledged_is_not_lost_with_its_group_alive(gw):
    """QoS 2 messages stay with their session (4.8.2); QoS 1 ones may go to another member or stay."""
    topic, name = unique("shared"), unique("sleeper")
    member = Raw(gw.port).connect(name, clean=True, SESSION_EXPIRY=60)
    member.subscribe(f"$share/g/{topic}", qos=2)
    pub = connect(gw)
    pub.publish(topic, b"first", 2)
    assert member.message(acknowledge=False).payload == b"first"
    member.close()
    member = Raw(gw.port).connect(name, clean=False, SESSION_EXPIRY=60)
    assert member.message().payload == b"first"
