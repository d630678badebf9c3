"""Malformed packets of every kind, made from good ones; and every property where it may not stand.

Each case is a connection of its own that must end with the reason of the standard, while others are served.
"""

import struct

import pytest

from gateway import Gateway
from mqtt_clients import unique
from rawmqtt import (AUTH, CONNACK, CONNECT, DISCONNECT, ENCODE, PINGREQ, PROPERTIES, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL,
                     SUBSCRIBE, UNSUBSCRIBE, V5, V311, Raw, packet, string, varint)
from witness import Witness

MALFORMED, PROTOCOL = 0x81, 0x82


@pytest.fixture(scope="module")
def gw():
    with Gateway({"broker": {"workers": 2}}) as g, Witness(g):
        yield g


ID = struct.pack(">H", 5)
USER = b"\x26" + string("k") + string("v")


def connect_body(version, props=b"\0", will_props=b"\0"):
    v5 = version == V5
    return (string("MQTT") + bytes([version, 0xC6]) + b"\0\x3c" + (props if v5 else b"") + string("malformed")
            + (will_props if v5 else b"") + string("will") + string("payload") + string("user") + string("password"))


def good(version):
    """name: (kind, flags, body) of packets that are right, each with all that may be in it."""
    p = varint(len(USER)) + USER if version == V5 else b""
    tail = b"\0" + p if version == V5 else b""
    packets = {
        "CONNECT": (CONNECT, 0, connect_body(version, p, p)),
        "PUBLISH QoS 0": (PUBLISH, 0, string("topic") + p + b"payload"),
        "PUBLISH QoS 1": (PUBLISH, 2, string("topic") + ID + p + b"payload"),
        "PUBLISH QoS 2": (PUBLISH, 4, string("topic") + ID + p + b"payload"),
        "PUBACK": (PUBACK, 0, ID + tail), "PUBREC": (PUBREC, 0, ID + tail), "PUBREL": (PUBREL, 2, ID + tail),
        "PUBCOMP": (PUBCOMP, 0, ID + tail),
        "SUBSCRIBE": (SUBSCRIBE, 2, ID + p + string("a/+") + b"\1" + string("b/#") + b"\2"),
        "UNSUBSCRIBE": (UNSUBSCRIBE, 2, ID + p + string("a/+") + string("b/#")),
        "PINGREQ": (PINGREQ, 0, b""),
        "DISCONNECT": (DISCONNECT, 0, tail),
    }
    return packets


def ends(gw, kind, data, version, reasons, silent=False):
    """The connection ends: 5.0 is told one of `reasons`, unless `silent`; 3.1.1 nothing but what CONNACK says."""
    with Raw(gw.port, version) as c:
        if kind != CONNECT:
            c.connect(unique("malformed"))
        c.send(data)
        said = [p for p in c.at_end() if p.kind in (CONNACK, DISCONNECT)]
    if version == V5:
        right = [[r] for r in reasons] if not silent else []
        assert [p.reason for p in said] in right + ([[]] if silent or kind == CONNECT else []), (data.hex(), said)
    else:
        assert [p.kind for p in said if p.kind == DISCONNECT or p.reason == 0] == [], (data.hex(), said)


def shorter_is_right(name, version, body):
    """Cuts that are well formed too: a payload has any length, an acknowledgement of 5.0 may leave out its end."""
    kind, _, whole = good(version)[name]
    if kind == PUBLISH:
        return len(body) >= len(whole) - len("payload")
    if kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        return len(body) in (2, 3)
    if kind == DISCONNECT:
        return len(body) in (0, 1)
    if kind in (SUBSCRIBE, UNSUBSCRIBE):
        return len(body) == len(whole) - len(string("b/#")) - (kind == SUBSCRIBE)
    return False


@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5.0"])
@pytest.mark.parametrize("name", good(V5))
def test_a_packet_that_says_it_is_shorter(gw, name, version):
    """Cut after each byte, with a remaining length that fits the cut."""
    kind, flags, body = good(version)[name]
    for n in range(len(body)):
        if not shorter_is_right(name, version, body[:n]):
            ends(gw, kind, packet(kind, body[:n], flags), version, [MALFORMED, PROTOCOL])


@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5.0"])
@pytest.mark.parametrize("name", [n for n in good(V5) if "PUBLISH" not in n])
def test_a_packet_with_a_byte_too_many(gw, name, version):
    kind, flags, body = good(version)[name]
    ends(gw, kind, packet(kind, body + b"\0", flags), version, [MALFORMED, PROTOCOL], silent=kind == PINGREQ)


@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5.0"])
@pytest.mark.parametrize("name", [n for n in good(V5) if "PUBLISH" not in n])
def test_every_wrong_set_of_flags(gw, name, version):
    """[MQTT-2.1.3-1] of 5.0, [MQTT-2.2.2-2] of 3.1.1"""
    kind, flags, body = good(version)[name]
    for wrong in set(range(16)) - {flags}:
        ends(gw, kind, packet(kind, body, wrong), version, [MALFORMED])


# ---- properties: where each may stand (5.0, 2.2.2.2), among what a client sends ----

ALLOWED = {
    "CONNECT": "SESSION_EXPIRY AUTH_METHOD AUTH_DATA REQUEST_PROBLEM_INFO REQUEST_RESPONSE_INFO RECEIVE_MAXIMUM TOPIC_ALIAS_MAXIMUM "
               "USER_PROPERTY MAXIMUM_PACKET_SIZE",
    "will": "PAYLOAD_FORMAT MESSAGE_EXPIRY CONTENT_TYPE RESPONSE_TOPIC CORRELATION_DATA WILL_DELAY USER_PROPERTY",
    "PUBLISH": "PAYLOAD_FORMAT MESSAGE_EXPIRY CONTENT_TYPE RESPONSE_TOPIC CORRELATION_DATA TOPIC_ALIAS USER_PROPERTY",
    "PUBACK": "REASON_STRING USER_PROPERTY", "PUBREC": "REASON_STRING USER_PROPERTY",
    "PUBREL": "REASON_STRING USER_PROPERTY", "PUBCOMP": "REASON_STRING USER_PROPERTY",
    "SUBSCRIBE": "SUBSCRIPTION_ID USER_PROPERTY", "UNSUBSCRIBE": "USER_PROPERTY",
    "DISCONNECT": "SESSION_EXPIRY REASON_STRING USER_PROPERTY SERVER_REFERENCE",
}
VALUE = {"u8": 1, "u16": 1, "u32": 1, "var": 1, "str": "x", "bin": b"x", "pair": ("k", "v")}


def one(name):
    number, kind = PROPERTIES[name]
    # of a client that takes packets of one byte, not even CONNACK could be told
    return bytes([number]) + ENCODE[kind](1000 if name == "MAXIMUM_PACKET_SIZE" else VALUE[kind])


def with_properties(where, raw):
    props = varint(len(raw)) + raw
    if where in ("CONNECT", "will"):
        return CONNECT, packet(CONNECT, connect_body(V5, *((props, b"\0") if where == "CONNECT" else (b"\0", props))))
    body, flags = {
        "PUBLISH": (string("topic") + ID + props + b"payload", 2), "SUBSCRIBE": (ID + props + string("a") + b"\0", 2),
        "UNSUBSCRIBE": (ID + props + string("a"), 2), "DISCONNECT": (b"\0" + props, 0), "PUBREL": (ID + b"\0" + props, 2),
    }.get(where, (ID + b"\0" + props, 0))
    kind = {"PUBLISH": PUBLISH, "SUBSCRIBE": SUBSCRIBE, "UNSUBSCRIBE": UNSUBSCRIBE, "DISCONNECT": DISCONNECT, "PUBACK": PUBACK,
            "PUBREC": PUBREC, "PUBREL": PUBREL, "PUBCOMP": PUBCOMP}[where]
    return kind, packet(kind, body, flags)


def is_accepted(gw, where, data):
    with Raw(gw.port) as c:
        if where in ("CONNECT", "will"):
            return c.send(data).expect(CONNACK).reason == 0
        c.connect(unique("props"))
        c.send(data)
        if where == "DISCONNECT":
            return not c.at_end()
        c.ping()
        return not [p for p in c.waiting if p.kind == DISCONNECT]


@pytest.mark.parametrize("where", ALLOWED)
def test_every_property_where_it_may_and_may_not_stand(gw, where):
    allowed = ALLOWED[where].split()
    for name in PROPERTIES:
        kind, data = with_properties(where, one(name))
        # authentication is of another kind: data without a method is a fault, an unknown method is refused
        if name in allowed and not name.startswith("AUTH") and not (where == "DISCONNECT" and name == "SESSION_EXPIRY"):
            assert is_accepted(gw, where, data), name
        elif name not in allowed:
            ends(gw, kind, data, V5, [MALFORMED, PROTOCOL])


@pytest.mark.parametrize("where", ALLOWED)
def test_every_property_twice(gw, where):
    for name in ALLOWED[where].split():
        kind, data = with_properties(where, one(name) * 2)
        if name == "USER_PROPERTY":
            assert is_accepted(gw, where, data)
        else:
            ends(gw, kind, data, V5, [PROTOCOL])


@pytest.mark.parametrize("where", ALLOWED)
def test_properties_that_are_cut_or_unknown(gw, where):
    for name in ALLOWED[where].split():
        kind, _ = with_properties(where, b"")
        whole = one(name)
        for n in range(1, len(whole)):
            ends(gw, kind, with_properties(where, whole[:n])[1], V5, [MALFORMED, PROTOCOL])
    for number in set(range(256)) - {number for number, _ in PROPERTIES.values()}:
        kind, data = with_properties(where, bytes([number]) + b"\0\0\0\0")
        ends(gw, kind, data, V5, [MALFORMED, PROTOCOL])


def test_an_auth_packet_without_authentication(gw):
    for body in (b"", b"\x18", b"\x18\0", b"\x00\0", b"\x19" + varint(len(one("AUTH_METHOD"))) + one("AUTH_METHOD")):
        ends(gw, AUTH, packet(AUTH, body), V5, [MALFORMED, PROTOCOL])


def test_a_thousand_user_properties_are_passed_on_in_order(gw):
    pairs = [(f"k{n}", f"v{n % 7}") for n in range(1000)]
    with Raw(gw.port).connect(unique("props")) as c:
        c.subscribe("many/properties")
        c.publish("many/properties", b"x", USER_PROPERTY=pairs)
        assert c.message().props["USER_PROPERTY"] == pairs


@pytest.mark.parametrize("length", [b"\x80", b"\x80\x80", b"\x80\x80\x80", b"\xff\xff\xff\xff", b"\x80\x80\x80\x80\x00", b"\xff\xff\xff\xff\x7f"])
def test_a_remaining_length_that_does_not_end(gw, length):
    """[MQTT-1.5.5-1]: four bytes are the most; closed without a word (docs/conformance.md)."""
    with Raw(gw.port).connect(unique("length")) as c:
        c.send(b"\x30" + length + b"\xff" * 8)
        assert c.at_end() == []


def test_a_length_of_too_many_bytes(gw):
    """[MQTT-1.5.5-1]: the fewest bytes that can say it."""
    with Raw(gw.port).connect(unique("length")) as c:
        c.send(b"\xc0\x80\x00")
        assert c.at_end() == []


# ---- packet ids ----

def test_every_packet_id_at_once(gw):
    """65,535 QoS 2 messages open in 3.1.1, which has no receive maximum; then each is released, and once more."""
    with Raw(gw.port, V311).connect(unique("ids")) as c:
        ids = list(range(1, 65536))
        for at in range(0, len(ids), 1000):
            some = ids[at:at + 1000]
            c.send(b"".join(c.publish_packet("ids", b"", 2, packet_id=n) for n in some))
            assert [c.expect(PUBREC).packet_id for _ in some] == some
        for _ in range(2):
            for at in range(0, len(ids), 1000):
                some = ids[at:at + 1000]
                c.send(b"".join(packet(PUBREL, struct.pack(">H", n), 2) for n in some))
                assert [c.expect(PUBCOMP).packet_id for _ in some] == some


def test_acknowledgements_of_what_was_never_sent(gw):
    with Raw(gw.port).connect(unique("ids")) as c:
        ids = range(1, 65536, 7)
        c.send(b"".join(packet(kind, struct.pack(">H", n)) for n in ids for kind in (PUBACK, PUBCOMP)))
        c.send(b"".join(packet(PUBREC, struct.pack(">H", n)) for n in ids))
        c.ping()
        assert {(p.kind, p.reason) for p in c.waiting} == {(PUBREL, 0x92)}


def test_one_id_again_and_again(gw):
    """A repeat of an open QoS 2 message is the same message, DUP or not [MQTT-4.3.3-10]; after PUBREL it is a new one."""
    topic = unique("again")
    with Raw(gw.port).connect(unique("ids")) as c:
        c.subscribe(topic)
        for n in range(3):
            for dup in (False, True, False):
                c.send(c.publish_packet(topic, b"%d" % n, 2, dup=dup, packet_id=1))
                assert c.expect(PUBREC).reason == 0
            c.send(packet(PUBREL, b"\0\1", 2))
            assert c.expect(PUBCOMP).reason == 0
        assert [m.payload for m in c.pending()] == [b"0", b"1", b"2"]
