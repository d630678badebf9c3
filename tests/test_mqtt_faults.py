"""Packets that break the rules end their own connection, with the right reason, and disturb nobody else."""

import pytest

from gateway import Gateway
from mqtt_clients import unique
from rawmqtt import (AUTH, CONNACK, CONNECT, DISCONNECT, PINGREQ, PUBACK, PUBLISH, PUBREL, SUBSCRIBE, UNSUBSCRIBE, V5, V311,
                     Closed, Raw, packet, properties, string)

MALFORMED, PROTOCOL, TOPIC_NAME, TOPIC_FILTER, ALIAS, TOO_LARGE = 0x81, 0x82, 0x90, 0x8F, 0x94, 0x95
SILENT = None  # closing without a DISCONNECT is right as well


@pytest.fixture(scope="module")
def gw():
    with Gateway({"broker": {"workers": 2, "max_packet_size": 65536}}) as g:
        yield g


@pytest.fixture(scope="module")
def others(gw):
    """Two clients that talk all the while."""
    with Raw(gw.port).connect("witness") as a, Raw(gw.port, V311).connect("witness-3") as b:
        a.subscribe("witness", qos=2)
        b.subscribe("witness", qos=1)
        yield a, b


@pytest.fixture(autouse=True)
def others_are_served(others):
    yield
    a, b = others
    a.publish("witness", b"still here", 2)
    assert a.message().payload == b.message().payload == b"still here"


def reasons(packets):
    return [p.reason for p in packets if p.kind == DISCONNECT]


def connect_body(version=5, name="MQTT", flags=2, props=b"\0", rest=string("x"), tail=b""):
    return string(name) + bytes([version, flags]) + b"\0\0" + props + rest + tail


PUB = string("t")
AFTER_CONNECT = {
    # name: (bytes of a v5 connection that was accepted, the reasons that are right)
    "packet type 0": (packet(0), [PROTOCOL]),
    "reserved flags of PUBREL": (packet(PUBREL, b"\0\1"), [MALFORMED]),
    "reserved flags of SUBSCRIBE": (packet(SUBSCRIBE, b"\0\1\0\0\1a\0"), [MALFORMED]),
    "reserved flags of PINGREQ": (packet(PINGREQ, flags=1), [MALFORMED]),
    "PINGREQ with a body": (packet(PINGREQ, b"x"), [SILENT]),
    "length of five bytes": (b"\x30\xff\xff\xff\xff\x01", [SILENT]),
    "QoS 3": (packet(PUBLISH, PUB + b"\0\1\0", 6), [MALFORMED]),
    "DUP with QoS 0": (packet(PUBLISH, PUB + b"\0", 8), [MALFORMED, PROTOCOL]),
    "packet id 0 in PUBLISH": (packet(PUBLISH, PUB + b"\0\0\0", 2), [MALFORMED, PROTOCOL]),
    "packet id 0 in SUBSCRIBE": (packet(SUBSCRIBE, b"\0\0\0\0\1a\0", 2), [MALFORMED, PROTOCOL]),
    "packet id 0 in UNSUBSCRIBE": (packet(UNSUBSCRIBE, b"\0\0\0\0\1a", 2), [MALFORMED, PROTOCOL]),
    "topic longer than the packet": (packet(PUBLISH, b"\0\x10abc"), [MALFORMED]),
    "topic with NUL": (packet(PUBLISH, string(b"a\0b") + b"\0"), [MALFORMED, TOPIC_NAME]),
    "topic with a lone surrogate": (packet(PUBLISH, string(b"\xed\xa0\x80") + b"\0"), [MALFORMED, TOPIC_NAME]),
    "topic with a long form": (packet(PUBLISH, string(b"\xc0\xaf") + b"\0"), [MALFORMED, TOPIC_NAME]),
    "topic with a wildcard": (packet(PUBLISH, string("a/+") + b"\0"), [MALFORMED]),
    "topic with a control character": (packet(PUBLISH, string("a\x01") + b"\0"), [MALFORMED]),
    "topic with a non-character": (packet(PUBLISH, string("a\uffff") + b"\0"), [MALFORMED]),
    "topic empty without alias": (packet(PUBLISH, string("") + b"\0"), [PROTOCOL]),
    "alias 0": (packet(PUBLISH, PUB + properties({"TOPIC_ALIAS": 0})), [ALIAS, PROTOCOL]),
    "alias never given": (packet(PUBLISH, string("") + properties({"TOPIC_ALIAS": 1})), [PROTOCOL, ALIAS]),
    "alias too large": (packet(PUBLISH, PUB + properties({"TOPIC_ALIAS": 65535})), [ALIAS]),
    "subscription id from a client": (packet(PUBLISH, PUB + properties({"SUBSCRIPTION_ID": 1})), [PROTOCOL]),
    "response topic with a wildcard": (packet(PUBLISH, PUB + properties({"RESPONSE_TOPIC": "a/#"})), [PROTOCOL, TOPIC_NAME]),
    "payload format 2": (packet(PUBLISH, PUB + properties({"PAYLOAD_FORMAT": 2})), [PROTOCOL, MALFORMED]),
    "a property twice": (packet(PUBLISH, PUB + properties({"MESSAGE_EXPIRY": [1, 2]})), [PROTOCOL]),
    "a property of another packet": (packet(PUBLISH, PUB + properties({"SERVER_KEEP_ALIVE": 1})), [MALFORMED, PROTOCOL]),
    "an unknown property": (packet(PUBLISH, PUB + b"\2\x7f\0"), [MALFORMED, PROTOCOL]),
    "properties longer than the packet": (packet(PUBLISH, PUB + b"\x20\1\1"), [MALFORMED]),
    "SUBSCRIBE without a filter": (packet(SUBSCRIBE, b"\0\1\0", 2), [PROTOCOL]),
    "SUBSCRIBE with QoS 3": (packet(SUBSCRIBE, b"\0\1\0\0\1a\3", 2), [MALFORMED, PROTOCOL]),
    "SUBSCRIBE with reserved bits": (packet(SUBSCRIBE, b"\0\1\0\0\1a\x40", 2), [MALFORMED, PROTOCOL]),
    "SUBSCRIBE with retain handling 3": (packet(SUBSCRIBE, b"\0\1\0\0\1a\x30", 2), [PROTOCOL, MALFORMED]),
    "subscription id 0": (packet(SUBSCRIBE, b"\0\1" + properties({"SUBSCRIPTION_ID": 0}) + b"\0\1a\0", 2), [PROTOCOL]),
    "no local on a shared filter": (packet(SUBSCRIBE, b"\0\1\0" + string("$share/g/a") + b"\4", 2), [PROTOCOL]),
    "UNSUBSCRIBE without a filter": (packet(UNSUBSCRIBE, b"\0\1\0", 2), [PROTOCOL]),
    "a second CONNECT": (packet(CONNECT, connect_body()), [SILENT]),  # [MQTT-3.1.0-2] asks for no more
    "CONNACK from a client": (packet(CONNACK, b"\0\0\0"), [PROTOCOL, MALFORMED]),
    "AUTH without a method": (packet(AUTH, b"\x19\0"), [PROTOCOL]),
    "a packet above the maximum": (packet(PUBLISH, PUB + b"\0" + b"x" * 70000), [TOO_LARGE]),
    "a length above the maximum": (b"\x30\xff\xff\xff\x7f", [TOO_LARGE]),
    "PUBACK too short": (packet(PUBACK, b"\1"), [MALFORMED]),
    "DISCONNECT with a reason of the server": (packet(DISCONNECT, b"\x8e\0"), [SILENT]),
    "alias 11": (packet(PUBLISH, PUB + properties({"TOPIC_ALIAS": 11})), [ALIAS]),
}


@pytest.mark.parametrize("name", AFTER_CONNECT)
def test_after_connect(gw, name):
    data, right = AFTER_CONNECT[name]
    with Raw(gw.port).connect(unique("bad")) as c:
        c.send(data)
        got = reasons(c.at_end())
    assert got in [[] if r is SILENT else [r] for r in right], [hex(r) for r in got]


@pytest.mark.parametrize("name", [n for n in AFTER_CONNECT if not any(w in n for w in (
    "alias", "property", "properties", "subscription id", "no local", "retain handling", "AUTH", "payload format",
    "response topic", "reason of"))])
def test_v311_is_closed_without_a_word(gw, name):
    """3.1.1 has no DISCONNECT from the server. The same bytes are wrong there too, or at least one of them."""
    with Raw(gw.port, V311).connect(unique("bad")) as c:
        c.send(AFTER_CONNECT[name][0])
        assert reasons(c.at_end()) == []


BEFORE_CONNECT = {
    # name: (bytes, CONNACK reasons that are right; none: closing without a word is right as well)
    "PUBLISH first": (packet(PUBLISH, PUB + b"\0"), []),
    "PINGREQ first": (packet(PINGREQ), []),
    "an HTTP request": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", []),
    "a TLS hello": (bytes.fromhex("16030100c8010000c40303") + b"\0" * 190, []),
    "another protocol name": (packet(CONNECT, connect_body(name="MQTX")), [0x84, MALFORMED, PROTOCOL]),
    "version 6": (packet(CONNECT, connect_body(version=6)), [0x84, 1]),
    "version 2": (packet(CONNECT, connect_body(version=2, props=b"")), [0x84, 1]),
    "the reserved flag": (packet(CONNECT, connect_body(flags=3)), [MALFORMED]),
    "will QoS without a will": (packet(CONNECT, connect_body(flags=0x0A)), [MALFORMED, PROTOCOL]),
    "will retain without a will": (packet(CONNECT, connect_body(flags=0x22)), [MALFORMED, PROTOCOL]),
    "will QoS 3": (packet(CONNECT, connect_body(flags=0x1E, tail=b"\0" + string("w") + string("p"))), [MALFORMED]),
    "will topic with a wildcard": (packet(CONNECT, connect_body(flags=6, tail=b"\0" + string("w/#") + string("p"))),
                                   [TOPIC_NAME, PROTOCOL, MALFORMED]),
    "a will that is missing": (packet(CONNECT, connect_body(flags=6)), [MALFORMED]),
    "bytes behind the end": (packet(CONNECT, connect_body(tail=b"zz")), [MALFORMED]),
    "a property of another packet": (packet(CONNECT, connect_body(props=properties({"TOPIC_ALIAS": 1}))), [MALFORMED]),
    "a property twice": (packet(CONNECT, connect_body(props=properties({"RECEIVE_MAXIMUM": [1, 1]}))), [PROTOCOL]),
    "client id with NUL": (packet(CONNECT, connect_body(rest=string(b"a\0b"))), [MALFORMED, 0x85]),
    "receive maximum 0": (packet(CONNECT, connect_body(props=properties({"RECEIVE_MAXIMUM": 0}))), [PROTOCOL]),
    "maximum packet size 0": (packet(CONNECT, connect_body(props=properties({"MAXIMUM_PACKET_SIZE": 0}))), [PROTOCOL]),
    "authentication data without a method": (packet(CONNECT, connect_body(props=properties({"AUTH_DATA": b"x"}))), [PROTOCOL]),
    "an unknown authentication method": (packet(CONNECT, connect_body(props=properties({"AUTH_METHOD": "x"}))), [0x8C]),
    "reserved flags of CONNECT": (packet(CONNECT, connect_body(), 1), [MALFORMED]),
    "a CONNECT above the maximum": (b"\x10\xff\xff\xff\x7f", [TOO_LARGE]),
}


@pytest.mark.parametrize("name", BEFORE_CONNECT)
def test_before_connect(gw, name):
    data, right = BEFORE_CONNECT[name]
    with Raw(gw.port) as c:
        c.send(data)
        got = c.at_end()
    assert [p.kind for p in got] in ([], [CONNACK] if right else [])
    assert all(p.reason in right for p in got), got


def test_nothing_but_a_connection(gw):
    for _ in range(50):
        Raw(gw.port).close()


def test_connections_cut_at_every_byte(gw):
    """CONNECT, SUBSCRIBE and PUBLISH, cut after each byte of them."""
    probe = Raw(gw.port)
    data = (probe.connect_packet("cut", SESSION_EXPIRY=0) + packet(SUBSCRIBE, b"\0\1\0" + string("cut/#") + b"\2", 2)
            + probe.publish_packet("cut/x", b"payload", 2, packet_id=1))
    probe.close()
    for n in range(1, len(data)):
        with Raw(gw.port) as c:
            c.send(data[:n])


@pytest.mark.parametrize("filter_", ["a/#/b", "a#", "a+", "+a/b", "#/a", "$share/g", "$share//a", "$share/g/", "$share/+/a",
                                     "$share/g#/a"])
def test_a_wrong_filter_closes(gw, filter_):
    """0x8F is for what is well formed but not accepted (5.0, 3.9.3); this is not well formed ([MQTT-4.7.1-1], [MQTT-4.8.2-2])."""
    right = PROTOCOL if filter_ in ("$share/g", "$share//a", "$share/g/", "$share/+/a") else MALFORMED
    for kind, tail in ((SUBSCRIBE, b"\0"), (UNSUBSCRIBE, b"")):
        with Raw(gw.port).connect(unique("filter")) as c:
            c.send(packet(kind, b"\0\1\0" + string("good") + tail + string(filter_) + tail, 2))
            assert reasons(c.at_end()) == [right]
        with Raw(gw.port, V311).connect(unique("filter")) as c:
            c.send(packet(kind, b"\0\1" + string(filter_) + tail, 2))
            assert c.at_end() == []


def test_a_filter_of_too_many_levels_is_refused_alone(gw):
    deep = "/".join("x" * 129)
    with Raw(gw.port).connect(unique("filter")) as c:
        c.subscribe("good", deep, granted=[0, TOPIC_FILTER])
        c.publish("good", b"x")
        assert c.message().payload == b"x"
    with Raw(gw.port, V311).connect(unique("filter")) as c:
        c.subscribe("good", deep, granted=[0, 0x80])


def test_an_empty_filter_closes(gw):
    with Raw(gw.port).connect(unique("filter")) as c:
        c.send(packet(SUBSCRIBE, b"\0\1\0\0\0\0", 2))
        assert reasons(c.at_end()) in ([MALFORMED], [PROTOCOL], [TOPIC_FILTER])


def test_too_many_at_once_is_receive_maximum_exceeded(gw):
    with Raw(gw.port).connect(unique("greedy")) as c:
        most = c.connack.props.get("RECEIVE_MAXIMUM", 65535)
        if most == 65535:
            pytest.skip("every packet id may be in flight")
        try:
            for i in range(1, most + 2):
                c.send(c.publish_packet("t", b"", 2, packet_id=i))
        except OSError:
            pass
        assert reasons(c.at_end()) == [0x93]


def test_a_client_that_never_says_connect_is_closed():
    with Gateway({"broker": {"workers": 1, "connect_timeout": "1s"}}) as g, Raw(g.port) as c:
        with pytest.raises(Closed):
            c.read()
