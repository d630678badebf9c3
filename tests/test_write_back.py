"""Writes through MQTT to a Modbus server that nobody here wrote: each has one answer; and the safe state of a line."""

import json
import os
import queue
import signal
import time

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pymodbus.client import ModbusTcpClient

from gateway import Gateway, free_port, wait_until
from test_field import Device

TAGS = [
    {"name": "limit", "address": "holding:30", "type": "int16", "access": "rw", "min": 0, "max": 500, "verify": True, "safe": "7"},
    {"name": "relay", "address": "coil:0", "type": "bool", "access": "rw", "safe": "false"},
    {"name": "fixed", "address": "holding:60", "type": "int16"},
    {"name": "beyond", "address": "holding:3000", "type": "int16", "access": "rw"},
]


class Master:
    """A client that writes with ids, and collects the answers."""

    def __init__(self, port):
        self.answers, self.events, self.tags = queue.Queue(), queue.Queue(), {}
        self.ids = []
        self.client = paho.Client("master", protocol=paho.MQTTv5)
        self.client.on_message = self.take
        self.client.connect("127.0.0.1", port)
        for topic in ("me/answers", "plant1/#"):
            self.client.subscribe(topic, 1)
        self.client.loop_start()

    def take(self, _client, _data, message):
        if message.topic == "me/answers":
            self.answers.put(json.loads(message.payload))
        elif message.topic == "plant1/_gateway/event":
            self.events.put(json.loads(message.payload))
        elif message.payload and not message.topic.endswith("/set"):
            self.tags[message.topic] = json.loads(message.payload)

    def send(self, tag, value):
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = "me/answers"
        self.ids.append(f"n{len(self.ids)}")
        # the id stands before the value, and behind it, as in the documents' example
        payload = ('{"id":"%s","value":%s}' if len(self.ids) % 2 else '{"value":%s,"id":"%s"}')
        payload %= (self.ids[-1], value) if len(self.ids) % 2 else (value, self.ids[-1])
        self.client.publish(f"plant1/m1/{tag}/set", payload, 1, properties=properties).wait_for_publish(10)
        return self.ids[-1]

    def answer(self, wanted, seconds=15):
        got = self.answers.get(timeout=seconds)
        assert got["id"] == wanted, got
        return got

    def ask(self, tag, value):
        return self.answer(self.send(tag, value))

    def online(self):
        wait_until("the device is online", lambda: self.tags.get("plant1/m1/_status", {}).get("state") == "online", 15)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def config(device, watchdog=None, tags=TAGS, **more):
    line = {"name": "press", "type": "modbus-tcp", "host": "127.0.0.1", "port": device.port, "timeout": "300ms", "retries": 0,
            "backoff": {"first": "200ms", "max": "400ms"}}
    if watchdog:
        line["watchdog"] = watchdog
    else:
        tags = [{k: v for k, v in tag.items() if k != "safe"} for tag in tags]
    return {"gateway": {"name": "plant1"}, "lines": [line],
            "devices": [{"name": "m1", "line": "press", "max_gap": 0, "groups": [{"name": "g", "scan": "100ms"}], "tags": tags}], **more}


@pytest.fixture
def device():
    d = Device()
    yield d
    d.process.send_signal(signal.SIGCONT)
    d.kill()


@pytest.fixture
def masters():
    made = []

    def make(gateway):
        made.append(Master(gateway.port))
        return made[-1]

    yield make
    for m in made:
        m.close()


def test_complaint_7_every_write_with_an_id_has_one_answer(device, masters):
    with Gateway(config(device)) as gw:
        m = masters(gw)
        m.online()
        assert m.ask("limit", 42)["value"] == 42 and device.read(30) == [42]
        for tag, value, error in (("limit", 501, "range"), ("limit", "true", "type"), ("limit", "4x", "malformed"), ("limit", "4x", "malformed"),
                                  ("limit", "null", "malformed"), ("limit", "null", "malformed"), ("limit", 2**64, "range"), ("limit", 2**64, "range"),
                                  ("fixed", 1, "read_only"), ("nothing", 1, "unknown_tag")):
            assert m.ask(tag, value)["error"] == error
        refused = m.ask("beyond", 1)
        assert (refused["error"], refused["exception"]) == ("exception", 2)
        # a device that hangs: what is on its way, and what waits behind it
        os.kill(device.process.pid, signal.SIGSTOP)
        sent, waits, newest = m.send("limit", 1), m.send("limit", 2), m.send("limit", 3)
        answers = {a["id"]: a for a in (m.answers.get(timeout=15) for _ in range(3))}
        assert set(answers) == {sent, waits, newest}
        assert all(not a["ok"] for a in answers.values())
        assert answers[sent]["error"] in ("timeout", "superseded", "offline")
        assert answers[newest]["error"] in ("timeout", "offline")
        wait_until("the device is offline", lambda: m.tags["plant1/m1/_status"]["state"] == "offline", 15)
        assert m.ask("limit", 4)["error"] == "offline"
        # nobody takes the connection
        device.process.send_signal(signal.SIGCONT)
        m.online()
        device.kill()
        wait_until("the line is down", lambda: m.tags["plant1/m1/_status"]["state"] == "offline", 15)
        assert m.ask("limit", 5)["error"] == "offline"
        device.start()
        m.online()
        # a reload that removes the device while its write is under way
        os.kill(device.process.pid, signal.SIGSTOP)
        removed = m.send("relay", "true")
        gw.reload({"gateway": {"name": "plant1"}})
        answer = m.answer(removed)
        assert answer["error"] in ("cancelled", "timeout", "offline", "unknown_tag")
        # and one that is there again; then the end
        device.process.send_signal(signal.SIGCONT)
        gw.reload(config(device))
        m.tags.clear()
        m.online()
        assert m.ask("limit", 9)["ok"]
        os.kill(device.process.pid, signal.SIGSTOP)
        last = m.send("limit", 8)
        gw.stop()
        assert m.answer(last)["error"] in ("cancelled", "timeout", "offline")
        assert m.answers.empty()


def entered(m, cause):
    event = m.events.get(timeout=15)
    assert (event["event"], event["line"], event["state"], event["cause"]) == ("safe_mode", "press", "entered", cause)


def is_safe(device):
    return device.read(30) == [7] and not device.client.read_coils(0, 1, slave=1).bits[0]


def test_outputs_are_safe_when_commands_stay_away(device, masters):
    with Gateway(config(device, {"watch": "mqtt", "timeout": "2s", "clear": "manual"})) as gw:
        m = masters(gw)
        m.online()
        assert m.ask("relay", "true")["ok"] and m.ask("limit", 400)["ok"]
        entered(m, "mqtt")
        wait_until("the outputs are safe", lambda: is_safe(device))
        refused = m.ask("limit", 1)
        assert (refused["ok"], refused["error"]) == (False, "safe_mode")
        wait_until("the state is shown", lambda: m.tags["plant1/m1/_status"].get("safe_mode") is True)
        assert m.ask("_safe", "false")["ok"]
        assert m.events.get(timeout=5)["state"] == "cleared"
        assert m.ask("limit", 1)["ok"] and device.read(30) == [1]


def test_outputs_are_safe_when_an_uplink_is_gone(device, masters):
    with Gateway() as remote:
        uplink = {"name": "cloud", "url": f"mqtt://127.0.0.1:{remote.port}", "publish": ["x"], "reconnect": {"first": "100ms", "max": "200ms"}}
        with Gateway(config(device, {"watch": "uplink", "uplink": "cloud", "timeout": "2s"}, uplinks=[uplink])) as gw:
            m = masters(gw)
            m.online()
            wait_until("the uplink is connected", lambda: m.tags.get("plant1/_gateway/uplink/cloud", {}).get("state") == "online", 15)
            assert m.ask("limit", 400)["ok"]
            assert m.events.empty()
            remote.kill()
            entered(m, "uplink")
            wait_until("the outputs are safe", lambda: is_safe(device))
            assert m.ask("limit", 1)["error"] == "safe_mode"
            with Gateway(port=remote.port):
                event = m.events.get(timeout=15)
                assert (event["state"], event["cause"]) == ("cleared", "uplink")
                assert m.ask("limit", 1)["ok"]


def test_a_modbus_master_on_the_view_keeps_the_outputs(device, masters):
    port = free_port()
    view = {"modbus": {"port": port, "allow": [{"net": "127.0.0.0/8", "access": "write"}]}}
    with Gateway(config(device, {"watch": "modbus", "timeout": "1500ms"}, views=view)) as gw:
        m = masters(gw)
        m.online()
        client = ModbusTcpClient("127.0.0.1", port=port)
        assert client.connect()
        assert m.ask("limit", 400)["ok"]
        end = time.monotonic() + 4
        while time.monotonic() < end:
            assert not client.read_coils(0, 1).isError()
        assert m.events.empty()
        entered(m, "modbus")
        wait_until("the outputs are safe", lambda: is_safe(device))
        assert not client.write_coil(0, True).isError()
        assert m.events.get(timeout=5)["state"] == "cleared"
        client.close()
