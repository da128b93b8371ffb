#!/usr/bin/env python3
"""Sets servers side by side that are all up at once, and loads them in turns of a second.

The side-by-side bench starts each contestant anew for its round, seconds after the one before. On a
machine that others use too, what differs between two rounds is then the hour more than the server. Here
a pair is one or two seconds apart, and the order of each turn is the other way round than that of the last.

    PYTHONPATH=perf benches/peers/turns.py --turns 24 nginx \\
        now=benches/peers/tollgate.py before=/elsewhere/benches/peers/tollgate.py

`perf` is where the side-by-side bench is; a contestant is named as there, and may have an environment of
its own: before=FILE?TOLLGATE_BIN=/elsewhere/tollgate. Prints for each path the median of the processor
time a request, and by how much it differs from each other contestant's: the median over the turns of the
ratio within one turn, with the quartiles.
"""

import argparse
import contextlib
import importlib.util
import itertools
import os
import pathlib
import statistics
import sys

sys.dont_write_bytecode = True

from bench import common, load  # noqa: E402

APART = 20  # between the ports of two contestants


def nanoseconds(processes):
    """The processor time of all threads of these processes and their children."""
    total = 0
    for pid in common.descendants(processes):
        for task in pathlib.Path("/proc", str(pid), "task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[0])
            except OSError:  # it has ended
                pass
    return total


class Contestant:
    def __init__(self, number, item):
        item, _, environment = item.partition("?")
        self.name, _, path = item.partition("=")
        self.environment = dict(pair.partition("=")[::2] for pair in environment.split("&") if pair)
        path = path or str(common.HERE / "contestants" / f"{self.name}.py")
        # A contestant takes its port from the bench's module when it is loaded.
        self.port = common.TLS_PORT = FIRST_PORT + APART * (number + 1)
        common.INNER_PORT = self.port + 2
        spec = importlib.util.spec_from_file_location(f"contestant{number}", path)
        self.module = importlib.util.module_from_spec(spec)
        with self.own_environment():
            spec.loader.exec_module(self.module)
        self.env = common.Env()
        self.env.run = self.env.work / f"run-{self.name}"
        self.processes = []

    def command(self):
        return getattr(self.module, "COMMAND", "")

    @contextlib.contextmanager
    def own_environment(self):
        of_all = dict(os.environ)
        os.environ.update(self.environment)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(of_all)

    def start(self):
        self.env.fresh_run_dir()
        with self.own_environment():
            self.processes = self.module.start(self.env, "plain")
        common.wait_port(self.port, self.processes)

    def turn(self, path, tenants):
        """Microseconds a request, over a second of load by so many tenants in turn."""
        load.TLS_PORT = self.port
        before = nanoseconds(self.processes)
        got = load.wrk(self.env, path, 1, tenants=tenants)
        if got["non2xx"] or got["failed"] or not got["requests"]:
            raise SystemExit(f"{self.name} answers wrongly: {got}")
        return (nanoseconds(self.processes) - before) / got["requests"] / 1000


def report(path, turns, names):
    for name in names:
        print(f"{path:20} {name:10} {statistics.median(turns[name]):8.2f} us", end="")
        for other in names:
            if other != name:
                ratios = [a / b for a, b in zip(turns[name], turns[other])]
                low, middle, high = statistics.quantiles(ratios, n=4)
                print(f"   / {other} {middle:.3f} ({low:.3f} to {high:.3f})", end="")
        print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--tenants", type=int, default=100, help="how many ask, in turn")
    parser.add_argument("--paths", default="/v1/vms-1k,/v1/vms-20k,/v1/vms-200k")
    parser.add_argument("contestants", nargs="+", metavar="NAME[=FILE][?VARIABLE=VALUE]")
    options = parser.parse_args()
    if options.turns < 2:
        parser.error("--turns must be at least 2: there are no quartiles of one")
    if not 1 <= options.tenants <= common.TENANTS:
        parser.error(f"--tenants must be from 1 to {common.TENANTS}: the bench has no more")
    contestants = [Contestant(*pair) for pair in enumerate(options.contestants)]
    for one, other in itertools.combinations(contestants, 2):
        if one.name == other.name:
            parser.error(f"{one.name} is named twice: give one of them another name, NAME=FILE")
        if one.command() == other.command() and "/" in one.command():
            # With TOLLGATE_BIN or CARGO_TARGET_DIR set, two versions are one.
            print(f"{one.name} and {other.name} both run {one.command()}", file=sys.stderr)
    common.Env().prepare()
    upstream = common.Upstream(common.Env())
    try:
        for contestant in contestants:
            contestant.start()
        for path in options.paths.split(","):
            turns = {contestant.name: [] for contestant in contestants}
            for contestant in contestants:
                for _ in range(2):  # fills the cache
                    contestant.turn(path, options.tenants)
            for number in range(options.turns):
                for contestant in contestants if number % 2 else contestants[::-1]:
                    turns[contestant.name].append(contestant.turn(path, options.tenants))
            report(path, turns, list(turns))
    finally:
        for contestant in contestants:
            common.stop(contestant.processes)
        upstream.stop()


FIRST_PORT = common.TLS_PORT

if __name__ == "__main__":
    main()
