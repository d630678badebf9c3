"""`lineside serve`: start, stop, reload, own topics, limits. What a client sees is looked at with paho."""

import json
import queue
import resource
import signal
import socket
import subprocess
import time

import paho.mqtt.client as mqtt
import pytest
from gateway import Gateway, free_port, wait_until
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

RACK = {"name": "rack", "type": "sim"}
WORKERS = 2


def plant(*devices, **more):
    return {"gateway": {"name": "g", "root": "site/g"}, "lines": [RACK],
            "devices": [{"name": name, "line": "rack", "groups": [{"name": "fast", "scan": "50ms"}]} for name in devices], **more}


class Client:
    """A paho client of MQTT 5 (or another version) whose messages come through a queue."""

    def __init__(self, port, *topics, protocol=mqtt.MQTTv5):
        self.messages, self.acks, self.ends = queue.Queue(), queue.Queue(), queue.Queue()
        self.paho = mqtt.Client(protocol=protocol)
        self.paho.on_message = lambda c, u, m: self.messages.put(m)
        self.paho.on_disconnect = lambda c, u, rc, *props: self.ends.put(rc)
        up, subscribed = queue.Queue(), queue.Queue()
        self.paho.on_connect = lambda *a: up.put(1)
        self.paho.on_subscribe = lambda *a: subscribed.put(1)
        self.paho.connect("127.0.0.1", port)
        self.paho.loop_start()
        up.get(timeout=10)
        if topics:
            self.paho.subscribe([(t, mqtt.SubscribeOptions(qos=1)) if protocol == mqtt.MQTTv5 else (t, 1) for t in topics])
            subscribed.get(timeout=10)

    def next(self, topic, accept=lambda m: True, timeout=10):
        """The next message of this topic that is accepted; others are dropped."""
        end = time.monotonic() + timeout
        while True:
            message = self.messages.get(timeout=max(0.01, end - time.monotonic()))
            if message.topic == topic and accept(message):
                return message

    def close(self):
        self.paho.disconnect()
        self.paho.loop_stop()

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.close()


@pytest.fixture
def gateway():
    with Gateway(plant("rack"), workers=WORKERS) as gw:
        yield gw


def value(message):
    return json.loads(message.payload)


def test_the_status_is_online_with_version_and_uptime_and_offline_at_the_end(lineside):
    version = subprocess.run([lineside, "--version"], capture_output=True, text=True, timeout=10).stdout.split()[1]
    with Gateway(plant("rack"), workers=WORKERS) as gw:
        with Client(gw.port, "site/g/_gateway/status") as client:
            status = client.next("site/g/_gateway/status")
            assert status.retain and value(status)["state"] == "online" and value(status)["version"] == version
            assert value(status)["uptime_s"] >= 0
            gw.stop()
            assert value(client.next("site/g/_gateway/status"))["state"] == "offline"
            client.ends.get(timeout=10)


def test_a_command_is_carried_out_and_answered(gateway):
    with Client(gateway.port, "site/g/rack/do0", "site/g/rack/do0/set/result") as client:
        client.next("site/g/rack/do0")
        client.paho.publish("site/g/rack/do0/set", '{"value":true,"id":"a1"}', qos=1)
        result = value(client.next("site/g/rack/do0/set/result"))
        assert result["id"] == "a1" and result["ok"] is True and result["value"] is True
        assert value(client.next("site/g/rack/do0", lambda m: value(m)["value"] is True))["quality"] == "good"


def test_a_command_with_a_response_topic_is_answered_there(gateway):
    with Client(gateway.port, "answers/1") as client:
        props = Properties(PacketTypes.PUBLISH)
        props.ResponseTopic, props.CorrelationData = "answers/1", b"\x00\xffc"
        client.paho.publish("site/g/rack/do1/set", "true", qos=1, properties=props)
        answer = client.next("answers/1")
        assert value(answer)["ok"] is True and answer.properties.CorrelationData == b"\x00\xffc"


@pytest.mark.parametrize("topic", ["rack/do0", "rack/_status", "rack/do0/set/result", "_gateway/status", "_gateway/line/r", "_gateway/event",
                                   "_gateway/x"])
def test_own_topics_are_refused_to_others(gateway, topic):
    with Client(gateway.port, f"site/g/{topic}", "site/h") as client:
        client.paho.publish(f"site/g/{topic}", "refused")
        gateway.wait_log(r'PUBLISH to "site/g/' + topic + '" refused: not authorized')
        client.paho.publish("site/h", "still here", qos=1)  # QoS 0 has no answer, and is no reason to go
        assert client.next("site/h").payload == b"still here"


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_retained_command_ends_the_connection_with_0x9a(gateway, qos):
    # Byte by byte: paho does not tell the reason of a DISCONNECT. 0x9A may stand in no acknowledgement (MQTT 5.0, 2.4).
    topic = b"site/g/rack/do0/set"
    publish = bytes([0, len(topic)]) + topic + (b"\0\1" if qos else b"") + b"\0true"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as s:
        s.sendall(b"\x10\x10\0\4MQTT\5\2\0\x3c\0\0\3raw")
        assert s.recv(4096)[:1] == b"\x20"
        s.sendall(bytes([0x31 | qos << 1, len(publish)]) + publish)
        answer = b""
        while more := s.recv(4096):
            answer += more
    assert answer[:1] == b"\xe0" and answer[2] == 0x9A


def test_topics_beside_its_own_are_free(gateway):
    with Client(gateway.port, "site/g/other/x", "site/h/rack/do0") as client:
        for topic in ("site/g/other/x", "site/h/rack/do0"):
            client.paho.publish(topic, "1", retain=True)
            client.next(topic)


def test_a_reload_applies_the_difference_and_no_client_notices(gateway):
    with Client(gateway.port, "site/g/#") as client:
        client.next("site/g/rack/ai0")
        gateway.reload({**plant("rack", "second"), "broker": {"workers": WORKERS}})
        client.next("site/g/second/ai0")
        gateway.wait_log("was read again: lines: 1, devices: 2")
        client.paho.publish("site/g/second/do0/set", "true", qos=1)
        assert value(client.next("site/g/second/do0/set/result"))["ok"] is True
        gateway.reload({**plant("second"), "broker": {"workers": WORKERS}})
        # Its retained values are gone, and its topics are free for others then.
        client.next("site/g/rack/ai0", lambda m: m.payload == b"")
        gateway.wait_log("was read again: lines: 1, devices: 1")
        client.paho.publish("site/g/rack/do0", "1", qos=1).wait_for_publish(10)
        client.next("site/g/rack/do0", lambda m: m.payload == b"1")
        assert client.ends.empty()


def test_a_faulty_file_changes_nothing_and_is_reported(gateway):
    with Client(gateway.port, "site/g/rack/ai0") as client:
        client.next("site/g/rack/ai0")
        config = plant("rack", "second")
        config["devices"][1]["line"] = "rak"
        config["devices"][0]["nam"] = "x"
        gateway.reload(config)
        gateway.wait_log(r'devices\[1\].line: found "rak".*did you mean "rack"')
        gateway.wait_log("2 faults, the gateway runs on as it was")
        while not client.messages.empty():
            client.messages.get()
        client.next("site/g/rack/ai0")
        gateway.reload(plant("rack", "third"))
        gateway.wait_log("was read again: lines: 1, devices: 2")


def test_what_needs_a_new_start_is_said_in_the_log(gateway):
    config = plant("rack", broker={"workers": 1, "max_inflight": 7})
    config["gateway"]["root"] = "elsewhere"
    config["storage"] = {"path": "data"}
    gateway.reload(config)
    for what in ("gateway", "broker", "storage"):
        gateway.wait_log(f"{what} changed: that takes effect when the gateway is started again")
    gateway.wait_log("was read again")
    with Client(gateway.port, "site/g/rack/ai0") as client:
        client.next("site/g/rack/ai0")


def test_many_reloads_at_once_end_in_a_running_gateway(gateway):
    for i in range(20):
        gateway.reload({**plant("rack", f"d{i}"), "broker": {"workers": WORKERS}})
    with Client(gateway.port, "site/g/#") as client:
        client.next("site/g/d19/ai0")
        client.next("site/g/rack/ai0")


def test_a_reload_and_a_stop_at_once_stop():
    with Gateway(plant("rack"), workers=WORKERS) as gw:
        gw.reload(plant("rack", "second"))


def test_an_address_in_use_ends_it_with_nothing_started(lineside, tmp_path, gateway):
    file = tmp_path / "same.json"
    file.write_text(json.dumps(plant("rack", listeners=[{**gateway.config["listeners"][0], "name": "twice"}])))
    done = subprocess.run([lineside, "serve", "-c", file], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert f"listener twice: 127.0.0.1 port {gateway.port}: Address already in use" in done.stderr
    assert "runs gateway" not in done.stderr


def test_a_faulty_file_starts_nothing(lineside, tmp_path):
    file = tmp_path / "g.yaml"
    file.write_text("gateway: {nam: a}\nusers: {name: x}\n")
    done = subprocess.run([lineside, "serve", "-c", file], capture_output=True, text=True, timeout=10)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2 and "g.yaml:2:8: users: is not in this version" in done.stderr


@pytest.mark.parametrize("args", [["-x"], ["x"], ["--log-level", "loud"]])
def test_wrong_arguments_are_status_2(lineside, args):
    assert subprocess.run([lineside, "serve", *args], capture_output=True, timeout=10).returncode == 2


def test_the_descriptor_limit_is_raised_and_connections_adapt_to_it(lineside, tmp_path):
    file, port = tmp_path / "g.yaml", free_port()
    file.write_text(json.dumps(plant(broker={"workers": 1, "max_connections": 5000}, listeners=[
        {"name": "l", "protocol": "mqtt", "address": "127.0.0.1", "port": port, "allow_anonymous": True}])))
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen([lineside, "serve", "-c", file], stderr=log,
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512)))
    try:
        wait_until("it runs", lambda: "runs gateway" in (tmp_path / "log").read_text())
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (512, 512)
        assert "max_connections is 5000, but the descriptor limit leaves room for" in (tmp_path / "log").read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_v3_client_is_served_as_well(gateway):
    with Client(gateway.port, "site/g/_gateway/status", protocol=mqtt.MQTTv311) as client:
        assert value(client.next("site/g/_gateway/status"))["state"] == "online"
