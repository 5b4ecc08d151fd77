"""An XMPP client made of slixmpp, for the tests of countersign. Its tunnels are written from docs/xtls-profile.md.

`slixmpp_peer.py ROLE` reads one line of JSON: host, port, authorities (a PEM file), jid, password; for the other roles
also peer, certificate and key (PEM files), secret (the shared password) and greeting. It writes lines of JSON and ends when
stdin ends.

plain: logs in and is a client that has never heard of tunnels.
call: opens a tunnel to the peer, proves the secret in the form of RFC 6120, says its greeting, hears one and closes.
answer: takes a tunnel from the peer who proves the secret by SASL2, hears a greeting, says its own and waits for the end.

slixmpp writes and reads all stanzas and the whole bytestream, OpenSSL does TLS, cpace_peer.py CPace.
"""

import asyncio
import base64
import hashlib
import json
import secrets
import ssl
import sys
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

import cpace_peer
import slixmpp
from OpenSSL import SSL, crypto
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

JINGLE = "urn:xmpp:jingle:1"
XMLSTREAM = "urn:xmpp:jingle:apps:xmlstream:0"
IBB = "urn:xmpp:jingle:transports:ibb:1"
XTLS = "urn:xmpp:jingle:security:xtls:0"
E2E = "urn:countersign:e2e:0"
STREAM = "http://etherx.jabber.org/streams"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
SASL2 = "urn:xmpp:sasl:2"
SASL_CB = "urn:xmpp:sasl-cb:0"
CLIENT = "jabber:client"

PATIENCE = 60
SID, IBB_SID, BLOCK = "slix1", "slixibb1", 2048
MECHANISMS = ["CPACE-R255-PLUS", "CPACE-X25519-PLUS"]


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
        self.register_plugin("xep_0047", {"auto_accept": True})
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


# The offer and the answer


def security(fingerprint):
    element = ET.Element("{%s}security" % XTLS)
    ET.SubElement(element, "{%s}fingerprint" % XTLS, algo="sha-256").text = fingerprint
    ET.SubElement(element, "{%s}method" % XTLS, name="x509")
    for name in MECHANISMS:
        ET.SubElement(element, "{%s}mechanism" % E2E).text = name
    return element


def canonical(element):
    """The octets of a <security/> that the authentication proves."""
    fingerprints = [bytes.fromhex(one.text.replace(":", "")) for one in element.findall("{%s}fingerprint" % XTLS)]
    methods = [one.get("name").encode() for one in element.findall("{%s}method" % XTLS)]
    mechanisms = [one.text.encode() for one in element.findall("{%s}mechanism" % E2E)]
    return b"".join(cpace_peer.sequence(part) for part in (fingerprints, methods, mechanisms, []))


def jingle(action, sid, offered, block, ibb_sid, **who):
    element = ET.Element("{%s}jingle" % JINGLE, action=action, sid=sid, **who)
    content = ET.SubElement(element, "{%s}content" % JINGLE, creator="initiator", name="e2e")
    ET.SubElement(content, "{%s}description" % XMLSTREAM)
    ET.SubElement(content, "{%s}transport" % IBB, {"block-size": str(block), "sid": ibb_sid})
    content.append(offered)
    return element


def terminate(sid, reason):
    element = ET.Element("{%s}jingle" % JINGLE, action="session-terminate", sid=sid)
    ET.SubElement(ET.SubElement(element, "{%s}reason" % JINGLE), "{%s}%s" % (JINGLE, reason))
    return element


def reason(element):
    return " ".join(child.tag.split("}")[1] for child in element.find("{%s}reason" % JINGLE))


# What runs over the bytestream


class Tunnel:
    """TLS over a bytestream of slixmpp."""

    def __init__(self, stream, setup, server):
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.use_certificate_file(setup["certificate"])
        context.use_privatekey_file(setup["key"])
        # Whose certificate it is says the password.
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.set_session_id(b"none is resumed")
        self.tls = SSL.Connection(context, None)
        if server:
            self.tls.set_accept_state()
        else:
            self.tls.set_connect_state()
        self.stream = stream

    async def run(self, step):
        """Repeats a step of TLS, with the bytestream turning, until it is done."""
        while True:
            try:
                result, done = step(), True
            except SSL.WantReadError:
                result, done = None, False
            await self.flush()
            if done:
                return result
            self.tls.bio_write(await asyncio.wait_for(self.stream.recv_queue.get(), PATIENCE))

    async def flush(self):
        while True:
            try:
                octets = self.tls.bio_read(65536)
            except SSL.WantReadError:
                return
            await self.stream.sendall(octets, timeout=PATIENCE)

    async def handshake(self, announced):
        await self.run(self.tls.do_handshake)
        shown = crypto.dump_certificate(crypto.FILETYPE_ASN1, self.tls.get_peer_certificate())
        assert hashlib.sha256(shown).digest() == bytes.fromhex(announced), "another certificate than announced"
        say(tls=self.tls.get_protocol_version_name())

    async def write(self, text):
        await self.run(lambda: self.tls.sendall(text.encode()))

    async def read(self):
        """Octets; none when the peer has closed."""
        try:
            return await self.run(lambda: self.tls.recv(65536))
        except SSL.ZeroReturnError:
            return b""

    def binding(self):
        """RFC 9266."""
        return self.tls.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")


class Stream:
    """XML inside the tunnel."""

    def __init__(self, tunnel, own, peer):
        self.tunnel, self.own, self.peer = tunnel, own, peer
        self.restart()

    def restart(self):
        self.parser, self.depth = ET.XMLPullParser(("start", "end")), 0

    async def open(self):
        form = "<stream:stream xmlns='%s' xmlns:stream='%s' from='%s' to='%s' version='1.0'>"
        await self.tunnel.write(form % (CLIENT, STREAM, self.own, self.peer))

    async def header(self):
        element = await self.next("start", 1)
        assert element.tag == "{%s}stream" % STREAM, element.tag
        assert (element.get("from"), element.get("to")) == (self.peer, self.own), element.attrib

    async def element(self, name=None):
        """The next one; None at the end of the stream."""
        element = await self.next("end", 1, 0)
        if element.tag == "{%s}stream" % STREAM:
            return None
        assert name in (None, element.tag), ET.tostring(element)
        return element

    async def next(self, wanted, *depths):
        while True:
            for event, element in self.parser.read_events():
                self.depth += 1 if event == "start" else -1
                if event == wanted and self.depth in depths:
                    return element
            octets = await self.tunnel.read()
            assert octets, "the tunnel ended before the stream"
            self.parser.feed(octets)

    async def say(self, greeting):
        form = "<message type='chat' id='m1' from='%s' to='%s'><body>%s</body></message>"
        await self.tunnel.write(form % (self.own, self.peer, escape(greeting)))

    async def hear(self):
        message = await self.element("{%s}message" % CLIENT)
        say(heard=message.find("{%s}body" % CLIENT).text)


class Exchange:
    """The messages of a mechanism as elements of a stream: what cpace_peer.py, in a thread of its own, takes for a pipe."""

    def __init__(self, send, receive):
        self.loop, self.steps = asyncio.get_running_loop(), (send, receive)

    def wait(self, step):
        return asyncio.run_coroutine_threadsafe(step, self.loop).result(PATIENCE)

    def send(self, message):
        self.wait(self.steps[0](base64.b64encode(message).decode()))

    def receive(self):
        return base64.b64decode(self.wait(self.steps[1]()), validate=True)


def session(tunnel, setup, mechanism, mechanisms, types, initiator, responder, offers):
    return cpace_peer.Session({
        "mechanism": mechanism,
        "password": setup["secret"],
        "authcid": slixmpp.JID(initiator).bare,
        "authzid": "",
        "initiator": initiator,
        "responder": responder,
        "mechanisms": mechanisms,
        "binding_types": types,
        "cb_type": "tls-exporter",
        "cb_data": tunnel.binding().hex(),
        "offers": [canonical(offer).hex() for offer in offers],
    })


# The roles


async def call(peer):
    setup, own = peer.setup, peer.boundjid.full
    info = await peer.plugin["xep_0030"].get_info(jid=setup["peer"], timeout=PATIENCE)
    missing = {JINGLE, XMLSTREAM, IBB, XTLS} - set(info["disco_info"]["features"])
    assert not missing, missing

    peer.take_jingle()
    offered = security(hashlib.sha256(der(setup["certificate"])).hexdigest())
    await peer.ask(jingle("session-initiate", SID, offered, BLOCK, IBB_SID, initiator=own))
    accept = await asyncio.wait_for(peer.jingle.get(), PATIENCE)
    assert (accept.get("action"), accept.get("sid")) == ("session-accept", SID), accept.attrib
    assert accept.get("responder") == setup["peer"], accept.attrib
    content = accept.find("{%s}content" % JINGLE)
    assert (content.get("creator"), content.get("name")) == ("initiator", "e2e"), content.attrib
    assert content.find("{%s}description" % XMLSTREAM) is not None
    transport = content.find("{%s}transport" % IBB)
    assert transport.get("sid") == IBB_SID and int(transport.get("block-size")) <= BLOCK, transport.attrib
    answered = content.find("{%s}security" % XTLS)
    fingerprint = answered.find("{%s}fingerprint" % XTLS)
    say(accepted=fingerprint.get("algo"))

    bytestream = await peer.plugin["xep_0047"].open_stream(
        slixmpp.JID(setup["peer"]), block_size=int(transport.get("block-size")), sid=IBB_SID, timeout=PATIENCE
    )
    tunnel = Tunnel(bytestream, setup, False)
    await tunnel.handshake(fingerprint.text)
    stream = Stream(tunnel, own, setup["peer"])
    await stream.open()
    await stream.header()
    features = await stream.element("{%s}features" % STREAM)
    mechanisms = [one.text for one in features.iter("{%s}mechanism" % SASL)]
    types = [one.get("type") for one in features.iter("{%s}channel-binding" % SASL_CB)]
    say(mechanisms=" ".join(mechanisms), types=" ".join(types))

    name = next(one for one in MECHANISMS if one in mechanisms)
    cpace = session(tunnel, setup, name, mechanisms, types, own, setup["peer"], [offered, answered])
    begun = False

    async def send(message):
        nonlocal begun
        tag, begun = "response" if begun else "auth", True
        mechanism = " mechanism='%s'" % name if tag == "auth" else ""
        await tunnel.write("<%s xmlns='%s'%s>%s</%s>" % (tag, SASL, mechanism, message, tag))

    async def receive():
        return (await stream.element("{%s}challenge" % SASL)).text

    try:
        await asyncio.to_thread(cpace_peer.client, cpace, Exchange(send, receive))
    except cpace_peer.Failure as failure:
        # Who guesses goes on all the same.
        say(unproven=str(failure))
        await send(base64.b64encode(b"\x01\x03" + secrets.token_bytes(64)).decode())
        failure = await stream.element("{%s}failure" % SASL)
        say(refused=failure[0].tag.split("}")[1])
        end = await asyncio.wait_for(peer.jingle.get(), PATIENCE)
        say(ended=end.get("action"), reason=reason(end))
        return
    await stream.element("{%s}success" % SASL)
    say(verified=name)

    stream.restart()
    await stream.open()
    await stream.header()
    features = await stream.element("{%s}features" % STREAM)
    assert len(features) == 0, ET.tostring(features)
    await stream.say(setup["greeting"])
    await stream.hear()

    await tunnel.write("</stream:stream>")
    assert await stream.element() is None
    await tunnel.run(tunnel.tls.shutdown)
    assert await tunnel.read() == b""
    await bytestream.close(timeout=PATIENCE)
    await peer.ask(terminate(SID, "success"))
    say(ended="in order")


async def answer(peer):
    setup, own = peer.setup, peer.boundjid.full
    opened = asyncio.Queue()
    peer.add_event_handler("ibb_stream_start", opened.put_nowait)
    for feature in (JINGLE, XMLSTREAM, IBB, XTLS):
        await peer.plugin["xep_0030"].add_feature(feature)
    peer.take_jingle()
    say(listening=own)
    initiate = await asyncio.wait_for(peer.jingle.get(), PATIENCE)
    assert (initiate.get("action"), initiate.get("initiator")) == ("session-initiate", setup["peer"]), initiate.attrib
    sid, content = initiate.get("sid"), initiate.find("{%s}content" % JINGLE)
    transport, offered = content.find("{%s}transport" % IBB), content.find("{%s}security" % XTLS)
    assert "x509" in [one.get("name") for one in offered.findall("{%s}method" % XTLS)]
    answered = security(hashlib.sha256(der(setup["certificate"])).hexdigest())
    block = min(BLOCK, int(transport.get("block-size")))
    await peer.ask(jingle("session-accept", sid, answered, block, transport.get("sid"), responder=own))
    bytestream = await asyncio.wait_for(opened.get(), PATIENCE)
    assert bytestream.sid == transport.get("sid")

    tunnel = Tunnel(bytestream, setup, True)
    await tunnel.handshake(offered.find("{%s}fingerprint" % XTLS).text)
    stream = Stream(tunnel, own, setup["peer"])
    await stream.header()
    await stream.open()
    names = "".join("<mechanism>%s</mechanism>" % name for name in MECHANISMS)
    await tunnel.write(
        "<stream:features><mechanisms xmlns='%s'>%s</mechanisms>"
        "<sasl-channel-binding xmlns='%s'><channel-binding type='tls-exporter'/></sasl-channel-binding>"
        "<authentication xmlns='%s'>%s</authentication></stream:features>" % (SASL, names, SASL_CB, SASL2, names)
    )
    authenticate = await stream.element("{%s}authenticate" % SASL2)
    name = authenticate.get("mechanism")
    first = [authenticate.find("{%s}initial-response" % SASL2).text]
    offers = [offered, answered]
    cpace = session(tunnel, setup, name, MECHANISMS, ["tls-exporter"], setup["peer"], own, offers)

    async def send(message):
        await tunnel.write("<challenge xmlns='%s'>%s</challenge>" % (SASL2, message))

    async def receive():
        if first:
            return first.pop()
        element = await stream.element()
        if element.tag != "{%s}response" % SASL2:
            raise cpace_peer.Failure(element.tag.split("}")[1])
        return element.text

    try:
        await asyncio.to_thread(cpace_peer.server, cpace, Exchange(send, receive))
    except cpace_peer.Failure as failure:
        say(unproven=str(failure))
        end = await asyncio.wait_for(peer.jingle.get(), PATIENCE)
        say(ended=end.get("action"), reason=reason(end))
        return
    bare = slixmpp.JID(setup["peer"]).bare
    form = "<success xmlns='%s'><authorization-identifier>%s</authorization-identifier></success><stream:features/>"
    await tunnel.write(form % (SASL2, bare))
    say(verified=name)
    await stream.hear()
    await stream.say(setup["greeting"])

    assert await stream.element() is None
    await tunnel.write("</stream:stream>")
    await tunnel.run(tunnel.tls.shutdown)
    assert await tunnel.read() == b""
    end = await asyncio.wait_for(peer.jingle.get(), PATIENCE)
    say(ended=end.get("action"), reason=reason(end))


ROLES = {"call": call, "answer": answer}


async def main():
    role, setup = sys.argv[1], json.loads(sys.stdin.readline())
    peer = Peer(setup)
    await peer.log_in()
    say(ready=peer.boundjid.full)
    if role in ROLES:
        await ROLES[role](peer)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    peer.disconnect()


asyncio.run(main())
