"""The tour of README.md works as written.

Code blocks that begin with ```sh tour are run one after another, each by bash -e in one scratch folder with build/ in PATH and
build/, examples/ and docs/ beside it, so `build/lineside` and `lineside` both work. What a block starts in the background
lives until the tour is over. An ```expect block behind a block lists lines that must appear in its output, in
which `...` stands for anything within the line.

The tour uses the ports of examples/quickstart.yaml. Where one of them is taken, it runs with others: in its commands and
expectations, in a copy of examples/, and as the default port of pub and sub.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from gateway import can_connect, free_port, wait_until

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
TIMEOUT_S = 60
PORTS = ("1883", "1502")
# What a step starts in the background and the next one talks to.
SERVES = re.compile(r"lineside (?:modbus serve -p (?P<device>\d+)|serve -c (?P<file>\S+)).*&$", re.MULTILINE)


def tour(text):
    """[(script, [expected line...])...] of a page."""
    steps, at = [], 0
    for match in BLOCK.finditer(text):
        kind, body = match.group(1).split(), match.group(2)
        if kind == ["sh", "tour"]:
            steps.append((body, []))
        elif kind == ["expect"]:
            assert steps and not text[at:match.start()].strip(), "an expect block stands right behind its tour block"
            steps[-1] = (steps[-1][0], body.splitlines())
        at = match.end()
    return steps


def has_line(output, wanted):
    pattern = ".*".join(re.escape(part.strip()) for part in wanted.split("..."))
    return any(re.search(pattern, line) for line in output.splitlines())


def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", int(port)))
        except OSError:
            return False
    return True


def other_ports():
    """{port of the tour: port to use}; empty when those of the tour are free."""
    return {} if all(map(is_free, PORTS)) else {port: str(free_port()) for port in PORTS}


def with_ports(text, ports):
    return re.sub(r"\b(%s)\b" % "|".join(PORTS), lambda m: ports.get(m[0], m[0]), text)


def furnish(folder, binary, ports):
    """bin/, build/, docs/ and examples/ of the scratch folder."""
    for name in ("bin", "build"):
        (folder / name).mkdir()
        program = folder / name / "lineside"
        if not ports:
            program.symlink_to(binary)
            continue
        program.write_text(
            f'#!/bin/sh\ncase ${{1-}} in\npub | sub) name=$1; shift; exec {binary} $name -p {ports["1883"]} "$@" ;;\nesac\n'
            f'exec {binary} "$@"\n')
        program.chmod(0o755)
    (folder / "docs").symlink_to(ROOT / "docs")
    if not ports:
        (folder / "examples").symlink_to(ROOT / "examples")
        return
    shutil.copytree(ROOT / "examples", folder / "examples")
    for example in (folder / "examples").iterdir():
        example.write_text(with_ports(example.read_text(), ports))


def wait_served(script, folder, said):
    """Until what the step started accepts connections and has said so: a reader is slower than that, a test is not."""
    for started in SERVES.finditer(script):
        port = started["device"] or re.search(r"port: (\d+)", (folder / started["file"]).read_text())[1]
        wait_until(f"port {port} accepts", lambda port=port: can_connect(int(port)), TIMEOUT_S)
        wait_until("its output", said, TIMEOUT_S)


def run_tour(steps, folder, binary, ports):
    furnish(folder, binary.resolve(), ports)
    env = dict(os.environ, PATH=f"{folder / 'bin'}:{os.environ['PATH']}", HOME=str(folder))
    groups = []
    try:
        for number, (script, wanted) in enumerate(steps, 1):
            script = with_ports(script, ports)
            # A file, not a pipe: a background program of the block keeps it open, and nobody waits for that.
            log = folder / f"step-{number}.log"
            with open(log, "w") as out:
                block = subprocess.Popen(
                    ["bash", "-e", "-c", script], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out,
                    stderr=subprocess.STDOUT, start_new_session=True,
                )
            groups.append(block.pid)
            status = block.wait(TIMEOUT_S)
            wanted = [with_ports(line, ports) for line in wanted]
            wait_served(script, folder, lambda: all(has_line(log.read_text(), line) for line in wanted))
            output = log.read_text()
            assert status == 0, f"step {number} ended with {status}:\n{script}\n{output}"
            for line in wanted:
                assert has_line(output, line), f"step {number} did not print {line!r}:\n{script}\n{output}"
    finally:
        for sig in (signal.SIGTERM, signal.SIGKILL):
            for group in reversed(groups):
                try:
                    os.killpg(group, sig)
                except ProcessLookupError:
                    pass


def test_every_command_of_the_tour_works(lineside, tmp_path):
    readme = ROOT / "README.md"
    steps = tour(readme.read_text())
    assert steps, "README.md has no ```sh tour block"
    run_tour(steps, tmp_path, lineside, other_ports())


PAGE = """
```sh tour
lineside --version
sleep 100 &
```

```expect
lineside ...
```
```sh
false
```
```sh tour
build/lineside --help | head -1; echo $((1 + 1))
```
"""


def test_blocks_marked_as_tour_are_run_in_order(lineside, tmp_path):
    steps = tour(PAGE)
    assert [wanted for _, wanted in steps] == [["lineside ..."], []]
    run_tour(steps, tmp_path, lineside, {})
    assert (tmp_path / "step-2.log").read_text() == "Usage: lineside COMMAND [ARGUMENT...]\n2\n"


@pytest.mark.parametrize("script, wanted", [("false; true", []), ("echo one two", ["one three"]), ("true", ["..x"])])
def test_a_step_that_fails_or_says_something_else_is_noticed(lineside, tmp_path, script, wanted):
    with pytest.raises(AssertionError, match="step 1"):
        run_tour([(script, wanted)], tmp_path, lineside, {})


def test_a_tour_whose_ports_are_taken_runs_on_others(lineside, tmp_path):
    readme = (ROOT / "README.md").read_text()
    ports = {port: str(free_port()) for port in PORTS}
    run_tour(tour(readme), tmp_path, lineside, ports)
    assert ports["1502"] in (tmp_path / "build" / "device.log").read_text()


def test_a_port_in_use_is_seen():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not is_free(taken.getsockname()[1])
