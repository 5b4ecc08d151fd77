//! Rules of the client.

use crate::error::{ErrorKind, Rule};

/// No TCP connection.
pub static UNREACHABLE: Rule = Rule {
    id: "client-unreachable",
    kind: ErrorKind::PeerUnavailable,
    source: "RFC 6120 section 3",
    what: "the XMPP server cannot be reached",
    advice: "Check the address and the port, and that the server runs.",
};
/// Plain TCP to somewhere else.
pub static NOT_LOOPBACK: Rule = Rule {
    id: "client-not-loopback",
    kind: ErrorKind::PolicyRefused,
    source: "countersign",
    what: "no connection without TLS to an address that is not loopback",
    advice: "Bring a TLS stream of your own, or connect to a server on this machine.",
};
/// The server closed the connection without closing the stream.
pub static LOST: Rule = Rule {
    id: "client-connection-lost",
    kind: ErrorKind::Truncated,
    source: "RFC 6120 section 4.4",
    what: "the XMPP server closed the connection without closing the stream",
    advice: "Connect again; if it happens every time, look at the server's log.",
};
/// The server closed the stream while the client was still logging in.
pub static CLOSED_EARLY: Rule = Rule {
    id: "client-closed-early",
    kind: ErrorKind::PeerUnavailable,
    source: "RFC 6120 section 4.4",
    what: "the XMPP server closed the stream during the login",
    advice: "Try again later; the server gave no reason.",
};
/// A phase took too long.
pub static TIMED_OUT: Rule = Rule {
    id: "client-timed-out",
    kind: ErrorKind::TimedOut,
    source: "countersign",
    what: "the XMPP server did not answer in time",
    advice: "Try again; the server may be overloaded or not an XMPP server.",
};
/// A stream error came.
pub static STREAM_ERROR: Rule = Rule {
    id: "client-stream-error",
    kind: ErrorKind::PeerUnavailable,
    source: "RFC 6120 section 4.9",
    what: "the XMPP server ended the stream with an error",
    advice: "The name of the error says why.",
};
/// The server wants TLS.
pub static NEEDS_TLS: Rule = Rule {
    id: "client-needs-tls",
    kind: ErrorKind::PeerIncompatible,
    source: "RFC 6120 section 5",
    what: "the XMPP server wants TLS before the login",
    advice: "Connect with TLS and log in over that stream.",
};
/// The account's password or name is wrong.
pub static LOGIN_REFUSED: Rule = Rule {
    id: "client-login-refused",
    kind: ErrorKind::AuthenticationFailed,
    source: "RFC 6120 section 6.5",
    what: "the XMPP server refused the login",
    advice: "Check the account's name and password.",
};
/// No resource.
pub static BIND_REFUSED: Rule = Rule {
    id: "client-bind-refused",
    kind: ErrorKind::PeerUnavailable,
    source: "RFC 6120 section 7",
    what: "the XMPP server refused the resource",
    advice: "Another client may use the same name: choose another resource, or none.",
};
/// Something else came than the protocol wants here.
pub static UNEXPECTED: Rule = Rule {
    id: "client-unexpected",
    kind: ErrorKind::PeerMisbehaved,
    source: "RFC 6120",
    what: "the XMPP server sent something that does not belong here",
    advice: "The server does not follow the protocol; report it to its authors.",
};
/// An account has a local part.
pub static NOT_AN_ACCOUNT: Rule = Rule {
    id: "client-not-an-account",
    kind: ErrorKind::Misuse,
    source: "RFC 6120 section 6.3.7",
    what: "the address of an account has a user in front of the @",
    advice: "Write it as user@domain or user@domain/resource.",
};
/// No STARTTLS among the features.
#[cfg(feature = "client-tls")]
pub static NO_STARTTLS: Rule = Rule {
    id: "client-no-starttls",
    kind: ErrorKind::PolicyRefused,
    source: "RFC 6120 section 5.3.1",
    what: "the XMPP server does not offer TLS, and there is no login without it",
    advice: "Somebody on the way may have cut the offer; try another network, or direct TLS if the server has it.",
};
/// `<failure/>` in the place of `<proceed/>`.
#[cfg(feature = "client-tls")]
pub static STARTTLS_FAILED: Rule = Rule {
    id: "client-starttls-failed",
    kind: ErrorKind::PeerUnavailable,
    source: "RFC 6120 section 5.4.2.2",
    what: "the XMPP server cannot start TLS",
    advice: "Look at the server's certificate and its log.",
};
/// Octets behind `<proceed/>` that TLS does not protect.
#[cfg(feature = "client-tls")]
pub static INJECTED: Rule = Rule {
    id: "client-injected",
    kind: ErrorKind::PeerMisbehaved,
    source: "RFC 6120 section 5.4.3.3",
    what: "something was sent in the open behind the start of TLS",
    advice: "Somebody on the way tries to speak for the server; use another network.",
};
/// The certificate does not prove the domain.
#[cfg(feature = "client-tls")]
pub static CERTIFICATE: Rule = Rule {
    id: "client-certificate",
    kind: ErrorKind::AuthenticationFailed,
    source: "RFC 6120 section 13.7.2, RFC 6125",
    what: "the server's certificate does not prove that it serves this domain",
    advice: "Do not log in over this network; for a private authority of your own name its file.",
};
/// TLS failed for another reason.
#[cfg(feature = "client-tls")]
pub static TLS_FAILED: Rule = Rule {
    id: "client-tls-failed",
    kind: ErrorKind::PeerIncompatible,
    source: "RFC 8446",
    what: "no TLS connection to the XMPP server",
    advice: "TLS 1.2 or 1.3 is needed; check that the port speaks XMPP, and whether it wants direct TLS.",
};
/// A domain that no certificate can name.
#[cfg(feature = "client-tls")]
pub static BAD_DOMAIN: Rule = Rule {
    id: "client-bad-domain",
    kind: ErrorKind::Misuse,
    source: "RFC 6125 section 6.4",
    what: "no certificate can name this domain",
    advice: "Write the domain of the account as a DNS name.",
};
/// Nobody to believe.
#[cfg(feature = "client-tls")]
pub static NO_AUTHORITIES: Rule = Rule {
    id: "client-no-authorities",
    kind: ErrorKind::Environment,
    source: "countersign",
    what: "no certificate authorities that could be believed",
    advice: "Install the system's CA certificates, or name a file with certificates in PEM.",
};
/// A server address that is none.
#[cfg(feature = "client-tls")]
pub static BAD_TARGET: Rule = Rule {
    id: "client-bad-target",
    kind: ErrorKind::Misuse,
    source: "countersign",
    what: "not the address of a server",
    advice: "Write it as HOST:PORT, with an IPv6 address in brackets.",
};
/// The DNS does not answer.
#[cfg(feature = "dns")]
pub static DNS_FAILED: Rule = Rule {
    id: "client-dns-failed",
    kind: ErrorKind::PeerUnavailable,
    source: "RFC 6120 section 3.2.1",
    what: "the DNS cannot be asked for the servers of the domain",
    advice: "Check the network, or name the server yourself.",
};
/// SRV records that say: no service.
#[cfg(feature = "dns")]
pub static NO_SERVICE: Rule = Rule {
    id: "client-no-service",
    kind: ErrorKind::PeerUnavailable,
    source: "RFC 2782, RFC 6120 section 3.2.1",
    what: "the domain says that it has no XMPP service for clients",
    advice: "Check the domain of the account.",
};
/// Nothing to bind to, or nothing in common.
pub static BINDING_REQUIRED: Rule = Rule {
    id: "client-binding-required",
    kind: ErrorKind::PolicyRefused,
    source: "countersign, XEP-0440",
    what: "the login must be bound to the TLS connection, and cannot be",
    advice: "Allow a login without channel binding, if you accept that a forged certificate would not be noticed.",
};
/// Binding types without a mechanism for them, or the reverse in SASL2.
pub static BINDING_CUT: Rule = Rule {
    id: "client-binding-cut",
    kind: ErrorKind::AuthenticationFailed,
    source: "XEP-0440 section 3",
    what: "the server's offer contradicts itself about channel binding",
    advice: "Somebody in between may have cut the offer; do not log in over this network.",
};
/// A login bound to what the server had not announced was refused.
pub static UNANNOUNCED_BINDING: Rule = Rule {
    id: "client-unannounced-binding",
    kind: ErrorKind::AuthenticationFailed,
    source: "RFC 6120 section 6.5, RFC 9266",
    what: "the XMPP server refused the login, which was bound to tls-exporter without its having announced that",
    advice: "Check name and password; if they are right, this server may not know tls-exporter.",
};
/// SASL2 `<continue/>`.
pub static MORE_TASKS: Rule = Rule {
    id: "client-more-tasks",
    kind: ErrorKind::PeerIncompatible,
    source: "XEP-0388 section 2.6.3",
    what: "the XMPP server wants more than the password",
    advice: "A second factor is not supported; use an account without, or an application password.",
};
/// PLAIN was asked for and is not there.
pub static NO_PLAIN: Rule = Rule {
    id: "client-no-plain",
    kind: ErrorKind::PolicyRefused,
    source: "RFC 4616",
    what: "the server does not offer PLAIN, which was asked for by name",
    advice: "Name no mechanism: what the server offers is better than PLAIN.",
};
