#!/usr/bin/env python3
"""Checks a proof bundle (docs/proofs.md) with nothing but Python's standard library.

usage: tests/verify_bundle.py POLICY BUNDLE [KNOWN_CHECKPOINT]

Prints what is proven and exits 0, or says where the bundle fails and exits 1. A second, independent verifier: it shares no
code with the hub. Made to be read; its Ed25519, BLAKE3 and AES-GCM (pure_crypto.py) are slow.
"""

import base64
import hashlib
import json
import struct
import sys

from pure_crypto import blake3, gcm_open, signed


class Bad(Exception):
    """What is wrong; the place comes in front of it on the way out."""


def require(condition, what):
    if not condition:
        raise Bad(what)


def b64(text):
    raw = base64.b64decode(text, validate=True)
    require(base64.b64encode(raw).decode() == text, "base64 has another spelling")
    return raw


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# --- RFC 6962 ------------------------------------------------------------------------------------------------------------
def leaf(data):
    return sha256(b"\0", data)


def node(left, right):
    return sha256(b"\1", left, right)


def check_inclusion(hash, index, size, root, path):
    path = [b64(p) for p in path]
    require(0 <= index < size, f"leaf {index} is not in a tree of {size}")
    at, last = index, size - 1
    while last:
        if at & 1 or at < last:
            require(path, "the path is too short")
            other = path.pop(0)
            hash = node(other, hash) if at & 1 else node(hash, other)
        at, last = at >> 1, last >> 1
    require(not path and hash == root, "the path does not lead to the root")


def check_consistency(old, old_root, new, new_root, path):
    path = [b64(p) for p in path]
    require(old <= new, f"the log was rolled back from {old} to {new}")
    if old in (0, new):
        return require(not path and old_root == (new_root if old == new else sha256()), "not consistent: the log was forked")
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    require(path, "the path is too short")
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = path.pop(0)
    for other in path:
        require(last, "the path is too long")
        if at & 1 or at == last:
            first, second = node(other, first), node(other, second)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            second = node(second, other)
        at, last = at >> 1, last >> 1
    require((last, first, second) == (0, old_root, new_root), "not consistent: the log was forked")


# --- notes, checkpoints, policies (C2SP) ---------------------------------------------------------------------------------
def vkey(text, algorithm):
    name, key_id, key = text.split("+", 2)
    key, key_id = b64(key), bytes.fromhex(key_id)
    require(key[0] == algorithm and len(key) == 33 and sha256(name.encode(), b"\n", key)[:4] == key_id, "not a key")
    return name, key_id, key[1:]


class Policy:
    def __init__(self, text):
        self.logs, self.rules, self.quorum = {}, {}, None
        for words in (line.split() for line in text.split("\n")):
            if not words or words[0].startswith("#"):
                continue
            if words[0] == "log":
                key = vkey(words[1], 1)
                self.logs.setdefault(key[0], []).append(key)
            elif words[0] == "witness":
                self.rules[words[1]] = vkey(words[2], 4)
            elif words[0] == "group":
                members = words[3:]
                self.rules[words[1]] = {"all": len(members), "any": 1}.get(words[2]) or int(words[2]), members
            elif words[0] == "quorum":
                self.quorum = words[1]
        require(self.quorum, "the policy has no quorum line")

    def met(self, name, times):
        rule = self.rules.get(name)
        if name == "none" or name in times:
            return True
        return len(rule) == 2 and sum(self.met(member, times) for member in rule[1]) >= rule[0]

    def open(self, note, quorum=True):
        """(origin, size, root) of a checkpoint that the log signed, and the witnesses' times."""
        text, lines = note[: note.rindex("\n\n") + 1], note[note.rindex("\n\n") + 2 :]
        origin, size, root = checkpoint(text)
        require(origin in self.logs, f"the policy knows no log {origin}")
        signatures = {}
        for line in lines.removesuffix("\n").split("\n"):
            dash, name, blob = line.split(" ")
            require(dash == "\u2014", "not a signature line")
            signatures.setdefault((name, b64(blob)[:4]), b64(blob)[4:])
        logs = [signed(key, text.encode(), signatures[n, i]) for n, i, key in self.logs[origin] if (n, i) in signatures]
        require(logs and all(logs), "the log's signature is absent or not valid")
        times = {}
        for witness, (name, key_id, key) in ((w, r) for w, r in self.rules.items() if len(r) == 3):
            if (name, key_id) in signatures:
                blob = signatures[name, key_id]
                times[witness] = int.from_bytes(blob[:8], "big")
                message = f"cosignature/v1\ntime {times[witness]}\n{text}".encode()
                require(signed(key, message, blob[8:]), f"the cosignature of {witness} is not valid")
        require(not quorum or self.met(self.quorum, times), f"the quorum is not met, only by {sorted(times)}")
        return (origin, size, root), times


def checkpoint(text):
    origin, size, root, end = text.split("\n")
    require(origin and end == "" and str(int(size)) == size, "not a checkpoint")
    require(len(b64(root)) == 32, "a root has 32 bytes")
    return origin, int(size), b64(root)


# --- entries of the log --------------------------------------------------------------------------------------------------
class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, count):
        self.at += count
        require(self.at <= len(self.data), "an entry is cut short")
        return self.data[self.at - count : self.at]

    def int(self, count):
        return int.from_bytes(self.raw(count), "little")

    def varint(self):
        out = shift = 0
        while (byte := self.int(1)) >= 0x80:
            out, shift = out | (byte & 0x7F) << shift, shift + 7
        return out | byte << shift

    def text(self):
        return self.raw(self.varint()).decode()


STREAMS = ("change", "control", "access", "rejected")
KIND_STREAM = {1: 0, 2: 0, 3: 1, 4: 2, 5: 3, 6: 3}


def read_entry(data):
    r = Reader(data)
    version, stream, codec, kind = r.raw(4)
    r.raw(28)
    record = r.raw(16)
    r.raw(16)
    body_hash = r.raw(32)
    name = r.int(1)
    bound = data[:64] + bytes([name]) + r.raw(name)
    body = r.raw(r.int(4))
    require(version == 1 and r.at == len(data) and KIND_STREAM.get(kind) == stream, "not an entry")
    require(blake3(body) == body_hash, "the body is not the one that the header names")
    return {"stream": STREAMS[stream], "kind": kind, "record": record, "codec": codec, "body": body[16:], "bound": bound}


def open_body(entry, secret):
    """The encrypted body of an entry, by its secret."""
    require(entry["codec"] == 1 and len(secret) == 32, "the entry has no body that a secret opens")
    keys = blake3(b"hub 2026 body key and commitment v1", secret, 64)
    require(entry["body"][:32] == keys[32:], "the secret is of another body")
    plain = gcm_open(keys[:32], bytes(12), entry["bound"], entry["body"][32:])
    require(plain is not None, "the body or its header was changed")
    return plain


def read_envelope(body):
    """What a change states: in words, and the record as it was received."""
    r = Reader(body)
    require(r.int(1) == 1, "not a change")
    record, record_type, operation, agency = r.text(), r.text(), r.int(1), r.text()
    r.varint()
    r.raw(16)
    r.text(), r.text()
    return f"{ {1: 'upsert', 2: 'retract'}[operation] } of {record_type} {record} by {agency}", r.raw(r.varint())


def read_accesses(body):
    """What the answers were based on, and each answer: its records, and its hash when there was one."""
    r, basis, found = Reader(body), {}, {}
    require(r.int(1) == 1, "not an access entry")
    for _ in range(r.varint()):
        stream, partition = STREAMS[r.int(1)], r.int(2)
        basis[stream, partition] = r.varint()
    r.raw(48)
    for _ in range(r.varint()):
        r.raw(1)
        name = r.raw(16).hex()
        caller, _, _ = r.text(), r.text(), r.text()
        records = [r.raw(16) for _ in range(r.varint())]
        [r.text() for _ in range(r.varint())]
        r.raw(8)
        [r.raw(8) for _ in range(2) if r.int(1)]
        decision = r.int(1)
        answer = (r.raw(16), r.raw(32))[1] if decision == 1 else r.text() if decision == 2 else None
        found[name] = caller, records, decision, answer
    require(r.at == len(body), "bytes after the access entry")
    return basis, found


def check_receipt(data, position, entry_hash, origin, keys):
    r = Reader(data)
    stream, partition, index = position
    leaf_bytes = bytes([1, STREAMS.index(stream)]) + struct.pack("<HQ", partition, index) + entry_hash
    require(r.raw(44) == leaf_bytes, "the receipt is of another entry")
    number, count = r.varint(), r.varint()
    path, note = [base64.b64encode(r.raw(32)).decode() for _ in range(r.varint())], r.text()
    text = note[: note.rindex("\n\n") + 1]
    require(r.at == len(data), "bytes after the receipt")
    dash, signer, blob = note[len(text) + 1 :].removesuffix("\n").split(" ")
    public = [key for name, key_id, key in keys if ("\u2014", name, key_id) == (dash, signer, b64(blob)[:4])]
    require(public and signed(public[0], text.encode(), b64(blob)[4:]), "the receipt's signature is not valid")
    first, size, root, end = text.split("\n")
    require((first, size, end) == (origin + "/receipts", str(count), ""), "not a receipt root")
    check_inclusion(leaf(leaf_bytes), number, count, b64(root), path)


# --- the bundle ----------------------------------------------------------------------------------------------------------
FORMATS = ("hub.proof/v1", "hub.proof/v2")  # without and with bodies
FIELDS = {
    "checkpoint": ("note",),
    "consistency": ("note", "proof"),
    "tick": ("index", "text", "path"),
    "head": ("tick", "text", "path"),
    "growth": ("partition", "from", "to", "proof"),
    "entry": ("position", "bytes", "hash", "inclusion", "receipt"),
    "body": ("position", "secret"),
    "answer": ("position", "access", "key", "bytes"),
}


def canonical(line):
    value = json.loads(line)
    require(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() == line, "not the canonical spelling")
    return value


class Bundle:
    def __init__(self, policy, known):
        self.policy, self.known, self.rank, self.seen = policy, known, 0, set()
        self.sizes, self.ticks, self.heads, self.entries, self.said, self.opened = {}, {}, {}, {}, [], False

    def section(self, value):
        kind = value.pop("type")
        fields = [f for f in FIELDS[kind] if f in value]
        require(list(value) == fields, "other fields than the format has, or in another order")
        rank = list(FIELDS).index(kind)
        require(rank >= self.rank and (kind == "checkpoint") == (not self.sizes), "sections are out of order")
        self.rank = rank
        getattr(self, kind)(**{f + "_" if f == "from" else f: v for f, v in value.items()})

    def once(self, *name):
        require(name not in self.seen, "a section stands twice")
        self.seen.add(name)

    def checkpoint(self, note):
        (self.origin, self.size, self.root), times = self.policy.open(note)
        self.sizes[self.size] = self.root
        self.said.append(f"checkpoint {self.size} of {self.origin}, cosigned by {', '.join(sorted(times)) or 'nobody'}")

    def consistency(self, note, proof):
        (origin, size, root), _ = self.policy.open(note, quorum=False)
        self.once("consistency", size)
        require(origin == self.origin, "the older checkpoint is of another log")
        check_consistency(size, root, self.size, self.root, proof)
        self.sizes[size] = root
        self.said.append(f"continues checkpoint {size}")

    def tick(self, index, text, path):
        self.once("tick", index)
        check_inclusion(leaf(text.encode()), index, self.size, self.root, path)
        first, time, counts, heads, end = text.split("\n")
        counts = dict(zip(STREAMS, map(int, counts.split(" ")), strict=True))
        require((first, end, counts["control"]) == ("hub.tick/v1", "", 1) and int(time) is not None, "not a tick")
        self.ticks[index] = counts, b64(heads)

    def head(self, tick, text, path):
        origin, size, root = checkpoint(text)
        require(origin.startswith(self.origin + "/"), "the head is of another log")
        stream, partition = origin[len(self.origin) + 1 :].split("/")
        self.once("head", tick, stream, partition)
        counts, heads = self.ticks[tick]
        require(str(int(partition)) == partition and int(partition) < counts[stream], "the tick has no such partition")
        slot = sum(counts[s] for s in STREAMS[: STREAMS.index(stream)]) + int(partition)
        check_inclusion(leaf(text.encode()), slot, sum(counts.values()), heads, path)
        self.heads[tick, stream, int(partition)] = size, root

    def growth(self, partition, from_, to, proof):
        self.once("growth", partition, from_, to)
        stream, number = partition.split("/")
        old, new = (self.heads[tick, stream, int(number)] for tick in (from_, to))
        require(from_ < to and str(int(number)) == number, "growth goes forward")
        check_consistency(*old, *new, proof)
        self.said.append(f"{partition} only grew from tick {from_} to tick {to}")

    def entry(self, position, bytes=None, hash=None, inclusion=None, receipt=None):
        stream, partition, index = position.split("/")
        at = stream, int(partition), int(index)
        self.once("entry", at)
        require("%s/%d/%d" % at == position and (bytes is None) != (hash is None), "not an entry section")
        found = read_entry(b64(bytes)) if bytes else None
        require(found is None or found["stream"] == stream, "the entry is of another stream")
        entry_hash = blake3(b64(bytes)) if bytes else b64(hash)
        require(inclusion or receipt, "neither inclusion nor receipt")
        if receipt:
            check_receipt(b64(receipt), at, entry_hash, self.origin, self.policy.logs[self.origin])
        if inclusion:
            require(list(inclusion) == ["tick", "path"], "not an inclusion")
            size, root = self.heads[inclusion["tick"], *at[:2]]
            check_inclusion(leaf(entry_hash), at[2], size, root, inclusion["path"])
        self.entries[at] = found
        self.said.append(f"entry {position} is {'in the log' if inclusion else 'promised, UNPROVEN: beyond the checkpoint'}")

    def body(self, position, secret):
        self.once("body", position)
        stream, partition, index = position.split("/")
        entry = self.entries[stream, int(partition), int(index)]
        require(entry and "%s/%d/%d" % (stream, int(partition), int(index)) == position, "the entry is not shown")
        self.opened = True
        plain = open_body(entry, b64(secret))
        words, record = read_envelope(plain) if entry["kind"] in (1, 2) else ("not a change", plain)
        self.said.append(f"body of {position}: {words}, {len(record)} bytes, SHA-256 {hashlib.sha256(record).hexdigest()}")

    def answer(self, position, access, key=None, bytes=None):
        self.once("answer", access)
        stream, partition, index = position.split("/")
        at = stream, int(partition), int(index)
        require("%s/%d/%d" % at == position, "not a position")
        found = self.entries[at]
        require(found and (found["kind"], found["codec"]) == (4, 0), "not a readable access entry")
        basis, accesses = read_accesses(found["body"])
        require(access in accesses, "the entry does not hold this access")
        caller, records, decision, answer = accesses[access]
        require((key is None) == (bytes is None) and (key is None or decision == 1), "not an answer section")
        require(key is None or blake3(b64(bytes), b64(key)) == answer, "the bytes are not the answer")
        within = [e["record"] for at, e in self.entries.items() if e and e["kind"] in (1, 2) and at[2] < basis.get(at[:2], 0)]
        what = {1: "answered" if bytes else "answered (not shown)", 2: "refused", 3: "not found", 4: "ambiguous"}[decision]
        self.said.append(f"access {access} of {caller}: {what}, from {len(records)} records")
        self.said += [f"  record {r.hex()}: {within.count(r) or 'UNPROVEN: no'} entries here" for r in records]

    def finish(self):
        require(self.sizes, "the bundle has no checkpoint")
        if self.known:
            origin, size, root = self.known
            require(origin == self.origin and self.sizes.get(size) == root, f"does not continue the known checkpoint {size}")


def check(policy, data, known=None):
    """What is proven, in words; raises Bad with the place."""
    place, bundle = "line 1, manifest", Bundle(policy, known)
    try:
        *lines, tail = data.split(b"\n")
        require(lines, "the file was cut short")
        manifest = canonical(lines[0])
        require(list(manifest) == ["format", "sections"] and manifest["format"] in FORMATS, "not this format")
        for number, line in enumerate(lines[1:], 2):
            place = f"line {number}"
            require(number - 2 < len(manifest["sections"]), "the manifest does not name this line")
            require(hashlib.sha256(line).hexdigest() == manifest["sections"][number - 2], "the line or its hash was changed")
            value = canonical(line)
            place += f", {value['type']} {value.get('position', '')}"
            bundle.section(value)
        place = "end"
        require(len(lines) - 1 == len(manifest["sections"]) and not tail, "the file was cut short")
        place = "line 1, manifest"
        require(manifest["format"] == FORMATS[bundle.opened], "the format's name is not the one of a bundle like this")
        place = "end"
        bundle.finish()
    except Bad as bad:
        raise Bad(f"{place}: {bad}") from bad
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, struct.error) as error:
        raise Bad(f"{place}: not as the format says ({type(error).__name__})") from error
    return bundle.said


def main(policy, bundle, known=None):
    with open(policy, encoding="utf-8") as file:
        policy = Policy(file.read())
    known = known and policy.open(open(known, encoding="utf-8").read(), quorum=False)[0]
    try:
        with open(bundle, "rb") as file:
            print("\n".join(check(policy, file.read(), known)))
    except Bad as bad:
        return f"{bundle}: {bad}"


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
