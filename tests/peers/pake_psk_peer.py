#!/usr/bin/env python3
"""PAKE before TLS, written from docs/xtls-profile.md: from the password and the two offers to the external PSK.

It shares no code with the library. The group, the strings of CPace and SASLprep come from cpace_peer.py beside it, which
does not either. It is a test peer: not constant-time.

    pake_psk_peer.py check FILE     recomputes every value of vectors/pake_psk.json, in both roles
"""

import hashlib
import hmac
import json
import struct
import sys

# The tree stays clean.
sys.dont_write_bytecode = True

from cpace_peer import Failure, Ristretto255, item, lv_cat, prepend_len, saslprep, sequence, sha512

GROUP = Ristretto255
SUITE = b"CPACE-RISTR255-SHA512"


def sha256(octets):
    return hashlib.sha256(octets).digest()


def hmac256(key, octets):
    return hmac.new(key, octets, hashlib.sha256).digest()


def vector16(octets):
    return struct.pack(">H", len(octets)) + octets


def canonical(case, side, share):
    """The canonical octets of a <security/>: four lists."""
    texts = lambda what: [text.encode() for text in case[side + "_" + what]]
    fingerprint = [bytes.fromhex(text.decode()) for text in texts("fingerprint")]
    pake = [SUITE, share]
    return b"".join(sequence(items) for items in (fingerprint, texts("methods"), texts("mechanisms"), pake))


class Side:
    """One party: first the share, then the rest."""

    def __init__(self, case, scalar):
        if case["suite"].encode() != SUITE:
            raise Failure("another suite")
        initiator, responder = case["initiator"].encode(), case["responder"].encode()
        ci = b"".join(
            item(i) for i in (b"countersign PAKE-PSK channel identifier v1", SUITE, initiator, responder)
        )
        sid = sha256(lv_cat(b"countersign PAKE-PSK sid v1", case["session"].encode()))
        prs = saslprep(case["password"])
        zeros = bytes(max(0, 127 - len(prepend_len(prs)) - len(prepend_len(GROUP.dsi))))
        string = lv_cat(GROUP.dsi, prs, zeros, ci, sid)
        generator = GROUP.map(sha512(string))
        self.scalar, self.parties, self.sid = scalar, (initiator, responder), sid
        self.share = GROUP.encode(GROUP.multiply(scalar, generator))
        self.values = {"PRS": prs, "CI": ci, "sid": sid, "generator_string": string}
        self.values["generator"] = GROUP.encode(generator)

    def agree(self, theirs, ya, ada, yb, adb):
        if theirs == self.share:
            raise Failure("our own share came back")
        k = GROUP.encode(GROUP.multiply(self.scalar, GROUP.decode(theirs)))
        if k == bytes(32):
            raise Failure("neutral element")
        transcript = lv_cat(ya, ada) + lv_cat(yb, adb)
        isk = sha512(lv_cat(GROUP.dsi + b"_ISK", self.sid, k) + transcript)
        context = sha256(
            item(b"countersign context v1")
            + item(self.parties[0])
            + item(self.parties[1])
            + sequence([])
            + sequence([])
            + sequence([ada, adb])
        )
        digest = sha256(item(b"countersign PAKE-PSK identity v1") + item(self.sid) + item(transcript))
        identity = digest.hex()[:32].encode()
        prk = hmac256(bytes(32), isk)
        imported = vector16(identity) + vector16(context) + bytes([3, 4, 0, 1])
        psk = hmac256(prk, b"countersign PAKE-PSK key v1" + sha256(imported) + b"\x01")
        self.values.update(Ya=ya, ADa=ada, Yb=yb, ADb=adb, K=k, ISK=isk, context_digest=context)
        self.values.update(PRK=prk, imported_identity=imported, PSK=psk)
        self.identity = identity.decode()


def run(case):
    initiator = Side(case, bytes.fromhex(case["initiator_scalar"]))
    responder = Side(case, bytes.fromhex(case["responder_scalar"]))
    ya, yb = initiator.share, responder.share
    ada, adb = canonical(case, "initiator", ya), canonical(case, "responder", yb)
    initiator.agree(yb, ya, ada, yb, adb)
    responder.agree(ya, ya, ada, yb, adb)
    return initiator, responder


def check(cases):
    for case in cases:
        for side in run(case):
            if side.identity != case["identity"]:
                raise Failure("identity differs")
            for name, value in side.values.items():
                if value.hex() != case[name]:
                    raise Failure(name + " differs")
    return {"checked": len(cases)}


def main():
    with open(sys.argv[2], encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    print(json.dumps(check(cases)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
