"""MQTT 3.1.1 and 5.0, clause by clause: SUBSCRIBE, UNSUBSCRIBE, topic names and filters, shared subscriptions."""

import struct

import pytest

from conformance import covers
from mqtt_clients import unique
from rawmqtt import PUBACK, PUBREC, SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE, V5, V311, Closed, packet, string

TOPIC_FILTER, NO_SUBSCRIPTION, REFUSED = 0x8F, 0x11, 0x83
NO_LOCAL = 4
both = pytest.mark.parametrize("version", [V311, V5], ids={V311: "3.1.1", V5: "5.0"}.get)


@pytest.fixture
def topic():
    return unique("subscribe")


def kept(version):
    """How to ask for a session that outlives its connection."""
    return {"clean": False, **({"SESSION_EXPIRY": 300} if version == V5 else {})}


TOO_DEEP = "/x" * 200  # levels: more than broker.max_topic_levels


def refusal(version):
    return TOPIC_FILTER if version == V5 else 0x80


def is_refused(c, filter_):
    """In SUBACK, or by closing: the standard calls such a filter a violation, and allows to refuse any."""
    c.send(packet(SUBSCRIBE, b"\0\1" + c.body_props({}) + string(filter_) + b"\0", 2))
    try:
        return c.expect(SUBACK).codes == [refusal(c.version)]
    except Closed:
        return True


def subscribe_each(c, *filters, packet_id=0x1234):
    """One SUBSCRIBE with (filter, options) each; its SUBACK."""
    body = struct.pack(">H", packet_id) + c.body_props({}) + b"".join(string(f) + bytes([o]) for f, o in filters)
    c.send(packet(SUBSCRIBE, body, 2))
    return c.expect(SUBACK)


def unsubscribe(c, *filters, packet_id=0x1234):
    c.send(packet(UNSUBSCRIBE, struct.pack(">H", packet_id) + c.body_props({}) + b"".join(string(f) for f in filters), 2))
    return c.expect(UNSUBACK)


def got_until(c, end):
    """The messages before the one on topic `end`."""
    got = []
    while (m := c.message()).topic != end:
        got.append(m)
    return got


# ---- SUBSCRIBE ----


@both
@covers("3.1.1", "MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-2.3.1-7", "MQTT-3.8.4-4", "MQTT-3.8.4-5", "MQTT-3.9.3-1", "MQTT-3.9.3-2",
        "MQTT-3.8.3-2")
@covers("5.0", "MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-2.2.1-6", "MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.8.4-7", "MQTT-3.9.3-1",
        "MQTT-3.9.3-2", "MQTT-3.2.2-9", "MQTT-3.2.2-10")
def test_suback_has_a_code_for_each_filter_in_their_order(client, topic, version):
    c, pub = client(version=version), client(version=version)
    assert "MAXIMUM_QOS" not in c.connack.props
    wanted = [(f"{topic}/a", 2), ("a" + TOO_DEEP, 1), (f"{topic}/+/b", 0), ("+" + TOO_DEEP, 2), (f"{topic}/#", 1), (TOO_DEEP, 0), (f"{topic}/c", 0)]
    for packet_id in (1, 0x1234, 0xFFFF):
        ack = subscribe_each(c, *wanted, packet_id=packet_id)
        no = refusal(version)
        assert (ack.packet_id, ack.codes) == (packet_id, [2, no, 0, no, 1, no, 0])
    # what was granted is there, and the refused ones did not disturb it
    for t, qos in ((f"{topic}/a", 2), (f"{topic}/x/b", 1), (f"{topic}/c", 1)):
        pub.publish(t, b"", 2)
        m = c.message()
        assert (m.topic, m.qos) == (t, qos)


@both
@covers("3.1.1", "MQTT-3.8.4-3", "MQTT-3.8.4-4")
@covers("5.0", "MQTT-3.8.4-3", "MQTT-3.8.4-4", "MQTT-3.8.4-5")
def test_the_same_filter_again_replaces_the_subscription(client, topic, version):
    c, pub = client(version=version), client(version=version)
    pub.publish(topic, b"kept", 2, retain=True)
    for qos in (2, 0, 1):
        c.subscribe(topic, qos=qos)
        m = c.message()
        assert (m.payload, m.qos, m.retain) == (b"kept", qos, True)
        pub.publish(topic, b"live", 2)
        m = c.message()
        assert (m.payload, m.qos, m.retain) == (b"live", qos, False)
    # in one packet: the last counts, and one message comes
    assert subscribe_each(c, (topic, 0), (topic, 2)).codes == [0, 2]
    assert [m.qos for m in c.messages(2)] == [0, 2]
    pub.publish(topic, b"live", 2)
    assert c.message().qos == 2
    c.unsubscribe(topic)
    pub.publish(topic, b"live", 1)
    assert c.pending() == []


@both
@covers("3.1.1", "MQTT-3.8.4-3")
@covers("5.0", "MQTT-3.8.4-4")
def test_no_message_is_lost_while_a_subscription_is_replaced(client, topic, version):
    n = 300
    c, pub = client(version=version), client(version=version)
    c.subscribe(topic, qos=1)
    for i in range(n):
        pub.send(pub.publish_packet(topic, b"%d" % i, 1, packet_id=i + 1))
        if i % 10 == 0:
            c.subscribe(topic, qos=1)
    assert [m.payload for m in c.messages(n)] == [b"%d" % i for i in range(n)]


@both
@covers("3.1.1", "MQTT-3.8.4-6")
@covers("5.0", "MQTT-3.8.4-8")
def test_delivered_with_the_lower_qos(client, topic, version):
    c, pub = client(version=version), client(version=version)
    subscribe_each(c, *((f"{topic}/{qos}", qos) for qos in range(3)))
    for granted in range(3):
        for published in range(3):
            pub.publish(f"{topic}/{granted}", b"", published)
            assert c.message().qos == min(granted, published)


@covers("5.0", "MQTT-3.8.3-3")
def test_no_local(client, topic):
    c, other = client(), client()
    subscribe_each(c, (f"{topic}/#", NO_LOCAL | 1))
    other.subscribe(f"{topic}/#", qos=1)
    c.publish(f"{topic}/own", b"live", 1)
    c.publish(f"{topic}/own", b"retained", 1, retain=True)
    other.publish(f"{topic}/end", b"theirs", 1)
    assert got_until(c, f"{topic}/end") == []
    assert len(other.messages(3)) == 3
    c.subscribe(f"{topic}/own", qos=1)  # without the option it does
    assert c.message().payload == b"retained"


# ---- UNSUBSCRIBE ----


@both
@covers("3.1.1", "MQTT-3.10.4-1", "MQTT-3.10.4-2", "MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6", "MQTT-2.3.1-7")
@covers("5.0", "MQTT-3.10.4-1", "MQTT-3.10.4-2", "MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6", "MQTT-3.11.3-1", "MQTT-3.11.3-2",
        "MQTT-2.2.1-6")
def test_only_equal_filters_are_removed(client, topic, version):
    c, pub = client(version=version), client(version=version)
    c.subscribe(f"{topic}/+", f"{topic}/b/#", f"{topic}/c", f"{topic}/end")

    def leave(packet_id, codes, *filters):
        ack = unsubscribe(c, *filters, packet_id=packet_id)
        assert (ack.packet_id, ack.codes) == (packet_id, codes if version == V5 else [])

    no = NO_SUBSCRIPTION
    leave(1, [no], f"{topic}/a")  # which the filter matches, but is not
    leave(2, [no, no, no], f"{topic}/#", f"{topic.upper()}/+", f"{topic}/+/")
    leave(0xFFFF, [no, 0, no, no], f"{topic}/none", f"{topic}/c", f"{topic}/c", topic)
    pub.publish(f"{topic}/a", b"")
    pub.publish(f"{topic}/c", b"")
    pub.publish(f"{topic}/end", b"")
    assert [m.topic for m in got_until(c, f"{topic}/end")] == [f"{topic}/a", f"{topic}/c"]  # both by the +
    leave(3, [0, 0], f"{topic}/+", f"{topic}/b/#")
    for t in ("a", "b", "b/c", "c", "end"):
        pub.publish(f"{topic}/{t}", b"")
    assert got_until(c, f"{topic}/end") == []


@both
@covers("3.1.1", "MQTT-3.10.4-3")
@covers("5.0", "MQTT-3.10.4-3")
@pytest.mark.parametrize("qos", [1, 2])
def test_deliveries_that_were_begun_are_finished(client, topic, version, qos):
    c, pub = client(topic, version, **kept(version)), client(version=version)
    c.subscribe(topic, qos=qos)
    pub.publish(topic, b"begun", qos)
    first = c.message(acknowledge=False)
    c.unsubscribe(topic)
    pub.publish(topic, b"late", qos)
    c.ping().close()
    c = client(topic, version, **kept(version))
    m = c.message()
    assert (m.payload, m.packet_id, m.dup) == (b"begun", first.packet_id, True)
    assert c.pending() == []


# ---- names and filters ----

MATCHES = [
    # filter, topics that match, topics that do not
    ("sport/#", ["sport", "sport/", "sport/a", "sport/a/b", "sport//"], ["sporting", "Sport", "a/sport", "/sport"]),
    ("sport/+", ["sport/a", "sport/", "sport/$x"], ["sport", "sport/a/b", "sport//"]),
    ("+/a/+", ["x/a/y", "/a/", "x/a/"], ["x/a", "x/a/y/z", "x/A/y"]),
    ("+/+", ["/a", "a/", "/", "a/b"], ["a", "a/b/c", "//"]),
    ("/+", ["/a", "/"], ["a", "a/", "//", "/a/"]),
    ("/#", ["/", "/a", "//"], ["a/"]),
    ("+", ["a", "sport"], ["/", "a/", "/a"]),
    ("a//b", ["a//b"], ["a/b", "a/x/b", "a///b"]),
    ("a/", ["a/"], ["a", "a//"]),
    ("é", ["é"], ["e\u0301", "É", "e"]),
    ("e\u0301", ["e\u0301"], ["é", "e"]),
    ("ﬀ", ["ﬀ"], ["ff"]),
    (" a", [" a"], ["a", "a "]),
    ("a b/%20", ["a b/%20"], ["a b/ ", "a%20b/%20"]),
    ("a/./b", ["a/./b"], ["a/b"]),
    ("a/../b", ["a/../b"], ["b"]),
    ("\U0001F600/\uFFFD", ["\U0001F600/\uFFFD"], ["\U0001F600/?", "\U0001F601/\uFFFD"]),
]


@pytest.mark.parametrize("when", ["live", "retained"])
@pytest.mark.parametrize("filter_, yes, no", MATCHES, ids=[repr(m[0]) for m in MATCHES])
@both
@covers("3.1.1", "MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-4.7.3-4", "MQTT-3.3.2-3", "MQTT-3.8.3-2")
@covers("5.0", "MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-4", "MQTT-3.3.2-3")
def test_a_filter_matches_what_it_says(client, topic, version, filter_, yes, no, when):
    """Other tests' topics do not matter: payloads are looked at. Retained ones are removed again."""
    sub, pub = client(version=version), client(version=version)
    live = when == "live"
    if live:
        sub.subscribe(filter_, topic)
    for t in (*yes, *no):
        pub.publish(t, topic.encode(), 1, retain=not live)
    if live:
        pub.publish(topic, b"end", 1)
        got = got_until(sub, topic)
    else:
        sub.subscribe(filter_)
        got = [sub.message() for _ in sub.pending()]
        for t in (*yes, *no):
            pub.publish(t, b"", 1, retain=True)
    assert sorted(m.topic for m in got if m.payload == topic.encode()) == sorted(yes)


@both
@covers("3.1.1", "MQTT-4.7.1-2", "MQTT-4.7.1-3")
@covers("5.0", "MQTT-4.7.1-1", "MQTT-4.7.1-2")
@pytest.mark.parametrize("filter_", ["a#", "a/#/", "a/#/b", "#/a", "##", "a/b#", "+#", "a+", "+a", "a/+b", "a/b+/c", "++", "+/a+"])
def test_a_misplaced_wildcard_is_refused(client, version, filter_):
    assert is_refused(client(version=version), filter_)


@both
@covers("3.1.1", "MQTT-4.7.2-1")
@covers("5.0", "MQTT-4.7.2-1")
@pytest.mark.parametrize("when", ["live", "retained"])
def test_a_leading_wildcard_does_not_match_a_dollar(client, topic, version, when):
    sub, exact, pub = client(version=version), client(version=version), client(version=version)
    hidden, seen, end = f"$x/{topic}", f"x/{topic}", f"{topic}/end"

    def publish(retain):
        for t in (hidden, seen, end):
            pub.publish(t, topic.encode(), 1, retain=retain)

    if when == "retained":
        publish(True)
    sub.subscribe(f"+/{topic}", "#", f"+/{topic}/#")
    exact.subscribe(f"$x/{topic}")
    exact.subscribe("$x/+")
    if when == "live":
        publish(False)
    got = [m for m in got_until(sub, end) if m.payload == topic.encode()]
    assert {m.topic for m in got} == {seen}
    assert exact.message().topic == hidden
    if when == "retained":
        for t in (hidden, seen, end):
            pub.publish(t, b"", 1, retain=True)


# ---- shared subscriptions ----


@covers("5.0", "MQTT-4.8.2-1", "MQTT-4.8.2-2")
@pytest.mark.parametrize("filter_", ["$share//a", "$share/g", "$share/g/", "$share/", "$share/+/a", "$share/#/a", "$share/g+/a", "$share/g#/a",
                                     "$share/g/a#"])
def test_a_wrong_shared_filter_is_refused(client, topic, filter_):
    assert subscribe_each(client(), (f"$share/g/{topic}", 1), (f"$share/ö/{topic}/+/#", 2)).codes == [1, 2]
    assert is_refused(client(), filter_)


@covers("5.0", "MQTT-4.8.2-1", "MQTT-4.8.2-2")
def test_a_share_name_is_no_part_of_the_topic(client, topic):
    """And $share without a slash is a topic like others."""
    shared, plain, pub = client(), client(), client()
    shared.subscribe(f"$share/g/{topic}/+")
    plain.subscribe(f"$share{topic}")
    pub.publish(f"$share/g/{topic}/a", b"not this")
    pub.publish(f"{topic}/a", b"this")
    pub.publish(f"$share{topic}", b"that")
    assert shared.message().payload == b"this" and plain.message().payload == b"that"
    assert shared.pending() == []


@covers("5.0", "MQTT-4.8.2-3")
def test_each_member_gets_its_own_granted_qos(client, topic):
    members, pub = [client() for _ in range(3)], client()
    for qos, m in enumerate(members):
        m.subscribe(f"$share/g/{topic}", qos=qos)
    for _ in range(30):
        pub.publish(topic, b"", 2)
    seen = [0, 0, 0]
    while sum(seen) < 30:
        for qos, c in enumerate(members):
            for _ in c.pending():
                assert c.message().qos == qos
                seen[qos] += 1
    assert min(seen) > 0


def deliver_to_one_of_two(client, topic, qos):
    """A message that one of two members has, not acknowledged; (the one, the other, the message)."""
    members = {f"{topic}-{i}": client(f"{topic}-{i}", **kept(V5)) for i in range(2)}
    for c in members.values():
        c.subscribe(f"$share/g/{topic}", qos=qos)
    client().publish(topic, b"shared", qos)
    while True:
        for name, c in members.items():
            if c.pending():
                other, = (o for o in members.values() if o is not c)
                return name, c, other, c.message(acknowledge=False)


@covers("5.0", "MQTT-4.8.2-4")
def test_a_qos_2_delivery_ends_with_the_member_that_has_it(client, topic):
    name, one, other, m = deliver_to_one_of_two(client, topic, 2)
    one.close()
    assert other.pending() == []
    one = client(name, **kept(V5))
    again = one.message(acknowledge=False)
    assert (again.payload, again.packet_id, again.dup) == (b"shared", m.packet_id, True)
    one.acknowledge(again)
    assert other.pending() == []


@covers("5.0", "MQTT-4.8.2-5")
def test_a_qos_2_delivery_ends_with_the_session_that_has_it(client, topic):
    name, one, other, _ = deliver_to_one_of_two(client, topic, 2)
    one.disconnect(SESSION_EXPIRY=0)
    assert not client(name, **kept(V5)).connack.present  # the session is over
    client().publish(topic, b"next", 2)
    assert other.message().payload == b"next"


@covers("5.0", "MQTT-4.8.2-6")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_member_s_refusal_is_the_last_word(client, topic, qos):
    name, one, other, m = deliver_to_one_of_two(client, topic, qos)
    one.send(packet(PUBACK if qos == 1 else PUBREC, struct.pack(">HB", m.packet_id, REFUSED)))
    one.ping()
    assert not one.waiting
    one.disconnect()
    client().publish(topic, b"next", qos)
    assert other.message().payload == b"next"
    assert client(name, **kept(V5)).pending() == []


@covers("5.0", "MQTT-3.8.4-3")
def test_a_shared_subscription_and_a_plain_one_are_two(client, topic):
    c, pub = client(), client()
    c.subscribe(f"$share/g/{topic}")
    c.subscribe(topic)
    c.subscribe(topic, qos=1)  # replaces the plain one
    pub.publish(topic, b"x", 1)
    assert sorted(m.qos for m in c.messages(2)) == [0, 1]
    assert c.pending() == []
