#!/usr/bin/env python3
"""tlslite-ng as one side of a TLS-SRP connection over TCP on the loopback address.

Speaks lines of JSON. The first line it reads is the setting: "side" is "client" (with "port"), "server" or "available"; with
it come "user" and "password", and "extended_master_secret". A server says its port first. Then comes {"alert": NAME}, or
{"up": true} with the exporter, and every line that arrives is sent back.
"""

import json
import socket
import sys

from tlslite.api import HandshakeSettings, TLSConnection, VerifierDB
from tlslite.constants import AlertDescription
from tlslite.errors import TLSAbruptCloseError, TLSLocalAlert, TLSRemoteAlert

PATIENCE = 20


def say(**values):
    print(json.dumps(values), flush=True)


def settings(setting):
    chosen = HandshakeSettings()
    chosen.maxVersion = (3, 3)
    chosen.useExtendedMasterSecret = setting.get("extended_master_secret", True)
    return chosen


def client(setting):
    connection = TLSConnection(socket.create_connection(("127.0.0.1", setting["port"]), PATIENCE))
    user, password = setting["user"], setting["password"]
    return connection, lambda: connection.handshakeClientSRP(user, password, settings=settings(setting))


def server(setting):
    database = VerifierDB()
    database.create()
    user, password = setting["user"].encode(), setting["password"].encode()
    database[user] = VerifierDB.makeVerifier(user, password, 2048)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        say(port=str(listener.getsockname()[1]))
        accepted, _ = listener.accept()
    accepted.settimeout(PATIENCE)
    connection = TLSConnection(accepted)
    return connection, lambda: connection.handshakeServer(verifierDB=database, settings=settings(setting))


def main():
    setting = json.loads(sys.stdin.readline())
    if setting["side"] == "available":
        return
    connection, handshake = {"client": client, "server": server}[setting["side"]](setting)
    try:
        handshake()
    except (TLSLocalAlert, TLSRemoteAlert) as alert:
        say(alert=AlertDescription.toStr(alert.description))
        return
    except (TLSAbruptCloseError, ConnectionError):
        say(alert="none")
        return
    value = connection.keyingMaterialExporter(bytearray(b"EXPORTER-Channel-Binding"), 32)
    say(up="yes", exporter=value.hex())
    try:
        while line := connection.read(max=1024, min=1):
            connection.write(line)
    except TLSAbruptCloseError:
        say(closed="abruptly")
        return
    connection.close()
    say(closed="yes")


main()
