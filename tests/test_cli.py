"""What `lineside` itself answers, before any subcommand."""

import re
import subprocess

import pytest


def run(lineside, *args):
    return subprocess.run([lineside, *args], capture_output=True, text=True, timeout=10)


def test_help_lists_the_commands_and_succeeds(lineside):
    for flag in ("--help", "-h"):
        done = run(lineside, flag)
        assert done.returncode == 0 and done.stderr == ""
        assert done.stdout.startswith("Usage: lineside COMMAND")


def test_version_is_one_line(lineside):
    done = run(lineside, "--version")
    assert done.returncode == 0
    assert re.fullmatch(r"lineside \d+\.\d+\.\d+\n", done.stdout)


def test_an_unknown_command_is_named_with_the_list_and_status_2(lineside):
    done = run(lineside, "srve")
    assert done.returncode == 2 and done.stdout == ""
    assert 'no command "srve"' in done.stderr and "Commands:" in done.stderr


def test_no_command_prints_the_list_and_status_2(lineside):
    done = run(lineside)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("Usage: lineside COMMAND")


def test_output_that_cannot_be_written_is_a_failure(lineside):
    with open("/dev/full", "w") as full:
        assert subprocess.run([lineside, "--version"], stdout=full, timeout=10).returncode == 1


@pytest.mark.parametrize("command", ["serve", "check", "status", "store", "tags", "templates", "pub", "sub", "bench", "modbus"])
def test_a_wrong_option_is_answered_by_the_command_with_its_full_name(lineside, command):
    mode = {"bench": ["exchange"], "modbus": ["read"], "store": ["info"]}.get(command, [])
    done = run(lineside, command, *mode, "--no-such-option")
    assert done.returncode == (1 if command in ("pub", "sub") else 2) and done.stdout == ""  # as those of Mosquitto
    assert done.stderr.startswith(f"lineside {command}") and "no-such-option" in done.stderr
