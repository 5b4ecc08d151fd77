#!/usr/bin/env python3
"""Reads lines of John the Ripper's format `xmpp-scram`, written from its documentation (doc/README.openfire in the
jumbo tree): $xmpp-scram$0$ITERATIONS$SALT-LENGTH$SALT-IN-HEX$STOREDKEY-IN-HEX, a salt of 64 octets at most.

It shares no code with the library. It needs Python 3.8.

    xmpp_scram_peer.py FILE WORDLIST     prints the password of each line, or nothing for a line that has none

Before that it finds the passwords of the examples with which John tests itself, so that it reads what John reads.
"""

import hashlib
import hmac
import sys

SALT_MAX = 64

# From John's src/xmpp_scram_fmt_plug.c: made by Prosody 0.9.12, ejabberd 16.01 (two), Openfire 4.1.6.
JOHNS_OWN = [
    ("$xmpp-scram$0$4096$36$37333536663261622d613666622d346333642d396232622d626432646237633338343064"
     "$38f79a6e3e64c07f731570d531ec05365aa05306", "openwall123"),
    ("$xmpp-scram$0$4096$16$4f67aec1bd53f5f2f74652e69a3b8f32$4aec3caa8ace5180efa7a671092646c041ab1496", "qwerty"),
    ("$xmpp-scram$0$4096$16$1f7fcb384d5bcc61dfb1231ae1b32a2f$a2d076d56b0152ed557ad7d38fce93159bc63c9b",
     "password 123"),
    ("$xmpp-scram$0$4096$24$bc1bd6638a1231ffd54f608983425eacf729d8455a469197"
     "$aee9254762b23a3950fd7c803caab5f6654587c8", "openwall123"),
]


def parse(line):
    empty, tag, kind, iterations, length, salt, stored_key = line.split("$")
    if (empty, tag, kind) != ("", "xmpp-scram", "0"):
        raise ValueError("not a line of this format")
    if not (iterations.isdecimal() and length.isdecimal()):
        raise ValueError("a number is not decimal")
    salt, stored_key = bytes.fromhex(salt), bytes.fromhex(stored_key)
    if len(salt) != int(length) or len(salt) > SALT_MAX or len(stored_key) != 20:
        raise ValueError("a field has the wrong length")
    return int(iterations), salt, stored_key


def fits(line, password):
    iterations, salt, stored_key = parse(line)
    salted = hashlib.pbkdf2_hmac("sha1", password, salt, iterations)
    client_key = hmac.new(salted, b"Client Key", "sha1").digest()
    return hashlib.sha1(client_key).digest() == stored_key


def main():
    for line, password in JOHNS_OWN:
        if not fits(line, password.encode()) or fits(line, b"another"):
            sys.exit("this reader is wrong about John's own examples")
    with open(sys.argv[1], encoding="ascii") as lines, open(sys.argv[2], "rb") as words:
        words = words.read().split(b"\n")
        for line in lines:
            for word in words:
                if fits(line.rstrip("\n"), word):
                    print(word.decode())
                    break


main()
