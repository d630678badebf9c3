"""MQTT 3.1.1 and 5.0, clause by clause: packets that no client may send, and what ends with them."""

import struct
from itertools import permutations

import pytest

from conformance import covers
from mqtt_clients import unique
from rawmqtt import (AUTH, CONNACK, CONNECT, DISCONNECT, PINGREQ, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK,
                     SUBSCRIBE, UNSUBSCRIBE, V5, V311, Raw, packet, properties, string)

WRONG = (0x81, 0x82, 0x90, 0x8F)  # malformed, protocol error, topic name, topic filter
BAD_METHOD = 0x8C
AT_ONCE_S = 5  # to be closed for what was sent, and not by the broker's connect_timeout
NAMES = {V311: "3.1.1", V5: "5.0"}
SURROGATE, LONG_FORM, CUT, NUL = b"\xed\xa0\x80", b"\xc0\xaf", b"\xe2\x82", b"a\0b"


def bad(what, data, v311=(), v5=()):
    """One case for each version that says something of it. data(version) makes the bytes; props() goes where 5.0 has properties."""
    for version, clauses in ((V311, v311), (V5, v5)):
        if clauses:
            yield pytest.param(version, data, id=f"{what}, {NAMES[version]}",
                               marks=covers(NAMES[version], *(f"MQTT-{c}" for c in clauses)))


def props(version, **values):
    return properties(values) if version == V5 else b""


def publish(topic, flags=0, packet_id=b"", **values):
    return lambda v: packet(PUBLISH, string(topic) + packet_id + props(v, **values), flags)


def subscribe(filter_, options=b"\0", flags=2, packet_id=b"\0\1", **values):
    return lambda v: packet(SUBSCRIBE, packet_id + props(v, **values) + string(filter_) + options, flags)


def unsubscribe(filter_, flags=2, packet_id=b"\0\1"):
    return lambda v: packet(UNSUBSCRIBE, packet_id + props(v) + string(filter_), flags)


def only(data):
    return lambda v: data


AFTER_CONNECT = [
    # text
    *bad("a topic with a surrogate", publish(SURROGATE), ["1.5.3-1", "3.3.2-1"], ["1.5.4-1", "3.3.2-1"]),
    *bad("a topic in a long form", publish(LONG_FORM), ["1.5.3-1"], ["1.5.4-1"]),
    *bad("a topic that ends in a character", publish(CUT), ["1.5.3-1"], ["1.5.4-1"]),
    *bad("a topic with NUL", publish(NUL), ["1.5.3-2", "4.7.3-2"], ["1.5.4-2", "4.7.3-2"]),
    *bad("a filter with a surrogate", subscribe(SURROGATE), ["3.8.3-1"], ["3.8.3-1"]),
    *bad("a filter with NUL", subscribe(NUL), ["1.5.3-2", "4.7.3-2"], ["1.5.4-2", "4.7.3-2"]),
    *bad("a filter to leave with a long form", unsubscribe(LONG_FORM), ["3.10.3-1"], ["3.10.3-1"]),
    *bad("a filter to leave with NUL", unsubscribe(NUL), ["3.10.3-1"], ["3.10.3-1"]),
    *bad("a content type with a surrogate", publish("t", CONTENT_TYPE=SURROGATE), [], ["3.3.2-19"]),
    *bad("a response topic with a long form", publish("t", RESPONSE_TOPIC=LONG_FORM), [], ["3.3.2-13"]),
    *bad("a user property with a wrong name", publish("t", USER_PROPERTY=[(SURROGATE, "v")]), [], ["1.5.7-1"]),
    *bad("a user property with a wrong value", publish("t", USER_PROPERTY=[("n", NUL)]), [], ["1.5.7-1"]),
    # the fixed header
    *bad("PINGREQ with a flag", only(packet(PINGREQ, flags=1)), ["2.2.2-2"], ["2.1.3-1"]),
    *bad("PUBACK with a flag", only(packet(PUBACK, b"\0\1", 8)), ["2.2.2-2"], ["2.1.3-1"]),
    *bad("PUBREC with a flag", only(packet(PUBREC, b"\0\1", 2)), ["2.2.2-2"], ["2.1.3-1"]),
    *bad("PUBCOMP with a flag", only(packet(PUBCOMP, b"\0\1", 4)), ["2.2.2-2"], ["2.1.3-1"]),
    *(case for flags in (0, 1, 3, 6, 10) for case in (
        *bad(f"PUBREL with flags {flags:#x}", only(packet(PUBREL, b"\0\1", flags)), ["3.6.1-1"], ["3.6.1-1"]),
        *bad(f"SUBSCRIBE with flags {flags:#x}", subscribe("t", flags=flags), ["3.8.1-1"], ["3.8.1-1"]),
        *bad(f"UNSUBSCRIBE with flags {flags:#x}", unsubscribe("t", flags=flags), ["3.10.1-1"], ["3.10.1-1"]))),
    *(case for flags in (1, 2, 4, 8)
      for case in bad(f"AUTH with flags {flags:#x}", only(packet(AUTH, b"", flags)), [], ["3.15.1-1"])),
    *bad("a length that is longer than it has to be", only(b"\x30\x85\x00\0\1t\0x"), [], ["1.5.5-1"]),
    *bad("a length of properties that is longer than it has to be", only(packet(PUBLISH, string("t") + b"\x80\x00")), [], ["1.5.5-1"]),
    *bad("a length of five bytes", only(b"\x30\xff\xff\xff\xff\x01"), ["4.8.0-1"], ["4.13.1-1"]),
    *bad("a packet of type 0", only(packet(0)), ["4.8.0-1"], ["4.13.1-1"]),
    # packet ids
    *bad("PUBLISH QoS 1 with id 0", publish("t", 2, b"\0\0"), ["2.3.1-1"], ["2.2.1-3"]),
    *bad("PUBLISH QoS 2 with id 0", publish("t", 4, b"\0\0"), ["2.3.1-1"], ["2.2.1-3"]),
    *bad("SUBSCRIBE with id 0", subscribe("t", packet_id=b"\0\0"), ["2.3.1-1"], ["2.2.1-3"]),
    *bad("UNSUBSCRIBE with id 0", unsubscribe("t", packet_id=b"\0\0"), ["2.3.1-1"], ["2.2.1-3"]),
    # PUBLISH
    *bad("QoS 3", publish("t", 6, b"\0\1"), ["3.3.1-4"], ["3.3.1-4"]),
    *bad("DUP at QoS 0", publish("t", 8), ["3.3.1-2"], ["3.3.1-2"]),
    *bad("no topic", only(packet(PUBLISH)), ["3.3.2-1"], ["3.3.2-1"]),
    *bad("a topic with +", publish("a/+"), ["3.3.2-2", "4.7.1-1"], ["3.3.2-2", "4.7.0-1"]),
    *bad("a topic with #", publish("a/#"), ["3.3.2-2", "4.7.1-1"], ["3.3.2-2", "4.7.0-1"]),
    *bad("a topic with + within a level", publish("a+b"), ["3.3.2-2", "4.7.1-1"], ["3.3.2-2", "4.7.0-1"]),
    *bad("an empty topic", publish(""), ["4.7.3-1"], ["4.7.3-1"]),
    *bad("topic alias 0", publish("t", TOPIC_ALIAS=0), [], ["3.3.2-8"]),
    *bad("a response topic with a wildcard", publish("t", RESPONSE_TOPIC="a/+"), [], ["3.3.2-14"]),
    *bad("a subscription identifier from a client", publish("t", SUBSCRIPTION_ID=1), [], ["3.3.4-6"]),
    # acknowledgements
    *bad("PUBACK with a reason of others", only(packet(PUBACK, b"\0\1\x92\0")), [], ["3.4.2-1"]),
    *bad("PUBREC with a reason of others", only(packet(PUBREC, b"\0\1\x18\0")), [], ["3.5.2-1"]),
    *bad("PUBREL with a reason of others", only(packet(PUBREL, b"\0\1\x10\0", 2)), [], ["3.6.2-1"]),
    *bad("PUBCOMP with a reason of others", only(packet(PUBCOMP, b"\0\1\x80\0")), [], ["3.7.2-1"]),
    # SUBSCRIBE, UNSUBSCRIBE
    *bad("SUBSCRIBE without a filter", lambda v: packet(SUBSCRIBE, b"\0\1" + props(v), 2), ["3.8.3-3"], ["3.8.3-2"]),
    *bad("UNSUBSCRIBE without a filter", lambda v: packet(UNSUBSCRIBE, b"\0\1" + props(v), 2), ["3.10.3-2"], ["3.10.3-2"]),
    *bad("SUBSCRIBE with an empty filter", subscribe(""), ["4.7.3-1"], ["4.7.3-1"]),
    *bad("UNSUBSCRIBE with an empty filter", unsubscribe(""), ["4.7.3-1"], ["4.7.3-1"]),
    *bad("SUBSCRIBE with QoS 3", subscribe("t", b"\3"), ["3-8.3-4"], []),
    *(case for bit in (4, 8, 0x10, 0x20, 0x40, 0x80)
      for case in bad(f"option bit {bit:#x}", subscribe("t", bytes([bit])), ["3-8.3-4"], [])),
    *(case for bit in (0x40, 0x80, 0xC0) for case in bad(f"option bits {bit:#x}", subscribe("t", bytes([bit])), [], ["3.8.3-5"])),
    *bad("no local for a shared subscription", subscribe("$share/g/t", b"\4"), [], ["3.8.3-4"]),
    # DISCONNECT, AUTH
    *(case for flags in (1, 2, 4, 8)
      for case in bad(f"DISCONNECT with flags {flags:#x}", only(packet(DISCONNECT, b"", flags)), ["3.14.1-1"], ["3.14.1-1"])),
    *bad("DISCONNECT with a reason of others", only(packet(DISCONNECT, b"\x01\0")), [], ["3.14.2-1"]),
    *bad("AUTH with a reason of others", only(packet(AUTH, b"\x80\0")), [], ["3.15.2-1"]),
    *bad("AUTH though CONNECT had no method", only(packet(AUTH, b"\x18" + properties({"AUTH_METHOD": "m"}))), [], ["4.12.0-7"]),
    *bad("AUTH to authenticate again", only(packet(AUTH, b"\x19" + properties({"AUTH_METHOD": "m"}))), [], ["4.12.1-2"]),
    *bad("what only a broker sends", lambda v: packet(SUBACK, b"\0\1" + props(v) + b"\0"), ["4.8.0-1"], ["4.13.1-1"]),
]


@pytest.fixture(scope="module")
def witness(gw):
    """Sees the wills: [MQTT-4.13.1-1] and its like are no orderly end."""
    with Raw(gw.port).connect(unique("witness")) as c:
        c.subscribe("packets/will/#")
        yield c


@pytest.mark.parametrize("version, data", AFTER_CONNECT)
def test_a_broken_packet_ends_its_connection(gw, witness, version, data):
    """Which reason DISCONNECT has, and whether there is one, is not the statement's: see test_mqtt_faults.py."""
    will = unique("packets/will/x")
    with Raw(gw.port, version).connect(unique("bad"), will={"topic": will}) as c:
        c.send(data(version) + packet(PINGREQ))
        got = c.at_end()
    # nothing is sent behind DISCONNECT, and 3.1.1 has none
    assert [p.kind for p in got] in ([[], [DISCONNECT]] if version == V5 else [[]])
    assert all(p.reason in WRONG for p in got)
    while witness.message().topic != will:
        pass


def connect(flags=2, body=string("x"), name="MQTT", level=None, first=0):
    """A CONNECT whose payload is `body`, in 5.0 behind empty properties."""
    return lambda v: packet(CONNECT, string(name) + bytes([level or v, flags]) + b"\0\0" + props(v) + body, first)


def will(topic=b"packets/never", tail=string("w")):
    return lambda v: string("x") + props(v) + string(topic) + tail


def with_will(flags, body):
    return lambda v: connect(flags, body(v))(v)


BEFORE_CONNECT = [
    *bad("PUBLISH first", publish("t"), ["3.1.0-1"], ["3.1.0-1"]),
    *bad("SUBSCRIBE first", subscribe("t"), ["3.1.0-1"], ["3.1.0-1"]),
    *bad("PINGREQ first", only(packet(PINGREQ)), ["3.1.0-1"], ["3.1.0-1", "3.14.0-1"]),
    *bad("AUTH first", only(packet(AUTH)), [], ["3.1.0-1"]),
    *bad("the reserved flag", connect(3), ["3.1.2-3", "3.1.4-1"], ["3.1.2-3", "3.1.4-1", "3.14.0-1"]),
    *bad("will QoS 1 without a will", connect(0x0A), ["3.1.2-11", "3.1.2-13"], ["3.1.2-11"]),
    *bad("will QoS 2 without a will", connect(0x12), ["3.1.2-11", "3.1.2-13"], ["3.1.2-11"]),
    *bad("will retain without a will", connect(0x22), ["3.1.2-11", "3.1.2-15"], ["3.1.2-13"]),
    *bad("will QoS 3", with_will(0x1E, will()), ["3.1.2-14"], ["3.1.2-12"]),
    *bad("a will flag and no will", connect(6), ["3.1.2-9"], ["3.1.2-9"]),
    *bad("a will flag and a topic alone", with_will(6, will(tail=b"")), ["3.1.2-9"], ["3.1.2-9"]),
    *bad("a will and no will flag", with_will(2, will()), ["3.1.2-11"], ["3.1.4-1"]),
    *bad("a will topic with a surrogate", with_will(6, will(SURROGATE)), ["3.1.3-10", "1.5.3-1"], ["3.1.3-11", "1.5.4-1"]),
    *bad("a will topic with NUL", with_will(6, will(NUL)), ["3.1.3-10", "1.5.3-2"], ["3.1.3-11", "1.5.4-2"]),
    *bad("a user name without its flag", connect(2, string("x") + string("u")), ["3.1.2-18"], ["3.1.2-16"]),
    *bad("a user name flag without a user name", connect(0x82), ["3.1.2-19"], ["3.1.2-17"]),
    *bad("a password without its flag", connect(0x82, string("x") + string("u") + string("p")), ["3.1.2-20"], ["3.1.2-18"]),
    *bad("a password flag without a password", connect(0xC2, string("x") + string("u")), ["3.1.2-21"], ["3.1.2-19"]),
    *bad("a password flag without a user name flag", connect(0x42, string("x") + string("p")), ["3.1.2-22"], []),
    *bad("a user name with a long form", connect(0x82, string("x") + string(LONG_FORM)), ["3.1.3-11"], ["3.1.3-12"]),
    *bad("a client id with a surrogate", connect(2, string(SURROGATE)), ["3.1.3-4"], ["3.1.3-4", "3.1.3-8"]),
    *bad("no client id", connect(2, b""), ["3.1.3-3"], ["3.1.3-3"]),
    *bad("a will message before its topic", with_will(6, will("#", string("t"))), ["3.1.3-1"], ["3.1.3-1"]),
    *bad("flags of CONNECT", connect(first=2), ["2.2.2-2", "3.1.4-1"], ["2.1.3-1", "3.1.4-1"]),
    *bad("bytes behind the end", connect(2, string("x") + b"more"), ["3.1.4-1"], ["3.1.4-1"]),
]


@pytest.mark.parametrize("version, data", BEFORE_CONNECT)
@covers("3.1.1", "MQTT-3.2.2-6")
def test_a_wrong_beginning_is_closed_and_nothing_behind_it_is_done(gw, witness, version, data):
    """3.1.1 demands that there is no answer, 5.0 allows a refusal. No session, no will, and no DISCONNECT."""
    topic = unique("packets/will/never")
    with Raw(gw.port, version, timeout=AT_ONCE_S) as c:
        c.send(data(version) + c.connect_packet("x") + c.publish_packet(topic))
        got = c.at_end()
    assert [p.kind for p in got] in ([[], [CONNACK]] if version == V5 else [[]])
    assert all(p.reason >= 0x80 and not p.present for p in got)
    with Raw(gw.port).connect(unique("after")) as c:
        c.publish("packets/will/after", topic.encode())
    while (m := witness.message()).payload != topic.encode():
        assert m.topic != topic


@pytest.mark.parametrize("version, name, level, code", [
    pytest.param(V311, "MQTT", 2, 1, marks=covers("3.1.1", "MQTT-3.1.2-2", "MQTT-3.2.2-5")),
    pytest.param(V311, "MQTT", 3, 1, marks=covers("3.1.1", "MQTT-3.1.2-2")),
    pytest.param(V311, "MQTX", 4, None, marks=covers("3.1.1", "MQTT-3.1.2-1")),
    pytest.param(V311, "mqtt", 4, None, marks=covers("3.1.1", "MQTT-3.1.2-1")),
    pytest.param(V5, "MQTT", 6, 0x84, marks=covers("5.0", "MQTT-3.1.2-2", "MQTT-3.2.2-7", "MQTT-4.13.2-1")),
    pytest.param(V5, "MQTT", 127, 0x84, marks=covers("5.0", "MQTT-3.1.2-2")),
    pytest.param(V5, "MQTX", 5, None, marks=covers("5.0", "MQTT-3.1.2-1")),
])
@covers("3.1.1", "MQTT-3.1.4-5", "MQTT-3.2.2-4")
@covers("5.0", "MQTT-3.1.4-6", "MQTT-3.2.2-6", "MQTT-3.2.2-8")
def test_another_protocol_is_told_so_and_closed(gw, witness, version, name, level, code):
    """None: it may be told that the version is not spoken, or nothing."""
    topic = unique("packets/will/never")
    data = connect(name=name, level=level)(version)
    for behind in (b"", data + packet(PINGREQ), packet(PUBLISH, string(topic) + props(version))):
        with Raw(gw.port, version, timeout=AT_ONCE_S) as c:
            c.send(data + behind)
            got = c.at_end()
        if code or got:
            assert [(p.kind, p.reason, p.present) for p in got] == [(CONNACK, code or (0x84 if version == V5 else 1), False)]
    with Raw(gw.port).connect(unique("after")) as c:
        c.publish("packets/will/after", topic.encode())
    while (m := witness.message()).payload != topic.encode():
        assert m.topic != topic


@covers("5.0", "MQTT-4.12.0-1", "MQTT-4.12.0-4", "MQTT-3.1.4-2", "MQTT-3.1.4-6", "MQTT-3.2.2-7", "MQTT-4.13.2-1")
def test_an_authentication_method_is_refused_and_closed(gw):
    with Raw(gw.port, timeout=AT_ONCE_S) as c:
        c.send(c.connect_packet(unique("auth"), AUTH_METHOD="SCRAM") + packet(PINGREQ) + packet(AUTH, b"\x18\0"))
        assert [(p.kind, p.reason) for p in c.at_end()] == [(CONNACK, BAD_METHOD)]


@pytest.mark.parametrize("version", [V311, V5], ids=NAMES.get)
@covers("3.1.1", "MQTT-3.1.0-2", "MQTT-4.8.0-1")
@covers("5.0", "MQTT-3.1.0-2", "MQTT-3.2.0-2")
def test_a_second_connect_closes(gw, witness, version):
    will = unique("packets/will/second")
    with Raw(gw.port, version).connect(unique("twice"), will={"topic": will}) as c:
        c.send(c.connect_packet("another") + packet(PINGREQ))
        assert [p.kind for p in c.at_end() if p.kind != DISCONNECT] == []
    while witness.message().topic != will:
        pass


@pytest.mark.parametrize("version", [V311, V5], ids=NAMES.get)
@covers("3.1.1", "MQTT-1.5.3-3", "MQTT-4.7.3-4")
@covers("5.0", "MQTT-1.5.4-3", "MQTT-4.7.3-4")
def test_a_byte_order_mark_stays_where_it_is(client, version):
    plain = unique("packets/mark")
    name = "\ufeff" + plain
    sub, other, pub = client(version=version), client(version=version), client(version=version)
    sub.subscribe(name, f"{plain}/\ufeff")
    other.subscribe(plain, f"{plain}/+")
    pub.publish(name, b"1")
    pub.publish(f"{plain}/\ufeff", b"2")
    pub.publish(plain, b"3")
    assert [(m.topic, m.payload) for m in sub.messages(2)] == [(name, b"1"), (f"{plain}/\ufeff", b"2")]
    assert [(m.topic, m.payload) for m in other.messages(2)] == [(f"{plain}/\ufeff", b"2"), (plain, b"3")]


@pytest.mark.parametrize("version", [V311, V5], ids=NAMES.get)
@covers("3.1.1", "MQTT-4.7.3-3")
@covers("5.0", "MQTT-4.7.3-3")
def test_names_and_filters_of_65535_bytes_work(client, version):
    sub, pub = client(version=version), client(version=version)
    name = unique("packets/long/")
    name += "x" * (65535 - len(name))
    sub.subscribe(name)
    pub.publish(name, b"long")
    m = sub.message()
    assert (m.topic, m.payload) == (name, b"long")


@pytest.mark.parametrize("version", [V311, V5], ids=NAMES.get)
@covers("3.1.1", "MQTT-2.2.2-1", "MQTT-2.3.1-5", "MQTT-2.3.1-6", "MQTT-2.3.1-7", "MQTT-3.12.4-1", "MQTT-7.1.1-1")
@covers("5.0", "MQTT-2.1.3-1", "MQTT-2.2.1-2", "MQTT-2.2.1-5", "MQTT-2.2.1-6", "MQTT-2.2.2-1", "MQTT-1.5.5-1", "MQTT-3.12.4-1", "MQTT-4.2-1",
        "MQTT-3.2.2-1")
def test_the_broker_s_own_packets_byte_for_byte(gw, version):
    """Sent byte by byte: TCP keeps their order, and nothing depends on how they are cut."""
    none, topic = props(version), unique("t")
    with Raw(gw.port, version) as c:
        def exchange(data, *answers):
            """The answers in any order: what is delivered to a publisher itself is ordered with its acknowledgement by nobody."""
            for byte in data:
                c.send(bytes([byte]))
            while len(c.buffer) < sum(map(len, answers)):
                c.fill()
            assert c.buffer in [b"".join(order) for order in permutations(answers)]
            c.buffer = b""

        c.send(c.connect_packet(unique("bytes")))
        while len(c.buffer) < 4:
            c.fill()
        assert c.buffer[0] == 0x20 and c.buffer[2:4] == b"\0\0" and c.buffer[1] == len(c.buffer) - 2
        c.buffer = b""
        exchange(packet(PINGREQ), b"\xd0\0")
        exchange(packet(SUBSCRIBE, b"\x12\x34" + none + string(topic) + b"\2", 2), packet(SUBACK, b"\x12\x34" + none + b"\2"))
        # the id of an acknowledgement is that of the packet, whatever other ids are in use
        exchange(c.publish_packet(topic, b"x"), packet(PUBLISH, string(topic) + none + b"x"))
        sent = c.publish_packet(topic, b"y", 1, packet_id=0xFFFF)
        exchange(sent, packet(PUBLISH, string(topic) + b"\0\1" + none + b"y", 2), packet(PUBACK, b"\xff\xff"))
        exchange(packet(PUBACK, b"\0\1"))
        sent = c.publish_packet(topic, b"z", 2, packet_id=0xFFFE)
        exchange(sent, packet(PUBLISH, string(topic) + b"\0\2" + none + b"z", 4), packet(PUBREC, b"\xff\xfe"))
        exchange(packet(PUBREC, b"\0\2"), packet(PUBREL, b"\0\2", 2))
        exchange(packet(PUBCOMP, b"\0\2") + packet(PUBREL, b"\xff\xfe", 2), packet(PUBCOMP, b"\xff\xfe"))
        answer = struct.pack(">H", 0x4321) + none + (b"\0" if version == V5 else b"")
        exchange(packet(UNSUBSCRIBE, b"\x43\x21" + none + string(topic), 2), packet(11, answer))
