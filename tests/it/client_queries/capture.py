#!/usr/bin/env python3
"""Asks a PostgreSQL 15 the statements of real clients and writes its answers: capture.py STATEMENTS.sql... (see README.md)

Needs a scratch cluster made with `initdb -U chronogate --lc-collate=C --lc-ctype=C.UTF-8`: CAPTURE_SOCKET (its socket file), no
password. The database `chronogate` is dropped and made again for every file, twice: an answer
that is not the same both times is kept without its rows.
"""

import json
import os
import re
import socket
import struct
import sys

SOCKET = os.environ.get("CAPTURE_SOCKET", "/tmp/.s.PGSQL.5432")
FEW = 60


class Wire:
    def __init__(self, database):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(SOCKET)
        self.socket.settimeout(60)
        self.rest = b""
        words = ["user", "chronogate", "database", database, "client_encoding", "UTF8"]
        packet = struct.pack("!I", 196608) + b"".join(w.encode() + b"\0" for w in words) + b"\0"
        self.socket.sendall(struct.pack("!I", len(packet) + 4) + packet)
        self.answer()

    def read(self, count):
        while len(self.rest) < count:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self.rest += more
        head, self.rest = self.rest[:count], self.rest[count:]
        return head

    def send(self, tag, body):
        self.socket.sendall(tag + struct.pack("!I", len(body) + 4) + body)

    def run(self, sql, parameters):
        if parameters is None:
            self.send(b"Q", sql.encode() + b"\0")
            return self.answer()
        self.send(b"P", b"\0" + sql.encode() + b"\0\0\0")
        body = b"\0\0" + struct.pack("!HH", 0, len(parameters))
        for value in parameters:
            body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value.encode())) + value.encode()
        self.send(b"B", body + struct.pack("!H", 0))
        self.send(b"D", b"P\0")
        self.send(b"E", b"\0" + struct.pack("!I", 0))
        self.send(b"S", b"")
        return self.answer()

    def answer(self):
        columns, rows, error = None, [], None
        while True:
            head = self.read(5)
            tag, body = head[:1], self.read(struct.unpack("!I", head[1:])[0] - 4)
            if tag == b"T":
                columns, rows, at = [], [], 2
                for _ in range(struct.unpack("!H", body[:2])[0]):
                    end = body.index(b"\0", at)
                    name, at = body[at:end].decode(), end + 1
                    columns.append([name, struct.unpack("!IHIhih", body[at : at + 18])[2]])
                    at += 18
            elif tag == b"D":
                row, at = [], 2
                for _ in range(struct.unpack("!H", body[:2])[0]):
                    length = struct.unpack("!i", body[at : at + 4])[0]
                    at += 4
                    row.append(None if length < 0 else body[at : at + length].decode("utf8", "replace"))
                    at += max(length, 0)
                rows.append(row)
            elif tag == b"E":
                fields = {part[:1]: part[1:].decode("utf8", "replace") for part in body.split(b"\0") if part}
                error = fields.get(b"C")
            elif tag == b"G":
                self.send(b"f", b"not here\0")
            elif tag == b"Z":
                return columns, rows, error


def statements(path):
    """Text and parameters of each statement; None for the simple protocol."""
    found, head, lines = [], None, []

    def end():
        text = "\n".join(lines).strip().removesuffix(";")
        if head and text:
            found.append((text, parameters(head)))

    for line in open(path):
        line = line.rstrip("\n")
        if re.match(r"-- \[.*?\]", line):
            end()
            head, lines = line, []
        else:
            lines.append(line)
    end()
    return [(sql, bound(sql, values)) for sql, values in found if not skipped(sql)]


def parameters(head):
    found = re.search(r"parameters: (.*)$", head)
    if not found:
        return [] if head.startswith("-- [execute") else None
    values = re.finditer(r"\$\d+ = (NULL|'((?:[^']|'')*)')", found.group(1))
    return [None if v.group(1) == "NULL" else v.group(2).replace("''", "'") for v in values]


def bound(sql, values):
    """Values that the log has cut off are NULL."""
    wanted = len(set(re.findall(r"\$(\d+)", sql)))
    return values if values is None or len(values) >= wanted else [None] * wanted


def skipped(sql):
    """Transactions and waiting are tested elsewhere; what is kept stands alone."""
    control = r"\s*(begin|commit|rollback|savepoint|release|start transaction|abort|prepare transaction|copy|listen|notify)\b"
    return re.match(control, sql, re.I) or re.search(r"pg_sleep|pg_terminate|pg_cancel", sql)


def is_about_the_catalogue(sql):
    words = r"pg_|information_schema|current_|version\(|has_|reg(class|type|proc)|_description|txid|inet_|set_config|^\s*show"
    return re.match(r"\s*(select|with|show)\b", sql, re.I) and re.search(words, sql, re.I)


class Side:
    """Statements name objects by OIDs that another server gave: they stand for the last object that was looked up."""

    def __init__(self, wire):
        self.wire, self.last = wire, "0"

    def ask(self, sql, values):
        sql = re.sub(r"'(1[6-9]\d{3}|[2-9]\d{4})'", f"'{self.last}'", sql)
        stands = lambda v: v is not None and re.fullmatch(r"1[6-9]\d{3}|[2-9]\d{4}", v)
        values = values and [self.last if stands(v) else v for v in values]
        columns, rows, error = self.wire.run(sql, values)
        if columns and rows and columns[0][1] == 26 and rows[0][0] and int(rows[0][0]) >= 16384:
            self.last = rows[0][0]
        return columns, rows, error


OIDS = {24, 26, 28, 2205, 2206}


def normal(columns, rows, sql):
    """Without numbers that every server gives out by itself, and without an order that was not asked for."""

    def cell(value, type_oid):
        if value is None:
            return None
        if type_oid in OIDS:
            return "<oid>" if value.isdigit() and int(value) >= 12000 else value
        if type_oid in (20, 23, 25, 30, 1028, 2211):
            return re.sub(r"(?<![\w.])(1[2-9]\d{3}|[2-9]\d{4}|\d{9,10})(?![\w.])", "<n>", value)
        return value

    rows = [[cell(value, column[1]) for value, column in zip(row, columns)] for row in rows]
    if not re.search(r"order\s+by", sql, re.I):
        rows.sort(key=lambda row: ["" if value is None else value for value in row])
    return rows


def digest(rows):
    """FNV-1a over the rows, for answers that are too long to keep."""
    text = json.dumps(rows, separators=(",", ":"), ensure_ascii=False)
    number = 0xCBF29CE484222325
    for byte in text.encode():
        number = ((number ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{number:016x}"


def fresh():
    admin = Wire("postgres")
    admin.run("DROP DATABASE IF EXISTS chronogate WITH (FORCE)", None)
    admin.run("CREATE DATABASE chronogate", None)
    return Side(Wire("chronogate"))


def answers(all_statements):
    side, kept = fresh(), []
    for sql, values in all_statements:
        columns, rows, error = side.ask(sql, values)
        entry = {"sql": sql}
        if values is not None:
            entry["parameters"] = values
        if not is_about_the_catalogue(sql):
            entry["setup"] = True
        elif error:
            entry["error"] = error
        else:
            rows = normal(columns, rows, sql)
            entry["columns"] = columns
            entry.update({"rows": rows} if len(rows) <= FEW else {"count": len(rows), "digest": digest(rows)})
        kept.append(entry)
    return kept


for path in sys.argv[1:]:
    every = statements(path)
    first, second = answers(every), answers(every)
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.path.basename(path).replace(".sql", ".jsonl"))
    with open(out, "w") as file:
        for one, two in zip(first, second):
            if one != two:
                one = {key: one[key] for key in ("sql", "parameters", "columns") if key in one} | {"unstable": True}
            file.write(json.dumps(one, ensure_ascii=False) + "\n")
