"""pgbench against the server: initialise, the built-in scripts in every protocol, own scripts; balances and history agree."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from checks import DATABASE, HOST, PASSWORD, PORT, USER, Checks, past_instant, same, that

checks = Checks("pgbench")
ENV = {**os.environ, "PGHOST": HOST, "PGPORT": str(PORT), "PGUSER": USER, "PGPASSWORD": PASSWORD}
PGBENCH = shutil.which("pgbench") or "/usr/lib/postgresql/15/bin/pgbench"


def pgbench(*arguments, database=DATABASE):
    done = subprocess.run([PGBENCH, *arguments, database], env=ENV, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise AssertionError(f"pgbench ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout + done.stderr


def value(query, database=DATABASE):
    done = subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", query], env=ENV, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout.strip()


def balanced():
    sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)"
    seen = value(sums).split("|")
    that(len(set(seen)) == 1, f"accounts, branches, tellers and history differ: {seen}")


def initialised():
    if value("SELECT count(*) FROM information_schema.tables WHERE table_name = 'pgbench_accounts'") == "0":
        pgbench("-i", "-q", "-s", "1")


def processed(out, number):
    seen = int(re.search(r"number of transactions actually processed: (\d+)", out).group(1))
    same(seen, number, "transactions")
    failed = re.search(r"number of failed transactions: (\d+)", out)
    same(failed and failed.group(1), "0", "failed transactions")


@checks.check
def initialises():
    pgbench("-i", "-q", "-s", "1")
    same(value("SELECT count(*) FROM pgbench_accounts"), "100000")


@checks.check
def initialises_with_foreign_keys():
    pgbench("-i", "-q", "-s", "1", "-I", "dtgvpf")
    same(value("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text LIKE 'pgbench%'"), "5")
    for table, constraint in (row.split("|") for row in value("SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text LIKE 'pgbench%'").splitlines()):
        value(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")


@checks.check
def simple_protocol():
    initialised()
    processed(pgbench("-n", "-c", "2", "-t", "15"), 30)
    balanced()


@checks.check
def extended_protocol():
    initialised()
    processed(pgbench("-n", "-M", "extended", "-c", "2", "-t", "15"), 30)
    balanced()


@checks.check
def prepared_protocol():
    initialised()
    processed(pgbench("-n", "-M", "prepared", "-c", "2", "-t", "15"), 30)
    balanced()


@checks.check
def select_only():
    initialised()
    processed(pgbench("-n", "-S", "-M", "prepared", "-c", "4", "-t", "50"), 200)


@checks.check
def simple_update():
    initialised()
    before = value("SELECT coalesce(sum(delta), 0) - (SELECT sum(abalance) FROM pgbench_accounts) FROM pgbench_history")
    processed(pgbench("-n", "-N", "-c", "4", "-t", "15"), 60)
    same(value("SELECT coalesce(sum(delta), 0) - (SELECT sum(abalance) FROM pgbench_accounts) FROM pgbench_history"), before)


@checks.check
def vacuums_before_it_runs():
    initialised()
    pgbench("-c", "1", "-t", "2")


@checks.check
def own_script_with_a_pipeline():
    initialised()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/s.sql"
        with open(path, "w") as file:
            file.write("\\set a random(1, 1000)\n\\startpipeline\nBEGIN;\nSELECT abalance FROM pgbench_accounts WHERE aid = :a;\nUPDATE pgbench_accounts SET filler = 'x' WHERE aid = :a;\nEND;\n\\endpipeline\n"
                       "SELECT abalance AS b, aid FROM pgbench_accounts WHERE aid = :a \\gset\n\\if :b > 0\nSELECT 1;\n\\endif\n")
        processed(pgbench("-n", "-M", "prepared", "-f", path, "-c", "2", "-t", "10"), 20)


@checks.check
def retries_serialization_failures():
    initialised()
    processed(pgbench("-n", "-c", "4", "-t", "10", "--max-tries=1000"), 40)


@checks.travel
def reads_a_balanced_past():
    initialised()
    # Scripts before this one changed accounts alone, and emptied the history: what must stay are the differences.
    sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)"
    start = [int(sum) for sum in value(sums).split("|")]
    pgbench("-n", "-c", "2", "-t", "10")
    at, present = past_instant(), value(sums)
    pgbench("-n", "-c", "2", "-t", "10")
    past = f"{DATABASE}@{at}"
    same(value(sums, past), present)
    grown = [int(sum) - before for sum, before in zip(present.split("|"), start)]
    that(len(set(grown)) == 1, f"accounts, branches, tellers and history grew by {grown}")
    processed(pgbench("-n", "-S", "-M", "prepared", "-c", "2", "-t", "20", database=past), 40)


checks.main()
