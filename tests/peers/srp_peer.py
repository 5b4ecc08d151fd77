#!/usr/bin/env python3
"""The Python libraries srp and srptools as one side of an SRP exchange.

Speaks lines of JSON with octets in hex. The first line says which library and which side; with "available" instead of a
side the program only tells whether the library is there.
"""

import hashlib
import json
import sys


def say(**values):
    print(json.dumps({name: value.hex() for name, value in values.items()}), flush=True)


def hear(name):
    return bytes.fromhex(json.loads(sys.stdin.readline())[name])


def pysrp(setting):
    import srp._pysrp as srp

    if setting["padded"]:
        srp.rfc5054_enable()
    algorithm = {"sha1": srp.SHA1, "sha256": srp.SHA256, "sha512": srp.SHA512}[setting["hash"]]
    group = {2048: srp.NG_2048, 4096: srp.NG_4096, 8192: srp.NG_8192}[setting["bits"]]
    user, password = setting["user"].encode(), setting["password"].encode()
    if setting["side"] == "client":
        client = srp.User(user, password, algorithm, group)
        say(a=client.start_authentication()[1])
        say(m1=client.process_challenge(hear("salt"), hear("b")))
        client.verify_session(hear("m2"))
        assert client.authenticated()
        say(key=client.get_session_key())
    else:
        salt, v = srp.create_salted_verification_key(user, password, algorithm, group)
        say(salt=salt)
        say(v=v)
        server = srp.Verifier(user, salt, v, hear("a"), algorithm, group)
        say(b=server.get_challenge()[1])
        m2 = server.verify_session(hear("m1"))
        assert server.authenticated()
        say(m2=m2)
        say(key=server.get_session_key())


def srptools(setting):
    from srptools import SRPClientSession, SRPContext, SRPServerSession, constants

    bits = setting["bits"]
    context = SRPContext(
        setting["user"],
        setting["password"],
        prime=getattr(constants, f"PRIME_{bits}"),
        generator=getattr(constants, f"PRIME_{bits}_GEN"),
        hash_func=getattr(hashlib, setting["hash"]),
    )

    def octets(value):
        text = value if isinstance(value, str) else value.decode()
        return bytes.fromhex(text if len(text) % 2 == 0 else "0" + text)

    if setting["side"] == "client":
        client = SRPClientSession(context)
        say(a=octets(client.public))
        salt, b = hear("salt"), hear("b")
        client.process(b.hex(), salt.hex())
        say(m1=octets(client.key_proof))
        assert client.verify_proof(hear("m2"))
        say(key=octets(client.key))
    else:
        _, v, salt = context.get_user_data_triplet()
        say(salt=octets(salt))
        say(v=octets(v))
        server = SRPServerSession(context, password_verifier=v)
        say(b=octets(server.public))
        server.process(hear("a").hex(), salt)
        assert server.verify_proof(hear("m1"))
        say(m2=octets(server.key_proof_hash))
        say(key=octets(server.key))


def main():
    setting = json.loads(sys.stdin.readline())
    if setting["side"] == "available":
        __import__("srp" if setting["library"] == "pysrp" else "srptools")
        return
    {"pysrp": pysrp, "srptools": srptools}[setting["library"]](setting)


main()
