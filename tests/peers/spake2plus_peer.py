#!/usr/bin/env python3
"""One side of SPAKE2P-ED25519-PLUS or SPAKE2PLUS-P256-PLUS, written from docs/sasl-pake.md, RFC 9383, RFC 8032, SEC 1
and RFC 5869.

It shares no code with the library. It needs Python 3.8, argon2-cffi, and cpace_peer.py beside it for what the document
says about all mechanisms. It is a test peer: not constant-time.

    spake2plus_peer.py client|server
    spake2plus_peer.py check FILE        recomputes every exchange of vectors/spake2plus_sasl.json, in both roles

The pipe is that of cpace_peer.py. The set-up of a server has `ksf` too: 13 octets in hex.
"""

import hashlib
import hmac
import json
import secrets
import struct
import sys

import argon2.low_level

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
    raise Failure("unknown password hash")


class P256:
    """Points are pairs of coordinates, infinity is None."""

    P = 2**256 - 2**224 + 2**192 + 2**96 - 1
    B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    COFACTOR, POINT_LEN, BYTE_ORDER, ZERO = 1, 65, "big", None
    BASE = (
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    )

    def __init__(self):
        self.M = self.decompress("02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f")
        self.N = self.decompress("03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49")

    def decompress(self, text):
        octets = bytes.fromhex(text)
        x = int.from_bytes(octets[1:], "big")
        y = pow(x**3 - 3 * x + self.B, (self.P + 1) // 4, self.P)
        return x, y if y & 1 == octets[0] & 1 else self.P - y

    def add(self, p, q):
        if p is None:
            return q
        if q is None:
            return p
        if p[0] == q[0]:
            if (p[1] + q[1]) % self.P == 0:
                return None
            slope = (3 * p[0] ** 2 - 3) * pow(2 * p[1], -1, self.P)
        else:
            slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, self.P)
        x = (slope**2 - p[0] - q[0]) % self.P
        return x, (slope * (p[0] - x) - p[1]) % self.P

    def negate(self, p):
        return p and (p[0], -p[1] % self.P)

    def encode(self, p):
        return b"\x04" + p[0].to_bytes(32, "big") + p[1].to_bytes(32, "big")

    def decode(self, octets):
        x, y = int.from_bytes(octets[1:33], "big"), int.from_bytes(octets[33:], "big")
        if octets[0] != 4 or x >= self.P or y >= self.P or (y * y - x**3 + 3 * x - self.B) % self.P:
            raise Failure("not a point")
        return x, y


class Edwards25519:
    """Points are pairs of coordinates."""

    P = 2**255 - 19
    D = -121665 * pow(121666, -1, P) % P
    ORDER = 2**252 + 27742317777372353535851937790883648493
    COFACTOR, POINT_LEN, BYTE_ORDER, ZERO = 8, 32, "little", (0, 1)

    def __init__(self):
        self.BASE = self.decode((4 * pow(5, -1, self.P) % self.P).to_bytes(32, "little"))
        self.M = self.decode(bytes.fromhex("d048032c6ea0b6d697ddc2e86bda85a33adac920f1bf18e1b0c6d166a5cecdaf"))
        self.N = self.decode(bytes.fromhex("d3bfb518f44f3430f29d0c92af503865a1ed3281dc69b35dd868ba85f886c4ab"))

    def add(self, p, q):
        product = self.D * p[0] * q[0] * p[1] * q[1]
        x = (p[0] * q[1] + p[1] * q[0]) * pow(1 + product, -1, self.P)
        y = (p[1] * q[1] + p[0] * q[0]) * pow(1 - product, -1, self.P)
        return x % self.P, y % self.P

    def negate(self, p):
        return -p[0] % self.P, p[1]

    def encode(self, p):
        return (p[1] | (p[0] & 1) << 255).to_bytes(32, "little")

    def decode(self, octets):
        number = int.from_bytes(octets, "little")
        sign, y = number >> 255, number & (1 << 255) - 1
        square = (y * y - 1) * pow(self.D * y * y + 1, -1, self.P) % self.P
        x = pow(square, (self.P + 3) // 8, self.P)
        if (x * x - square) % self.P:
            x = x * pow(2, (self.P - 1) // 4, self.P) % self.P
        if y >= self.P or (x * x - square) % self.P or (x == 0 and sign):
            raise Failure("not a point")
        return self.P - x if x & 1 != sign else x, y


GROUPS = {"SPAKE2P-ED25519-PLUS": Edwards25519, "SPAKE2PLUS-P256-PLUS": P256}


def multiply(group, scalar, p):
    out = group.ZERO
    while scalar:
        if scalar & 1:
            out = group.add(out, p)
        p, scalar = group.add(p, p), scalar >> 1
    return out


def encode(group, p):
    if p == group.ZERO:
        raise Failure("the neutral element")
    return group.encode(p)


def unmask(group, share, mask):
    """The point of a share, without the mask."""
    point = group.decode(share)
    if multiply(group, group.COFACTOR, point) == group.ZERO:
        raise Failure("small order")
    return group.add(point, group.negate(mask))


def sample_scalar(group):
    return 1 + secrets.randbelow(group.ORDER - 1)


# The exchange


class Session(cpace_peer.Session):
    def __init__(self, setup):
        self.setup = setup
        self.group = GROUPS[setup["mechanism"]]()

    def derive(self, ksf, salt, authcid):
        """w0 and w1."""
        password = saslprep(self.setup["password"])
        output = stretch(ksf, item_le(password) + item_le(authcid) + item_le(b""), salt)
        return tuple(int.from_bytes(half, "big") % self.group.ORDER for half in (output[:40], output[40:]))

    def keys(self, record, authcid, authzid, share_p, share_v, z, v, w0):
        """confirmP, confirmV and the session key."""
        context = self.channel_identifier(authcid, authzid) + item(record)
        group = self.group
        points = [group.encode(group.M), group.encode(group.N), share_p, share_v, encode(group, z), encode(group, v)]
        w0 = w0.to_bytes(32, group.BYTE_ORDER)
        tt = b"".join(item_le(i) for i in (context, authcid, b"", *points, w0))
        main = hashlib.sha256(tt).digest()
        confirmation = hkdf(main, b"ConfirmationKeys", 64)
        return mac(confirmation[:32], share_v), mac(confirmation[32:], share_p), hkdf(main, b"SharedKey", 32)


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
    share_p = encode(group, group.add(multiply(group, x, group.BASE), multiply(group, w0, group.M)))
    pipe.send(b"\x01\x03" + share_p)
    body = expect(pipe.receive(), 4, group.POINT_LEN + 32)
    share_v, confirm_v = body[:-32], body[-32:]
    unmasked = unmask(group, share_v, multiply(group, w0, group.N))
    z, v = (multiply(group, group.COFACTOR * scalar, unmasked) for scalar in (x, w1))
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
    verifier = multiply(group, w1, group.BASE)
    if authcid != session.text("authcid"):
        w0, verifier = sample_scalar(group), group.M
    record = b"\x01\x02" + ksf + salt
    pipe.send(record)
    share_p = expect(pipe.receive(), 3, group.POINT_LEN)
    y = y or sample_scalar(group)
    share_v = encode(group, group.add(multiply(group, y, group.BASE), multiply(group, w0, group.N)))
    unmasked = unmask(group, share_p, multiply(group, w0, group.M))
    z, v = (multiply(group, group.COFACTOR * y, point) for point in (unmasked, verifier))
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
        session = Session(setup)
        x, y = (int.from_bytes(bytes.fromhex(case[name]), session.group.BYTE_ORDER) for name in ("x", "y"))
        ours = client(session, Replay([second, fourth], [first, third, fifth]), x)
        replay = Replay([first, third, fifth], [second, fourth])
        theirs = server(session, replay, y, bytes.fromhex(case["salt"]))
        if not ours == theirs == bytes.fromhex(case["session_key"]):
            raise Failure("a key differs")
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
