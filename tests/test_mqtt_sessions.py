"""Sessions: kept, resumed, expired, taken over; what waits for them; and wills."""

import threading

import pytest

from conformance import covers
from mqtt_clients import unique
from rawmqtt import DISCONNECT, PUBLISH, PUBREC, PUBREL, V5, V311, Raw, packet

TAKEN_OVER = 0x8E


@pytest.fixture
def name():
    return unique("session")


def kept(version):
    """How to ask for a session that outlives its connection."""
    return {"clean": False, **({"SESSION_EXPIRY": 300} if version == V5 else {})}


# ---- kept sessions ----


@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("qos", [1, 2])
@covers("3.1.1", "MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-3.2.2-2", "MQTT-4.1.0-1", "MQTT-4.5.0-1")
@covers("5.0", "MQTT-3.1.2-5", "MQTT-3.1.2-23", "MQTT-3.2.2-3", "MQTT-4.5.0-1")
def test_a_session_keeps_its_subscriptions_and_queues_while_offline(client, name, version, qos):
    c = client(name, version, **kept(version))
    assert not c.connack.present
    c.subscribe(f"{name}/#", qos=qos)
    c.disconnect()
    pub = client()
    for i in range(50):
        pub.publish(f"{name}/{i % 3}", b"%d" % i, qos)
    c = client(name, version, **kept(version))
    assert c.connack.present
    assert [m.payload for m in c.messages(50)] == [b"%d" % i for i in range(50)]
    pub.publish(f"{name}/x", b"live", qos)
    assert c.message().payload == b"live"


def test_a_clean_start_forgets_the_session(client, name):
    c = client(name, **kept(V5))
    c.subscribe(name, qos=1)
    c.disconnect()
    client().publish(name, b"lost", 1)
    c = client(name, clean=True)
    assert not c.connack.present
    client().publish(name, b"lost too", 1)
    c.subscribe(f"{name}/new")
    client().publish(f"{name}/new", b"here")
    assert c.message().payload == b"here"


def test_a_v311_clean_session_ends_with_its_connection(client, name):
    client(name, V311, clean=True).disconnect()
    assert not client(name, V311, clean=False).connack.present


@pytest.mark.parametrize("how", ["in CONNECT", "in DISCONNECT"])
@covers("5.0", "MQTT-4.1.0-2")
def test_a_session_expires(client, name, how):
    early = how == "in CONNECT"
    c = client(name, SESSION_EXPIRY=1 if early else 300)
    c.subscribe(name, qos=1)
    c.disconnect(**({} if early else {"SESSION_EXPIRY": 1}))
    # Waiting for the expiry is what is tested: the broker's clock, seen through a will due a second after it.
    watch = client()
    watch.subscribe(f"{name}/watch")
    w = client(SESSION_EXPIRY=300, will={"topic": f"{name}/watch", "props": {"WILL_DELAY": 3}})
    w.close()
    watch.message()
    assert not client(name, clean=False).connack.present


@covers("5.0", "MQTT-4.1.0-2")
def test_expiry_zero_in_disconnect_ends_the_session_at_once(client, name):
    client(name, SESSION_EXPIRY=300).disconnect(SESSION_EXPIRY=0)
    assert not client(name, clean=False).connack.present


def test_expiry_cannot_be_raised_from_zero_in_disconnect(client, name):
    c = client(name)
    c.send(packet(DISCONNECT, b"\0\5\x11\0\0\0\5"))  # 3.14.2.2.2: a protocol error
    assert [p.reason for p in c.at_end() if p.kind == DISCONNECT] in ([0x82], [])
    assert not client(name, clean=False).connack.present


@pytest.mark.parametrize("version", [V311, V5])
def test_unacknowledged_qos_1_comes_again_with_dup_and_the_same_id(client, name, version):
    c = client(name, version, **kept(version))
    c.subscribe(name, qos=1)
    pub = client()
    for i in range(3):
        pub.publish(name, b"%d" % i, 1)
    first = [c.message(acknowledge=False) for _ in range(3)]
    assert [m.dup for m in first] == [False] * 3
    c.acknowledge(first[0])
    c.ping()  # the acknowledgement has been read
    c.close()
    c = client(name, version, **kept(version))
    again = [c.message() for _ in range(2)]
    assert [(m.payload, m.dup, m.packet_id) for m in again] == [(m.payload, True, m.packet_id) for m in first[1:]]


def test_qos_2_resumes_at_the_stage_it_had_reached(client, name):
    c = client(name, **kept(V5))
    c.subscribe(name, qos=2)
    pub = client()
    pub.publish(name, b"a", 2)
    pub.publish(name, b"b", 2)
    a, b = c.message(acknowledge=False), c.message(acknowledge=False)
    c.send(packet(PUBREC, a.packet_id.to_bytes(2, "big")))
    assert c.expect(PUBREL).packet_id == a.packet_id
    c.close()
    c = client(name, **kept(V5))
    # Both stages again: PUBREL for the one that was received, PUBLISH with DUP for the other (4.4).
    got = [c.expect(PUBLISH, PUBREL) for _ in range(2)]
    assert {(p.kind, p.packet_id) for p in got} == {(PUBREL, a.packet_id), (PUBLISH, b.packet_id)}
    assert next(p for p in got if p.kind == PUBLISH).dup
    c.send(packet(7, a.packet_id.to_bytes(2, "big")))
    c.acknowledge(next(p for p in got if p.kind == PUBLISH))
    assert c.pending() == []


def test_qos_2_of_a_publisher_resumes_without_a_duplicate(client, name):
    sub = client()
    sub.subscribe(name, qos=2)
    pub = client(name, **kept(V5))
    pub.send(pub.publish_packet(name, b"once", 2, packet_id=5))
    pub.expect(PUBREC)
    pub.close()
    pub = client(name, **kept(V5))
    assert pub.connack.present
    pub.send(pub.publish_packet(name, b"once", 2, dup=True, packet_id=5))
    pub.expect(PUBREC)
    pub.send(packet(PUBREL, b"\0\5", 2))
    pub.expect(7)
    pub.publish(name, b"next", 2)
    assert [m.payload for m in sub.messages(2)] == [b"once", b"next"]


@pytest.mark.parametrize("version", [V311, V5])
def test_pubrel_again_after_a_reconnect_is_answered_as_the_first_one(client, name, version):
    """0x92 would tell of a mistake, and this is none (5.0, 3.7.2.1)."""
    c = client(name, version, **kept(version))
    c.publish(name, b"x", 2)
    for present in (True, False):
        c.close()
        c = client(name, version, **{**kept(version), "clean": not present})
        assert c.connack.present == present
        c.send(packet(PUBREL, b"\0\1", 2))
        assert c.expect(7).reason == (0 if present or version == V311 else 0x92)


@pytest.mark.parametrize("version", [V311, V5])
def test_pubrec_comes_before_what_the_publisher_itself_gets(client, name, version):
    c = client(name, version)
    c.subscribe(name, qos=2)
    for i in range(1, 4):
        c.send(c.publish_packet(name, b"x" * 5000 * i, 2, packet_id=i))
        assert [c.read().kind for _ in range(2)] == [PUBREC, PUBLISH]
        c.send(packet(PUBREL, bytes([0, i]), 2))
        assert c.read().kind == 7


# ---- takeover ----


@pytest.mark.parametrize("version", [V311, V5])
def test_a_second_connection_takes_the_session_over(client, name, version):
    first = client(name, version, **kept(version))
    first.subscribe(name, qos=1)
    second = client(name, version, **kept(version))
    assert second.connack.present
    assert [p.reason for p in first.at_end() if p.kind == DISCONNECT] == ([TAKEN_OVER] if version == V5 else [])
    client().publish(name, b"x", 1)
    assert second.message().payload == b"x"


@covers("5.0", "MQTT-3.1.2-4", "MQTT-3.1.4-3", "MQTT-3.1.4-4", "MQTT-3.2.2-2")
def test_a_takeover_with_clean_start_ends_the_old_session(client, name):
    first = client(name, **kept(V5))
    first.subscribe(name, qos=1)
    second = client(name, clean=True)
    assert not second.connack.present
    assert [p.reason for p in first.at_end() if p.kind == DISCONNECT] == [TAKEN_OVER]


def test_a_takeover_fires_the_will_unless_it_is_delayed(client, name):
    """3.1.2.5: the connection was closed without DISCONNECT; with a delay, the new connection comes before it."""
    watch = client()
    watch.subscribe(f"{name}/will/#", qos=1)
    will = {"topic": f"{name}/will/now", "payload": b"gone", "qos": 1}
    later = {**will, "topic": f"{name}/will/later", "props": {"WILL_DELAY": 60}}
    client(f"{name}-b", SESSION_EXPIRY=300, will=later)
    client(f"{name}-b", **kept(V5)).ping()
    client(f"{name}-a", SESSION_EXPIRY=300, will=will)
    client(f"{name}-a", **kept(V5)).ping()
    assert watch.message().topic == f"{name}/will/now"
    client().publish(f"{name}/will/end", b"", 1)
    assert watch.message().topic == f"{name}/will/end"


def test_many_connections_fight_for_one_client_id(gw, client, name):
    """At the end exactly one is left, and the session still works."""
    ended = []

    def fight():
        for _ in range(20):
            with Raw(gw.port) as c:
                c.connect(name, **kept(V5))
                try:
                    c.subscribe(name, qos=1)
                    c.disconnect()
                except Exception:
                    pass  # taken over in the middle: that is the game
        ended.append(True)

    threads = [threading.Thread(target=fight) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(ended) == len(threads)
    c = client(name, **kept(V5))
    assert c.connack.present
    c.subscribe(name, qos=1)
    client().publish(name, b"alive", 1)
    assert c.message().payload == b"alive"


# ---- wills ----


@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
def test_a_will_is_published_when_the_connection_breaks(client, name, version, qos, retain):
    watch = client(version=version)
    watch.subscribe(name, qos=2)
    client(version=version, will={"topic": name, "payload": b"gone", "qos": qos, "retain": retain}).close()
    m = watch.message()
    assert (m.payload, m.qos, m.retain) == (b"gone", qos, False)
    late = client()
    late.subscribe(name)
    if retain:
        assert late.message().payload == b"gone"
    else:
        assert late.pending() == []


@covers("5.0", "MQTT-3.1.3-10")
def test_a_will_carries_its_properties(client, name):
    watch = client()
    watch.subscribe(name)
    given = {"CONTENT_TYPE": "t", "RESPONSE_TOPIC": "r", "CORRELATION_DATA": b"c", "USER_PROPERTY": [("k", "v"), ("k", "w")]}
    client(will={"topic": name, "payload": b"x", "props": {"PAYLOAD_FORMAT": 1, **given}}).close()
    got = watch.message().props
    got.pop("TOPIC_ALIAS", None)
    assert got == {"PAYLOAD_FORMAT": 1, **given}


@covers("5.0", "MQTT-3.1.2-8", "MQTT-3.14.4-3")
def test_disconnect_discards_the_will_except_with_0x04(client, name):
    watch = client()
    watch.subscribe(f"{name}/#")
    client(will={"topic": f"{name}/normal"}).disconnect()
    client(will={"topic": f"{name}/asked"}).disconnect(4)
    assert watch.message().topic == f"{name}/asked"
    client().publish(f"{name}/end")
    assert watch.message().topic == f"{name}/end"


def test_a_malformed_packet_publishes_the_will(client, name):
    watch = client()
    watch.subscribe(name)
    bad = client(will={"topic": name, "payload": b"bad"})
    bad.send(b"\xf3\x00\x00")
    assert watch.message().payload == b"bad"


def test_a_delayed_will_comes_after_its_delay(client, name):
    watch = client()
    watch.subscribe(f"{name}/#", qos=1)
    # Three clocks started in one go: those with shorter delays come first.
    for delay in (3, 1, 2):
        client(SESSION_EXPIRY=300, will={"topic": f"{name}/{delay}", "qos": 1, "props": {"WILL_DELAY": delay}}).close()
    assert [m.topic for m in watch.messages(3)] == [f"{name}/{i}" for i in (1, 2, 3)]


@covers("5.0", "MQTT-3.1.2-8")
def test_a_delayed_will_comes_at_the_latest_with_the_end_of_the_session(client, name):
    watch = client()
    watch.subscribe(f"{name}/#")
    client(SESSION_EXPIRY=1, will={"topic": f"{name}/late", "props": {"WILL_DELAY": 3600}}).close()
    assert watch.message().topic == f"{name}/late"
    client(SESSION_EXPIRY=0, will={"topic": f"{name}/now", "props": {"WILL_DELAY": 3600}}).close()
    assert watch.message().topic == f"{name}/now"


@covers("5.0", "MQTT-3.1.3-9")
def test_coming_back_in_time_cancels_a_delayed_will(client, name):
    watch = client()
    watch.subscribe(f"{name}/#")
    client(name, SESSION_EXPIRY=300, will={"topic": f"{name}/no", "props": {"WILL_DELAY": 1}}).close()
    client(name, **kept(V5)).ping()
    client(SESSION_EXPIRY=300, will={"topic": f"{name}/other", "props": {"WILL_DELAY": 2}}).close()
    assert watch.message().topic == f"{name}/other"
