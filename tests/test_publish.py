"""Topics, policies, groups and formats as subscribers and clients that nobody here wrote see them."""

import json
import queue
import signal
import subprocess

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from test_field import Device, free_port, wait_for_port

GATEWAY = {"name": "plant1", "topic": "site/${gateway}/${device}/${group}/${tag}"}
LINE = {"name": "press", "type": "modbus-tcp", "timeout": "500ms", "retries": 1, "host": "127.0.0.1"}


@pytest.fixture
def device():
    d = Device()
    yield d
    d.kill()


class Site:
    """A gateway with one device, and a client of MQTT 5 that has subscribed everything."""

    def __init__(self, lineside, folder, device, groups, tags, gateway=GATEWAY):
        self.port = free_port()
        self.file = folder / "gateway.json"
        self.line = dict(LINE, port=device.port)
        self.write(groups, tags, gateway)
        self.process = subprocess.Popen([lineside, "serve", "-c", str(self.file)])
        wait_for_port(self.port)
        self.news = queue.Queue()
        self.client = paho.Client(protocol=paho.MQTTv5)
        self.client.on_message = lambda client, arg, m: self.news.put(m)
        subscribed = queue.Queue()
        self.client.on_subscribe = lambda *args: subscribed.put(args)
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        self.client.subscribe("#", qos=1)
        subscribed.get(timeout=10)

    def write(self, groups, tags, gateway=GATEWAY):
        listener = {"name": "l", "protocol": "mqtt", "address": "127.0.0.1", "port": self.port, "allow_anonymous": True}
        self.file.write_text(json.dumps({
            "gateway": gateway, "listeners": [listener], "lines": [self.line],
            "devices": [{"name": "m1", "line": "press", "groups": groups, "tags": tags}]}))

    def await_(self, topic, condition=lambda payload: True, seconds=10):
        """The first message of the topic from now on whose payload fulfils the condition."""
        while True:
            m = self.news.get(timeout=seconds)
            if m.topic == topic and condition(m.payload.decode()):
                return m

    def set(self, topic, payload, **properties):
        props = Properties(PacketTypes.PUBLISH)
        for name, value in properties.items():
            setattr(props, name, value)
        self.client.publish(topic, payload, qos=1, properties=props)

    def retained(self):
        """Topics with a retained message: what a new subscriber gets before the message that it sends itself."""
        got = queue.Queue()
        client = paho.Client(protocol=paho.MQTTv5)
        client.on_message = lambda client, arg, m: got.put(m)
        client.on_subscribe = lambda *args: client.publish("asked", "", qos=1)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        client.subscribe("#", qos=1)
        topics = set()
        while (m := got.get(timeout=10)).topic != "asked":
            if m.retain:
                topics.add(m.topic)
        client.disconnect()
        client.loop_stop()
        return topics

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(10) == 0
        finally:
            self.process.kill()


def tag(name, address, **more):
    return dict({"name": name, "address": f"holding:{address}", "type": "int16"}, **more)


def test_topics_of_ones_own_are_published_set_and_guarded(lineside, tmp_path, device):
    s = Site(lineside, tmp_path, device, [{"name": "fast", "scan": "100ms"}], [tag("x", 0, access="rw")])
    try:
        first = json.loads(s.await_("site/plant1/m1/fast/x").payload)
        assert first["value"] == 0
        s.set("site/plant1/m1/fast/x/set", "41")
        assert json.loads(s.await_("site/plant1/m1/fast/x/set/result").payload)["value"] == 41
        assert json.loads(s.await_("site/plant1/m1/fast/x").payload)["value"] == 41
        assert device.read(0) == [41]
        s.set("site/plant1/m1/fast/x/set", '{"value":42,"id":"r"}', ResponseTopic="me/answers", CorrelationData=b"c7")
        answer = s.await_("me/answers")
        assert json.loads(answer.payload)["id"] == "r" and answer.properties.CorrelationData == b"c7"
        # nobody else publishes there; paho tells no reason code of a PUBACK, mosquitto_pub does
        refused = subprocess.run(["mosquitto_pub", "-V", "5", "-p", str(s.port), "-q", "1", "-d", "-t", "site/plant1/m1/fast/x", "-m", "9"],
                                 capture_output=True, text=True, timeout=10)
        assert "RC:135" in refused.stdout + refused.stderr, refused
        refused = subprocess.run(["mosquitto_pub", "-V", "5", "-p", str(s.port), "-q", "1", "-d", "-r", "-t", "site/plant1/m1/fast/x/set", "-m", "9"],
                                 capture_output=True, text=True, timeout=10)
        assert "(154)" in refused.stdout + refused.stderr, refused
        assert device.read(0) == [42]
    finally:
        s.stop()


def test_a_reload_moves_topics_and_their_commands(lineside, tmp_path, device):
    groups, tags = [{"name": "fast", "scan": "100ms"}], [tag("x", 0, access="rw")]
    s = Site(lineside, tmp_path, device, groups, tags)
    try:
        s.await_("site/plant1/m1/fast/x")
        s.write(groups, tags, dict(GATEWAY, topic="other/${device}-${tag}"))
        s.process.send_signal(signal.SIGHUP)
        s.await_("other/m1-x", lambda p: json.loads(p)["value"] == 0)
        s.set("other/m1-x/set", "5")
        assert json.loads(s.await_("other/m1-x/set/result").payload)["ok"]
        kept = s.retained()
        assert "other/m1-x" in kept and not [topic for topic in kept if topic.startswith("site/")]
    finally:
        s.stop()


def test_a_group_of_a_thousand_floats_is_one_message_as_neuron_writes_it(lineside, tmp_path, device):
    tags = [tag(f"tag{i}", 2 * i % 1800, type="float32") for i in range(1000)]
    group = {"name": "grp", "scan": "500ms", "publish": "every_scan", "payload": "neuron-values", "group_topic": "neuron/${gateway}/${device}/${group}"}
    s = Site(lineside, tmp_path, device, [group], tags)
    try:
        got = json.loads(s.await_("neuron/plant1/m1/grp", lambda p: len(json.loads(p)["values"]) == 1000).payload)
        assert set(got) == {"timestamp", "node", "group", "values", "errors", "metas"}
        assert got["node"] == "m1" and got["group"] == "grp" and got["errors"] == {}
        device.kill()
        got = json.loads(s.await_("neuron/plant1/m1/grp", lambda p: json.loads(p)["errors"]).payload)
        assert got["values"] == {} and set(got["errors"].values()) <= {3002, 3015} and len(got["errors"]) == 1000
    finally:
        device.start()
        s.stop()


FORMATS = [
    ({"payload": "json"}, lambda p, ts: p == f'{{"value":7,"ts":{ts},"quality":"good","unit":"V"}}', "application/json"),
    ({"payload": "value"}, lambda p, ts: p == "7", "application/json"),
    ({"payload": "plain"}, lambda p, ts: p == "7", "text/plain; charset=utf-8"),
    ({"payload": "moxa"}, lambda p, ts: p == '{"value":7}', "application/json"),
    ({"payload": "neuron-tags"}, lambda p, ts: json.loads(p)["tags"] == [{"name": "x", "value": 7}], "application/json"),
    ({"payload": "template", "payload_template": "${tag} is ${value} ${unit}"}, lambda p, ts: p == "x is 7 V", None),
]


@pytest.mark.parametrize("keys, is_right, content_type", FORMATS, ids=lambda x: x.get("payload") if isinstance(x, dict) else "")
def test_a_value_in_each_format(lineside, tmp_path, device, keys, is_right, content_type):
    device.write(0, [7])
    s = Site(lineside, tmp_path, device, [{"name": "fast", "scan": "100ms", "message": "tags"}], [tag("x", 0, unit="V", access="rw", **keys)])
    try:
        m = s.await_("site/plant1/m1/fast/x")
        payload = m.payload.decode()
        ts = json.loads(payload)["ts"] if keys["payload"] == "json" else 0
        assert is_right(payload, ts), payload
        assert getattr(m.properties, "ContentType", None) == content_type
        s.set("site/plant1/m1/fast/x/set", '{"value": 1}')
        assert json.loads(s.await_("site/plant1/m1/fast/x/set/result").payload)["value"] == 1
    finally:
        s.stop()


def test_a_threshold_is_silent_inside(lineside, tmp_path, device):
    device.write(0, [50])
    groups = [{"name": "fast", "scan": "50ms", "publish": "threshold", "above": 80, "below": 10, "hysteresis": 2},
              {"name": "beat", "scan": "50ms", "publish": "every_scan"}]
    s = Site(lineside, tmp_path, device, groups, [tag("x", 0, group="fast"), tag("y", 0, group="beat")])
    values = []

    def scanned(value):
        """Until the register was read as `value` three times over; what came of the other tag goes to values."""
        left = 3
        while left:
            m = s.news.get(timeout=10)
            if m.topic == "site/plant1/m1/fast/x":
                values.append(json.loads(m.payload)["value"])
            left -= m.topic == "site/plant1/m1/beat/y" and json.loads(m.payload)["value"] == value

    try:
        for value in (50, 60, 85, 79, 70, 60, 5):
            device.write(0, [value])
            scanned(value)
        assert values == [50, 85, 79, 70, 5]
    finally:
        s.stop()
