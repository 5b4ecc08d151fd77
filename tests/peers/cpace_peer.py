#!/usr/bin/env python3
"""One side of CPACE-R255-PLUS or CPACE-X25519-PLUS, written from docs/sasl-pake.md, RFC 9496, RFC 7748 and RFC 4013.

It shares no code with the library and needs nothing but Python 3.8. It is a test peer: not constant-time.

    cpace_peer.py client|server
    cpace_peer.py check FILE        recomputes every value of vectors/cpace_sasl.json, in both roles

Standard input and output carry one JSON object for each line. The first line in is the set-up:

    mechanism, password, authcid, authzid, initiator, responder, cb_type: texts
    mechanisms, binding_types: lists of texts
    cb_data: hex; offers: list of hex

Then messages go both ways as {"message": hex}. The end is {"key": hex} or {"error": text}, after which the peer exits
with 0 or 1. The server side knows the one user of its set-up.
"""

import hashlib
import hmac
import json
import secrets
import stringprep
import struct
import sys
import unicodedata


class Failure(Exception):
    """The exchange is over."""


# Strings


def item(octets):
    return struct.pack(">Q", len(octets)) + octets


def sequence(items):
    return struct.pack(">Q", len(items)) + b"".join(item(i) for i in items)


def field(octets):
    return struct.pack(">H", len(octets)) + octets


def prepend_len(octets):
    n, out = len(octets), b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n]) + octets


def lv_cat(*items):
    return b"".join(prepend_len(i) for i in items)


def sha512(octets):
    return hashlib.sha512(octets).digest()


def mac(key, octets):
    return hmac.new(key, octets, hashlib.sha512).digest()


PROHIBITED = [
    stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
    stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8,
    stringprep.in_table_c9, stringprep.in_table_a1,
]


def saslprep(text):
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c))
    out = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if any(table(c) for c in out for table in PROHIBITED):
        raise Failure("the password has a prohibited character")
    if any(stringprep.in_table_d1(c) for c in out):
        ends = stringprep.in_table_d1(out[0]) and stringprep.in_table_d1(out[-1])
        if not ends or any(stringprep.in_table_d2(c) for c in out):
            raise Failure("the password mixes directions")
    if not out:
        raise Failure("the password is empty")
    return out.encode()


# The field of 2^255 - 19 elements

P = 2**255 - 19
SQRT_M1 = pow(2, (P - 1) // 4, P)


def invert(x):
    return pow(x, P - 2, P)


def is_negative(x):
    return x & 1 == 1


def absolute(x):
    return P - x if is_negative(x) else x


def sqrt_ratio_m1(u, v):
    """RFC 9496 section 4.2."""
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    correct, flipped, flipped_i = check == u % P, check == -u % P, check == -u * SQRT_M1 % P
    if flipped or flipped_i:
        r = r * SQRT_M1 % P
    return correct or flipped, absolute(r)


class X25519:
    dsi = b"CPace255"

    @staticmethod
    def sample_scalar():
        return secrets.token_bytes(32)

    @staticmethod
    def map(digest):
        a = 486662
        r = (int.from_bytes(digest[:32], "little") & (2**255 - 1)) % P
        v = -a * invert(1 + 2 * r * r) % P
        on_curve = pow(v**3 + a * v * v + v, (P - 1) // 2, P) in (0, 1)
        return (v if on_curve else (-v - a) % P).to_bytes(32, "little")

    @staticmethod
    def decode(share):
        return share

    @staticmethod
    def encode(element):
        return element

    @staticmethod
    def multiply(scalar, element):
        """The function X25519 of RFC 7748 section 5."""
        k = (int.from_bytes(scalar, "little") & (2**255 - 8)) | 2**254
        k &= 2**255 - 1
        u = (int.from_bytes(element, "little") & (2**255 - 1)) % P
        x2, z2, x3, z3 = 1, 0, u, 1
        for t in reversed(range(255)):
            bit = k >> t & 1
            if bit:
                x2, z2, x3, z3 = x3, z3, x2, z2
            a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
            da, cb, aa, bb = d * a % P, c * b % P, a * a % P, b * b % P
            e = aa - bb
            x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
            x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
            if bit:
                x2, z2, x3, z3 = x3, z3, x2, z2
        return (x2 * invert(z2) % P).to_bytes(32, "little")


class Ristretto255:
    dsi = b"CPaceRistretto255"

    D = -121665 * invert(121666) % P
    SQRT_AD_MINUS_ONE = 25063068953384623474111414158702152701244531502492656460079210482610430750235
    INVSQRT_A_MINUS_D = 54469307008909316920995813868745141605393597292927456921205312896311721017578

    @staticmethod
    def sample_scalar():
        scalar = bytearray(secrets.token_bytes(32))
        scalar[31] &= 0x0F
        return bytes(scalar)

    @classmethod
    def map(cls, digest):
        """RFC 9496 section 4.3.4."""
        halves = (digest[:32], digest[32:64])
        first, second = (cls.map_half((int.from_bytes(h, "little") & (2**255 - 1)) % P) for h in halves)
        return cls.add(first, second)

    @classmethod
    def map_half(cls, t):
        r = SQRT_M1 * t * t % P
        u = (r + 1) * (1 - cls.D * cls.D) % P
        v = (-1 - r * cls.D) * (r + cls.D) % P
        was_square, s = sqrt_ratio_m1(u, v)
        c = P - 1
        if not was_square:
            s, c = -absolute(s * t % P) % P, r
        n = (c * (r - 1) * (cls.D - 1) ** 2 - v) % P
        w0, w1, w2, w3 = 2 * s * v, n * cls.SQRT_AD_MINUS_ONE, 1 - s * s, 1 + s * s
        return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P

    @classmethod
    def decode(cls, share):
        """RFC 9496 section 4.3.1."""
        s = int.from_bytes(share, "little")
        if s >= P or is_negative(s):
            raise Failure("the share does not decode")
        u1, u2 = (1 - s * s) % P, (1 + s * s) % P
        v = (-(cls.D * u1 * u1) - u2 * u2) % P
        was_square, invsqrt = sqrt_ratio_m1(1, v * u2 * u2 % P)
        den_x = invsqrt * u2 % P
        den_y = invsqrt * den_x * v % P
        x, y = absolute(2 * s * den_x % P), u1 * den_y % P
        if not was_square or is_negative(x * y % P) or y == 0:
            raise Failure("the share does not decode")
        return x, y, 1, x * y % P

    @classmethod
    def encode(cls, element):
        """RFC 9496 section 4.3.2."""
        x0, y0, z0, t0 = element
        u1, u2 = (z0 + y0) * (z0 - y0) % P, x0 * y0 % P
        _, invsqrt = sqrt_ratio_m1(1, u1 * u2 * u2 % P)
        den1, den2 = invsqrt * u1 % P, invsqrt * u2 % P
        z_inv = den1 * den2 * t0 % P
        x, y, den = x0, y0, den2
        if is_negative(t0 * z_inv % P):
            x, y, den = y0 * SQRT_M1 % P, x0 * SQRT_M1 % P, den1 * cls.INVSQRT_A_MINUS_D % P
        if is_negative(x * z_inv % P):
            y = -y % P
        return absolute(den * (z0 - y) % P).to_bytes(32, "little")

    @classmethod
    def add(cls, p, q):
        """Twisted Edwards addition with a = -1, complete."""
        (x1, y1, z1, t1), (x2, y2, z2, t2) = p, q
        a, b = (y1 - x1) * (y2 - x2), (y1 + x1) * (y2 + x2)
        c, d = 2 * cls.D * t1 * t2, 2 * z1 * z2
        e, f, g, h = b - a, d - c, d + c, b + a
        return e * f % P, g * h % P, f * g % P, e * h % P

    @classmethod
    def multiply(cls, scalar, element):
        out, n = (0, 1, 1, 0), int.from_bytes(scalar, "little")
        while n:
            if n & 1:
                out = cls.add(out, element)
            element = cls.add(element, element)
            n >>= 1
        return out


GROUPS = {"CPACE-R255-PLUS": Ristretto255, "CPACE-X25519-PLUS": X25519}


# The exchange


class Session:
    def __init__(self, setup):
        self.setup = setup
        self.group = GROUPS[setup["mechanism"]]

    def text(self, name):
        return self.setup[name].encode()

    def context_digest(self):
        setup = self.setup
        return hashlib.sha256(
            item(b"countersign context v1")
            + item(self.text("initiator"))
            + item(self.text("responder"))
            + sequence(sorted(m.encode() for m in setup["mechanisms"]))
            + sequence(sorted(t.encode() for t in setup["binding_types"]))
            + sequence([bytes.fromhex(o) for o in setup["offers"]])
        ).digest()

    def channel_identifier(self, authcid, authzid):
        cb_data, context = bytes.fromhex(self.setup["cb_data"]), self.context_digest()
        names = [self.text(n) for n in ("mechanism", "initiator", "responder")]
        parts = [b"countersign channel identifier v1", *names, authcid, authzid, self.text("cb_type"), cb_data, context]
        return b"".join(item(part) for part in parts)

    def sid(self):
        cb_data = bytes.fromhex(self.setup["cb_data"])
        return hashlib.sha256(lv_cat(b"countersign CPace sid v1", self.text("cb_type"), cb_data)).digest()

    def share(self, prs, authcid, authzid, scalar=None):
        dsi, ci, sid = self.group.dsi, self.channel_identifier(authcid, authzid), self.sid()
        zeros = bytes(max(0, 127 - len(prepend_len(prs)) - len(prepend_len(dsi))))
        string = lv_cat(dsi, prs, zeros, ci, sid)
        generator = self.group.map(sha512(string))
        self.scalar = scalar or self.group.sample_scalar()
        self.own = self.group.encode(self.group.multiply(self.scalar, generator))
        self.values = {"context_digest": self.context_digest(), "CI": ci, "sid": sid, "PRS": prs}
        self.values.update(generator_string=string, generator=self.group.encode(generator))
        return self.own

    def agree(self, theirs, ya, ada, yb, adb):
        """Ta, Tb and the session key."""
        if theirs == self.own:
            raise Failure("our own share came back")
        k = self.group.encode(self.group.multiply(self.scalar, self.group.decode(theirs)))
        if k == bytes(32):
            raise Failure("neutral element")
        sid, transcript = self.sid(), lv_cat(ya, ada) + lv_cat(yb, adb)
        isk = sha512(lv_cat(self.group.dsi + b"_ISK", sid, k) + transcript)
        mac_key = sha512(b"CPaceMac" + sid + isk)
        ta, tb = mac(mac_key, lv_cat(ya, ada)), mac(mac_key, lv_cat(yb, adb))
        self.values.update(ADa=ada, Ya=ya, ADb=adb, Yb=yb, K=k, transcript=transcript, ISK=isk, mac_key=mac_key)
        self.values.update(Ta=ta, Tb=tb)
        return ta, tb, mac(isk, b"countersign session key v1\x01")


ADB = b"\x01\x02"


def client(session, pipe, scalar=None):
    authcid, authzid = session.text("authcid"), session.text("authzid")
    ada = b"\x01\x01" + field(session.text("cb_type")) + field(authzid) + field(authcid)
    ya = session.share(saslprep(session.setup["password"]), authcid, authzid, scalar)
    pipe.send(ada + ya)
    message = pipe.receive()
    if len(message) != 98 or message[:2] != ADB:
        raise Failure("not a server share")
    yb, tb = message[2:34], message[34:]
    ta, expected, key = session.agree(yb, ya, ada, yb, ADB)
    if not hmac.compare_digest(tb, expected):
        raise Failure("the server's confirmation is wrong")
    pipe.send(b"\x01\x03" + ta)
    return key


def server(session, pipe, scalar=None):
    message = pipe.receive()
    cb_type, authzid, authcid, ada, ya = parse_client_share(message)
    if cb_type != session.text("cb_type"):
        raise Failure("another binding type")
    if authzid not in (b"", authcid):
        raise Failure("authzid refused")
    known = authcid == session.text("authcid")
    prs = saslprep(session.setup["password"]) if known else secrets.token_bytes(32)
    yb = session.share(prs, authcid, authzid, scalar)
    expected, tb, key = session.agree(ya, ya, ada, yb, ADB)
    pipe.send(ADB + yb + tb)
    message = pipe.receive()
    if len(message) != 66 or message[:2] != b"\x01\x03":
        raise Failure("not a client confirmation")
    if not hmac.compare_digest(message[2:], expected):
        raise Failure("the client's confirmation is wrong")
    return key


def parse_client_share(message):
    if message[:2] != b"\x01\x01":
        raise Failure("not a client share")
    fields, at = [], 2
    for _ in range(3):
        end = at + 2 + int.from_bytes(message[at:at + 2], "big")
        if end > len(message):
            raise Failure("too short")
        fields.append(message[at + 2:end])
        at = end
    for identity in fields[1:]:
        check_identity(identity)
    if not fields[2]:
        raise Failure("no authcid")
    if len(message) != at + 32:
        raise Failure("too short or too long")
    return (*fields, message[:at], message[at:])


def check_identity(octets):
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise Failure("an identity is not UTF-8") from None
    if len(octets) > 3071 or "\0" in text:
        raise Failure("not an identity")


class Pipe:
    def send(self, message):
        self.write({"message": message.hex()})

    def receive(self):
        line = sys.stdin.readline()
        if not line:
            raise Failure("the other side closed the connection")
        return bytes.fromhex(json.loads(line)["message"])

    @staticmethod
    def write(value):
        print(json.dumps(value), flush=True)


class Replay:
    """The other side's messages out of a file; ours must be those of the file."""

    def __init__(self, theirs, ours):
        self.theirs, self.ours = iter(theirs), iter(ours)

    def send(self, message):
        if message != next(self.ours):
            raise Failure("a message differs")

    def receive(self):
        return next(self.theirs)


def check(path):
    with open(path, encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    for case in cases:
        setup = {**case, "offers": [offer.encode().hex() for offer in case["offers"]]}
        names = ("client_share", "server_share", "client_confirm", "client_scalar", "server_scalar", "session_key")
        first, second, third, client_scalar, server_scalar, key = (bytes.fromhex(case[name]) for name in names)
        initiator, responder = Session(setup), Session(setup)
        ours = client(initiator, Replay([second], [first, third]), client_scalar)
        theirs = server(responder, Replay([first, third], [second]), server_scalar)
        if not ours == theirs == key:
            raise Failure("a key differs")
        for session in (initiator, responder):
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
