"""The tour of README.md works as written.

Code blocks that begin with ```sh tour are run one after another, each by bash -e in one scratch folder with build/ in PATH and
build/, examples/ and docs/ beside it, so `build/lineside` and `lineside` both work. What a block starts in the background
lives until the tour is over. An ```expect block behind a block lists lines that must appear in its output, in
which `...` stands for anything within the line.
"""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
TIMEOUT_S = 60


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


def run_tour(steps, folder, binary):
    (folder / "bin").mkdir()
    (folder / "build").mkdir()
    for name in ("bin", "build"):
        (folder / name / "lineside").symlink_to(binary)
    for name in ("examples", "docs"):
        (folder / name).symlink_to(ROOT / name)
    env = dict(os.environ, PATH=f"{folder / 'bin'}:{os.environ['PATH']}", HOME=str(folder))
    groups = []
    try:
        for number, (script, wanted) in enumerate(steps, 1):
            # A file, not a pipe: a background program of the block keeps it open, and nobody waits for that.
            log = folder / f"step-{number}.log"
            with open(log, "w") as out:
                block = subprocess.Popen(
                    ["bash", "-e", "-c", script], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out,
                    stderr=subprocess.STDOUT, start_new_session=True,
                )
            groups.append(block.pid)
            status = block.wait(TIMEOUT_S)
            output = log.read_text()
            assert status == 0, f"step {number} ended with {status}:\n{script}\n{output}"
            for line in wanted:
                assert has_line(output, line), f"step {number} did not print {line!r}:\n{script}\n{output}"
    finally:
        for group in reversed(groups):
            for sig in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(group, sig)
                except ProcessLookupError:
                    break


def test_every_command_of_the_tour_works(lineside, tmp_path):
    readme = ROOT / "README.md"
    steps = tour(readme.read_text())
    assert steps, "README.md has no ```sh tour block"
    run_tour(steps, tmp_path, lineside)


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
    run_tour(steps, tmp_path, lineside)
    assert (tmp_path / "step-2.log").read_text() == "Usage: lineside COMMAND [ARGUMENT...]\n2\n"


@pytest.mark.parametrize("script, wanted", [("false; true", []), ("echo one two", ["one three"]), ("true", ["..x"])])
def test_a_step_that_fails_or_says_something_else_is_noticed(lineside, tmp_path, script, wanted):
    with pytest.raises(AssertionError, match="step 1"):
        run_tour([(script, wanted)], tmp_path, lineside)
