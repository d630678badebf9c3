"""MQTT 3.1.1 and 5.0, clause by clause: CONNECT, CONNACK, sessions, wills, DISCONNECT."""

import string as letters

import pytest

from conformance import covers
from mqtt_clients import unique
from rawmqtt import (AUTH, CONNACK, DISCONNECT, PINGREQ, PUBACK, PUBLISH, PUBREC, SUBACK, SUBSCRIBE, UNSUBACK, V5, V311, Raw, packet,
                     properties, string)

TAKEN_OVER, NOT_AUTHORIZED, BAD_METHOD, TOPIC_FILTER, NO_SUBSCRIPTION = 0x8E, 0x87, 0x8C, 0x8F, 0x11
AT_ONCE_S = 5  # to be closed for what was sent, and not by the broker's connect_timeout
both = pytest.mark.parametrize("version", [V311, V5], ids={V311: "3.1.1", V5: "5.0"}.get)


@pytest.fixture
def name():
    return unique("connect")


def kept(version):
    """How to ask for a session that outlives its connection."""
    return {"clean": False, **({"SESSION_EXPIRY": 300} if version == V5 else {})}


# ---- CONNECT ----


@both
@covers("3.1.1", "MQTT-3.1.3-1", "MQTT-3.1.3-3", "MQTT-3.1.2-9", "MQTT-3.1.2-19", "MQTT-3.1.2-21", "MQTT-3.1.4-4")
@covers("5.0", "MQTT-3.1.3-1", "MQTT-3.1.3-3", "MQTT-3.1.2-9", "MQTT-3.1.2-17", "MQTT-3.1.2-19", "MQTT-3.1.4-5")
def test_all_fields_of_connect_in_their_order(client, name, version):
    watch = client()
    watch.subscribe(name)
    will = {"topic": name, "payload": b"will", "props": {"CONTENT_TYPE": "t"}}
    c = client(f"{name}-id", version, will=will, username="user", password=b"\0\xff", **kept(version))
    c.close()
    m = watch.message()
    assert m.payload == b"will" and m.props.get("CONTENT_TYPE") == ("t" if version == V5 else None)
    assert client(f"{name}-id", version, **kept(version)).connack.present


@both
@covers("3.1.1", "MQTT-3.1.3-5")
@covers("5.0", "MQTT-3.1.3-5")
def test_client_ids_that_have_to_be_accepted(client, version):
    all_of_them = letters.digits + letters.ascii_lowercase + letters.ascii_uppercase
    for client_id in ["0", "Z", *(all_of_them[i:i + 23] for i in range(0, 62, 13))]:
        client(client_id, version).disconnect()


@covers("3.1.1", "MQTT-3.1.3-8", "MQTT-3.1.3-9", "MQTT-3.2.2-4", "MQTT-3.2.2-5", "MQTT-3.1.4-5")
def test_an_empty_client_id_without_clean_session_is_refused(gw, client, name):
    watch = client()
    watch.subscribe(f"{name}/#")
    with Raw(gw.port, V311, timeout=AT_ONCE_S) as c:
        c.send(c.connect_packet("", clean=False) + c.publish_packet(f"{name}/no") + packet(PINGREQ))
        got = c.at_end()
    assert [(p.kind, p.body) for p in got] == [(CONNACK, b"\0\2")]
    client().publish(f"{name}/end")
    assert watch.message().topic == f"{name}/end"


@covers("3.1.1", "MQTT-3.1.3-6")
def test_empty_client_ids_below_5_do_not_disturb_each_other(client, name):
    cs = [client("", V311, clean=True) for _ in range(3)]
    for i, c in enumerate(cs):
        c.subscribe(f"{name}/{i}")
    for i in range(3):
        client().publish(f"{name}/{i}", b"%d" % i)
    assert [c.message().payload for c in cs] == [b"0", b"1", b"2"]


@covers("5.0", "MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.2.2-16")
def test_an_assigned_client_id_is_a_client_id(gw, client, name):
    with Raw(gw.port).connect("", SESSION_EXPIRY=300) as c, Raw(gw.port).connect("", SESSION_EXPIRY=300) as d:
        ids = [c.connack.props["ASSIGNED_CLIENT_ID"], d.connack.props["ASSIGNED_CLIENT_ID"]]
        c.subscribe(name, qos=1)
        c.disconnect()
    assert ids[0] and ids[1] and ids[0] != ids[1]
    client().publish(name, b"for the id", 1)
    again = client(ids[0], **kept(V5))
    assert again.connack.present and again.message().payload == b"for the id"
    assert "ASSIGNED_CLIENT_ID" not in again.connack.props


# ---- sessions ----


@both
@covers("3.1.1", "MQTT-3.1.2-4", "MQTT-3.1.2-6", "MQTT-3.1.3-2", "MQTT-3.1.4-3", "MQTT-3.2.2-1", "MQTT-3.2.2-2", "MQTT-3.2.2-3")
@covers("5.0", "MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-3.1.2-6", "MQTT-3.1.2-23", "MQTT-3.1.3-2", "MQTT-3.1.4-4", "MQTT-3.2.2-1",
        "MQTT-3.2.2-2", "MQTT-3.2.2-3")
def test_session_present_says_what_there_is(client, name, version):
    def come(client_id=name, **how):
        c = client(client_id, version, **how)
        assert c.connack.body[0] in (0, 1)
        return c

    assert not (c := come(**kept(version))).connack.present
    c.subscribe(f"{name}/old", qos=1)
    c.disconnect()
    assert not come(f"{name}-other", **kept(version)).connack.present
    assert (c := come(**kept(version))).connack.present
    c.publish(f"{name}/old", b"resumed", 1)
    assert c.message().payload == b"resumed"
    c.disconnect()
    assert not (c := come(clean=True)).connack.present
    c.subscribe(f"{name}/clean", qos=1)
    c.publish(f"{name}/old", b"not subscribed any more", 1)
    assert c.pending() == []
    c.disconnect()
    # nothing of the clean session is left, nor of the one before it
    assert not (c := come(**kept(version))).connack.present
    c.publish(f"{name}/old", b"", 1)
    c.publish(f"{name}/clean", b"", 1)
    assert c.pending() == []


@both
@covers("3.1.1", "MQTT-3.1.2-7")
@covers("5.0", "MQTT-3.3.1-5")
def test_retained_messages_outlive_the_session_that_sent_them(client, name, version):
    c = client(name, version, clean=True)
    c.publish(name, b"kept", 1, retain=True)
    c.disconnect()
    client(name, version, clean=True).disconnect()
    late = client(version=version)
    late.subscribe(name)
    assert late.message().payload == b"kept"


@both
@covers("3.1.1", "MQTT-3.2.0-1", "MQTT-3.1.4-4", "MQTT-4.5.0-1")
@covers("5.0", "MQTT-3.2.0-1", "MQTT-3.2.0-2", "MQTT-3.1.4-5", "MQTT-4.5.0-1")
def test_connack_comes_first_and_once(gw, client, name, version):
    c = client(name, version, **kept(version))
    c.subscribe(name, qos=1)
    c.disconnect()
    pub = client()
    for i in range(5):
        pub.publish(name, b"%d" % i, 1)
    with Raw(gw.port, version) as c:
        c.send(c.connect_packet(name, **kept(version)) + c.publish_packet(f"{name}/other", b"", 1, packet_id=1) + packet(PINGREQ))
        got = [c.read() for _ in range(8)]
    kinds = [p.kind for p in got]
    assert kinds[0] == CONNACK and got[0].reason == 0 and got[0].present
    assert kinds.count(CONNACK) == 1 and kinds.count(PUBLISH) == 5 and kinds.count(PUBACK) == 1


@both
@covers("3.1.1", "MQTT-3.1.4-2", "MQTT-4.1.0-2")
@covers("5.0", "MQTT-3.1.4-3", "MQTT-3.14.2-1", "MQTT-3.14.2-2", "MQTT-3.14.4-1", "MQTT-3.14.4-2")
def test_the_old_connection_of_a_client_id_is_closed(client, name, version):
    old = client(name, version, **kept(version))
    new = client(name, version, **kept(version))
    assert new.connack.present
    got = old.at_end()
    assert [(p.kind, p.reason) for p in got] == ([(DISCONNECT, TAKEN_OVER)] if version == V5 else [])
    assert all("SESSION_EXPIRY" not in p.props for p in got)
    new.ping()


# ---- wills ----


@both
@covers("3.1.1", "MQTT-3.1.2-10", "MQTT-3.1.2-12", "MQTT-3.14.4-3")
@covers("5.0", "MQTT-3.1.2-10", "MQTT-3.14.4-3")
def test_a_will_is_published_once_and_not_after_disconnect(client, name, version):
    """Who comes back ends the connection before, and publishes behind its will: the order tells."""
    watch = client(version=version)
    watch.subscribe(f"{name}/#", qos=1)

    def topics_until(c, end):
        c.publish(f"{name}/{end}", b"", 1)
        got = []
        while not got or got[-1] != end:
            got.append(watch.message().topic[len(name) + 1:])
        return got

    client(name, version, will={"topic": f"{name}/will", "qos": 1}, **kept(version)).close()
    c = client(name, version, **kept(version))
    assert topics_until(c, "first") == ["will", "first"]
    c.close()
    c = client(name, version, will={"topic": f"{name}/will", "qos": 1}, **kept(version))
    assert topics_until(c, "second") == ["second"]  # no will flag, no will
    c.disconnect()
    c = client(name, version, **kept(version))
    assert topics_until(c, "third") == ["third"]  # an orderly end
    c.close()
    assert topics_until(client(name, version, clean=True), "fourth") == ["fourth"]


@both
@covers("3.1.1", "MQTT-3.1.2-8", "MQTT-3.1.2-16", "MQTT-3.1.2-17")
@covers("5.0", "MQTT-3.1.2-7", "MQTT-3.1.2-8", "MQTT-3.1.2-14", "MQTT-3.1.2-15", "MQTT-3.2.2-12", "MQTT-3.2.2-13")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_will_of_any_qos_is_accepted_and_retained_if_so_asked(client, name, version, qos):
    watch = client(version=version)
    watch.subscribe(f"{name}/#", qos=2)
    for retain in (False, True):
        client(version=version, will={"topic": f"{name}/{retain}", "payload": b"w", "qos": qos, "retain": retain}).close()
        m = watch.message()
        assert (m.topic, m.qos, m.retain) == (f"{name}/{retain}", qos, False)
    late = client(version=version)
    late.subscribe(f"{name}/#", qos=2)
    m = late.message()
    assert (m.topic, m.payload, m.qos, m.retain) == (f"{name}/True", b"w", qos, True)
    assert late.pending() == []


# ---- what 5.0 lets a client ask for ----


@covers("5.0", "MQTT-3.1.2-28", "MQTT-4.12.0-6")
def test_nobody_is_sent_what_nobody_asked_for(client):
    for asked in ({}, {"REQUEST_RESPONSE_INFO": 0, "REQUEST_PROBLEM_INFO": 0}):
        props = client(**asked).connack.props
        assert not {"RESPONSE_INFO", "AUTH_METHOD", "AUTH_DATA", "REASON_STRING"} & set(props)


def failures(c):
    """One failed packet of each kind that can have a reason string, the one that closes last."""
    yield c.publish("$SYS/x", b"", 1)
    yield c.publish("$SYS/x", b"", 2)
    c.send(packet(PUBREC, b"\0\7"))
    yield c.expect(6)
    c.send(packet(6, b"\0\7", 2))
    yield c.expect(7)
    c.send(packet(SUBSCRIBE, b"\0\1\0" + string("/x" * 200) + b"\0", 2))  # more levels than broker.max_topic_levels
    yield c.expect(SUBACK)
    c.send(packet(10, b"\0\1\0" + string("none"), 2))
    yield c.expect(UNSUBACK)
    c.send(packet(AUTH, b"\x19" + properties({"AUTH_METHOD": "m"})))
    yield c.expect(DISCONNECT)


@covers("5.0", "MQTT-3.1.2-24", "MQTT-3.4.2-2", "MQTT-3.4.2-3", "MQTT-3.5.2-2", "MQTT-3.5.2-3", "MQTT-3.6.2-2", "MQTT-3.6.2-3",
        "MQTT-3.7.2-2", "MQTT-3.7.2-3", "MQTT-3.9.2-1", "MQTT-3.9.2-2", "MQTT-3.11.2-1", "MQTT-3.11.2-2", "MQTT-3.14.2-3", "MQTT-3.14.2-4")
@covers("5.0", "MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-3.6.2-1", "MQTT-3.7.2-1", "MQTT-3.14.2-1")
@pytest.mark.parametrize("most", [24, 28, 32, 40, 64])
def test_a_failure_is_no_larger_than_the_client_takes(client, most):
    got = list(failures(client(MAXIMUM_PACKET_SIZE=most, REQUEST_PROBLEM_INFO=1)))
    assert all(p.size <= most for p in got)
    assert [p.codes[0] if p.kind in (SUBACK, UNSUBACK) else p.reason for p in got] == [
        NOT_AUTHORIZED, NOT_AUTHORIZED, 0x92, 0x92, TOPIC_FILTER, NO_SUBSCRIPTION, 0x82]
    assert all("USER_PROPERTY" not in p.props for p in got)


@covers("5.0", "MQTT-3.2.2-19", "MQTT-3.2.2-20", "MQTT-3.2.2-7", "MQTT-3.2.2-8")
@pytest.mark.parametrize("most", [5, 8, 16, 24, 32, 64])
def test_a_refusing_connack_is_no_larger_than_the_client_takes(gw, most):
    with Raw(gw.port, timeout=AT_ONCE_S) as c:
        ack = c.try_connect(unique("small"), MAXIMUM_PACKET_SIZE=most, REQUEST_PROBLEM_INFO=1, AUTH_METHOD="m")
        assert ack.reason == BAD_METHOD and ack.size <= most and "USER_PROPERTY" not in ack.props
        assert c.at_end() == []


@covers("5.0", "MQTT-3.1.2-29")
def test_without_problem_information_failures_have_a_code_alone(client):
    for p in failures(client(REQUEST_PROBLEM_INFO=0)):
        assert p.kind == DISCONNECT or not {"REASON_STRING", "USER_PROPERTY"} & set(p.props)
