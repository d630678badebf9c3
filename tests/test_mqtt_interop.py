"""Clients that people have, unmodified: mosquitto_pub and mosquitto_sub, paho for 3.1.1 and 5, node-mqtt."""

import subprocess

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.subscribeoptions import SubscribeOptions

from conformance import covers
from gateway import HOST
from mqtt_clients import NODE, MosquittoSub, Paho, mosquitto_pub, node, props, unique

V311, V5 = mqtt.MQTTv311, mqtt.MQTTv5
VERSIONS = pytest.mark.parametrize("version", [mqtt.MQTTv31, V311, V5], ids=["3.1", "3.1.1", "5"])


@pytest.fixture
def paho(gw):
    opened = []

    def make(version=V311, **kw):
        opened.append(Paho(gw.port, version, **kw))
        return opened[-1]

    yield make
    for c in opened:
        c.close()


@pytest.fixture
def topic():
    return unique("interop")


# ---- mosquitto_pub, mosquitto_sub ----


@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
@pytest.mark.parametrize("qos", ["0", "1", "2"])
@covers("3.1.1", "MQTT-7.0.0-2")
def test_mosquitto_clients(gw, topic, version, qos):
    sub = MosquittoSub(gw.port, "-V", version, "-t", f"{topic}/+", "-q", qos, "-F", "%t %q %r %p", count=2)
    mosquitto_pub(gw.port, "-V", version, "-t", f"{topic}/a", "-q", qos, "-m", "one")
    mosquitto_pub(gw.port, "-V", version, "-t", f"{topic}/b", "-q", qos, "-r", "-m", "two")
    assert sub.lines() == [f"{topic}/a {qos} 0 one".encode(), f"{topic}/b {qos} 0 two".encode()]


def test_mosquitto_pub_from_a_pipe_keeps_the_order(gw, topic):
    for qos in ("0", "1", "2"):
        sub = MosquittoSub(gw.port, "-t", topic, "-q", qos, count=500)
        mosquitto_pub(gw.port, "-t", topic, "-q", qos, "-l", input=b"".join(b"%d\n" % i for i in range(500)))
        assert sub.lines() == [b"%d" % i for i in range(500)]


def test_mosquitto_sub_reads_a_retained_value(gw, topic):
    mosquitto_pub(gw.port, "-t", f"{topic}/kept", "-q", "1", "-r", "-m", "value")
    done = subprocess.run(["mosquitto_sub", "-h", HOST, "-p", str(gw.port), "-t", f"{topic}/#", "-F", "%t %r %p", "-C", "1", "-W", "10"],
                          capture_output=True)
    assert done.stdout == f"{topic}/kept 1 value\n".encode()
    mosquitto_pub(gw.port, "-t", f"{topic}/kept", "-q", "1", "-r", "-n")
    done = subprocess.run(["mosquitto_sub", "-h", HOST, "-p", str(gw.port), "-t", f"{topic}/#", "-E"], capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"")


def test_mosquitto_clients_pass_v5_properties(gw, topic):
    sub = MosquittoSub(gw.port, "-V", "5", "-t", topic, "-F", "%C|%R|%D|%P|%p", count=1)
    mosquitto_pub(gw.port, "-V", "5", "-t", topic, "-m", "x", "-D", "publish", "content-type", "text", "-D", "publish", "response-topic",
                  "back", "-D", "publish", "correlation-data", "c1", "-D", "publish", "user-property", "k", "v")
    assert sub.lines() == [b"text|back|c1|k:v|x"]


def test_mosquitto_will(gw, topic):
    sub = MosquittoSub(gw.port, "-t", f"{topic}/will", count=1)
    dying = subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", "-d", "-h", HOST, "-p", str(gw.port), "-t", f"{topic}/x", "--will-topic", f"{topic}/will",
                              "--will-payload", "gone"], stdout=subprocess.PIPE)
    for line in dying.stdout:
        if line.startswith(b"Client") and b"SUBACK" in line:
            break
    dying.kill()
    dying.wait()
    assert sub.lines() == [b"gone"]


# ---- paho ----


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
@covers("3.1.1", "MQTT-7.0.0-2")
def test_paho(paho, topic, version, qos):
    sub, pub = paho(version), paho(version)
    assert sub.subscribe(f"{topic}/#", qos) == [qos]
    for i in range(100):
        pub.publish(f"{topic}/{i % 7}", b"%d" % i, qos)
    got = sub.messages(100)
    assert [(m.topic, m.payload, m.qos) for m in got] == [(f"{topic}/{i % 7}", b"%d" % i, qos) for i in range(100)]
    sub.unsubscribe(f"{topic}/#")
    pub.publish(f"{topic}/silent", b"no", qos)
    pub.publish(f"{topic}-fence", b"", 1)  # acknowledged: what went before it is done with, QoS 0 too
    sub.subscribe(f"{topic}/#", qos)
    pub.publish(f"{topic}/x", b"yes", qos)
    assert sub.message().payload == b"yes"


@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
def test_paho_resumes_its_session(paho, topic, version):
    kept = {"version": version, "client_id": unique("kept"), "clean": False}
    if version == V5:
        kept["properties"] = props("CONNECT", SessionExpiryInterval=60)
    first = paho(**kept)
    assert not first.session_present
    first.subscribe(topic, 1)
    first.close()
    pub = paho(version)
    for i in range(20):
        pub.publish(topic, b"%d" % i, 1)
    again = paho(**kept)
    assert again.session_present
    assert [m.payload for m in again.messages(20)] == [b"%d" % i for i in range(20)]


@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
def test_paho_will(paho, topic, version):
    watch = paho(version)
    watch.subscribe(topic, 1)
    paho(version, will={"topic": topic, "payload": b"gone", "qos": 1}).drop()
    assert watch.message().payload == b"gone"


def test_paho_v5_properties_and_options(paho, topic):
    sub, pub = paho(V5), paho(V5)
    pub.publish(topic, b"kept", 1, retain=True)
    sub.subscribe(topic, options=SubscribeOptions(qos=2, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND, noLocal=True),
                  properties=props("SUBSCRIBE", SubscriptionIdentifier=42))
    sub.publish(topic, b"mine")
    sent = props("PUBLISH", ContentType="t", ResponseTopic="r", CorrelationData=b"c", MessageExpiryInterval=100, PayloadFormatIndicator=1)
    sent.UserProperty = [("a", "1"), ("a", "2")]
    pub.publish(topic, b"x", 2, properties=sent)
    m = sub.message()
    p = m.properties
    assert (m.payload, p.ContentType, p.ResponseTopic, p.CorrelationData, p.UserProperty, p.SubscriptionIdentifier) == (
        b"x", "t", "r", b"c", [("a", "1"), ("a", "2")], [42])
    assert p.PayloadFormatIndicator == 1 and 0 < p.MessageExpiryInterval <= 100


def test_paho_v5_and_v311_talk_to_each_other(paho, topic):
    old, new = paho(V311), paho(V5)
    for c in (old, new):
        c.subscribe(topic, 2)
    old.publish(topic, b"from 3.1.1", 2)
    assert [c.message().payload for c in (old, new)] == [b"from 3.1.1"] * 2
    new.publish(topic, b"from 5", 2)
    assert [c.message().payload for c in (old, new)] == [b"from 5"] * 2


def test_paho_large_payload(paho, topic):
    c = paho(V5)
    c.subscribe(topic, 2)
    most = getattr(c.properties, "MaximumPacketSize", 1 << 20)
    body = bytes(range(256)) * ((min(most, 1 << 20) - 1024) // 256)
    c.publish(topic, body, 2)
    assert c.message().payload == body


# ---- node-mqtt ----


@pytest.mark.parametrize("version", ["4", "5"])
@covers("3.1.1", "MQTT-7.0.0-2")
def test_node(gw, version):
    assert (NODE / "node_modules" / "mqtt").is_dir(), "npm ci --prefix tests/node"
    seen = node(gw.port, "exchange.js", version)
    user = {"k": "v"} if version == "5" else None
    assert seen["got"] == [[f"/q/{q}", f"qos {q}", q, False, user] for q in (0, 1, 2)]
    assert seen["retained"][:2] == ["/kept", "kept"] and seen["retained"][3] is True
    assert seen["will"][:3] == ["/will", "gone", 1]
    assert seen["offline"] == ["0", "1", "2", "3", "4"]
