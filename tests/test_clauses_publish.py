"""MQTT 3.1.1 and 5.0, clause by clause: PUBLISH and its acknowledgements, retained messages, order, flow control."""

import struct

import pytest

from conformance import covers
from mqtt_clients import unique
from rawmqtt import (DISCONNECT, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE,
                     V5, V311, packet, string)

NOT_AUTHORIZED, PROTOCOL, REFUSED = 0x87, 0x82, 0x83
RETAIN_AS_PUBLISHED, RETAIN_IF_NEW, RETAIN_NEVER = 8, 0x10, 0x20
both = pytest.mark.parametrize("version", [V311, V5], ids={V311: "3.1.1", V5: "5.0"}.get)
qos_1_and_2 = pytest.mark.parametrize("qos", [1, 2])


@pytest.fixture
def topic():
    return unique("publish")


def kept(version):
    """How to ask for a session that outlives its connection."""
    return {"clean": False, **({"SESSION_EXPIRY": 300} if version == V5 else {})}


def ack(kind, packet_id, reason=None):
    tail = b"" if reason is None else bytes([reason])
    return packet(kind, struct.pack(">H", packet_id) + tail, 2 if kind == PUBREL else 0)


# ---- the broker as receiver ----


@both
@covers("3.1.1", "MQTT-3.3.4-1", "MQTT-2.3.1-6", "MQTT-4.3.2-2", "MQTT-3.3.1-3", "MQTT-3.3.1-2")
@covers("5.0", "MQTT-3.3.4-1", "MQTT-2.2.1-5", "MQTT-4.3.2-4", "MQTT-4.3.2-5", "MQTT-3.3.1-3", "MQTT-3.3.1-2")
def test_qos_1_is_acknowledged_and_then_new(client, topic, version):
    pub = client(version=version)
    subs = [client(version=version) for _ in range(2)]
    for qos, sub in enumerate(subs):
        sub.subscribe(topic, qos=qos)
    for dup in (False, True, True):
        pub.send(pub.publish_packet(topic, b"x", 1, dup=dup, packet_id=0x1234))
        assert pub.expect(PUBACK).packet_id == 0x1234
    for qos, sub in enumerate(subs):
        assert [(m.qos, m.dup) for m in sub.messages(3)] == [(qos, False)] * 3


@both
@covers("3.1.1", "MQTT-4.3.3-2", "MQTT-3.3.4-1", "MQTT-2.3.1-6", "MQTT-3.3.1-3")
@covers("5.0", "MQTT-4.3.3-8", "MQTT-4.3.3-10", "MQTT-4.3.3-11", "MQTT-4.3.3-12", "MQTT-2.2.1-5", "MQTT-3.3.4-1", "MQTT-3.3.1-3")
def test_qos_2_is_delivered_once_until_pubcomp(client, topic, version):
    sub, pub = client(version=version), client(version=version)
    sub.subscribe(topic, qos=2)
    for n in range(3):  # the third comes with DUP and is new all the same
        for again in range(3):
            pub.send(pub.publish_packet(topic, b"%d" % n, 2, dup=n == 2 or again > 0, packet_id=0x4321))
            assert pub.expect(PUBREC).packet_id == 0x4321
        for _ in range(2):
            pub.send(ack(PUBREL, 0x4321))
            assert pub.expect(PUBCOMP).packet_id == 0x4321
        m = sub.message()
        assert (m.payload, m.qos, m.dup) == (b"%d" % n, 2, False)
    assert sub.pending() == []


@both
@covers("3.1.1", "MQTT-3.3.4-1", "MQTT-4.3.1-1")
@covers("5.0", "MQTT-3.3.4-1", "MQTT-4.3.1-1")
def test_qos_0_has_no_answer(client, topic, version):
    sub, pub = client(version=version), client(version=version)
    sub.subscribe(topic, qos=2)
    pub.publish(topic, b"x", 0)
    pub.ping()
    assert not pub.waiting
    m = sub.message()
    assert (m.qos, m.dup, m.packet_id) == (0, False, None)


@covers("5.0", "MQTT-4.3.3-9")
def test_an_id_is_new_after_a_refusing_pubrec(client, topic):
    sub, pub = client(), client()
    sub.subscribe(topic)
    pub.send(pub.publish_packet("$SYS/no", b"", 2, packet_id=7))
    assert pub.expect(PUBREC).reason == NOT_AUTHORIZED
    pub.send(pub.publish_packet(topic, b"x", 2, dup=True, packet_id=7))
    assert pub.expect(PUBREC).reason == 0
    pub.send(ack(PUBREL, 7))
    assert pub.expect(PUBCOMP).reason == 0
    assert sub.message().payload == b"x"


@covers("5.0", "MQTT-4.3.3-13")
def test_the_handshake_of_an_expired_message_goes_on(client, topic):
    sub, pub = client(), client()
    sub.subscribe(topic, qos=2)
    pub.send(pub.publish_packet(topic, b"x", 2, packet_id=7, MESSAGE_EXPIRY=0))
    assert pub.expect(PUBREC).reason < 0x80
    pub.send(pub.publish_packet(topic, b"x", 2, packet_id=7, dup=True, MESSAGE_EXPIRY=0))
    assert pub.expect(PUBREC).reason < 0x80
    pub.send(ack(PUBREL, 7))
    assert (done := pub.expect(PUBCOMP)).packet_id == 7 and done.reason == 0
    assert sub.pending() == []


@both
@qos_1_and_2
@covers("3.1.1", "MQTT-3.3.5-2")
@covers("5.0", "MQTT-3.4.2-1", "MQTT-3.5.2-1")
def test_a_publish_that_is_not_allowed(client, version, qos):
    c = client(version=version)
    c.send(c.publish_packet("$SYS/no", b"", qos, packet_id=9) + packet(PINGREQ))
    if version == V311:
        assert c.at_end() == []
    else:
        assert [(p.kind, p.reason) for p in (c.read(), c.read())] == [(PUBACK if qos == 1 else PUBREC, NOT_AUTHORIZED), (PINGRESP, 0)]


# ---- the broker as sender ----


@both
@covers("3.1.1", "MQTT-4.3.2-1", "MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-2.3.1-4", "MQTT-4.1.0-1", "MQTT-4.6.0-1")
@covers("5.0", "MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-4.3.2-3", "MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-2.2.1-4", "MQTT-3.1.2-23")
def test_qos_1_is_sent_again_until_puback(client, topic, version):
    c, pub = client(topic, version, **kept(version)), client()
    c.subscribe(topic, qos=1)
    for i in range(4):
        pub.publish(topic, b"%d" % i, 1)
    first = [c.message(acknowledge=False) for _ in range(4)]
    assert [(m.qos, m.dup) for m in first] == [(1, False)] * 4
    assert len({m.packet_id for m in first} - {0}) == 4
    c.acknowledge(first[1])
    assert c.pending() == []  # not as long as the connection lasts
    for _ in range(2):
        c.close()
        c = client(topic, version, **kept(version))
        again = [c.message(acknowledge=False) for _ in range(3)]
        assert [(m.packet_id, m.payload, m.dup) for m in again] == [(m.packet_id, m.payload, True) for m in first if m is not first[1]]
    for m in again:
        c.acknowledge(m)
    c.ping().close()
    assert client(topic, version, **kept(version)).pending() == []


@both
@covers("3.1.1", "MQTT-4.3.3-1", "MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-2.3.1-6", "MQTT-3.6.1-1", "MQTT-4.1.0-1")
@covers("5.0", "MQTT-4.3.3-1", "MQTT-4.3.3-2", "MQTT-4.3.3-3", "MQTT-4.3.3-4", "MQTT-4.3.3-5", "MQTT-4.3.3-6", "MQTT-4.4.0-1",
        "MQTT-3.3.1-1", "MQTT-2.2.1-4", "MQTT-2.2.1-5", "MQTT-3.6.1-1")
def test_qos_2_goes_through_its_stages_across_connections(client, topic, version):
    c, pub = client(topic, version, **kept(version)), client()

    def again():
        nonlocal c
        c.ping().close()
        c = client(topic, version, **kept(version))

    c.subscribe(topic, qos=2)
    pub.publish(topic, b"a", 2)
    pub.publish(topic, b"b", 2)
    a, b = c.message(acknowledge=False), c.message(acknowledge=False)
    assert a.packet_id != b.packet_id and 0 not in (a.packet_id, b.packet_id) and not a.dup and not b.dup
    again()  # until PUBREC
    assert [(m.packet_id, m.payload, m.dup) for m in (c.message(False), c.message(False))] == [
        (a.packet_id, b"a", True), (b.packet_id, b"b", True)]
    c.send(ack(PUBREC, a.packet_id))
    rel = c.expect(PUBREL)
    assert (rel.packet_id, rel.flags) == (a.packet_id, 2)
    for _ in range(2):  # PUBREL until PUBCOMP, and no PUBLISH
        again()
        got = [c.expect(PUBLISH, PUBREL) for _ in range(2)]
        assert [(p.kind, p.packet_id) for p in got] == [(PUBREL, a.packet_id), (PUBLISH, b.packet_id)]
        assert c.pending() == [] and not [p for p in c.waiting if p.kind == PUBREL]
    c.send(ack(PUBCOMP, a.packet_id))
    c.acknowledge(b)
    again()
    c.ping()
    assert not c.waiting


@qos_1_and_2
@covers("5.0", "MQTT-4.4.0-2", "MQTT-4.3.3-4")
def test_a_refused_delivery_is_over(client, topic, qos):
    c, pub = client(topic, **kept(V5)), client()
    c.subscribe(topic, qos=qos)
    pub.publish(topic, b"no", qos)
    m = c.message(acknowledge=False)
    c.send(ack(PUBACK if qos == 1 else PUBREC, m.packet_id, REFUSED))
    c.ping()
    assert not c.waiting  # no PUBREL
    c.close()
    c = client(topic, **kept(V5))
    c.ping()
    assert c.connack.present and not c.waiting


@both
@covers("3.1.1", "MQTT-4.6.0-1", "MQTT-4.6.0-2", "MQTT-4.6.0-3", "MQTT-4.6.0-4", "MQTT-4.6.0-5", "MQTT-4.6.0-6")
@covers("5.0", "MQTT-4.6.0-5", "MQTT-4.6.0-6")
@qos_1_and_2
def test_everything_keeps_its_order(client, topic, version, qos):
    n = 20
    sub, pub = client(topic, version, **kept(version)), client(version=version)
    sub.subscribe(topic, qos=qos)
    ids = [(7 * i) % 97 + 1 for i in range(n)]  # not in the order of numbers
    pub.send(b"".join(pub.publish_packet(topic, b"%d" % i, qos, packet_id=packet_id) for i, packet_id in enumerate(ids)))
    assert [pub.expect(PUBACK if qos == 1 else PUBREC).packet_id for _ in ids] == ids
    first = [sub.message(acknowledge=False) for _ in range(n)]
    assert [m.payload for m in first] == [b"%d" % i for i in range(n)]
    sub.close()
    sub = client(topic, version, **kept(version))
    again = [sub.message(acknowledge=False) for _ in range(n)]
    assert [(m.payload, m.packet_id) for m in again] == [(m.payload, m.packet_id) for m in first]
    if qos == 2:
        received = again[::-1]
        sub.send(b"".join(ack(PUBREC, m.packet_id) for m in received))
        assert [sub.expect(PUBREL).packet_id for _ in received] == [m.packet_id for m in received]


@covers("3.1.1", "MQTT-4.6.0-6")
@covers("5.0", "MQTT-4.6.0-5", "MQTT-4.6.0-6")
@both
def test_each_topic_and_qos_is_in_order_for_every_subscriber(client, topic, version):
    n = 100
    subs = [client(version=version) for _ in range(4)]
    pubs = [client(version=version) for _ in range(2)]
    for sub in subs:
        sub.subscribe(f"{topic}/#", qos=1)
    for i in range(n):
        for p, pub in enumerate(pubs):
            pub.send(pub.publish_packet(f"{topic}/{i % 3}", b"%d %d" % (p, i), i & 1, packet_id=i + 1))
    for sub in subs:
        last = {}
        for m in sub.messages(n * len(pubs)):
            who, i = map(int, m.payload.split())
            key = who, m.topic, m.qos
            assert i > last.get(key, -1)
            last[key] = i


# ---- retained messages ----


@both
@covers("3.1.1", "MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-7", "MQTT-3.3.1-8", "MQTT-3.3.1-9", "MQTT-3.3.1-12")
@covers("5.0", "MQTT-3.3.1-5", "MQTT-3.3.1-8", "MQTT-3.3.1-9", "MQTT-3.3.1-12")
def test_the_last_retained_message_of_each_topic_is_kept_with_its_qos(client, topic, version):
    pub, live = client(version=version), client(version=version)
    live.subscribe(f"{topic}/#", qos=2)

    def retained():
        late = client(version=version)
        late.subscribe(f"{topic}/#", qos=2)
        got = {}
        for p in late.pending():
            m = late.message()
            assert m.retain and m.topic not in got
            got[m.topic[len(topic) + 1:]] = (m.payload, m.qos)
        late.close()
        return got

    for qos in (2, 1, 0):
        pub.publish(f"{topic}/{qos}", b"old", 1, retain=True)
        pub.publish(f"{topic}/{qos}", b"%d" % qos, qos, retain=True)
    pub.ping()
    kept_now = {"2": (b"2", 2), "1": (b"1", 1), "0": (b"0", 0)}
    assert retained() == kept_now
    for payload in (b"live", b""):  # without RETAIN neither replaces nor removes
        pub.publish(f"{topic}/1", payload, 1)
        pub.publish(f"{topic}/fresh", payload, 1)
    assert retained() == kept_now
    assert [m.retain for m in live.messages(10)] == [False] * 10


@both
@covers("3.1.1", "MQTT-3.3.1-10", "MQTT-3.3.1-11")
@covers("5.0", "MQTT-3.3.1-6", "MQTT-3.3.1-7")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_an_empty_retained_message_is_delivered_removes_and_is_not_stored(client, topic, version, qos):
    pub, live = client(version=version), client(version=version)
    live.subscribe(topic, qos=2)
    pub.publish(topic, b"kept", qos, retain=True)
    for _ in range(2):  # also when nothing is there to remove
        pub.publish(topic, b"", qos, retain=True)
    assert [(m.payload, m.retain) for m in live.messages(3)] == [(b"kept", False), (b"", False), (b"", False)]
    pub.ping()
    late = client(version=version)
    late.subscribe(topic, qos=2)
    assert late.pending() == []


@covers("5.0", "MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11")
def test_retain_handling(client, topic):
    pub = client()
    for i in range(3):
        pub.publish(f"{topic}/{i}", b"kept", 1, retain=True)
    for options, first, again in ((0, 3, 3), (RETAIN_IF_NEW, 3, 0), (RETAIN_NEVER, 0, 0)):
        sub = client()
        for want in (first, again):
            sub.subscribe(f"{topic}/+", options=options)
            assert len(sub.pending()) == want
            sub.waiting.clear()


@covers("5.0", "MQTT-3.3.1-12", "MQTT-3.3.1-13")
def test_retain_as_published(client, topic):
    keep, plain, pub = client(), client(), client()
    keep.subscribe(topic, options=RETAIN_AS_PUBLISHED)
    plain.subscribe(topic)
    for retain in (True, False):
        pub.publish(topic, b"x", retain=retain)
    assert [m.retain for m in keep.messages(2)] == [True, False]
    assert [m.retain for m in plain.messages(2)] == [False, False]


# ---- properties ----


@covers("5.0", "MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18", "MQTT-3.3.2-20")
@pytest.mark.parametrize("retain", [False, True], ids=["live", "retained"])
@pytest.mark.parametrize("own", [{}, {"MESSAGE_EXPIRY": 1000, "TOPIC_ALIAS": 1}], ids=["alone", "among those that are not passed on"])
def test_properties_reach_every_subscriber_unaltered(client, topic, retain, own):
    pub, subs = client(), [client() for _ in range(3)]
    given = {"PAYLOAD_FORMAT": 0, "CONTENT_TYPE": "a/ü", "RESPONSE_TOPIC": "$x//é", "CORRELATION_DATA": bytes(range(256)),
             "USER_PROPERTY": [("z", "1"), ("a", ""), ("z", "0"), ("", "\ufeff"), ("a", "")]}
    if not retain:
        for sub in subs:
            sub.subscribe(topic, qos=1)
    pub.publish(topic, b"x", 1, retain=retain, **own, **given)
    for sub in subs:
        if retain:
            sub.subscribe(topic, qos=1)
        got = sub.message().props
        assert 0 <= own.get("MESSAGE_EXPIRY", 0) - got.pop("MESSAGE_EXPIRY", 0) <= 60  # what waiting took of it
        assert "TOPIC_ALIAS" not in got and got == given


@covers("5.0", "MQTT-3.3.2-12")
def test_every_alias_that_was_offered_is_taken(client, topic):
    sub, pub = client(), client()
    most = pub.connack.props["TOPIC_ALIAS_MAXIMUM"]
    sub.subscribe(f"{topic}/#")
    for i in range(1, most + 1):
        pub.publish(f"{topic}/{i}", b"set", TOPIC_ALIAS=i)
    for i in range(most, 0, -1):
        pub.publish("", b"used", TOPIC_ALIAS=i)
    got = sub.messages(2 * most)
    assert [m.topic for m in got] == [f"{topic}/{i}" for i in (*range(1, most + 1), *range(most, 0, -1))]


@covers("5.0", "MQTT-3.3.2-7")
def test_aliases_end_with_their_connection(client, topic):
    c = client(topic, TOPIC_ALIAS_MAXIMUM=5, **kept(V5))
    c.subscribe(f"{topic}/long", qos=1)
    for _ in range(2):
        c.publish(f"{topic}/long", b"x", 1, TOPIC_ALIAS=1)
        c.message()
    assert c.aliases == {1: f"{topic}/long"}
    c.close()
    c = client(topic, TOPIC_ALIAS_MAXIMUM=5, **kept(V5))
    c.publish(f"{topic}/long", b"x", 1)
    assert c.expect(PUBLISH).topic == f"{topic}/long"  # told anew
    c.send(c.publish_packet("", b"x", TOPIC_ALIAS=1))
    assert [p.reason for p in c.at_end() if p.kind == DISCONNECT] == [PROTOCOL]


@covers("5.0", "MQTT-3.1.2-26", "MQTT-3.1.2-27", "MQTT-3.3.2-11", "MQTT-3.3.2-8")
@pytest.mark.parametrize("asked", [{}, {"TOPIC_ALIAS_MAXIMUM": 0}, {"TOPIC_ALIAS_MAXIMUM": 1}, {"TOPIC_ALIAS_MAXIMUM": 65535}], ids=str)
def test_aliases_of_the_broker_stay_within_what_the_client_takes(client, topic, asked):
    most, sub, pub = asked.get("TOPIC_ALIAS_MAXIMUM", 0), client(**asked), client()
    sub.subscribe(f"{topic}/#")
    for i in range(80):
        pub.publish(f"{topic}/{i % 40}")
    seen = set()
    for i in range(80):
        m = sub.message()
        assert m.topic == f"{topic}/{i % 40}"
        if "TOPIC_ALIAS" in m.props:
            seen.add(m.props["TOPIC_ALIAS"])
    assert all(1 <= alias <= most for alias in seen) and bool(seen) == (most > 0)


@covers("5.0", "MQTT-3.1.2-24", "MQTT-3.1.2-25")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_too_large_counts_as_sent(client, topic, qos):
    """At the limit to the byte; and what was left out takes no place in the window."""
    most = 60
    room = most - len(packet(PUBLISH, string(topic) + (b"\0\0" if qos else b"") + b"\0"))
    sub, pub = client(MAXIMUM_PACKET_SIZE=most, RECEIVE_MAXIMUM=1), client()
    sub.subscribe(topic, qos=qos)
    for n in (room + 1, room, room + 1, room + 1):
        pub.publish(topic, b"x" * n, qos)
    pub.publish(topic, b"end", qos)
    assert [len(m.payload) for m in sub.messages(2)] == [room, 3]
    assert sub.pending() == []


# ---- who gets it ----


@both
@covers("3.1.1", "MQTT-3.3.5-1")
@covers("5.0", "MQTT-3.3.4-2")
def test_overlapping_subscriptions_bring_the_highest_qos(client, topic, version):
    sub, pub = client(version=version), client(version=version)
    for filter_, qos in ((f"{topic}/#", 1), (f"{topic}/+", 2), (f"{topic}/a", 0)):
        sub.subscribe(filter_, qos=qos)
    for qos in (0, 1, 2):
        pub.publish(f"{topic}/a", b"", qos)
        assert sub.message().qos == qos
    assert sub.pending() == []


@covers("5.0", "MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.4-5")
def test_copies_have_the_identifiers_of_what_they_are_for(client, topic):
    sub, pub = client(), client()
    sub.subscribe(f"{topic}/#", SUBSCRIPTION_ID=[7])
    sub.subscribe(f"{topic}/+", SUBSCRIPTION_ID=[7])
    sub.subscribe(f"{topic}/a", SUBSCRIPTION_ID=[268435455])
    sub.subscribe(f"$share/g/{topic}/a", SUBSCRIPTION_ID=[9])
    pub.publish(f"{topic}/a", b"x")
    assert sorted(sorted(m.props["SUBSCRIPTION_ID"]) for m in sub.messages(2)) == [[7, 7, 268435455], [9]]


# ---- flow control ----


@qos_1_and_2
@covers("5.0", "MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-4.9.0-2")
@pytest.mark.parametrize("most", [1, 3])
def test_no_more_than_the_receive_maximum_is_open(client, topic, qos, most):
    sub, pub = client(RECEIVE_MAXIMUM=most), client()
    sub.subscribe(topic, qos=qos)
    for i in range(8):
        pub.publish(topic, b"%d" % i, qos)
    open_ = [sub.message(acknowledge=False) for _ in range(most)]
    for i in range(8):
        assert sub.pending() == []
        m = open_.pop(0)
        assert m.payload == b"%d" % i
        if qos == 2:  # PUBREC sets nothing free
            sub.send(ack(PUBREC, m.packet_id))
            assert sub.expect(PUBREL) and sub.pending() == []
            sub.send(ack(PUBCOMP, m.packet_id))
        else:
            sub.acknowledge(m)
        if i + most < 8:
            open_.append(sub.message(acknowledge=False))


@qos_1_and_2
@covers("5.0", "MQTT-3.3.4-9", "MQTT-4.9.0-2")
def test_a_refusal_sets_a_place_free(client, topic, qos):
    sub, pub = client(RECEIVE_MAXIMUM=1), client()
    sub.subscribe(topic, qos=qos)
    for i in range(3):
        pub.publish(topic, b"%d" % i, qos)
    for i in range(3):
        m = sub.message(acknowledge=False)
        assert m.payload == b"%d" % i and sub.pending() == []
        sub.send(ack(PUBACK if qos == 1 else PUBREC, m.packet_id, REFUSED))


@qos_1_and_2
@covers("5.0", "MQTT-3.3.4-10", "MQTT-4.9.0-3")
def test_other_packets_do_not_wait_for_the_window(client, topic, qos):
    sub, pub = client(RECEIVE_MAXIMUM=1), client()
    sub.subscribe(topic, f"{topic}/zero", qos=qos)
    pub.publish(topic, b"open", qos)
    pub.publish(topic, b"waits", qos)
    held = sub.message(acknowledge=False)
    sub.send(packet(PINGREQ))
    assert sub.expect(PINGRESP)
    sub.send(packet(SUBSCRIBE, b"\0\2\0" + string(f"{topic}/more") + b"\1", 2))
    assert sub.expect(SUBACK).packet_id == 2
    sub.send(packet(UNSUBSCRIBE, b"\0\3\0" + string(f"{topic}/more"), 2))
    assert sub.expect(UNSUBACK).packet_id == 3
    sub.publish(f"{topic}/other", b"", 1)
    sub.publish(f"{topic}/other", b"", 2)
    pub.publish(f"{topic}/zero", b"zero", 0)
    assert sub.message().payload == b"zero"
    sub.acknowledge(held)
    assert sub.message().payload == b"waits"


@covers("5.0", "MQTT-3.3.4-7")
def test_a_client_that_opens_more_than_it_may_is_closed(client, topic):
    c = client()
    most = c.connack.props["RECEIVE_MAXIMUM"]
    c.send(b"".join(c.publish_packet(topic, b"", 2, packet_id=i) for i in range(1, most + 1)))
    assert [c.expect(PUBREC).packet_id for _ in range(most)] == list(range(1, most + 1))
    c.send(c.publish_packet(topic, b"", 2, packet_id=most + 1))
    assert [(p.kind, p.reason) for p in c.at_end()] == [(DISCONNECT, 0x93)]
