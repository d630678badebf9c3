"""What MQTT 3.1.1 and 5.0 ask of a broker, seen packet by packet. Each case on one worker and on three."""

import pytest

from conformance import covers
from gateway import Gateway
from mqtt_clients import unique
from rawmqtt import (CONNACK, DISCONNECT, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, V5, V31, V311, Raw, packet)

NO_LOCAL, RETAIN_AS_PUBLISHED = 4, 8
RETAIN_IF_NEW, RETAIN_NEVER = 0x10, 0x20


@pytest.fixture
def topic():
    return unique("features")


# ---- delivery ----


@pytest.mark.parametrize("version", [V31, V311, V5])
@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("subscribed", [0, 1, 2])
def test_a_message_arrives_once_with_the_lower_qos(client, topic, version, published, subscribed):
    sub, pub = client(version=version), client(version=version)
    sub.subscribe(topic, qos=subscribed)
    pub.publish(topic, b"one", published)
    pub.publish(topic, b"two", published)
    got = sub.messages(2)
    assert [(m.payload, m.qos, m.retain, m.dup) for m in got] == [
        (p, min(published, subscribed), False, False) for p in (b"one", b"two")]
    assert sub.pending() == []


def test_order_of_a_publisher_is_kept(client, topic):
    sub, pub = client(), client()
    sub.subscribe(topic, qos=2)
    n = min(200, pub.connack.props.get("RECEIVE_MAXIMUM", 65535))
    for qos in (0, 1, 2):
        pub.send(b"".join(pub.publish_packet(topic, b"%d" % i, qos, packet_id=i + 1) for i in range(n)))
        for i in range(n if qos else 0):
            ack = pub.expect(PUBACK if qos == 1 else PUBREC)
            assert ack.packet_id == i + 1  # 4.6: in the order of the publishes
        for i in range(n if qos == 2 else 0):
            pub.send(packet(PUBREL, bytes([0, i + 1]), 2))
            assert pub.expect(PUBCOMP).packet_id == i + 1
        assert [m.payload for m in sub.messages(n)] == [b"%d" % i for i in range(n)]


def test_qos_2_repeated_with_dup_is_delivered_once(client, topic):
    sub, pub = client(), client()
    sub.subscribe(topic, qos=2)
    for dup in (False, True, True):
        pub.send(pub.publish_packet(topic, b"x", 2, dup=dup, packet_id=7))
        assert pub.expect(PUBREC).packet_id == 7
    for _ in range(2):  # a repeated PUBREL is answered too
        pub.send(packet(PUBREL, b"\0\7", 2))
        assert pub.expect(PUBCOMP).packet_id == 7
    assert sub.message().payload == b"x"
    pub.publish(topic, b"next", 2)
    assert sub.message().payload == b"next"


def test_wildcards(client, topic):
    filters = {"a/+": ["a/b"], "a/#": ["a", "a/b", "a/b/c"], "+/b": ["a/b"], "+/+/c": ["a/b/c"], "a/b/c": ["a/b/c"],
               "+": ["a"], "a/": [], "a/+/": []}
    subs = {f: client() for f in filters}
    for f, c in subs.items():
        c.subscribe(f"{topic}/{f}")
    pub = client()
    for t in ("a", "a/b", "a/b/c", "b"):
        pub.publish(f"{topic}/{t}", t.encode())
    for f, c in subs.items():
        pub.publish(f"{topic}/{f.replace('+', 'end').replace('#', 'end')}", b"end")
        got = []
        while (m := c.message()).payload != b"end":
            got.append(m.payload.decode())
        want = filters[f] + (["b"] if f == "+" else [])
        assert got == want, f


def test_dollar_topics_are_not_matched_by_a_leading_wildcard(client, topic):
    sub, exact, pub = client(), client(), client()
    sub.subscribe("#", "+/" + topic, f"+/{topic}/#", options=RETAIN_NEVER)
    exact.subscribe(f"$test/{topic}")
    pub.publish(f"$test/{topic}", b"hidden")
    assert exact.message().payload == b"hidden"
    pub.publish(f"seen/{topic}", b"seen")
    # One worker may have delivered "hidden" by another path: everything up to "seen" counts.
    while (m := sub.message()).payload != b"seen":
        assert not m.topic.startswith("$test")


def test_overlapping_subscriptions_use_the_highest_qos(client, topic):
    sub, pub = client(), client()
    sub.subscribe(f"{topic}/#", qos=2)
    sub.subscribe(f"{topic}/+", qos=1)
    pub.publish(f"{topic}/a", b"x", 2)
    first = sub.message()
    pub.publish(f"{topic}/b", b"end", 2)
    got = [first]
    while got[-1].payload != b"end":
        got.append(sub.message())
    # One copy with the highest QoS, or one for each subscription (3.3.4).
    assert sorted(m.qos for m in got if m.payload == b"x") in ([2], [1, 2])


def test_unsubscribed_topics_stay_silent(client, topic):
    sub, pub = client(), client()
    sub.subscribe(f"{topic}/a", f"{topic}/b")
    ack = sub.unsubscribe(f"{topic}/a", f"{topic}/never")
    assert ack.codes == [0, 0x11]
    pub.publish(f"{topic}/a", b"no")
    pub.publish(f"{topic}/b", b"yes")
    assert sub.message().payload == b"yes"


def test_a_payload_of_one_mebibyte_passes(gw):
    limit = 4 << 20
    with Gateway({"broker": {"workers": 2, "max_packet_size": limit}}) as big:
        body = bytes(range(256)) * 4096
        for qos in (0, 1, 2):
            with Raw(big.port).connect(unique("big")) as sub, Raw(big.port).connect(unique("big")) as pub:
                sub.subscribe("big", qos=qos)
                pub.publish("big", body, qos)
                assert sub.message().payload == body


def test_an_empty_payload_and_an_empty_level_are_fine(client, topic):
    sub, pub = client(), client()
    sub.subscribe(f"/{topic}//+")
    pub.publish(f"/{topic}//", b"")
    m = sub.message()
    assert (m.topic, m.payload) == (f"/{topic}//", b"")


# ---- retained messages ----


@pytest.mark.parametrize("version", [V311, V5])
def test_retained_is_set_replaced_and_cleared(client, topic, version):
    pub = client(version=version)
    for i, payload in enumerate([b"first", b"second"]):
        pub.publish(f"{topic}/a", payload, qos=1, retain=True)
    pub.publish(f"{topic}/b", b"other", qos=1, retain=True)
    late = client(version=version)
    late.subscribe(f"{topic}/+", qos=1)
    assert sorted((m.topic, m.payload, m.retain, m.qos) for m in late.messages(2)) == [
        (f"{topic}/a", b"second", True, 1), (f"{topic}/b", b"other", True, 1)]
    pub.publish(f"{topic}/a", b"", qos=1, retain=True)
    cleared = late.message()  # the empty message itself is passed on as a live one
    assert (cleared.topic, cleared.payload, cleared.retain) == (f"{topic}/a", b"", False)
    later = client(version=version)
    later.subscribe(f"{topic}/#")
    assert [(m.topic, m.payload) for m in later.messages(1)] == [(f"{topic}/b", b"other")]
    assert later.pending() == []


def test_a_live_subscriber_sees_retain_zero(client, topic):
    sub, pub = client(), client()
    sub.subscribe(topic)
    pub.publish(topic, b"x", retain=True)
    assert sub.message().retain is False


def test_retain_as_published(client, topic):
    keep, plain, pub = client(), client(), client()
    keep.subscribe(topic, options=RETAIN_AS_PUBLISHED)
    plain.subscribe(topic)
    for retain in (False, True):
        pub.publish(topic, b"x", retain=retain)
    assert [m.retain for m in keep.messages(2)] == [False, True]
    assert [m.retain for m in plain.messages(2)] == [False, False]


def test_retain_handling(client, topic):
    pub, sub = client(), client()
    pub.publish(topic, b"kept", qos=1, retain=True)
    sub.subscribe(topic, options=RETAIN_NEVER)
    assert sub.pending() == []
    sub.subscribe(topic, options=RETAIN_IF_NEW)  # it exists: not new
    assert sub.pending() == []
    sub.unsubscribe(topic)
    sub.subscribe(topic, options=RETAIN_IF_NEW)
    assert sub.message().payload == b"kept"
    sub.subscribe(topic)  # 0: each time
    assert sub.message().payload == b"kept"


def test_retained_message_of_a_session_is_as_new_as_the_newest(client, topic):
    """Subscribing while the topic is written: nobody sees an older value after a newer one."""
    pub = client()
    for round_ in range(20):
        sub = client()
        pub.send(b"".join(pub.publish_packet(topic, b"%d" % (round_ * 100 + i), retain=True) for i in range(50)))
        sub.subscribe(topic)
        pub.send(b"".join(pub.publish_packet(topic, b"%d" % (round_ * 100 + i), retain=True) for i in range(50, 100)))
        last = -1
        while last < round_ * 100 + 99:
            value = int(sub.message().payload)
            assert value >= last
            last = value
        sub.close()


# ---- version 5 ----


def test_no_local(client, topic):
    c, other = client(), client()
    c.subscribe(topic, qos=1, options=NO_LOCAL)
    c.publish(topic, b"mine", qos=1)
    other.publish(topic, b"theirs", qos=1)
    assert c.message().payload == b"theirs"


def test_subscription_identifiers_of_all_matches_come_along(client, topic):
    sub, pub = client(), client()
    sub.subscribe(f"{topic}/a", SUBSCRIPTION_ID=[1])
    sub.subscribe(f"{topic}/+", SUBSCRIPTION_ID=[268435455])
    sub.subscribe(f"{topic}/#")
    pub.publish(f"{topic}/a", b"x")
    ids, seen = [], 0
    first = sub.message()
    pub.publish(f"{topic}/other/deep", b"end")
    m = first
    while m.payload != b"end":
        ids += m.props.get("SUBSCRIPTION_ID", [])
        m, seen = sub.message(), seen + 1
    assert sorted(ids) == [1, 268435455] and seen in (1, 3)
    assert "SUBSCRIPTION_ID" not in m.props


def test_a_repeated_subscription_replaces_the_identifier(client, topic):
    c = client()
    c.subscribe(topic, SUBSCRIPTION_ID=[5])
    c.subscribe(topic, SUBSCRIPTION_ID=[6])
    c.publish(topic, b"x")
    assert c.message().props["SUBSCRIPTION_ID"] == [6]
    c.subscribe(topic)
    c.publish(topic, b"y")
    assert "SUBSCRIPTION_ID" not in c.message().props


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_properties_of_a_message_are_passed_on(client, topic, qos):
    sub, pub = client(), client()
    sub.subscribe(topic, qos=2)
    given = {"PAYLOAD_FORMAT": 1, "CONTENT_TYPE": "text/plain", "RESPONSE_TOPIC": "answer/here",
             "CORRELATION_DATA": b"\0\1\2", "USER_PROPERTY": [("a", "1"), ("b", ""), ("a", "2")]}
    pub.publish(topic, "grün".encode(), qos, **given)
    got = sub.message().props
    got.pop("TOPIC_ALIAS", None)
    assert got == given  # user properties in their order (3.3.2.3.7)


def test_request_and_response(client, topic):
    asker, answerer = client(), client()
    asker.subscribe(f"{topic}/answers")
    answerer.subscribe(f"{topic}/questions")
    asker.publish(f"{topic}/questions", b"?", RESPONSE_TOPIC=f"{topic}/answers", CORRELATION_DATA=b"17")
    q = answerer.message()
    answerer.publish(q.props["RESPONSE_TOPIC"], b"!", CORRELATION_DATA=q.props["CORRELATION_DATA"])
    a = asker.message()
    assert (a.payload, a.props["CORRELATION_DATA"]) == (b"!", b"17")


def test_v5_properties_do_not_disturb_a_v311_subscriber(client, topic):
    old, new = client(version=V311), client()
    old.subscribe(topic, qos=1)
    new.publish(topic, b"x", 1, USER_PROPERTY=[("a", "b")], CONTENT_TYPE="t", MESSAGE_EXPIRY=60)
    assert old.message().payload == b"x"
    new.subscribe(topic)
    old.publish(topic, b"y", 1)
    m = new.message()
    assert m.payload == b"y" and set(m.props) <= {"TOPIC_ALIAS"}


@covers("5.0", "MQTT-3.3.2-5", "MQTT-3.3.2-6")
def test_message_expiry_counts_down_and_ends(client, topic, gw):
    name = unique("sleeper")
    with Raw(gw.port).connect(name, clean=True, SESSION_EXPIRY=60) as c:
        c.subscribe(topic, qos=1)
        c.disconnect()
    pub = client()
    pub.publish(topic, b"short", 1, MESSAGE_EXPIRY=1)
    pub.publish(topic, b"long", 1, MESSAGE_EXPIRY=100)
    pub.publish(topic, b"kept", 1, retain=True, MESSAGE_EXPIRY=1)
    # Waiting is what is tested here: a second watch at the broker must go by.
    watch = client()
    watch.subscribe(f"{topic}/tick")
    watch.sock.settimeout(2.2)
    with pytest.raises(TimeoutError):
        watch.message()
    c = Raw(gw.port).connect(name, clean=False, SESSION_EXPIRY=60)
    assert c.connack.present
    m = c.message()
    assert m.payload == b"long" and 90 <= m.props["MESSAGE_EXPIRY"] <= 98
    assert c.pending() == []
    c.subscribe(topic)
    assert c.pending() == []  # the retained one is gone too
    c.close()


def test_topic_aliases_of_a_client(client, topic):
    sub, pub = client(), client()
    most = pub.connack.props.get("TOPIC_ALIAS_MAXIMUM", 0)
    assert most > 0
    sub.subscribe(f"{topic}/#", qos=2)
    pub.publish(f"{topic}/a", b"1", 0, TOPIC_ALIAS=1)
    pub.publish("", b"2", 1, TOPIC_ALIAS=1)
    pub.publish(f"{topic}/b", b"3", 2, TOPIC_ALIAS=most)
    pub.publish("", b"4", 0, TOPIC_ALIAS=most)
    pub.publish(f"{topic}/c", b"5", 0, TOPIC_ALIAS=1)  # given anew
    pub.publish("", b"6", 2, TOPIC_ALIAS=1)
    assert [(m.topic[len(topic):], m.payload) for m in sub.messages(6)] == [
        ("/a", b"1"), ("/a", b"2"), ("/b", b"3"), ("/b", b"4"), ("/c", b"5"), ("/c", b"6")]


@pytest.mark.parametrize("most", [0, 1, 3])
def test_topic_aliases_of_the_broker_stay_within_what_was_allowed(client, topic, most):
    sub = client(**({"TOPIC_ALIAS_MAXIMUM": most} if most else {}))
    sub.subscribe(f"{topic}/#", qos=1)
    pub = client()
    sent = [f"{topic}/{i % 5}" for i in range(40)]
    for i, t in enumerate(sent):
        pub.publish(t, b"%d" % i, i % 2)
    for i, t in enumerate(sent):
        m = sub.message()  # resolves the alias
        assert (m.topic, m.payload) == (t, b"%d" % i)
        assert m.props.get("TOPIC_ALIAS", 0) <= most


def test_a_message_above_the_maximum_packet_size_is_not_sent(client, topic):
    small, big, pub = client(MAXIMUM_PACKET_SIZE=100), client(), client()
    for c in (small, big):
        c.subscribe(topic, qos=1)
    pub.publish(topic, b"x" * 200, 1)
    pub.publish(topic, b"fits", 1)
    assert [len(m.payload) for m in big.messages(2)] == [200, 4]
    assert small.message().payload == b"fits"


@pytest.mark.parametrize("qos", [1, 2])
def test_receive_maximum_of_a_client_is_kept(client, topic, qos):
    sub, pub = client(RECEIVE_MAXIMUM=3), client()
    sub.subscribe(topic, qos=qos)
    for i in range(10):
        pub.publish(topic, b"%d" % i, qos)
    pub.publish(topic, b"end", 0)  # QoS 0 is not counted
    first = []
    while not first or first[-1].qos:
        first.append(sub.message(acknowledge=False))
    held = [m for m in first if m.qos]
    assert len(held) <= 3
    for i in range(10):
        m = held.pop(0) if held else sub.message(acknowledge=False)
        assert m.payload == b"%d" % i
        sub.acknowledge(m)


def test_an_empty_client_id_gets_one(gw):
    a, b = Raw(gw.port).connect(""), Raw(gw.port).connect("")
    names = [c.connack.props["ASSIGNED_CLIENT_ID"] for c in (a, b)]
    assert names[0] and names[1] and names[0] != names[1]
    a.close(), b.close()
    with Raw(gw.port, V311).connect("") as c:
        c.ping()
    with Raw(gw.port, V311) as c:
        ack = c.try_connect("", clean=False)
        assert ack.reason == 2  # identifier rejected (3.1.3.1)
        c.at_end()


@covers("3.1.1", "MQTT-3.1.2-24")
@covers("5.0", "MQTT-3.1.2-22", "MQTT-3.2.2-22")
def test_keep_alive_is_enforced(client, topic):
    watch = client()
    watch.subscribe(topic)
    for version in (V311, V5):
        c = client(version=version, keep_alive=1, will={"topic": topic, "payload": b"gone"})
        rest = c.at_end()
        assert [p.reason for p in rest if p.kind == DISCONNECT] == ([0x8D] if version == V5 else [])
        assert watch.message().payload == b"gone"


def test_a_ping_keeps_a_client_alive(client, topic):
    c = client(keep_alive=1)
    c.sock.settimeout(0.6)
    for _ in range(5):  # 3 s
        with pytest.raises(TimeoutError):
            c.read()
        c.send(packet(12))
        assert c.read().kind == 13


def test_connack_tells_what_the_broker_can(client):
    props = client().connack.props
    for name in ("RETAIN_AVAILABLE", "WILDCARD_AVAILABLE", "SUBSCRIPTION_ID_AVAILABLE", "SHARED_AVAILABLE"):
        assert props.get(name, 1) == 1
    assert props.get("MAXIMUM_QOS", 2) == 2
    assert props.get("MAXIMUM_PACKET_SIZE", 1 << 28) >= 1 << 20


def test_connack_of_v3_is_two_bytes(gw):
    for version in (V31, V311):
        with Raw(gw.port, version) as c:
            ack = c.try_connect(unique("v3"))
            assert ack.kind == CONNACK and len(ack.body) == 2


def test_a_publish_that_nobody_wants_is_acknowledged(client, topic):
    assert client().publish(topic, b"x", 1).reason in (0, 0x10)
    assert client(version=V311).publish(topic, b"x", 2).kind == PUBCOMP


def test_a_bridge_may_set_the_high_bit_of_its_version(gw):
    with Raw(gw.port, V311) as c:
        data = bytearray(c.connect_packet(unique("bridge")))
        data[8] |= 0x80
        c.send(bytes(data))
        assert c.expect(CONNACK).reason == 0


def test_publish_and_subscribe_in_one_packet_burst(gw, topic):
    """All of it in one segment, CONNECT included."""
    with Raw(gw.port) as c:
        sub = b"\0\1" + b"\0" + len(topic).to_bytes(2, "big") + topic.encode() + b"\0"
        c.send(c.connect_packet(unique("burst")) + packet(8, sub, 2) + c.publish_packet(topic, b"x"))
        assert c.message().payload == b"x"


@covers("5.0", "MQTT-4.2-1")
def test_bytes_one_at_a_time(gw, topic):
    with Raw(gw.port) as c:
        for byte in c.connect_packet(unique("slow")):
            c.send(bytes([byte]))
        assert c.expect(CONNACK).reason == 0
        c.subscribe(topic)
        for byte in c.publish_packet(topic, b"slowly", 1, packet_id=9):
            c.send(bytes([byte]))
        assert c.message().payload == b"slowly"
        assert c.expect(PUBACK).packet_id == 9
