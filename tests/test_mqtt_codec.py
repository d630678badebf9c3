"""The packets of our encoder, read by the dissector of Wireshark: no complaint, and the same type and length."""
import pathlib
import shutil
import struct
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Binary data is shown as text there, and a NUL in it is found strange; and each packet here is alone in its connection, so
# that nobody has said what its alias stands for.
EXPECTED = ("Trailing stray characters", "Unknown topic alias")
VERSIONS = {3: "3.1", 4: "3.1.1", 5: "5.0"}


@pytest.fixture(scope="module")
def packets(tmp_path_factory):
    """{name: bytes}; a name says packet type, version, variant and mix of properties."""
    folder = tmp_path_factory.mktemp("mqtt")
    program = folder / "mqtt_corpus"
    out = folder / "packets"
    out.mkdir()
    sources = [ROOT / "fuzz/mqtt_corpus.c", ROOT / "src/base/err.c"]
    sources += [p for p in sorted((ROOT / "src/wire").glob("mqtt_*.c")) if not p.name.endswith("_test.c")]
    compiler = shutil.which("cc") or shutil.which("gcc")
    subprocess.run([compiler, "-std=c17", "-D_GNU_SOURCE", f"-I{ROOT / 'src'}", "-o", program, *sources], check=True, timeout=120)
    subprocess.run([program, out, folder / "dictionary"], check=True, timeout=60)
    return {p.name: p.read_bytes() for p in sorted(out.iterdir())}


def write_pcap(path, payloads):
    """Each payload is one TCP segment of a connection of its own, to port 1883."""
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))  # raw IP
        for n, payload in enumerate(payloads):
            tcp = struct.pack(">HHIIBBHHH", 20000 + n, 1883, 1, 1, 5 << 4, 0x18, 65535, 0, 0) + payload
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), n, 0, 64, 6, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
            f.write(struct.pack("<IIII", n, 0, len(ip + tcp), len(ip + tcp)) + ip + tcp)


def dissect(path, version, fields):
    command = ["tshark", "-n", "-r", path, "-o", f"mqtt.default_version:MQTT v{VERSIONS[version]}", "-T", "fields", "-E", "separator=|"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, check=True, timeout=120, capture_output=True, text=True)
    return [line.split("|") for line in done.stdout.splitlines()]


@pytest.mark.skipif(not shutil.which("tshark"), reason="needs tshark")
@pytest.mark.parametrize("version", VERSIONS)
def test_wireshark_reads_what_we_encode(packets, version, tmp_path):
    ours = {name: data for name, data in packets.items() if f"-v{version}-" in name}
    assert len(ours) > 30
    write_pcap(tmp_path / "ours.pcap", ours.values())
    rows = dissect(tmp_path / "ours.pcap", version, ["mqtt.msgtype", "mqtt.len", "_ws.malformed", "_ws.expert.message"])
    assert len(rows) == len(ours)
    for (name, data), (kind, length, malformed, expert) in zip(ours.items(), rows):
        head = next(i for i in range(1, 5) if data[i] < 128) + 1
        assert (kind, length) == (str(data[0] >> 4), str(len(data) - head)), name
        for complaint in EXPECTED:
            expert = expert.replace(complaint, "").strip(",")
        assert not malformed and not expert, (name, data.hex(), expert)
