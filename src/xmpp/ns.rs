//! Namespaces.

/// Stanzas between a client and its server, and in the end-to-end stream.
pub const CLIENT: &str = "jabber:client";
/// Stream header, features and errors (RFC 6120 section 4).
pub const STREAM: &str = "http://etherx.jabber.org/streams";
/// Stream error conditions (RFC 6120 section 4.9).
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Stanza error conditions (RFC 6120 section 8.3).
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// STARTTLS (RFC 6120 section 5).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// SASL (RFC 6120 section 6).
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// SASL channel-binding types (XEP-0440).
pub const SASL_CB: &str = "urn:xmpp:sasl-cb:0";
/// SASL2 (XEP-0388).
pub const SASL2: &str = "urn:xmpp:sasl:2";
/// Bind 2 (XEP-0386).
pub const BIND2: &str = "urn:xmpp:bind:0";
/// Resource binding (RFC 6120 section 7).
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// Service discovery (XEP-0030).
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// The list of a service's parts (XEP-0030 section 4).
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// Forms, which an answer to service discovery may hold (XEP-0128).
pub const DATA_FORMS: &str = "jabber:x:data";
/// Jingle (XEP-0166).
pub const JINGLE: &str = "urn:xmpp:jingle:1";
/// Jingle errors (XEP-0166 section 11).
pub const JINGLE_ERRORS: &str = "urn:xmpp:jingle:errors:1";
/// End-to-end XML streams (XEP-0247).
pub const XMLSTREAM: &str = "urn:xmpp:jingle:apps:xmlstream:0";
/// TLS in Jingle (draft-meyer-xmpp-e2e-encryption); the form that was deployed.
pub const XTLS: &str = "urn:xmpp:jingle:security:xtls:0";
/// In-band bytestreams as a Jingle transport (XEP-0261).
pub const JINGLE_IBB: &str = "urn:xmpp:jingle:transports:ibb:1";
/// SOCKS5 bytestreams as a Jingle transport (XEP-0260).
pub const JINGLE_S5B: &str = "urn:xmpp:jingle:transports:s5b:1";
/// SOCKS5 bytestreams, as their proxies speak (XEP-0065).
pub const BYTESTREAMS: &str = "http://jabber.org/protocol/bytestreams";
/// In-band bytestreams (XEP-0047).
pub const IBB: &str = "http://jabber.org/protocol/ibb";
/// Our own elements: the announced mechanisms, and octets in a stanza.
pub const E2E: &str = "urn:countersign:e2e:0";
/// Our own elements around the transfer of a file.
pub const FILE: &str = "urn:countersign:file:0";
/// Name, size and hash of a file (XEP-0446).
pub const FILE_METADATA: &str = "urn:xmpp:file:metadata:0";
/// Hashes (XEP-0300).
pub const HASHES: &str = "urn:xmpp:hashes:2";
