#!/usr/bin/env python3
"""Runs a server that cannot be told to bind one address where nobody else can reach it, and is the wire to it.

Start it in a network namespace of its own: unshare --net python3 alone.py PORT COMMAND... What comes on standard input goes
to the server, what the server answers to standard output; what it prints goes to the error stream. The server ends with us.
"""

import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
PATIENCE = 20


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP) + bytes(14))


def connect(port):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def copy(read, write, end):
    try:
        while octets := read():
            write(octets)
    except OSError:
        pass
    end()


def main():
    port, command = int(sys.argv[1]), sys.argv[2:]
    loopback_up()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sys.stderr, stderr=sys.stderr)
    try:
        wire = connect(port)

        def shut():
            try:
                wire.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        answers = threading.Thread(
            target=copy,
            args=(lambda: wire.recv(65536), lambda octets: os.write(1, octets), lambda: os.close(1)),
            daemon=True,
        )
        answers.start()
        copy(lambda: os.read(0, 65536), wire.sendall, shut)
        answers.join(PATIENCE)
    finally:
        server.kill()
        server.wait()


main()
