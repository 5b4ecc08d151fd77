#!/usr/bin/env python3
"""One side of SPAKE2P-ED25519-PLUS or SPAKE2PLUS-P256-PLUS, written from docs/sasl-pake.md, RFC 9383 and RFC 5869.

It shares no code with the library. It needs Python 3.8, argon2-cffi, ecdsa for the arithmetic of the curves, and
cpace_peer.py beside it for what the document says about all mechanisms. It is a test peer: not constant-time.

    spake2plus_peer.py client|server
    spake2plus_peer.py check FILE        recomputes every value of vectors/spake2plus_sasl.json, in both roles

The pipe is that of cpace_peer.py. The set-up of a server has `ksf` too: 13 octets in hex.
"""

import hashlib
import hmac
import json
import secrets
import struct
import sys

import argon2.low_level
from ecdsa import NIST256p
from ecdsa.eddsa import curve_ed25519, generator_ed25519
from ecdsa.ellipticcurve import INFINITY, PointEdwards, PointJacobi
from ecdsa.errors import MalformedPointError

import cpace_peer
from cpace_peer import Failure, Pipe, Replay, check_identity, field, item, saslprep


def item_le(octets):
    return struct.pack("<Q", len(octets)) + octets


def mac(key, octets):
    return hmac.new(key, octets, hashlib.sha256).digest()


def hkdf(ikm, info, length):
    """RFC 5869 with an empty salt."""
    prk, out, block, i = mac(bytes(32), ikm), b"", b"", 1
    while len(out) < length:
        block = mac(prk, block + info + bytes([i]))
        out, i = out + block, i + 1
    return out[:length]


def stretch(ksf, secret, salt):
    algorithm, *numbers = struct.unpack(">BIII", ksf)
    first, second, third = numbers
    if algorithm == 1:
        if first > 2**21 or second > 16 or third > 16 or second < 1 or third < 1 or first < 8 * third:
            raise Failure("refused parameters")
        return argon2.low_level.hash_secret_raw(
            secret, salt, time_cost=second, memory_cost=first, parallelism=third, hash_len=80,
            type=argon2.low_level.Type.ID, version=0x13,
        )
    if algorithm == 2:
        if first > 20 or second > 16 or third > 16 or 0 in numbers:
            raise Failure("refused parameters")
        return hashlib.scrypt(secret, salt=salt, n=2**first, r=second, p=third, maxmem=2**31 - 1, dklen=80)
    if algorithm == 3:
        if not 1000 <= first <= 10**7 or (second, third) != (0, 0):
            raise Failure("refused parameters")
        return hashlib.pbkdf2_hmac("sha256", secret, salt, first, 80)
    raise Failure("unknown password hash")


class P256:
    CURVE, BASE, ORDER = NIST256p.curve, NIST256p.generator, NIST256p.order
    COFACTOR, POINT_LEN, BYTE_ORDER, POINT = 1, 65, "big", PointJacobi
    M = "02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f"
    N = "03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49"


class Edwards25519:
    CURVE, BASE, ORDER = curve_ed25519, generator_ed25519, generator_ed25519.order()
    COFACTOR, POINT_LEN, BYTE_ORDER, POINT = 8, 32, "little", PointEdwards
    M = "d048032c6ea0b6d697ddc2e86bda85a33adac920f1bf18e1b0c6d166a5cecdaf"
    N = "d3bfb518f44f3430f29d0c92af503865a1ed3281dc69b35dd868ba85f886c4ab"


for GROUP in (P256, Edwards25519):
    GROUP.M, GROUP.N = (GROUP.POINT.from_bytes(GROUP.CURVE, bytes.fromhex(text)) for text in (GROUP.M, GROUP.N))

GROUPS = {"SPAKE2P-ED25519-PLUS": Edwards25519, "SPAKE2PLUS-P256-PLUS": P256}


def decode(group, octets):
    try:
        point = group.POINT.from_bytes(group.CURVE, octets, valid_encodings=("uncompressed",))
    except MalformedPointError:
        raise Failure("not a point") from None
    x, y = point.x(), point.y()
    if max(x, y) >= group.CURVE.p() or not group.CURVE.contains_point(x, y):
        raise Failure("not a point")
    return point


def encode(point):
    if point == INFINITY:
        raise Failure("the neutral element")
    return bytes(point.to_bytes("uncompressed"))


def unmask(group, share, w0, mask):
    """The point of a share, without w0 times the mask."""
    point = decode(group, share)
    if point * group.COFACTOR == INFINITY:
        raise Failure("small order")
    return point + mask * (group.ORDER - w0)


def sample_scalar(group):
    return 1 + secrets.randbelow(group.ORDER - 1)


# The exchange


class Session(cpace_peer.Session):
    def __init__(self, setup):
        self.setup = setup
        self.group = GROUPS[setup["mechanism"]]
        self.values = {"context_digest": self.context_digest()}

    def scalar(self, number):
        return number.to_bytes(32, self.group.BYTE_ORDER)

    def derive(self, ksf, salt, authcid):
        """w0 and w1."""
        kdf_input = item_le(saslprep(self.setup["password"])) + item_le(authcid) + item_le(b"")
        output = stretch(ksf, kdf_input, salt)
        w0, w1 = (int.from_bytes(half, "big") % self.group.ORDER for half in (output[:40], output[40:]))
        self.values.update(kdf_input=kdf_input, kdf_output=output, w0=self.scalar(w0), w1=self.scalar(w1))
        return w0, w1

    def keys(self, record, authcid, authzid, share_p, share_v, z, v, w0):
        """confirmP, confirmV and the session key."""
        channel, group = self.channel_identifier(authcid, authzid), self.group
        context, z, v = channel + item(record), encode(z), encode(v)
        points = [encode(group.M), encode(group.N), share_p, share_v, z, v]
        tt = b"".join(item_le(i) for i in (context, authcid, b"", *points, self.scalar(w0)))
        main = hashlib.sha256(tt).digest()
        keys = hkdf(main, b"ConfirmationKeys", 64)
        confirm_p, confirm_v = mac(keys[:32], share_v), mac(keys[32:], share_p)
        self.values.update(channel_identifier=channel, context=context, shareP=share_p, shareV=share_v, Z=z, V=v, TT=tt)
        self.values.update(K_main=main, K_confirmP=keys[:32], K_confirmV=keys[32:], confirmP=confirm_p, confirmV=confirm_v)
        return confirm_p, confirm_v, hkdf(main, b"SharedKey", 32)


def expect(message, kind, length):
    if message[:2] != bytes([1, kind]) or len(message) != 2 + length:
        raise Failure("not the message that is due")
    return message[2:]


def client(session, pipe, x=None):
    authcid, authzid = session.text("authcid"), session.text("authzid")
    pipe.send(b"\x01\x01" + field(session.text("cb_type")) + field(authzid) + field(authcid))
    record = pipe.receive()
    body = expect(record, 2, 29)
    w0, w1 = session.derive(body[:13], body[13:], authcid)
    group = session.group
    x = x or sample_scalar(group)
    share_p = encode(group.BASE * x + group.M * w0)
    pipe.send(b"\x01\x03" + share_p)
    body = expect(pipe.receive(), 4, group.POINT_LEN + 32)
    share_v, confirm_v = body[:-32], body[-32:]
    unmasked = unmask(group, share_v, w0, group.N)
    z, v = (unmasked * (group.COFACTOR * scalar) for scalar in (x, w1))
    confirm_p, expected, key = session.keys(record, authcid, authzid, share_p, share_v, z, v, w0)
    if not hmac.compare_digest(confirm_v, expected):
        raise Failure("the server's confirmation is wrong")
    pipe.send(b"\x01\x05" + confirm_p)
    return key


def server(session, pipe, y=None, salt=None):
    cb_type, authzid, authcid = parse_client_identity(pipe.receive())
    if cb_type != session.text("cb_type"):
        raise Failure("another binding type")
    if authzid not in (b"", authcid):
        raise Failure("authzid refused")
    group = session.group
    ksf, salt = bytes.fromhex(session.setup["ksf"]), salt or secrets.token_bytes(16)
    w0, w1 = session.derive(ksf, salt, authcid)
    verifier = group.BASE * w1
    session.values.update(L=encode(verifier))
    if authcid != session.text("authcid"):
        w0, verifier = sample_scalar(group), group.M
    record = b"\x01\x02" + ksf + salt
    pipe.send(record)
    share_p = expect(pipe.receive(), 3, group.POINT_LEN)
    y = y or sample_scalar(group)
    share_v = encode(group.BASE * y + group.N * w0)
    unmasked = unmask(group, share_p, w0, group.M)
    z, v = (point * (group.COFACTOR * y) for point in (unmasked, verifier))
    expected, confirm_v, key = session.keys(record, authcid, authzid, share_p, share_v, z, v, w0)
    pipe.send(b"\x01\x04" + share_v + confirm_v)
    if not hmac.compare_digest(expect(pipe.receive(), 5, 32), expected):
        raise Failure("the client's confirmation is wrong")
    return key


def parse_client_identity(message):
    if message[:2] != b"\x01\x01":
        raise Failure("not a client identity")
    fields, at = [], 2
    for _ in range(3):
        end = at + 2 + int.from_bytes(message[at:at + 2], "big")
        if end > len(message):
            raise Failure("too short")
        fields.append(message[at + 2:end])
        check_identity(fields[-1])
        at = end
    if at != len(message):
        raise Failure("too long")
    if not fields[2]:
        raise Failure("no authcid")
    return fields


def check(path):
    with open(path, encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    names = ("client_identity", "server_record", "client_share", "server_share", "client_confirm")
    for case in cases:
        setup = {**case, "offers": [offer.encode().hex() for offer in case["offers"]]}
        first, second, third, fourth, fifth = (bytes.fromhex(case[name]) for name in names)
        prover, verifier = Session(setup), Session(setup)
        x, y = (int.from_bytes(bytes.fromhex(case[name]), prover.group.BYTE_ORDER) for name in ("x", "y"))
        ours = client(prover, Replay([second, fourth], [first, third, fifth]), x)
        replay = Replay([first, third, fifth], [second, fourth])
        theirs = server(verifier, replay, y, bytes.fromhex(case["salt"]))
        if not ours == theirs == bytes.fromhex(case["session_key"]):
            raise Failure("a key differs")
        for session in (prover, verifier):
            for name, value in session.values.items():
                if value.hex() != case[name]:
                    raise Failure(name + " differs")
    Pipe.write({"checked": len(cases)})
    return 0


def main():
    if sys.argv[1] == "check":
        return check(sys.argv[2])
    side = {"client": client, "server": server}[sys.argv[1]]
    session = Session(json.loads(sys.stdin.readline()))
    try:
        key = side(session, Pipe())
    except Failure as failure:
        Pipe.write({"error": str(failure)})
        return 1
    Pipe.write({"key": key.hex()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
