"""The Modbus view under masters that nobody here wrote: mbpoll, pymodbus, modbus-serial, jsmodbus.

LINESIDE_VIEW_SECONDS    how long the masters work beside the polls; 10 by default
"""

import json
import os
import shutil
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from gateway import HOST, Gateway, can_connect, free_port, wait_until

NODE = Path(__file__).resolve().parent / "node"
SECONDS = int(os.environ.get("LINESIDE_VIEW_SECONDS", "10"))
SIZE = 400


class Device(threading.Thread):
    """A Modbus/TCP device for one master at a time, as many PLCs are: it counts who comes, and what would collide.

    Registers 300 and 301 are each other's complement, and others with each request.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]
        self.regs = [0] * SIZE
        self.regs[1] = 1234
        self.connections = self.requests = self.collisions = 0
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.serve(peer)

    def close(self):
        self.listener.close()

    def serve(self, peer):
        with peer, peer.makefile("rb") as stream:
            while head := stream.read(7):
                transaction, _, length, unit = struct.unpack(">HHHB", head)
                pdu = stream.read(length - 1)
                peer.setblocking(False)
                try:
                    self.collisions += bool(peer.recv(1, socket.MSG_PEEK))  # a second request before the answer
                except BlockingIOError:
                    pass
                peer.setblocking(True)
                self.requests += 1
                answer = self.answer(pdu)
                peer.sendall(struct.pack(">HHHB", transaction, 0, len(answer) + 1, unit) + answer)

    def answer(self, pdu):
        fc, address, value = struct.unpack(">BHH", pdu[:5])
        self.regs[300:302] = [self.requests & 0xFFFF, ~self.requests & 0xFFFF]
        if fc == 6 and address < SIZE:
            self.regs[address] = value
            return pdu
        if fc != 3:
            return bytes([fc | 0x80, 1])
        if address + value > SIZE:
            return bytes([fc | 0x80, 2])
        return struct.pack(f">BB{value}H", fc, 2 * value, *self.regs[address : address + value])


@pytest.fixture
def device():
    d = Device()
    yield d
    d.close()


def config(device, **view):
    port = free_port()
    return port, {
        "lines": [
            {"name": "press", "type": "modbus-tcp", "host": HOST, "port": device.port},
            {"name": "gone", "type": "modbus-tcp", "host": HOST, "port": free_port(), "timeout": "100ms"},
        ],
        "devices": [
            {
                "name": "m",
                "line": "press",
                "groups": [{"name": "fast", "scan": "50ms"}],
                "tags": [
                    {"name": "a", "address": "holding:0", "type": "int16", "access": "rw", "min": 0, "max": 500},
                    {"name": "fixed", "address": "holding:1", "type": "int16"},
                    {"name": "pair", "address": "holding:300", "type": "uint32"},
                ],
            },
            {"name": "x", "line": "gone", "tags": [{"name": "a", "address": "holding:0", "type": "int16", "access": "rw"}]},
        ],
        "views": {"modbus": {"port": port, "pass": [{"units": "2-9", "line": "press"}, {"units": "30", "line": "gone"}], **view}},
    }


def ready(port):
    """Until the map has a good value."""

    def is_good():
        with ModbusTcpClient(HOST, port=port) as c:
            return not c.read_holding_registers(1, 1, slave=1).isError()

    wait_until("the view listens", lambda: can_connect(port))
    wait_until("a good value in the map", is_good)


def mbpoll(port, *args):
    assert shutil.which("mbpoll"), "mbpoll is missing: ./dev setup"
    return subprocess.run(["mbpoll", "-q", "-m", "tcp", "-p", str(port), "-0", "-1", "-o", "3", *args], capture_output=True, text=True, timeout=20)


def test_mbpoll_reads_and_writes_and_is_told_why_not(device):
    port, cfg = config(device)
    with Gateway(cfg):
        ready(port)
        done = mbpoll(port, "-a", "1", "-r", "1", "-t", "4", HOST)
        assert done.returncode == 0 and "1234" in done.stdout, done.stdout + done.stderr
        assert mbpoll(port, "-a", "1", "-r", "0", "-t", "4", HOST, "321").returncode == 0
        assert device.regs[0] == 321
        done = mbpoll(port, "-a", "1", "-r", "0", "-t", "4", HOST, "501")
        assert "Illegal data value" in done.stdout + done.stderr
        assert device.regs[0] == 321
        done = mbpoll(port, "-a", "1", "-r", "50", "-t", "4", HOST)
        assert "Illegal data address" in done.stdout + done.stderr
        done = mbpoll(port, "-a", "1", "-r", "100", "-t", "4", HOST)
        assert "Target device failed to respond" in done.stdout + done.stderr
        done = mbpoll(port, "-a", "30", "-r", "0", "-t", "4", HOST)
        assert "Gateway path unavailable" in done.stdout + done.stderr


def test_pymodbus_asks_what_it_is(device):
    from pymodbus.mei_message import ReadDeviceInformationRequest

    port, cfg = config(device)
    with Gateway(cfg):
        ready(port)
        c = ModbusTcpClient(HOST, port=port)
        told = c.execute(ReadDeviceInformationRequest(read_code=1, object_id=0, slave=1)).information
        c.close()
        assert told[1] == b"lineside"


def masters_beside_polls(device, port, read_pair):
    """pymodbus on a unit of the line, while others work; what it saw that is wrong."""
    wrong, reads = [], 0
    stop = threading.Event()

    def work():
        nonlocal reads
        with ModbusTcpClient(HOST, port=port) as c:
            while not stop.is_set():
                a, b = read_pair(c)
                reads += 1
                if a ^ b != 0xFFFF:
                    wrong.append((a, b))

    thread = threading.Thread(target=work)
    thread.start()
    scripts = [subprocess.Popen(["node", str(NODE / name), str(port), str(SECONDS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
               for name in ("modbus_serial.js", "jsmodbus.js")]
    polled = 0
    try:
        while any(s.poll() is None for s in scripts):
            done = mbpoll(port, "-a", "3", "-r", "1", "-t", "4", HOST)
            assert done.returncode == 0 and "1234" in done.stdout, done.stdout + done.stderr
            polled += 1
        told = [s.communicate(timeout=20) for s in scripts]
    finally:
        for s in scripts:
            s.kill()
        stop.set()
        thread.join()
    assert all(s.returncode == 0 for s in scripts), told
    seen = [json.loads(out) for out, _ in told]
    assert not wrong and not any(each["wrong"] for each in seen), (wrong, seen)
    assert reads > 20 and polled > 5 and all(each["reads"] > 20 for each in seen), (reads, polled, seen)
    assert seen[0]["writes"] > 20


def test_complaint_10_masters_share_a_device_that_takes_one_connection(device):
    """No wrong answer and no collision, with four other masters on the view and on the device behind it while it is polled."""
    assert (NODE / "node_modules" / "modbus-serial").is_dir(), "npm ci --prefix tests/node"
    port, cfg = config(device)
    with Gateway(cfg):
        ready(port)
        masters_beside_polls(device, port, lambda c: c.read_holding_registers(300, 2, slave=2).registers)
        assert device.connections == 1
        assert device.collisions == 0


def test_reload_keeps_masters_and_takes_the_rules(device):
    port, cfg = config(device)
    with Gateway(cfg) as gw:
        ready(port)
        with ModbusTcpClient(HOST, port=port) as c:
            assert not c.write_register(0, 5, slave=1).isError()
            cfg["views"]["modbus"]["default_access"] = "read"
            gw.reload(cfg)
            gw.wait_log("was read again")
            assert c.write_register(0, 6, slave=1).exception_code == 1
            assert c.read_holding_registers(1, 1, slave=1).registers == [1234]
            assert c.connected
            del cfg["views"]
            gw.reload(cfg)
            wait_until("the view is closed", lambda: not can_connect(port))


def test_an_allow_list_that_changes_holds_for_masters_that_are_connected(device):
    net = {"net": "127.0.0.0/8", "access": "write"}
    port, cfg = config(device, allow=[net])
    with Gateway(cfg) as gw:
        ready(port)
        with ModbusTcpClient(HOST, port=port) as c:
            for access, may_read, may_write in [("read", True, False), ("none", False, False), ("write", True, True)]:
                net["access"] = access
                gw.reload(cfg)
                # On the map, and through a route to the device itself.
                for unit, address in ((1, 0), (2, 50)):
                    wait_until(f"{access} holds", lambda: (c.read_holding_registers(1, 1, slave=unit).isError() != may_read
                                                           and c.write_register(address, 7, slave=unit).isError() != may_write))
                with socket.create_connection((HOST, port)) as s:
                    s.settimeout(5)
                    s.sendall(READ)
                    assert is_answered(s) == (access != "none")
            assert c.connected


def is_answered(connection):
    """Who is turned away finds the connection ended, or reset when the request came before that."""
    try:
        return connection.recv(100) != b""
    except ConnectionResetError:
        return False


READ = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 1, 1)  # register 1 of the map
ANSWER = struct.pack(">HHHBBBH", 1, 0, 5, 1, 3, 2, 1234)


def receive(s, n):
    got = b""
    while len(got) < n and (part := s.recv(n - len(got))):
        got += part
    return got


def ask(s):
    """False: it was closed."""
    try:
        s.sendall(READ)
        return receive(s, len(ANSWER)) == ANSWER
    except ConnectionError:
        return False


def test_the_master_that_is_silent_longest_makes_room(device):
    port, cfg = config(device, max_connections=10)
    with Gateway(cfg) as gw:
        ready(port)
        masters = [socket.create_connection((HOST, port), timeout=10) for _ in range(10)]
        assert all(ask(s) for s in masters)
        assert ask(masters[0])
        masters.append(socket.create_connection((HOST, port), timeout=10))
        assert ask(masters[10])
        assert [ask(s) for s in masters] == [i != 1 for i in range(11)]
        # A reload to less room closes those that are silent longest, and to more room none.
        for room, left in ((9, 9), (10, 9)):
            cfg["views"]["modbus"]["max_connections"] = room
            gw.reload(cfg)
            wait_until("it is read again", lambda: gw.log().count("was read again") == room - 8)
            masters = [s for s in masters if ask(s)]
            assert len(masters) == left
        # A hundred who come and ask at once: the ten that came last stay.
        crowd = [socket.create_connection((HOST, port), timeout=10) for _ in range(100)]
        assert all(ask(s) for s in crowd[-10:])
        assert not any(ask(s) for s in masters + crowd[:-10])
        for s in masters + crowd:
            s.close()


def test_a_master_that_does_not_read_holds_up_nobody_and_loses_nothing(device):
    port, cfg = config(device)
    with Gateway(cfg):
        ready(port)
        with socket.socket() as slow, ModbusTcpClient(HOST, port=port) as other:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect((HOST, port))
            slow.settimeout(1)
            batch, sent = READ * 1000, 0
            try:
                while sent < 100 << 20:
                    sent += slow.send(batch[sent % len(READ):])
            except TimeoutError:
                pass
            assert sent < 100 << 20, "it is not read from while it does not read"
            for _ in range(50):
                assert other.read_holding_registers(1, 1, slave=1).registers == [1234]
            slow.settimeout(20)
            whole = sent // len(READ)
            assert receive(slow, whole * len(ANSWER)) == ANSWER * whole


def test_a_port_that_is_taken_refuses_the_configuration(device):
    port, cfg = config(device)
    with Gateway(cfg) as gw:
        ready(port)
        cfg["views"]["modbus"]["port"] = device.port
        gw.reload(cfg)
        gw.wait_log("not taken")
        ready(port)


def test_masters_of_other_networks_are_not_let_in(device):
    port, cfg = config(device, allow=[{"net": "127.0.0.0/8", "access": "read"}, {"net": "127.0.0.1/32", "access": "none"},
                                      {"net": "127.0.0.2/32", "access": "write"}])
    with Gateway(cfg) as gw:
        gw.wait_log("views.modbus: on")
        with socket.create_connection((HOST, port)) as s:
            assert s.recv(1) == b""
        gw.wait_log("is not allowed to connect")
        with ModbusTcpClient(HOST, port=port, source_address=("127.0.0.2", 0)) as c:
            wait_until("a write", lambda: not c.write_register(0, 5, slave=1).isError())
        with ModbusTcpClient(HOST, port=port, source_address=("127.0.0.3", 0)) as c:
            assert c.write_register(0, 6, slave=1).exception_code == 1
            assert c.read_holding_registers(1, 1, slave=1).registers == [1234]
        assert device.regs[0] == 5


# ---- the map as a file ----


def write(tmp_path, cfg):
    cfg["listeners"] = [{"name": "a", "protocol": "mqtt", "address": HOST, "port": 0, "allow_anonymous": True}]
    path = tmp_path / "gateway.yaml"
    path.write_text(json.dumps(cfg))
    return path


def print_map(lineside, path):
    return subprocess.run([lineside, "modbus", "map", "-c", str(path)], capture_output=True, text=True, timeout=20)


def test_a_map_is_printed_edited_and_served(lineside, device, tmp_path):
    port, cfg = config(device)
    text = print_map(lineside, write(tmp_path, cfg)).stdout
    assert text.splitlines() == [
        "device,tag,area,address,type,order,registers,unit", "m,a,holding,0,int16,ABCD,1,", "m,fixed,input,1,int16,ABCD,1,",
        "m,pair,input,2,uint32,ABCD,2,", "x,a,holding,100,int16,ABCD,1,"]
    (tmp_path / "map.csv").write_text(text)
    cfg["views"]["modbus"]["map"] = str(tmp_path / "map.csv")
    assert print_map(lineside, write(tmp_path, cfg)).stdout == text
    (tmp_path / "map.csv").write_text("tag,device,area,address,type\r\nfixed,m,input,4000,float32\r\na,m,input,7,\r\n")
    del cfg["listeners"]
    with Gateway(cfg):
        wait_until("the view listens", lambda: can_connect(port))

        def values():
            with ModbusTcpClient(HOST, port=port) as c:
                got = c.read_input_registers(4000, 2, slave=1)
                return not got.isError() and (got.registers, c.write_register(7, 1, slave=1).exception_code)

        assert wait_until("a good value", values) == ([0x449A, 0x4000], 2)


def test_more_tags_at_the_end_move_no_other(lineside, device, tmp_path):
    _, cfg = config(device)
    before = print_map(lineside, write(tmp_path, cfg)).stdout.splitlines()
    cfg["devices"][0]["tags"].append({"name": "more", "address": "holding:9", "type": "float64", "group": "fast"})
    cfg["devices"][0]["tags"].append({"name": "bit", "address": "coil:9", "group": "fast"})
    cfg["devices"].append({"name": "z", "line": "press", "unit": 5, "tags": [{"name": "a", "address": "coil:0"}]})
    after = print_map(lineside, write(tmp_path, cfg)).stdout.splitlines()
    assert set(before) < set(after)
    assert "z,a,discrete,200,bool,,1," in after


FAULTS = {
    "device,tag,area\nm,a,holding\n": 'no column "address"',
    "device,tag,area,adress\n": 'found the column "adress"',
    "": "found nothing",
    "device,tag,area,address\nq,a,holding,0\n": 'line 2: found device "q"',
    "device,tag,area,address\nm,a,holding,0\nm,q,holding,1\n": 'line 3: found tag "q"',
    "device,tag,area,address\nm,fixed,holding,0\n": "read only: input",
    "device,tag,area,address\nm,a,coil,0\n": "holding, or input to be read only",
    "device,tag,area,address\nm,pair,input,65535\n": "allowed: 0..65534",
    "device,tag,area,address\nm,pair,input,two\n": 'found address "two"',
    "device,tag,area,address,type\nm,a,holding,0,string\n": "int16, or another number",
    "device,tag,area,address,order\nm,a,holding,0,ABCDEFGH\n": 'found order "ABCDEFGH"',
    "device,tag,area,address,registers\nm,a,holding,0,2\n": "allowed for type int16: 1",
    "device,tag,area,address\nm,a,holding,3\nm,pair,input,2\n": "overlaps m/pair at input 2",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_wrong_map_is_refused_with_its_line_and_what_is_allowed(lineside, device, tmp_path, text):
    _, cfg = config(device, map="map.csv")
    (tmp_path / "map.csv").write_text(text)
    done = print_map(lineside, write(tmp_path, cfg))
    assert done.returncode == 1
    assert "views.modbus.map: " in done.stderr and FAULTS[text] in done.stderr, done.stderr
