"""Run all tests on one or more builds and sum up their cases: run_all.py BUILD... -- [NAME...]

The unit tests are those of `meson test`, the system tests those of pytest in tests/. The last line is
`N passed, N failed` with `, N skipped` if any; the exit status is 1 when a case failed or none ran. With NAMEs only
tests run that have one in their name.
"""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


# What XML 1.0 does not allow; meson writes what a test printed as it is.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parse_junit(junit):
    """The root of a JUnit file, whatever a test printed."""
    return ElementTree.fromstring(NOT_XML.sub("?", Path(junit).read_bytes().decode(errors="replace")))


def count_cases(junit):
    """Passed, failed and skipped cases of a JUnit file, and the suites in which one failed."""
    cases, failed_suites = Counter(), set()
    for suite in parse_junit(junit).iter("testsuite"):
        for case in suite.iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                cases["failed"] += 1
                failed_suites.add(suite.get("name"))
            else:
                cases["skipped" if case.find("skipped") is not None else "passed"] += 1
    return cases, failed_suites


def environment(build):
    """Sanitizers stop at the first fault; what a server reports goes to a file that the sum takes as a failure."""
    env = dict(os.environ, LINESIDE_BIN=str(build / "lineside"), PYTHONDONTWRITEBYTECODE="1")
    if "-" in build.name:
        report = f"log_path={build / 'report'}"
        env["ASAN_OPTIONS"] = f"detect_stack_use_after_return=1:strict_string_checks=1:{report}"
        env["UBSAN_OPTIONS"] = f"halt_on_error=1:print_stacktrace=1:{report}"
        if build.name == "build-tsan":  # simulations have one thread, and nothing to race: a few show that they run
            env.setdefault("LINESIDE_SEEDS", "50")
        env["TSAN_OPTIONS"] = f"halt_on_error=1:second_deadlock_stack=1:{report}"
    return env


def wrapper(build):
    """clang 14's thread sanitizer cannot live with the address randomisation of newer kernels."""
    if build.name != "build-tsan":
        return []
    plain = ["setarch", "-R"]
    return plain if subprocess.run(plain + ["true"], capture_output=True).returncode == 0 else []


def unit_tests(build, names):
    listed = subprocess.run(
        ["meson", "test", "-C", str(build), "--list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    ).stdout.split("\n")
    tests = [line.split(" / ")[-1].split(":")[-1].strip() for line in listed if line.strip()]
    tests = [t for t in tests if not names or any(n in t for n in names)]
    if not tests:
        return Counter()
    logs = build / "meson-logs"
    for log in logs.glob("testlog.*"):
        log.unlink()
    patience = ["--timeout-multiplier", "5"] if "-" in build.name else []
    status = subprocess.run(
        wrapper(build) + ["meson", "test", "-C", str(build), "--no-rebuild", *patience, *(tests if names else [])],
        env=environment(build),
    ).returncode
    cases, failed_suites = count_cases(logs / "testlog.junit.xml")
    for line in (logs / "testlog.json").read_text().splitlines():
        test = json.loads(line)
        name = test["name"].split(" / ")[-1]
        if test["result"] in ("OK", "SKIP"):
            continue
        print(f"\n{name}: {test['result']}, exit status {test['returncode']}\n{test['stdout']}{test.get('stderr', '')}")
        if not any(s.endswith(name) for s in failed_suites):
            cases["failed"] += 1  # it died between two cases
    if status and not cases["failed"]:
        cases["failed"] += 1
    return cases


def system_tests(build, names):
    junit = build / "pytest.xml"
    junit.unlink(missing_ok=True)
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={junit}", "-ra", str(ROOT / "tests")]
    if names:
        pytest += ["-k", " or ".join(names)]
    if "-" in build.name:
        pytest += ["-m", "not release"]
    status = subprocess.run(wrapper(build) + pytest, env=environment(build), cwd=ROOT).returncode
    cases = count_cases(junit)[0] if junit.exists() else Counter()
    if status not in (0, 5) and not cases["failed"]:  # 5: no test has such a name
        cases["failed"] += 1
    return cases


def reports(build):
    """What sanitizers wrote while the tests ran."""
    cases = Counter()
    for report in sorted(build.glob("report.*")):
        print(f"\n{report.relative_to(ROOT)}:\n{report.read_text(errors='replace')}")
        cases["failed"] += 1
    return cases


def main():
    at = sys.argv.index("--")
    builds, names = [ROOT / b for b in sys.argv[1:at]], sys.argv[at + 1:]
    cases = Counter()
    for build in builds:
        for old in build.glob("report.*"):
            old.unlink()
        print(f"== unit tests on {build.name}", flush=True)
        cases += unit_tests(build, names)
        print(f"== system tests on {build.name}", flush=True)
        cases += system_tests(build, names)
        cases += reports(build)
    print(f"{cases['passed']} passed, {cases['failed']} failed" + (f", {cases['skipped']} skipped" if cases["skipped"] else ""))
    return 1 if cases["failed"] or not cases["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
