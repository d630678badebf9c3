"""Run the simulations with many seeds, spread over the cores: sim_all.py BUILD [N].

N (10,000) is for the broker on a disk that crashes; the others run a tenth of it. Tells how far it is, and each seed that broke a
promise as it comes; the exit status is 1 when there was one.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

AT_ONCE = 20  # seeds of one process
SHARES = {"durable_sim": 1, "store_sim": 10, "broker_sim": 10, "gateway_sim": 10}


def run(build, name, first, seeds):
    """What was said of seeds that failed; a process that died in between says so itself."""
    env = dict(os.environ, LINESIDE_FIRST=str(first), LINESIDE_SEEDS=str(seeds))
    done = subprocess.run([build / "tests/sim" / f"{name}_test"], env=env, capture_output=True, text=True)
    if done.returncode == 0:
        return []
    failed = re.findall(r"# (LINESIDE_SEED=.*)", done.stdout + done.stderr)
    return failed or [f"seeds {first} to {first + seeds - 1}: exit status {done.returncode}\n{done.stderr[-2000:]}"]


def main():
    build, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10000
    broken = 0
    for name, share in SHARES.items():
        seeds = max(count // share, 1)
        parts = [(first, min(AT_ONCE, seeds - first + 1)) for first in range(1, seeds + 1, AT_ONCE)]
        done = failed = 0
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            running = {pool.submit(run, build, name, *part): part for part in parts}
            for future in as_completed(running):
                for line in future.result():
                    failed += 1
                    print(f"{name}: {line}", flush=True)
                before, done = done, done + running[future][1]
                if done * 20 // seeds != before * 20 // seeds or done == seeds:
                    print(f"{name}: {done} of {seeds} seeds, {failed} failed", flush=True)
        broken += failed
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
