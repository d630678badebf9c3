"""Every packet type in every state of a connection: one table.

    X         the connection ends: 5.0 says 0x81 or 0x82 in DISCONNECT, the others end without a word
    silent    it ends without a word in all versions
    -         accepted without an answer
    PUBACK..  answered by this packet; `NAME 92`: with that reason (5.0 alone has room for it)
"""

import struct

import pytest

import rawmqtt
from mqtt_clients import unique
from rawmqtt import DISCONNECT, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, V5, V31, V311, Raw, packet, properties, string

FREE_ID = 9

TABLE = """
packet        new       open       out-1      out-2      released   in-2
type-0        silent    X          X          X          X          X
CONNECT       CONNACK   silent     silent     silent     silent     silent
CONNACK       silent    X          X          X          X          X
PUBLISH-0     silent    -          -          -          -          -
PUBLISH-1     silent    PUBACK     PUBACK     PUBACK     PUBACK     PUBACK
PUBLISH-2     silent    PUBREC     PUBREC     PUBREC     PUBREC     PUBREC
PUBACK        silent    -          -          X          X          -
PUBREC        silent    PUBREL-92  X          PUBREL     PUBREL     PUBREL-92
PUBREL        silent    PUBCOMP-92 PUBCOMP-92 PUBCOMP-92 PUBCOMP-92 PUBCOMP
PUBCOMP       silent    -          X          X          -          -
SUBSCRIBE     silent    SUBACK     SUBACK     SUBACK     SUBACK     SUBACK
SUBACK        silent    X          X          X          X          X
UNSUBSCRIBE   silent    UNSUBACK   UNSUBACK   UNSUBACK   UNSUBACK   UNSUBACK
UNSUBACK      silent    X          X          X          X          X
PINGREQ       silent    PINGRESP   PINGRESP   PINGRESP   PINGRESP   PINGRESP
PINGRESP      silent    X          X          X          X          X
DISCONNECT    silent    silent     silent     silent     silent     silent
AUTH          silent    X          X          X          X          X
"""
STATES = TABLE.split("\n")[1].split()[1:]
CASES = [(row.split()[0], state, want)
         for row in TABLE.strip().split("\n")[1:] for state, want in zip(STATES, row.split()[1:], strict=True)]


# ---- how a connection gets there: each returns the packet id that is in flight ----

def fed(c, gw, qos):
    """It was sent a message of this QoS and has not answered."""
    topic = unique("states")
    c.subscribe(topic, qos=qos)
    with Raw(gw.port).connect(unique("feeder")) as feeder:
        feeder.publish(topic, b"x", qos)
    return c.message(acknowledge=False).packet_id


def released(c, gw):
    packet_id = fed(c, gw, 2)
    c.send(packet(PUBREC, struct.pack(">H", packet_id)))
    assert c.expect(PUBREL).packet_id == packet_id
    return packet_id


def half_received(c):
    c.send(c.publish_packet("in", b"x", 2, packet_id=FREE_ID))
    assert c.expect(PUBREC).packet_id == FREE_ID
    return FREE_ID


REACH = {
    "open": lambda c, gw: FREE_ID,
    "out-1": lambda c, gw: fed(c, gw, 1),
    "out-2": lambda c, gw: fed(c, gw, 2),
    "released": released,
    "in-2": lambda c, gw: half_received(c),
}


def packet_of(name, c, packet_id):
    """Well formed: only the state can make it wrong."""
    kind, _, qos = name.partition("-")
    number = struct.pack(">H", packet_id)
    none = c.body_props({})
    if name == "type-0":
        return packet(0)
    if kind == "CONNECT":
        return c.connect_packet(unique("states"))
    if kind == "PUBLISH":
        return c.publish_packet("in", b"x", int(qos), packet_id=packet_id)
    body = {"CONNACK": b"\0\0" + none, "SUBSCRIBE": number + none + string("t") + b"\0", "SUBACK": number + none + b"\0",
            "UNSUBSCRIBE": number + none + string("t"), "UNSUBACK": number + none + (b"\0" if none else b""),
            "PINGREQ": b"", "PINGRESP": b"", "DISCONNECT": b"", "AUTH": b"\x18" + properties({"AUTH_METHOD": "x"})}
    flags = 2 if kind in ("PUBREL", "SUBSCRIBE", "UNSUBSCRIBE") else 0
    return packet(getattr(rawmqtt, kind), body.get(kind, number), flags)


def judge(c, want, packet_id):
    if want in ("X", "silent"):
        said = [p.reason for p in c.at_end() if p.kind == DISCONNECT]
        assert said == [] if want == "silent" or c.version != V5 else said in ([0x81], [0x82]), said
        return
    kind, _, reason = want.partition("-")
    if kind:
        answer = c.expect(getattr(rawmqtt, kind))
        assert answer.packet_id in (None, packet_id)
        # 0x10, nobody subscribed, is success
        assert answer.reason in ([int(reason, 16)] if reason and c.version == V5 else [0, 0x10])
    if kind != "CONNACK":
        c.ping()
    assert not [p for p in c.waiting if p.kind in (DISCONNECT, PUBACK, PUBREC, PUBREL, PUBCOMP)]


@pytest.mark.parametrize("version", [V31, V311, V5], ids=["3.1", "3.1.1", "5.0"])
@pytest.mark.parametrize("name,state,want", CASES, ids=[f"{n} in {s}" for n, s, _ in CASES])
def test_packet_in_state(gw, name, state, want, version):
    with Raw(gw.port, version) as c:
        packet_id = FREE_ID
        if state != "new":
            packet_id = REACH[state](c.connect(unique("states")), gw)
        c.send(packet_of(name, c, packet_id))
        judge(c, want, packet_id)


@pytest.mark.parametrize("version", [V31, V311, V5], ids=["3.1", "3.1.1", "5.0"])
def test_what_comes_behind_a_disconnect_does_not_count(gw, version):
    topic = unique("late")
    with Raw(gw.port, version).connect(unique("states")) as c, Raw(gw.port).connect(unique("reader")) as reader:
        reader.subscribe(topic)
        c.send(packet(DISCONNECT) + c.publish_packet(topic, b"late"))
        assert c.at_end() == []
        assert reader.pending() == []


def test_what_comes_behind_a_refused_connect_does_not_count(gw):
    topic = unique("late")
    with Raw(gw.port) as c, Raw(gw.port).connect(unique("reader")) as reader:
        reader.subscribe(topic)
        c.send(c.connect_packet("x", AUTH_METHOD="none of ours") + c.publish_packet(topic, b"late"))
        assert [p.reason for p in c.at_end()] == [0x8C]
        assert reader.pending() == []


def test_packets_may_follow_a_connect_at_once(gw):
    """[MQTT-3.1.4-6] of 5.0: a client need not wait for CONNACK."""
    topic = unique("early")
    with Raw(gw.port) as c:
        c.send(c.connect_packet(unique("states")) + packet(rawmqtt.SUBSCRIBE, b"\0\1\0" + string(topic) + b"\1", 2)
               + c.publish_packet(topic, b"early", 1, packet_id=2))
        assert [c.expect(k).reason for k in (rawmqtt.CONNACK, rawmqtt.SUBACK, PUBACK)] == [0, 0, 0]
        assert c.expect(PUBLISH).payload == b"early"
