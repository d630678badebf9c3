"""Run every fuzzer of a build for some seconds, as many at a time as there are cores: run.py BUILD SECONDS

NAME_corpus, a plain program, writes first inputs into a folder and words into a dictionary; fuzzers whose names begin with
NAME start from them. What a fuzzer finds stays in BUILD/corpus/NAME for the next run. The exit status is 1
when one crashed, hung or ate memory.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def make_corpora(build):
    for program in sorted((build / "fuzz").glob("*_corpus")):
        folder = build / "first" / program.name.removesuffix("_corpus")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([program, folder, folder.with_suffix(".dict")], check=True)


def run_one(build, program, seconds):
    name = program.name.removesuffix("_fuzz")
    corpus = build / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    command = [program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
               f"-artifact_prefix={build}/{name}-", corpus]
    for first in sorted((build / "first").glob("*/")):
        if name.startswith(first.name):
            command.append(first)
            if first.with_suffix(".dict").exists():
                command.insert(1, f"-dict={first.with_suffix('.dict')}")
    log = build / f"{name}.log"
    with open(log, "wb") as out:
        status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT).returncode
    text = log.read_text(errors="replace")
    executed = re.search(r"number_of_executed_units: (\d+)", text)
    verdict = "clean" if status == 0 else f"FAILED, see {log}"
    print(f"fuzz: {name}: {executed.group(1) if executed else '?'} inputs, {verdict}", flush=True)
    if status:
        print("\n".join(text.splitlines()[-40:]), flush=True)
    return status == 0


def main():
    build, seconds = Path(sys.argv[1]), int(sys.argv[2])
    programs = sorted(p for p in (build / "fuzz").glob("*_fuzz") if os.access(p, os.X_OK))
    make_corpora(build)
    print(f"fuzz: {len(programs)} fuzzers, {seconds} s each", flush=True)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        clean = list(pool.map(lambda p: run_one(build, p, seconds), programs))
    print(f"{clean.count(True)} clean, {clean.count(False)} failed")
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
