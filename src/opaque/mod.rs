//! OPAQUE (RFC 9807) on ristretto255 with 3DH, and the SASL mechanism `OPAQUE-R255-PLUS`.
//!
//! An augmented PAKE like SPAKE2+, with two differences: the salt never leaves the server, so that nobody can
//! prepare a dictionary before he has stolen the record, and each login gives the client an export key that only
//! the password opens.
//!
//! [`ClientRegistration`], [`ClientLogin`], [`ServerKeys`] and [`ServerLogin`] are the protocol of RFC 9807 alone.
//! [`OpaqueClient`] and [`OpaqueServer`] are the SASL mechanism; its messages and transcript are described in
//! `docs/sasl-pake.md`.
//!
//! # Security
//! The arithmetic and its wiping are those of the crates opaque-ke, voprf and curve25519-dalek.

mod client;
mod credential;
#[cfg(feature = "records")]
pub(crate) mod json;
mod protocol;
mod rng;
mod server;
mod wire;

pub use client::{ClientReady, ExpectServerExchange, OpaqueClient};
pub use credential::{RECORD_LEN, Record};
pub use protocol::{
    ClientLogin, ClientRegistration, Confirmed, Parties, Registered, ServerKeys, ServerLogin,
};
pub use server::{ExpectClientConfirm, ExpectClientExchange, OpaqueServer};

pub(crate) use credential::enroll;

#[cfg(feature = "vectors")]
pub(crate) use {credential::NOBODY, rng::Draws};

use crate::error::{ErrorKind, Rule};
use crate::ksf::Ksf;
use crate::mechanism::{Guessing, MechanismName, Place, Properties, Side};

/// The SASL mechanism's name.
pub const NAME: MechanismName = MechanismName::from_static("OPAQUE-R255-PLUS");

/// Octets of a registration request: the blinded element.
pub const REQUEST_LEN: usize = 32;

/// Octets of a registration response: the evaluated element and the server's public key.
pub const RESPONSE_LEN: usize = 64;

/// Octets of a registration record as it is uploaded: public key, masking key, envelope.
pub const UPLOAD_LEN: usize = 192;

/// Octets of KE1.
pub const KE1_LEN: usize = 96;

/// Octets of KE2.
pub const KE2_LEN: usize = 320;

/// Octets of KE3.
pub const KE3_LEN: usize = 64;

/// Longest password, identity or context, in octets.
pub const INPUT_MAX: usize = 65_535;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// Something in a message does not encode an element of the group other than the identity.
    pub static BAD_ELEMENT: Rule = Rule {
        id: "opaque-bad-element",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 9807 section 10.5, RFC 9496 section 4.3.1",
        what: "the peer's message holds something that is not an element of the group",
        advice: "The peer is broken or hostile; do not trust this connection.",
    };
    /// The server sent the blinded element back.
    pub static REFLECTED: Rule = Rule {
        id: "opaque-reflected",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 9807 section 10",
        what: "the peer sent our own blinded password back to us",
        advice: "Somebody reflects our messages; do not trust this connection.",
    };
    /// The envelope or a MAC did not verify.
    pub static WRONG_CONFIRMATION: Rule = Rule {
        id: "opaque-wrong-confirmation",
        kind: ErrorKind::AuthenticationFailed,
        source: "RFC 9807 sections 4.1.3, 6.2.4 and 6.4",
        what: "the peer's proof is wrong: another password, an unknown user, or somebody in between",
        advice: "Check the password on both sides; each failure may have been one guess of an attacker.",
    };
    /// Not a stored record or server key.
    pub static BAD_RECORD: Rule = Rule {
        id: "opaque-bad-record",
        kind: ErrorKind::Misuse,
        source: "RFC 9807 section 5",
        what: "the stored OPAQUE record or server key is damaged",
        advice: "Restore it from a backup, or enroll the user again.",
    };
    /// A password, identity or context that the encodings of the RFC cannot hold.
    pub static BAD_INPUT: Rule = Rule {
        id: "opaque-bad-input",
        kind: ErrorKind::Misuse,
        source: "RFC 9807 section 6.4.2, RFC 9497 section 2.1",
        what: "the password is empty, or an input is longer than 65,535 octets",
        advice: "Use a shorter password, identity and context.",
    };
}

/// What the mechanism promises.
#[must_use]
pub fn properties() -> Properties {
    Properties {
        place: Place::AboveTls,
        first: Side::Client,
        messages: 3,
        mutual: true,
        key: true,
        needs_binding: true,
        forward_secrecy: true,
        listener: Guessing::OnlineOnly,
        impostor: Guessing::OnlineOnly,
        thief: Guessing::OfflineStretched,
        // KE3 and KE2.
        client_test: 2,
        server_test: 1,
        by_name: false,
    }
}

/// Context of RFC 9807: the channel identifier, then the hash parameters after their length as 8 octets,
/// big-endian.
pub(crate) fn context(channel: &[u8], ksf: Ksf) -> Vec<u8> {
    let ksf = ksf.to_bytes();
    [channel, &(ksf.len() as u64).to_be_bytes(), &ksf].concat()
}

/// What the SASL mechanism puts into the RFC's parameters: client_identity is the user name, server_identity the
/// server's public key.
fn parties<'a>(context: &'a [u8], authcid: &'a str) -> Parties<'a> {
    Parties { context, client: Some(authcid.as_bytes()), server: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_ends_in_the_hash_parameters_with_their_length() {
        let expected = b"channel\0\0\0\0\0\0\0\x0d\x01\0\0\0\x08\0\0\0\x01\0\0\0\x01";
        assert_eq!(context(b"channel", Ksf::CHEAPEST), expected);
    }

    #[test]
    fn the_parties_are_the_channel_and_the_user() {
        let parties = parties(b"context", "alice");
        assert_eq!(
            (parties.context, parties.client, parties.server),
            (&b"context"[..], Some(&b"alice"[..]), None)
        );
    }
}
