"""The common form of the checks that are written in Python.

A check is a function without arguments that raises when the server does not do what PostgreSQL 15 does. `Checks.main` runs them
one by one, prints `ok NAME` or `not ok NAME: reason` for each, and last `CLIENT: N passed, N failed`. Checks of time travel run
only where CHRONOGATE_TRAVEL is set, since PostgreSQL has no past. Names given as arguments run only those checks.
"""

import os
import signal
import sys
import time
import traceback
from datetime import datetime, timezone

HOST = os.environ.get("PGHOST", "127.0.0.1")
PORT = int(os.environ.get("PGPORT", "5433"))
USER = os.environ.get("PGUSER", "chronogate")
PASSWORD = os.environ.get("PGPASSWORD", "")
DATABASE = os.environ.get("PGDATABASE", "chronogate")
TRAVEL = bool(os.environ.get("CHRONOGATE_TRAVEL"))
SECONDS_PER_CHECK = 30


class Failed(Exception):
    """What was seen is not what PostgreSQL answers."""


def same(seen, expected, what="answer"):
    if seen != expected:
        raise Failed(f"{what} is {seen!r}, not {expected!r}")


def that(condition, what):
    if not condition:
        raise Failed(what)


def past_instant():
    """An instant that lies between what was committed before this call and what is committed after it."""
    time.sleep(0.02)
    at = datetime.now(timezone.utc)
    time.sleep(0.02)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class raises:
    """The block must raise `kind`; with `state`, of this SQLSTATE as `read` finds it in the exception."""

    def __init__(self, kind, state=None, read=None):
        self.kind, self.state, self.read = kind, state, read
        self.error = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _trace):
        if error is None:
            raise Failed(f"no {self.kind.__name__} was raised")
        if not isinstance(error, self.kind):
            return False
        self.error = error
        if self.state is not None:
            read = self.read or (lambda e: getattr(e, "sqlstate", None))
            same(read(error), self.state, "SQLSTATE")
        return True


def _expired(_signal, _frame):
    raise TimeoutError(f"no end within {SECONDS_PER_CHECK} s")


class Checks:
    def __init__(self, client):
        self.client = client
        self.checks = []

    def check(self, function):
        self.checks.append(function)
        return function

    def travel(self, function):
        if TRAVEL:
            self.checks.append(function)
        return function

    def main(self):
        wanted = set(sys.argv[1:])
        passed = failed = 0
        signal.signal(signal.SIGALRM, _expired)
        for function in self.checks:
            name = function.__name__
            if wanted and name not in wanted:
                continue
            signal.alarm(SECONDS_PER_CHECK)
            try:
                function()
                passed += 1
                print(f"ok {name}", flush=True)
            except (Exception, TimeoutError) as error:
                failed += 1
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                print(f"not ok {name}: {reason[:400]}", flush=True)
                if os.environ.get("CLIENT_TRACE"):
                    traceback.print_exc()
            finally:
                signal.alarm(0)
        print(f"{self.client}: {passed} passed, {failed} failed", flush=True)
