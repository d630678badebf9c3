"""What MQTT leaves to a broker's choice, or to a key of its configuration: docs/conformance.md says what was chosen."""

import pytest

from conformance import covers
from gateway import Gateway
from mqtt_clients import unique
from rawmqtt import (AUTH, CONNACK, CONNECT, DISCONNECT, PUBACK, PUBCOMP, SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE, V5, V31, V311,
                     Raw, packet, string)

NOT_AUTHORIZED, BAD_METHOD, USE_ANOTHER, MOVED, TOO_LARGE = 0x87, 0x8C, 0x9C, 0x9D, 0x95
TOPIC_FILTER, PROTOCOL = 0x8F, 0x82


@pytest.fixture
def topic():
    return unique("optional")


# ---- reason strings ----


def failures(c):
    """One failed packet of each kind."""
    yield c.publish("$SYS/x", b"", 1)
    yield c.publish("$SYS/x", b"", 2)
    yield c.subscribe("fine", "/" * 200, granted=[0, TOPIC_FILTER])
    c.send(packet(AUTH, b"\x19\0"))
    yield c.expect(DISCONNECT)


def test_reason_strings_are_sent_to_who_asked_for_them(client):
    for p in failures(client(REQUEST_PROBLEM_INFO=1)):
        assert p.props["REASON_STRING"], p
    c = client(REQUEST_PROBLEM_INFO=1)
    assert "REASON_STRING" not in c.connack.props
    assert "REASON_STRING" not in c.publish("fine", b"", 1).props  # nothing failed
    assert "REASON_STRING" not in c.subscribe("fine").props


@pytest.mark.parametrize("asked", [{}, {"REQUEST_PROBLEM_INFO": 0}], ids=["not asked", "asked not to"])
@covers("5.0", "MQTT-3.1.2-29")
def test_reason_strings_are_not_sent_to_others(client, asked):
    """[MQTT-3.1.2-29] for who said 0. Who said nothing may get them, and compares bytes perhaps."""
    for p in failures(client(**asked)):
        assert p.props == {}, p


@pytest.mark.parametrize("asked", [{}, {"REQUEST_PROBLEM_INFO": 0}, {"REQUEST_PROBLEM_INFO": 1}], ids=str)
def test_a_refusing_connack_has_a_reason_string_for_who_asked(gw, asked):
    with Raw(gw.port) as c:
        ack = c.try_connect(unique("refused"), AUTH_METHOD="none of ours", **asked)
        assert ack.reason == BAD_METHOD
        assert ("REASON_STRING" in ack.props) == (asked.get("REQUEST_PROBLEM_INFO") == 1)


# ---- maximum packet size of the client ----


@pytest.mark.parametrize("client_id", ["", "named"])
@covers("5.0", "MQTT-3.1.2-24", "MQTT-3.2.2-19")
def test_connack_keeps_to_any_maximum_packet_size(gw, client_id):
    """[MQTT-3.1.2-24]. Where an acceptance has no room there is a refusal, and where that has none there is silence."""
    reasons = []
    for most in range(1, 80):
        with Raw(gw.port) as c:
            c.send(c.connect_packet(client_id and unique(client_id), MAXIMUM_PACKET_SIZE=most, REQUEST_PROBLEM_INFO=1,
                                    REQUEST_RESPONSE_INFO=1))
            if most < 5:
                assert c.at_end() == []
                continue
            ack = c.expect(CONNACK)
            assert ack.size <= most
            reasons.append(ack.reason)
            if ack.reason == 0:
                assert "RECEIVE_MAXIMUM" in ack.props and "MAXIMUM_PACKET_SIZE" in ack.props
                assert bool(client_id) != ("ASSIGNED_CLIENT_ID" in ack.props)
    assert set(reasons) == {0, TOO_LARGE} and reasons == sorted(reasons, reverse=True)


@pytest.mark.parametrize("most", [24, 30, 40, 60, 200])
@covers("5.0", "MQTT-3.1.2-24", "MQTT-3.4.2-2", "MQTT-3.5.2-2", "MQTT-3.9.2-1", "MQTT-3.14.2-3")
def test_answers_keep_to_the_maximum_packet_size(client, most):
    """Reason strings go first (5.0, 3.4.2.2.2 and its like)."""
    got = list(failures(client(MAXIMUM_PACKET_SIZE=most, REQUEST_PROBLEM_INFO=1)))
    assert all(p.size <= most for p in got)
    with_text = ["REASON_STRING" in p.props for p in got]
    assert not any(with_text) if most == 24 else all(with_text) if most == 200 else True


def subscribe_body(n, tail=b"\0"):
    return b"\0\1\0" + b"".join(string(f"{i}") + tail for i in range(n))


@pytest.mark.parametrize("kind, ack, tail", [(SUBSCRIBE, SUBACK, b"\0"), (UNSUBSCRIBE, UNSUBACK, b"")])
@covers("5.0", "MQTT-3.1.2-24")
def test_a_suback_that_would_be_too_large_closes_before_anything_is_done(client, kind, ack, tail):
    c = client(MAXIMUM_PACKET_SIZE=100)
    c.send(packet(kind, subscribe_body(95, tail), 2))
    assert c.expect(ack).size == 100
    c.send(packet(kind, subscribe_body(96, tail), 2))
    assert [p.reason for p in c.at_end()] == [TOO_LARGE]
    name = unique("kept")
    c = client(name, MAXIMUM_PACKET_SIZE=100, SESSION_EXPIRY=60)
    c.send(packet(SUBSCRIBE, subscribe_body(96), 2))
    c.at_end()
    assert client().publish("1", b"", 1).reason == 0x10


# ---- response information ----


@covers("5.0", "MQTT-3.1.2-28")
def test_response_information_is_given_to_who_asks(client, gw):
    name = unique("asks")
    assert client(name, REQUEST_RESPONSE_INFO=1).connack.props["RESPONSE_INFO"] == f"response/{name}/"
    assert "RESPONSE_INFO" not in client(REQUEST_RESPONSE_INFO=0).connack.props  # [MQTT-3.1.2-28]
    assert "RESPONSE_INFO" not in client().connack.props
    with Raw(gw.port).connect("", REQUEST_RESPONSE_INFO=1) as c:
        assert c.connack.props["RESPONSE_INFO"] == f"response/{c.connack.props['ASSIGNED_CLIENT_ID']}/"


@pytest.mark.parametrize("name", ["a/b", "a+", "#", "x" * 257])
def test_a_client_id_that_is_no_topic_level_has_no_response_information(client, name):
    assert "RESPONSE_INFO" not in client(name, REQUEST_RESPONSE_INFO=1).connack.props
    assert len(client("y" * 256, REQUEST_RESPONSE_INFO=1).connack.props["RESPONSE_INFO"]) == 9 + 256 + 1


def test_request_and_response_with_response_information(client):
    """4.10.1: the requester asks where its answers may go."""
    asker, answerer = client(REQUEST_RESPONSE_INFO=1), client()
    where = asker.connack.props["RESPONSE_INFO"] + "answers"
    asker.subscribe(where)
    answerer.subscribe("questions")
    asker.publish("questions", b"?", RESPONSE_TOPIC=where)
    answerer.publish(answerer.message().props["RESPONSE_TOPIC"], b"!")
    assert asker.message().payload == b"!"


# ---- server keep-alive ----


def test_a_keep_alive_above_the_limit_is_lowered():
    with Gateway({"broker": {"workers": 1, "max_keep_alive": "1s"}}) as gw:
        for asked, given in ((0, 1), (1, None), (2, 1), (65535, 1)):
            with Raw(gw.port).connect(unique("keep"), keep_alive=asked) as c:
                assert c.connack.props.get("SERVER_KEEP_ALIVE") == given  # [MQTT-3.2.2-21]
        with Raw(gw.port).connect(unique("keep"), keep_alive=65535) as c:
            assert [p.reason for p in c.at_end()] == [0x8D]  # and it is ours that counts
        with Raw(gw.port, V311).connect(unique("keep"), keep_alive=2, will={"topic": "old", "payload": b"gone"}) as old, \
                Raw(gw.port, V311).connect(unique("none"), keep_alive=0) as silent:
            # older clients can't be told: theirs holds
            with Raw(gw.port, V311).connect(unique("watch"), keep_alive=0) as watch:
                watch.subscribe("old")
                assert watch.message().payload == b"gone"
            assert old.at_end() == []
            silent.ping()


@covers("5.0", "MQTT-3.2.2-22")
def test_without_the_key_the_keep_alive_is_as_asked(client):
    assert "SERVER_KEEP_ALIVE" not in client(keep_alive=65535).connack.props


# ---- server reference ----

OTHER = "other.example:1883 [2001:db8::1]:1883"


def config(**broker):
    return {"broker": {"workers": 2, "spread_after": 0, **broker}}


@pytest.mark.parametrize("for_good, reason", [(False, USE_ANOTHER), (True, MOVED)])
def test_clients_are_sent_elsewhere_and_come_back(for_good, reason):
    with Gateway(config()) as gw:
        kept = Raw(gw.port).connect("kept", SESSION_EXPIRY=300)
        kept.subscribe("t", qos=1)
        here = [kept] + [Raw(gw.port, v).connect(unique("here")) for v in (V5, V311, V31)]
        terse = Raw(gw.port).connect(unique("terse"), MAXIMUM_PACKET_SIZE=40)
        silent = Raw(gw.port)
        silent.send(b"\x10")  # half of a CONNECT
        gw.reload(config(move_to=OTHER, move_permanently=for_good))
        for c in here:
            got = c.at_end()
            if c.version == V5:
                assert [(p.kind, p.reason, p.props) for p in got] == [(DISCONNECT, reason, {"SERVER_REFERENCE": OTHER})]
            else:
                assert got == []
        assert [(p.reason, p.props) for p in terse.at_end()] == [(reason, {})]
        silent.send(silent.connect_packet(unique("silent"))[1:])
        for c, code in ((silent, reason), (Raw(gw.port), reason), (Raw(gw.port, V311), 3), (Raw(gw.port, V31), 3)):
            ack = c.expect(CONNACK) if c is silent else c.try_connect(unique("late"))
            assert (ack.reason, ack.props) == (code, {"SERVER_REFERENCE": OTHER} if c.version == V5 else {})
            c.at_end()
        gw.reload(config())
        gw.wait_log("clients are served here again")
        with Raw(gw.port).connect("kept", clean=False, SESSION_EXPIRY=300) as c:
            assert c.connack.present


def test_a_gateway_may_start_with_its_clients_elsewhere_and_change_where():
    with Gateway(config(move_to="a.example")) as gw:
        with Raw(gw.port) as c:
            assert c.try_connect("x", REQUEST_PROBLEM_INFO=1).props == {
                "SERVER_REFERENCE": "a.example", "REASON_STRING": "use another server"}
        gw.reload(config(move_to="b.example"))
        gw.wait_log("clients are sent to b.example")
        with Raw(gw.port) as c:
            assert c.try_connect("x").props == {"SERVER_REFERENCE": "b.example"}
        assert "broker changed" not in gw.log()


# ---- what is neither refused nor touched ----


def test_a_password_without_a_user_name(gw):
    with Raw(gw.port).connect(unique("p"), password=b"secret") as c:  # 5.0, 3.1.2.9: allowed
        c.ping()
    with Raw(gw.port, V311) as c:  # 3.1.1 [MQTT-3.1.2-22]
        c.send(c.connect_packet(unique("p"), password=b"secret"))
        assert c.at_end() == []


def test_a_payload_that_is_not_the_text_it_says_is_passed_on(client, topic):
    """5.0, 3.3.2.3.2: a receiver may check it. The broker leaves that to the subscriber."""
    sub, pub = client(), client()
    sub.subscribe(topic, qos=1)
    pub.publish(topic, b"\xff\xfe", 1, PAYLOAD_FORMAT=1)
    m = sub.message()
    assert (m.payload, m.props["PAYLOAD_FORMAT"]) == (b"\xff\xfe", 1)


@pytest.mark.parametrize("version", [V31, V311, V5])
def test_a_pubrel_that_nobody_waits_for_is_answered(client, version):
    c = client(version=version)
    c.send(packet(6, b"\0\7", 2))
    p = c.expect(PUBCOMP)
    assert (p.packet_id, p.reason) == (7, 0x92 if version == V5 else 0)


def test_an_acknowledgement_of_nothing_ends_nothing(client):
    c = client()
    for kind in (PUBACK, PUBCOMP):
        c.send(packet(kind, b"\0\7"))
    c.ping()


def test_a_bridge_of_mosquitto_may_say_that_it_is_there(client, gw):
    topic = f"$SYS/broker/connection/{unique('bridge')}/state"
    sub = client()
    sub.subscribe(topic, qos=1)
    assert client(version=V311).publish(topic, b"1", 1, retain=True).kind == PUBACK
    assert sub.message().payload == b"1"
    for refused in ("$SYS/broker/connection/a/b/state", "$SYS/broker/connection/state", "$SYS/broker/connection//state",
                    "$SYS/broker/uptime", "$SYS/broker/connection/a/state/", "$share/g/x"):
        assert client().publish(refused, b"", 1).reason == NOT_AUTHORIZED, refused


def test_auth_before_connect_is_no_way_in(gw):
    for body in (b"", b"\x18\x00", b"\x19\x04\x15\x00\x01x"):
        with Raw(gw.port) as c:
            c.send(packet(AUTH, body) + packet(CONNECT))
            assert c.at_end() == []
