"""Computed tags, set points and alarms, seen by a client of the broker that nobody here wrote."""

import json
import queue

import pytest

from gateway import Gateway
from mqtt_clients import unique

mqtt = pytest.importorskip("paho.mqtt.client")

OWN = {
    "gateway": {"name": "plant"},
    "lines": [{"name": "own", "type": "internal"}],
    "devices": [
        {
            "name": "own",
            "line": "own",
            "tags": [
                {"name": "limit", "value": 10, "access": "rw", "min": 0, "max": 100},
                {"name": "double", "expression": "own/limit * 2", "type": "int32"},
            ],
        }
    ],
    "alarms": [{"name": "high", "tag": "own/double", "above": 100, "text": "too much"}],
}


def test_a_set_point_moves_what_is_computed_from_it_and_raises_an_alarm():
    seen = queue.Queue()
    with Gateway(OWN) as gw:
        client = mqtt.Client(client_id=unique("internal"))
        client.on_message = lambda _c, _u, m: seen.put((m.topic, m.retain, json.loads(m.payload)))
        client.on_subscribe = lambda *_: seen.put(("subscribed", False, None))
        client.connect("127.0.0.1", gw.port)
        client.subscribe("plant/#", qos=1)
        client.loop_start()

        def until(topic, **parts):
            while True:
                at, retain, payload = seen.get(timeout=20)
                if at == topic and all(payload.get(key) == value for key, value in parts.items()):
                    return retain, payload

        until("plant/own/double", value=20)
        client.publish("plant/own/limit/set", json.dumps({"id": "1", "value": 60}), qos=1)
        retain, event = until("plant/_gateway/event")
        assert not retain
        assert (event["name"], event["state"], event["tag"], event["value"]) == ("high", "raised", "own/double", 120)
        assert event["text"] == "too much" and event["ts"] > 0
        client.publish("plant/own/limit/set", json.dumps({"id": "2", "value": 50}), qos=1)
        until("plant/_gateway/event", state="cleared")
        client.publish("plant/own/double/set", json.dumps({"id": "3", "value": 5}), qos=1)
        assert until("plant/own/double/set/result", id="3")[1]["error"] == "read_only"
        client.loop_stop()
        client.disconnect()
