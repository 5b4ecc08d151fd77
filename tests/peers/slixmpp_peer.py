"""An XMPP client made of slixmpp, for the tests of countersign.

`slixmpp_peer.py ROLE` reads one line of JSON: host, port, authorities (a PEM file), jid, password; for the role `jingle`
also peer, and certificate and key (PEM files). It writes lines of JSON and ends when stdin ends.

plain: logs in and is a client that has never heard of tunnels.
jingle: offers a tunnel to the peer, and goes on until both speak XML inside TLS: slixmpp writes and reads all stanzas and
the whole bytestream, CPython's ssl does TLS. It stops where the password would be proven.
"""

import asyncio
import hashlib
import json
import ssl
import sys
import xml.etree.ElementTree as ET

import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

JINGLE = "urn:xmpp:jingle:1"
XMLSTREAM = "urn:xmpp:jingle:apps:xmlstream:0"
IBB = "urn:xmpp:jingle:transports:ibb:1"
XTLS = "urn:xmpp:jingle:security:xtls:0"
E2E = "urn:countersign:e2e:0"
STREAM = "http://etherx.jabber.org/streams"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
SASL_CB = "urn:xmpp:sasl-cb:0"

PATIENCE = 60
SID, IBB_SID, BLOCK = "slix1", "slixibb1", 2048


def say(**what):
    print(json.dumps(what), flush=True)


def der(path):
    with open(path) as file:
        return ssl.PEM_cert_to_DER_cert(file.read())


class Peer(slixmpp.ClientXMPP):
    def __init__(self, setup):
        super().__init__(setup["jid"], setup["password"])
        self.setup = setup
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0047")
        self.ca_certs = setup["authorities"]
        self.ssl_context = ssl.create_default_context(cafile=setup["authorities"])
        self.started = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.started.set())
        self.jingle = asyncio.Queue()

    async def log_in(self):
        self.connect(self.setup["host"], self.setup["port"])
        await asyncio.wait_for(self.started.wait(), PATIENCE)
        self.send_presence()

    def take_jingle(self):
        """Acknowledges and queues what comes by Jingle."""

        def taken(iq):
            iq.reply().send()
            self.jingle.put_nowait(iq.xml.find("{%s}jingle" % JINGLE))

        path = "{jabber:client}iq/{%s}jingle" % JINGLE
        self.register_handler(Callback("jingle", MatchXPath(path), taken))

    async def ask(self, payload):
        iq = self.make_iq_set(ito=self.setup["peer"])
        iq.append(payload)
        return await iq.send(timeout=PATIENCE)


def offer(own, fingerprint):
    jingle = ET.Element("{%s}jingle" % JINGLE, action="session-initiate", initiator=own, sid=SID)
    content = ET.SubElement(jingle, "{%s}content" % JINGLE, creator="initiator", name="e2e")
    ET.SubElement(content, "{%s}description" % XMLSTREAM)
    ET.SubElement(content, "{%s}transport" % IBB, {"block-size": str(BLOCK), "sid": IBB_SID})
    security = ET.SubElement(content, "{%s}security" % XTLS)
    ET.SubElement(security, "{%s}fingerprint" % XTLS, algo="sha-256").text = fingerprint
    ET.SubElement(security, "{%s}method" % XTLS, name="x509")
    for name in ("CPACE-R255-PLUS", "CPACE-X25519-PLUS"):
        ET.SubElement(security, "{%s}mechanism" % E2E).text = name
    return jingle


class Tunnel:
    """TLS over a bytestream of slixmpp."""

    def __init__(self, stream, setup):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(setup["certificate"], setup["key"])
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.stream = stream

    async def run(self, step):
        """Repeats a step of TLS, with the bytestream turning, until it is done."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                result = None
            await self.stream.sendall(self.outgoing.read(), timeout=PATIENCE)
            if result is not None:
                return result
            self.incoming.write(await asyncio.wait_for(self.stream.recv_queue.get(), PATIENCE))

    async def handshake(self):
        await self.run(lambda: self.tls.do_handshake() or True)

    async def write(self, text):
        await self.run(lambda: self.tls.write(text.encode()))

    async def read(self):
        return await self.run(lambda: self.tls.read(65536))


async def jingle(peer):
    setup, own = peer.setup, peer.boundjid.full
    info = await peer["xep_0030"].get_info(jid=setup["peer"], timeout=PATIENCE)
    missing = {JINGLE, XMLSTREAM, IBB, XTLS} - set(info["disco_info"]["features"])
    assert not missing, missing

    peer.take_jingle()
    await peer.ask(offer(own, hashlib.sha256(der(setup["certificate"])).hexdigest()))
    accept = await asyncio.wait_for(peer.jingle.get(), PATIENCE)
    assert (accept.get("action"), accept.get("sid")) == ("session-accept", SID), accept.attrib
    assert accept.get("responder") == setup["peer"], accept.attrib
    content = accept.find("{%s}content" % JINGLE)
    assert (content.get("creator"), content.get("name")) == ("initiator", "e2e"), content.attrib
    assert content.find("{%s}description" % XMLSTREAM) is not None
    transport = content.find("{%s}transport" % IBB)
    assert transport.get("sid") == IBB_SID and int(transport.get("block-size")) <= BLOCK, transport.attrib
    fingerprint = content.find("{%s}security/{%s}fingerprint" % (XTLS, XTLS))
    say(accepted=fingerprint.get("algo"))

    stream = await peer["xep_0047"].open_stream(
        slixmpp.JID(setup["peer"]), block_size=int(transport.get("block-size")), sid=IBB_SID, timeout=PATIENCE
    )
    tunnel = Tunnel(stream, setup)
    await tunnel.handshake()
    shown = hashlib.sha256(tunnel.tls.getpeercert(binary_form=True)).hexdigest()
    assert shown == fingerprint.text, "another certificate than announced"
    say(tls=tunnel.tls.version())

    parser = ET.XMLPullParser(("end",))
    await tunnel.write(
        "<stream:stream xmlns='jabber:client' xmlns:stream='%s' from='%s' to='%s' version='1.0'>"
        % (STREAM, own, setup["peer"])
    )
    features = None
    while features is None:
        parser.feed(await tunnel.read())
        ended = [element for _, element in parser.read_events()]
        features = next((one for one in ended if one.tag == "{%s}features" % STREAM), None)
    mechanisms = [one.text for one in features.iter("{%s}mechanism" % SASL)]
    types = [one.get("type") for one in features.iter("{%s}channel-binding" % SASL_CB)]
    say(mechanisms=" ".join(mechanisms), types=" ".join(types))

    await tunnel.write("<abort xmlns='%s'/>" % SASL)
    end = await asyncio.wait_for(peer.jingle.get(), PATIENCE)
    reason = end.find("{%s}reason" % JINGLE)
    say(ended=end.get("action"), reason=" ".join(child.tag.split("}")[1] for child in reason))


async def main():
    role, setup = sys.argv[1], json.loads(sys.stdin.readline())
    peer = Peer(setup)
    await peer.log_in()
    say(ready=peer.boundjid.full)
    if role == "jingle":
        await jingle(peer)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    peer.disconnect()


asyncio.run(main())
