"""Watches from a process of its own that a gateway serves others while a test misbehaves.

    with Witness(gw):           # fails at the end if a ping, or a message from one client to another, took a second
        ...
"""

import multiprocessing
import os
import time

from rawmqtt import Raw

# the sanitizers' builds are several times slower (tests/run_all.py)
SERVED_WITHIN_S = 5 if "TSAN_OPTIONS" in os.environ else 1
EVERY_S = 0.02


def watch(port, count, told, over):
    """Each pair of clients is likely to be on another worker; `told` gets the worst time of a round."""
    worst, rounds = 0.0, 0
    pairs = [(Raw(port).connect(f"witness-to-{n}"), Raw(port).connect(f"witness-from-{n}")) for n in range(count)]
    for n, (to, _) in enumerate(pairs):
        to.subscribe(f"witness/{n}", qos=1)
    told.put(None)
    while True:
        for n, (to, by) in enumerate(pairs):
            start = time.monotonic()
            by.publish(f"witness/{n}", b"%d" % rounds, 1)
            assert to.message().payload == b"%d" % rounds
            to.ping()
            worst = max(worst, time.monotonic() - start)
        rounds += 1
        if over.wait(EVERY_S):
            break
    told.put((worst, rounds))


class Witness:
    def __init__(self, gw, pairs=3, within=SERVED_WITHIN_S):
        fork = multiprocessing.get_context("fork")
        self.within = within
        self.told, self.over = fork.Queue(), fork.Event()
        self.process = fork.Process(target=watch, args=(gw.port, pairs, self.told, self.over), daemon=True)

    def __enter__(self):
        self.process.start()
        self.told.get(timeout=30)
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        if kind is not None:
            self.process.kill()
            return
        worst, rounds = self.told.get(timeout=30)
        self.process.join()
        print(f"others were served within {worst * 1000:.1f} ms in {rounds} rounds")
        assert worst < self.within, f"others waited {worst:.2f} s"
