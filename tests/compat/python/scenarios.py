"""What the three programs share: the records everybody writes and reads, and how a result is told."""

import json
import sys
import threading
import time
import traceback

N_RECORDS = 100
READ_TOPIC = "read"
READ_PARTITIONS = 3
READ_RECORDS = 100
READ_FROM_MS = 1_700_000_000_000


def key(n):
    return f"k-{n}".encode()


def value(n):
    return (f"v-{n} " + "again " * 20).encode()


def say(**line):
    print(json.dumps(line), flush=True)


def until_told_to_stop():
    """An event that is set when nothing more comes on standard input."""
    told = threading.Event()

    def wait():
        sys.stdin.read()
        told.set()

    threading.Thread(target=wait, daemon=True).start()
    return told


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def check_equal(found, wanted, what):
    check(found == wanted, f"{what}: {found!r} where {wanted!r} belongs")


def eventually(is_so, what):
    """Brokers learn of a change one after another, and any of them may be asked."""
    deadline = time.monotonic() + 10
    while not is_so():
        check(time.monotonic() < deadline, what)
        time.sleep(0.01)


def run(version, by_name):
    bootstrap, wanted = sys.argv[1], sys.argv[2].split(",")
    say(version=version)
    for name in wanted:
        try:
            facts = by_name[name](bootstrap) or {}
            say(scenario=name, ok=True, **facts)
        except Exception as error:
            line = traceback.extract_tb(error.__traceback__)[-1]
            mine = [it for it in traceback.extract_tb(error.__traceback__) if "compat" in it.filename]
            at = (mine or [line])[-1].lineno
            say(scenario=name, ok=False, reason=f"line {at}: {type(error).__name__}: {error}")
