"""An MQTT connection under full control of a test: every packet can be sent, wrong ones too, and is seen as it came.

    c = Raw(port).connect("id", SESSION_EXPIRY=60)        # asserts that CONNACK says yes
    c.subscribe("a/+", qos=1)
    c.publish("a/b", b"x", qos=1)                         # waits for PUBACK or the QoS 2 handshake
    m = c.message()                                       # next PUBLISH, acknowledged; others may be in between
    c.expect(DISCONNECT).reason

Blocking, with a time limit on each read. Properties are keyword arguments by their names in the standard
(USER_PROPERTY takes a list of pairs); those of a received packet are a dict in .props.
"""

import socket
import struct
from collections import deque

HOST = "127.0.0.1"
TIMEOUT_S = 15

(CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP,
 DISCONNECT, AUTH) = range(1, 16)
V31, V311, V5 = 3, 4, 5

# MQTT 5.0, 2.2.2.2
PROPERTIES = {
    "PAYLOAD_FORMAT": (0x01, "u8"), "MESSAGE_EXPIRY": (0x02, "u32"), "CONTENT_TYPE": (0x03, "str"),
    "RESPONSE_TOPIC": (0x08, "str"), "CORRELATION_DATA": (0x09, "bin"), "SUBSCRIPTION_ID": (0x0B, "var"),
    "SESSION_EXPIRY": (0x11, "u32"), "ASSIGNED_CLIENT_ID": (0x12, "str"), "SERVER_KEEP_ALIVE": (0x13, "u16"),
    "AUTH_METHOD": (0x15, "str"), "AUTH_DATA": (0x16, "bin"), "REQUEST_PROBLEM_INFO": (0x17, "u8"),
    "WILL_DELAY": (0x18, "u32"), "REQUEST_RESPONSE_INFO": (0x19, "u8"), "RESPONSE_INFO": (0x1A, "str"),
    "SERVER_REFERENCE": (0x1C, "str"), "REASON_STRING": (0x1F, "str"), "RECEIVE_MAXIMUM": (0x21, "u16"),
    "TOPIC_ALIAS_MAXIMUM": (0x22, "u16"), "TOPIC_ALIAS": (0x23, "u16"), "MAXIMUM_QOS": (0x24, "u8"),
    "RETAIN_AVAILABLE": (0x25, "u8"), "USER_PROPERTY": (0x26, "pair"), "MAXIMUM_PACKET_SIZE": (0x27, "u32"),
    "WILDCARD_AVAILABLE": (0x28, "u8"), "SUBSCRIPTION_ID_AVAILABLE": (0x29, "u8"), "SHARED_AVAILABLE": (0x2A, "u8"),
}
BY_ID = {number: (name, kind) for name, (number, kind) in PROPERTIES.items()}
REPEATED = ("USER_PROPERTY", "SUBSCRIPTION_ID")


def varint(n):
    out = b""
    while True:
        n, low = n >> 7, n & 0x7F
        out += bytes([low | (0x80 if n else 0)])
        if not n:
            return out


def string(s):
    s = s.encode() if isinstance(s, str) else s
    return struct.pack(">H", len(s)) + s


ENCODE = {
    "u8": lambda v: bytes([v]), "u16": lambda v: struct.pack(">H", v), "u32": lambda v: struct.pack(">I", v),
    "var": varint, "str": string, "bin": string, "pair": lambda v: string(v[0]) + string(v[1]),
}


def properties(props):
    out = b""
    for name, value in props.items():
        number, kind = PROPERTIES[name]
        for each in value if isinstance(value, list) else [value]:
            out += bytes([number]) + ENCODE[kind](each)
    return varint(len(out)) + out


def packet(kind, body=b"", flags=0):
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        assert self.at + n <= len(self.data), f"a packet ends too early: {self.data.hex()}"
        self.at += n
        return self.data[self.at - n:self.at]

    def u8(self):
        return self.take(1)[0]

    def u16(self):
        return struct.unpack(">H", self.take(2))[0]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def var(self):
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def bin(self):
        return self.take(self.u16())

    def str(self):
        return self.bin().decode()

    def pair(self):
        return self.str(), self.str()

    def rest(self):
        return self.take(len(self.data) - self.at)

    def props(self):
        end = self.var() + self.at
        out = {}
        while self.at < end:
            name, kind = BY_ID[self.u8()]
            value = getattr(self, kind)()
            if name in REPEATED:
                out.setdefault(name, []).append(value)
            else:
                assert name not in out, f"{name} twice"
                out[name] = value
        assert self.at == end, "a property leaves its list"
        return out


class Packet:
    """What came: kind, flags, and by kind reason, props, packet_id, codes, topic, payload, qos, dup, retain, present."""

    def __init__(self, first, body, version):
        self.kind, self.flags, self.body = first >> 4, first & 15, body
        self.reason, self.props, self.packet_id = 0, {}, None
        v5, r = version == V5, Reader(body)
        if self.kind == CONNACK:
            self.present, self.reason = bool(r.u8()), r.u8()
            self.props = r.props() if v5 and r.at < len(body) else {}
        elif self.kind == PUBLISH:
            self.dup, self.qos, self.retain = bool(self.flags & 8), self.flags >> 1 & 3, bool(self.flags & 1)
            self.topic = r.str()
            self.packet_id = r.u16() if self.qos else None
            self.props = r.props() if v5 else {}
            self.payload = r.rest()
        elif PUBACK <= self.kind <= PUBCOMP:
            self.packet_id = r.u16()
            self.ending(r, v5)
        elif self.kind in (SUBACK, UNSUBACK):
            self.packet_id = r.u16()
            self.props = r.props() if v5 else {}
            self.codes = list(r.rest())
        elif self.kind in (DISCONNECT, AUTH):
            self.ending(r, v5)

    def ending(self, r, v5):
        if v5 and r.at < len(self.body):
            self.reason = r.u8()
            self.props = r.props() if r.at < len(self.body) else {}

    @property
    def size(self):
        """Bytes of the whole packet, fixed header included."""
        return 1 + len(varint(len(self.body))) + len(self.body)

    def __repr__(self):
        return f"Packet({self.__dict__})"


class Closed(Exception):
    """The broker closed the connection."""


class Raw:
    def __init__(self, port, version=V5, timeout=TIMEOUT_S):
        self.version, self.buffer, self.next_id = version, b"", 0
        self.waiting = deque()  # packets that came while another kind was awaited
        self.aliases = {}       # the broker's topic aliases
        self.sock = socket.create_connection((HOST, port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Without DISCONNECT: the will is due."""
        self.sock.close()

    # -- bytes --

    def send(self, data):
        self.sock.sendall(data)
        return self

    def fill(self):
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed
        self.buffer += data

    def read(self):
        """The very next packet from the socket."""
        while True:
            done = self.split()
            if done:
                return done
            self.fill()

    def split(self):
        b = self.buffer
        for n in range(1, min(5, len(b))):
            if b[n] < 0x80:
                size = sum((b[1 + i] & 0x7F) << 7 * i for i in range(n)) + n + 1
                if len(b) < size:
                    return None
                self.buffer = b[size:]
                return Packet(b[0], b[n + 1:size], self.version)
        return None

    def expect(self, *kinds):
        """The next packet of one of these kinds; others wait for their turn."""
        for i, p in enumerate(self.waiting):
            if p.kind in kinds:
                del self.waiting[i]
                return p
        while True:
            p = self.read()
            if p.kind in kinds:
                return p
            self.waiting.append(p)

    def at_end(self):
        """All packets until the broker closes; fails when it does not."""
        got = list(self.waiting)
        self.waiting.clear()
        try:
            while True:
                got.append(self.read())
        except Closed:
            return got

    # -- packets --

    def new_id(self):
        self.next_id = self.next_id % 65535 + 1
        return self.next_id

    def body_props(self, props):
        return properties(props) if self.version == V5 else b""

    def connect_packet(self, client_id="", clean=True, keep_alive=0, will=None, username=None, password=None, **props):
        flags = (2 if clean else 0) | (0x80 if username is not None else 0) | (0x40 if password is not None else 0)
        body = string(client_id)
        if will:
            flags |= 4 | will.get("qos", 0) << 3 | (0x20 if will.get("retain") else 0)
            body += self.body_props(will.get("props", {})) + string(will["topic"]) + string(will.get("payload", b""))
        for field in (username, password):
            body += string(field) if field is not None else b""
        name = "MQIsdp" if self.version == V31 else "MQTT"
        head = string(name) + bytes([self.version, flags]) + struct.pack(">H", keep_alive)
        return packet(CONNECT, head + self.body_props(props) + body)

    def try_connect(self, *args, **kw):
        self.send(self.connect_packet(*args, **kw))
        return self.expect(CONNACK)

    def connect(self, *args, **kw):
        self.connack = self.try_connect(*args, **kw)
        assert self.connack.reason == 0, f"CONNACK {self.connack.reason:#x}"
        return self

    def disconnect(self, reason=0, **props):
        self.send(packet(DISCONNECT, bytes([reason]) + properties(props) if reason or props else b""))
        assert [p for p in self.at_end() if p.kind == DISCONNECT] == []
        self.close()

    def subscribe(self, *filters, qos=0, options=0, granted=None, **props):
        """Returns the codes of SUBACK, which must be what was asked for (or `granted`)."""
        packet_id = self.new_id()
        body = struct.pack(">H", packet_id) + self.body_props(props)
        body += b"".join(string(f) + bytes([qos | options]) for f in filters)
        self.send(packet(SUBSCRIBE, body, 2))
        ack = self.expect(SUBACK)
        assert ack.packet_id == packet_id
        assert ack.codes == (granted if granted is not None else [qos] * len(filters)), ack.codes
        return ack

    def unsubscribe(self, *filters):
        packet_id = self.new_id()
        body = struct.pack(">H", packet_id) + self.body_props({}) + b"".join(string(f) for f in filters)
        self.send(packet(UNSUBSCRIBE, body, 2))
        ack = self.expect(UNSUBACK)
        assert ack.packet_id == packet_id
        return ack

    def publish_packet(self, topic, payload=b"", qos=0, retain=False, dup=False, packet_id=None, **props):
        body = string(topic) + (struct.pack(">H", packet_id) if qos else b"") + self.body_props(props)
        return packet(PUBLISH, body + payload, (8 if dup else 0) | qos << 1 | (1 if retain else 0))

    def publish(self, topic, payload=b"", qos=0, retain=False, **props):
        """Send, and with QoS 1 and 2 go through the handshake. Returns the last acknowledgement, None for QoS 0."""
        packet_id = self.new_id() if qos else None
        self.send(self.publish_packet(topic, payload, qos, retain, packet_id=packet_id, **props))
        if qos == 0:
            return None
        ack = self.expect(PUBACK if qos == 1 else PUBREC)
        assert ack.packet_id == packet_id
        if qos == 1 or ack.reason >= 0x80:
            return ack
        self.send(packet(PUBREL, struct.pack(">H", packet_id), 2))
        done = self.expect(PUBCOMP)
        assert done.packet_id == packet_id
        return done

    def acknowledge(self, p):
        if p.qos == 1:
            self.send(packet(PUBACK, struct.pack(">H", p.packet_id)))
        elif p.qos == 2:
            self.send(packet(PUBREC, struct.pack(">H", p.packet_id)))
            rel = self.expect(PUBREL)
            assert rel.packet_id == p.packet_id and rel.flags == 2
            self.send(packet(PUBCOMP, struct.pack(">H", p.packet_id)))

    def message(self, acknowledge=True):
        """The next PUBLISH, its topic alias resolved."""
        p = self.expect(PUBLISH)
        alias = p.props.get("TOPIC_ALIAS")
        if alias is not None and p.topic:
            self.aliases[alias] = p.topic
        elif alias is not None:
            p.topic = self.aliases[alias]
        if acknowledge:
            self.acknowledge(p)
        return p

    def messages(self, n):
        return [self.message() for _ in range(n)]

    def ping(self):
        """Everything that the broker had to say before this is in `waiting` afterwards."""
        self.send(packet(PINGREQ))
        self.expect(PINGRESP)
        return self

    def pending(self):
        """PUBLISHes that are here already; with ping() before it: none other was on its way."""
        self.ping()
        return [p for p in self.waiting if p.kind == PUBLISH]
