"""`lineside pub` and `lineside sub` beside mosquitto_pub and mosquitto_sub, against Debian's Mosquitto broker."""

import base64
import json
import os
import queue
import re
import signal
import socket
import subprocess
import time

import paho.mqtt.client as paho
import pytest

PATIENCE_S = 20
VERSIONS = ["31", "311", "5"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Broker:
    def __init__(self, folder, *lines):
        self.port, self.process = free_port(), None
        self.config = folder / "mosquitto.conf"
        self.config.write_text("\n".join([f"listener {self.port} 127.0.0.1", "log_dest none", *lines]) + "\n")

    def start(self):
        env = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}
        self.process = subprocess.Popen(["mosquitto", "-c", self.config], env=env, stderr=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.02)
        raise TimeoutError("mosquitto does not listen")

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        self.process = None


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    b = Broker(tmp_path_factory.mktemp("broker"), "allow_anonymous true", "max_queued_messages 0").start()
    yield b
    b.stop()


@pytest.fixture
def own_broker(tmp_path):
    b = Broker(tmp_path, "allow_anonymous true").start()
    yield b
    b.stop()


@pytest.fixture(scope="module")
def strict_broker(tmp_path_factory):
    b = Broker(tmp_path_factory.mktemp("strict"), "allow_anonymous false").start()
    yield b
    b.stop()


@pytest.fixture
def tools(lineside):
    """The two commands of each family: tools["sub"] is [ours, theirs]."""
    return {"pub": [[lineside, "pub"], ["mosquitto_pub"]], "sub": [[lineside, "sub"], ["mosquitto_sub"]]}


def run(command, broker, *args, stdin=b""):
    """Run a command against the broker to its end."""
    full = [*command, "-h", "127.0.0.1", "-p", str(broker.port), *args]
    return subprocess.run(full, input=stdin, capture_output=True, timeout=60)


def ok(command, broker, *args, stdin=b""):
    done = run(command, broker, *args, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def listener(broker):
    """Everything that is published, as (topic, payload, qos, retain) in a queue."""
    got = queue.Queue()
    ready = queue.Queue()
    client = paho.Client()
    client.on_message = lambda _c, _u, m: got.put((m.topic, m.payload, m.qos, m.retain))
    client.on_subscribe = lambda *_: ready.put(True)
    client.connect("127.0.0.1", broker.port)
    client.subscribe("live/#", 2)
    client.loop_start()
    ready.get(timeout=PATIENCE_S)
    yield got
    client.disconnect()
    client.loop_stop()


class Running:
    """A `lineside sub -d` in the background whose lines are read as they come."""

    def __init__(self, lineside, broker, *args):
        full = [lineside, "sub", "-d", "-h", "127.0.0.1", "-p", str(broker.port), *args]
        self.process = subprocess.Popen(full, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def until(self, pattern):
        for line in self.process.stdout:
            if re.search(pattern, line):
                return line
        raise AssertionError(f"it ended without {pattern!r}: {self.process.stderr.read()}")

    def stop(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


@pytest.fixture
def running(lineside):
    started = []

    def start(broker, *args):
        started.append(Running(lineside, broker, *args))
        return started[-1]

    yield start
    for r in started:
        if r.process.poll() is None:
            r.stop()


# ---- what is printed ----

PROPERTIES = ["-V", "5", "-D", "publish", "content-type", "text/plain", "-D", "publish", "user-property", "k", "v"]
PROPERTIES += ["-D", "publish", "user-property", "k2", 'v"2', "-D", "publish", "response-topic", "r/t"]
PROPERTIES += ["-D", "publish", "correlation-data", "cd", "-D", "publish", "payload-format-indicator", "1"]


@pytest.fixture(scope="module")
def stored(broker):
    """Retained messages that both subs can be shown one after the other."""
    theirs = ["mosquitto_pub"]
    ok(theirs, broker, "-r", "-q", "2", "-t", "plain/topic", "-m", "hello")
    ok(theirs, broker, "-r", "-q", "1", "-t", "props/x", "-m", "hello", *PROPERTIES)
    ok(theirs, broker, "-r", "-t", "json/x", "-m", '{"a": 27.5, "b": [1, 2 ,3], "s": "\u00e9"}')
    ok(theirs, broker, "-r", "-t", "bytes/x", "-s", stdin=b'\xff\x00\x01ab\n"\\')
    ok(theirs, broker, "-r", "-t", "utf8/x", "-m", 'gr\u00fc\u00dfe "x" \\ \t')
    ok(theirs, broker, "-r", "-t", "float/x", "-s", stdin=b"\x00\x00\x80\x3f")


FORMATS = [
    "%t|%p|%q|%r|%l|%m|%%|@@|\\\\",
    "%A|%C|%E|%F|%R|%S|%P|%D|",
    "%5A|%05E|%-3S|%4F|%10C|%010C|%.2C|%.2R|",
    "%x|%X|%20t|%-20t|%.3t|%10.3t|%-10.3t|%3t|%.0t|",
    "%10p|%-10p|%010p|%05l|%-5l|%5m|%5q|%5r|%5%|%5P|%9D|",
    "\\n\\t\\r\\e\\a\\v\\0x",
    "no field at all",
    "@Y-@m",
]

FLAGS = [
    [],
    ["-v"],
    ["-N"],
    ["-v", "-N"],
    ["-N", "-F", "%t"],
    ["-v", "-F", "%p"],
    ["--verbose", "--qos", "2"],
    ["-V", "mqttv31"],
    ["-V", "5", "-q", "1"],
    ["-i", "some-id", "-k", "30"],
    ["-I", "pre-", "-u", "user"],
]


@pytest.mark.parametrize("flags", FLAGS, ids=" ".join)
def test_sub_prints_what_mosquitto_sub_prints(tools, broker, stored, flags):
    for topic in ["plain/topic", "props/x", "json/x", "bytes/x", "utf8/x"]:
        ours, theirs = (ok(tool, broker, "-t", topic, "-C", "1", "-W", "10", *flags) for tool in tools["sub"])
        assert ours == theirs


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("version", VERSIONS)
def test_formats_print_what_mosquitto_sub_prints(tools, broker, stored, format, version):
    more = ["-D", "subscribe", "subscription-identifier", "42"] if version == "5" else []
    for topic, qos in [("plain/topic", "2"), ("props/x", "1"), ("bytes/x", "0")]:
        args = ["-t", topic, "-q", qos, "-V", version, "-C", "1", "-W", "10", "-F", format, *more]
        ours, theirs = (ok(tool, broker, *args) for tool in tools["sub"])
        assert ours == theirs


@pytest.mark.parametrize("format", ["%j", "%J"])
@pytest.mark.parametrize("version", ["311", "5"])
def test_json_formats_say_what_mosquitto_sub_says(tools, broker, stored, format, version):
    for topic in ["json/x", "plain/topic", "props/x", "utf8/x"]:
        if format == "%J" and topic != "json/x":
            continue
        args = ["-t", topic, "-q", "1", "-V", version, "-C", "1", "-W", "10", "-F", format]
        ours, theirs = (json.loads(ok(tool, broker, *args)) for tool in tools["sub"])
        assert list(ours) == list(theirs)
        for said in (ours, theirs):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z[+-]\d{4}", said.pop("tst"))
        assert ours == theirs


def test_times_have_the_shape_of_mosquittos(tools, broker, stored):
    shape = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}\|\d{10}\.\d{9}\|\d\d:\d\d:\d\d\n"
    for tool in tools["sub"]:
        out = ok(tool, broker, "-t", "plain/topic", "-C", "1", "-W", "10", "-F", "%I|%U|@H:@M:@S")
        assert re.fullmatch(shape, out)


def test_binary_numbers_are_printed_as_numbers(lineside, broker, stored):
    assert ok([lineside, "sub"], broker, "-t", "float/x", "-C", "1", "-F", "%f|%8.2f|%-8.1f|") == b"1.000000|    1.00|1.0     |\n"


def test_a_payload_that_does_not_fit_the_format_is_an_error_line(lineside, broker, stored):
    done = run([lineside, "sub"], broker, "-t", "plain/topic", "-C", "1", "-F", "%J")
    assert b"plain/topic" in done.stderr and done.returncode == 0


def test_json_lines(lineside, broker, stored):
    def said(topic, *args):
        return json.loads(ok([lineside, "sub"], broker, "--json", "-t", topic, "-C", "1", *args))

    before = time.time() * 1000
    plain = said("plain/topic", "-q", "2")
    assert before - 1000 < plain.pop("ts") < time.time() * 1000 + 1000
    assert plain == {"topic": "plain/topic", "payload": "hello", "qos": 2, "retain": True, "mid": 1}
    raw = said("bytes/x")
    assert raw["encoding"] == "base64" and base64.b64decode(raw["payload"]) == b'\xff\x00\x01ab\n"\\'
    assert "mid" not in raw and "props" not in raw
    assert said("utf8/x")["payload"] == 'gr\u00fc\u00dfe "x" \\ \t'
    props = said("props/x", "-V", "5")["props"]
    assert props["user-property"] == [["k", "v"], ["k2", 'v"2']]
    assert (props["content-type"], props["correlation-data"], props["payload-format-indicator"]) == ("text/plain", "cd", 1)


@pytest.mark.parametrize("flags", [[], ["-v"], ["-N"], ["-v", "-N"], ["-F", "%p|%5p|%x|%l"]], ids=" ".join)
def test_messages_of_no_bytes_print_what_mosquitto_prints(tools, broker, flags):
    outs = []
    for tool in tools["sub"]:
        kept = ["-c", "-i", "empties", "-q", "1", "-t", "empty"]
        ok(tool, broker, *kept, "-E")
        for args in (["-n"], ["-m", "x"], ["-n"]):
            ok(["mosquitto_pub"], broker, "-t", "empty", "-q", "1", *args)
        outs.append(ok(tool, broker, *kept, "-C", "3", "-W", "10", *flags))
        ok(tool, broker, *kept[1:], "-E")
    assert outs[0] == outs[1]


# ---- what is published ----

PUBLISHES = [
    (["-m", "text"], b""),
    (["-m", "text", "-q", "1"], b""),
    (["-m", "text", "-q", "2", "-V", "mqttv5"], b""),
    (["-m", "text", "-V", "mqttv31", "-q", "2"], b""),
    (["-m", "-starts-with-a-dash"], b""),
    (["-m", ""], b""),
    (["-n"], b""),
    (["-s"], b"all\nof\nthis\n"),
    (["-s"], bytes(range(256))),
    (["-l"], b"one\ntwo\n\nlast without newline"),
    (["-l", "-q", "1"], b"".join(b"line %d\n" % n for n in range(2000))),
    (["-l", "-q", "2", "-M", "3"], b"".join(b"line %d\n" % n for n in range(200))),
    (["-l"], b""),
    (["-m", "x", "--repeat", "3"], b""),
    (["-m", "x", "--repeat", "2", "--repeat-delay", "0.05", "-q", "1"], b""),
    (["-f", "/etc/hostname"], b""),
    (["-m", "x", *PROPERTIES], b""),
]


@pytest.mark.parametrize("args, stdin", PUBLISHES, ids=lambda a: " ".join(a)[:40] if isinstance(a, list) else f"{len(a)} bytes")
def test_pub_publishes_what_mosquitto_pub_publishes(tools, broker, listener, args, stdin):
    seen = []
    for tool in tools["pub"]:
        ok(tool, broker, "-t", "live/a", *args, stdin=stdin)
        ok(["mosquitto_pub"], broker, "-t", "live/end", "-m", "end", "-q", "2")
        messages = []
        while (m := listener.get(timeout=PATIENCE_S))[0] != "live/end":
            messages.append(m)
        seen.append(messages)
    assert seen[0] == seen[1]


def test_a_retained_message_is_kept_and_cleared(lineside, broker):
    ok([lineside, "pub"], broker, "-t", "kept/x", "-m", "k", "-r")
    assert ok(["mosquitto_sub"], broker, "-t", "kept/x", "-C", "1", "-F", "%p %r") == b"k 1\n"
    ok([lineside, "pub"], broker, "-t", "kept/x", "-n", "-r")
    assert run([lineside, "sub"], broker, "-t", "kept/x", "-C", "1", "-W", "1").returncode == 27


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_large_payloads_arrive_whole(lineside, broker, tmp_path, version, qos):
    large = os.urandom(5_000_000)
    file = tmp_path / "large"
    file.write_bytes(large)
    ok([lineside, "pub"], broker, "-t", "large/x", "-f", str(file), "-r", "-q", qos, "-V", version)
    got = ok([lineside, "sub"], broker, "-t", "large/x", "-N", "-C", "1", "-q", qos, "-V", version)
    ok([lineside, "pub"], broker, "-t", "large/x", "-n", "-r")
    assert got == large


def test_url_names_it_all(lineside, broker):
    url = f"mqtt://user:secret@127.0.0.1:{broker.port}/plain/url"
    subprocess.run([lineside, "pub", "-L", url, "-m", "u", "-r"], check=True, timeout=PATIENCE_S)
    done = subprocess.run([lineside, "sub", "-L", url, "-C", "1", "-v"], capture_output=True, timeout=PATIENCE_S)
    assert done.stdout == b"plain/url u\n"


# ---- exit status and faults ----

FAULTS = [
    ("pub", ["-t", "a"]),
    ("pub", ["-m", "a"]),
    ("pub", ["-t", "#", "-m", "a"]),
    ("pub", ["-t", "a", "-m", "a", "--bogus"]),
    ("pub", ["-t", "a", "-m", "x", "-m", "y"]),
    ("pub", ["-t", "a", "-f", "/nonexistent"]),
    ("pub", ["-t", "a", "-s"]),
    ("pub", ["-t", "a", "-m", "x", "--will-payload", "x"]),
    ("pub", ["-t", "a", "-m", "x", "--will-topic", "+"]),
    ("pub", ["-t", "a", "-m", "x", "-D", "publish", "foo", "bar"]),
    ("pub", ["-t", "a", "-m", "x", "-D", "publish", "will-delay-interval", "1"]),
    ("pub", ["-t", "a", "-m", "x", "-D", "foo", "topic-alias", "1"]),
    ("pub", ["-t", "a", "-m", "x", "-D", "publish", "payload-format-indicator", "300"]),
    ("pub", ["-t", "a", "-m", "x", "-P", "secret"]),
    ("pub", ["-t", "a", "-m", "x", "-t"]),
    ("sub", []),
    ("sub", ["-t", "a/#b"]),
    ("sub", ["-t", "a", "-q", "3"]),
    ("sub", ["-t", "a", "-W", "0"]),
    ("sub", ["-t", "a", "-C", "0"]),
    ("sub", ["-t", "a", "-C", "x"]),
    ("sub", ["-t", "a", "-F", "%"]),
    ("sub", ["-t", "a", "-F", "%Z"]),
    ("sub", ["-t", "a", "-F", "\\q"]),
    ("sub", ["-t", "a", "-F", "@"]),
    ("sub", ["-t", "a", "-c"]),
    ("sub", ["-t", "a", "-k", "3"]),
    ("sub", ["-t", "a", "-V", "7"]),
    ("sub", ["-t", "a", "-i", "x", "-I", "y"]),
    ("sub", ["-t", "a", "-R", "--retained-only"]),
]


@pytest.mark.parametrize("which, args", FAULTS, ids=lambda a: a if isinstance(a, str) else " ".join(a))
def test_faults_end_with_mosquittos_status_and_a_line_that_helps(tools, broker, which, args):
    ours, theirs = (run(tool, broker, *args) for tool in tools[which])
    assert ours.returncode == theirs.returncode == 1
    assert ours.stdout == b"" and ours.stderr.startswith(b"lineside ")


@pytest.mark.parametrize("version", ["311", "5"])
def test_a_refused_connection_ends_with_its_code(tools, strict_broker, version):
    for which, args in [("pub", ["-t", "a", "-m", "x"]), ("sub", ["-t", "a"])]:
        ours, theirs = (run(tool, strict_broker, "-V", version, *args) for tool in tools[which])
        assert ours.returncode == theirs.returncode == (5 if version == "311" else 135)
        assert b"not authorized" in ours.stderr.lower()
    assert run(tools["sub"][0], strict_broker, "-t", "a", "--quiet").stderr == b""


def test_no_broker_is_said_with_its_address(lineside):
    port = str(free_port())
    for args in (["pub", "-t", "a", "-m", "x"], ["sub", "-t", "a"]):
        done = subprocess.run([lineside, *args, "-h", "127.0.0.1", "-p", port], capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 1 and f"127.0.0.1:{port}" in done.stderr


def test_the_ways_to_end(tools, broker, stored):
    for args, status in [
        (["-t", "nothing", "-W", "1"], 27),
        (["-t", "nothing", "-E"], 0),
        (["-t", "nothing", "-U", "else", "-E"], 0),
        (["-t", "plain/topic", "-C", "1"], 0),
        (["-t", "plain/topic", "-R", "-W", "1"], 27),
        (["-t", "plain/#", "-T", "plain/+", "-W", "1"], 27),
    ]:
        ours, theirs = (run(tool, broker, *args) for tool in tools["sub"])
        assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout) and ours.returncode == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_sub_orderly(running, broker, number):
    sub = running(broker, "-t", "x")
    sub.until("Subscribed")
    sub.process.send_signal(number)
    sub.until("sending DISCONNECT")
    assert sub.process.wait(PATIENCE_S) == 0


# ---- sessions, wills, reconnects ----


@pytest.mark.parametrize("version", ["311", "5"])
def test_a_kept_session_holds_messages(lineside, broker, version):
    keep = ["-c", "-i", f"kept-{version}", "-q", "1", "-V", version, "-t", "session/x"]
    ok([lineside, "sub"], broker, *keep, "-E")
    ok([lineside, "pub"], broker, "-t", "session/x", "-m", "while away", "-q", "1")
    assert ok([lineside, "sub"], broker, *keep, "-C", "1", "-W", "10") == b"while away\n"
    ok([lineside, "sub"], broker, *keep[1:], "-E")  # without -c the session ends


@pytest.mark.parametrize("version", VERSIONS)
def test_the_will_is_published_when_sub_is_killed(running, broker, listener, version):
    will = ["--will-topic", "live/will", "--will-payload", "gone", "--will-qos", "1", "-V", version]
    sub = running(broker, "-t", "x", *will)
    sub.until("Subscribed")
    sub.stop(signal.SIGKILL)
    assert listener.get(timeout=PATIENCE_S) == ("live/will", b"gone", 1, 0)


def test_will_properties_and_retain_go_along(running, broker):
    will = ["--will-topic", "willed/x", "--will-payload", "gone", "--will-retain", "-D", "will", "content-type", "c/t"]
    sub = running(broker, "-t", "x", *will)
    sub.until("Subscribed")
    sub.stop(signal.SIGKILL)
    assert ok(["mosquitto_sub"], broker, "-t", "willed/x", "-C", "1", "-W", "10", "-V", "5", "-F", "%p %r %C") == b"gone 1 c/t\n"


@pytest.mark.parametrize("version", VERSIONS)
def test_sub_comes_back_after_the_broker(running, own_broker, version):
    sub = running(own_broker, "-t", "back", "-V", version, "-q", "1")
    sub.until("Subscribed")
    own_broker.stop()
    own_broker.start()
    sub.until("received SUBACK")
    ok(["mosquitto_pub"], own_broker, "-t", "back", "-m", "hello again", "-q", "1")
    assert sub.until("^hello") == "hello again\n"


def test_pub_finishes_after_the_broker_comes_back(lineside, own_broker):
    pub = subprocess.Popen(
        [lineside, "pub", "-d", "-p", str(own_broker.port), "-t", "lines", "-l", "-q", "1", "-r"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pub.stdin.write("first\n")
    pub.stdin.flush()
    while "received PUBACK" not in pub.stdout.readline():
        pass
    own_broker.stop()
    pub.stdin.write("second\nthird\n")
    pub.stdin.flush()
    own_broker.start()
    assert pub.communicate(timeout=PATIENCE_S)[1].count("connection to") == 1 and pub.returncode == 0
    assert ok(["mosquitto_sub"], own_broker, "-t", "lines", "-C", "1", "-W", "10") == b"third\n"


# ---- more of sub ----


def test_retained_messages_can_be_removed(lineside, broker):
    for n in range(3):
        ok(["mosquitto_pub"], broker, "-t", f"rubbish/{n}", "-m", "x", "-r")
    out = ok([lineside, "sub"], broker, "-v", "-t", "rubbish/#", "-T", "rubbish/1", "--remove-retained", "--retained-only")
    assert sorted(out.splitlines()) == [b"rubbish/0 x", b"rubbish/2 x"]
    assert ok([lineside, "sub"], broker, "-v", "-t", "rubbish/#", "-C", "1", "-W", "10") == b"rubbish/1 x\n"
    assert run([lineside, "sub"], broker, "-v", "-t", "rubbish/#", "-C", "2", "-W", "1").returncode == 27


def test_a_password_is_not_in_the_process_list(running, broker):
    for args in (["-u", "me", "-P", "hush-hush"], ["-L", f"mqtt://me:hush-hush@127.0.0.1:{broker.port}/x"]):
        sub = running(broker, "-t", "x", *args)
        sub.until("Subscribed")
        with open(f"/proc/{sub.process.pid}/cmdline", "rb") as f:
            assert b"hush" not in f.read()


def test_version_and_help(lineside):
    for command in ("pub", "sub"):
        done = subprocess.run([lineside, command, "--version"], capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0 and done.stdout.startswith("lineside ")
        assert subprocess.run([lineside, command, "--help"], capture_output=True, timeout=PATIENCE_S).returncode == 0
