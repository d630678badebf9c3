"""Clients that nobody here wrote, made convenient: paho (3.1.1 and 5), mosquitto_pub and mosquitto_sub, node-mqtt."""

import itertools
import json
import queue
import subprocess
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway import HOST

TIMEOUT_S = 15
NODE = Path(__file__).resolve().parent / "node"
serial = itertools.count(1)


def unique(name):
    """A client id or topic that no other test uses."""
    return f"{name}-{next(serial)}"


def props(kind, **values):
    """paho's Properties: props("PUBLISH", MessageExpiryInterval=5)."""
    out = Properties(getattr(PacketTypes, kind))
    for name, value in values.items():
        setattr(out, name, value)
    return out


class Paho:
    """A paho client whose callbacks feed queues; every call waits for its answer."""

    def __init__(self, port, version=mqtt.MQTTv311, client_id=None, clean=True, keep_alive=60, will=None, properties=None):
        v5 = version == mqtt.MQTTv5
        self.connected, self.closed = queue.Queue(), queue.Queue()
        self.acks, self.arrived = queue.Queue(), queue.Queue()
        self.client = mqtt.Client(client_id or unique("paho"), protocol=version, **({} if v5 else {"clean_session": clean}))
        self.client.on_connect = lambda c, u, flags, rc, p=None: self.connected.put((flags, rc, p))
        self.client.on_disconnect = lambda c, u, rc, p=None: self.closed.put(rc)
        self.client.on_subscribe = lambda c, u, mid, granted, p=None: self.acks.put((mid, granted))
        self.client.on_unsubscribe = lambda c, u, mid, *a: self.acks.put((mid, a))
        self.client.on_message = lambda c, u, m: self.arrived.put(m)
        if will:
            self.client.will_set(**will)
        self.client.connect(HOST, port, keep_alive, **({"clean_start": clean, "properties": properties} if v5 else {}))
        self.client.loop_start()
        self.flags, self.reason, self.properties = self.connected.get(timeout=TIMEOUT_S)
        assert self.reason == 0, f"CONNACK says {self.reason}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def session_present(self):
        return bool(self.flags["session present"])

    def subscribe(self, topic, qos=0, **kw):
        rc, mid = self.client.subscribe(topic, qos, **kw)
        assert rc == mqtt.MQTT_ERR_SUCCESS
        got, granted = self.acks.get(timeout=TIMEOUT_S)
        assert got == mid
        return [int(str(g.value)) if hasattr(g, "value") else g for g in granted]

    def unsubscribe(self, topic):
        rc, mid = self.client.unsubscribe(topic)
        assert rc == mqtt.MQTT_ERR_SUCCESS and self.acks.get(timeout=TIMEOUT_S)[0] == mid

    def publish(self, topic, payload=b"", qos=0, retain=False, properties=None):
        info = self.client.publish(topic, payload, qos, retain, properties)
        info.wait_for_publish(TIMEOUT_S)
        assert info.is_published()

    def message(self):
        return self.arrived.get(timeout=TIMEOUT_S)

    def messages(self, n):
        return [self.message() for _ in range(n)]

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def drop(self):
        """Close the socket without DISCONNECT."""
        self.client.loop_stop()
        self.client._sock_close()


def mosquitto_pub(port, *args, **kw):
    done = subprocess.run(["mosquitto_pub", "-h", HOST, "-p", str(port), *args], capture_output=True, timeout=TIMEOUT_S, **kw)
    assert done.returncode == 0, done.stderr
    return done


class MosquittoSub:
    """mosquitto_sub that ends after `count` messages. Ready when constructed: it has printed SUBACK."""

    def __init__(self, port, *args, count):
        command = ["stdbuf", "-oL", "mosquitto_sub", "-d", "-h", HOST, "-p", str(port), "-C", str(count), "-W", "30"]
        self.process = subprocess.Popen([*command, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for line in self.process.stdout:
            if line.startswith(b"Subscribed"):
                return
        raise AssertionError("mosquitto_sub ended before it had subscribed")

    def lines(self):
        """What it printed for messages, debug lines left out."""
        out = self.process.stdout.read()  # not communicate(): it forgets what was read along with "Subscribed"
        assert self.process.wait(TIMEOUT_S) == 0, out
        return [x for x in out.splitlines() if not x.startswith((b"Client ", b"Subscribed "))]


def node(port, script, *args):
    """Run tests/node/SCRIPT with the URL and args; returns what it prints as JSON on its last line."""
    done = subprocess.run(["node", script, f"mqtt://{HOST}:{port}", *args], cwd=NODE, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])
