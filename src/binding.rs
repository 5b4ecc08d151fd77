//! Channel bindings (RFC 5056, RFC 5929, RFC 9266): the values that tie an authentication to one channel.
//!
//! The only file that knows the label of RFC 9266.

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq;

use crate::error::{Error, ErrorKind, Result, Rule};

mod end_point;

/// Exporter label of `tls-exporter`, RFC 9266 section 2. The context is empty (zero octets).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// Octets of a `tls-exporter` value, RFC 9266 section 2.
pub const EXPORTER_LEN: usize = 32;

/// Fewest octets of a `tls-unique` value: the verify_data of TLS 1.2 (RFC 5246 section 7.4.9).
pub const UNIQUE_MIN: usize = 12;

/// Fewest octets of a `tls-server-end-point` value: SHA-224 and SHA-512/224 (RFC 5929 section 4.1).
pub const END_POINT_MIN: usize = 28;

/// Most octets accepted as binding data of any type: the longest hash in use.
pub const DATA_MAX: usize = 64;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// Binding data was empty or of a length its type cannot have.
    pub static BAD_LENGTH: Rule = Rule {
        id: "binding-bad-length",
        kind: ErrorKind::Misuse,
        source: "RFC 9266 section 2, RFC 5929 sections 3 and 4",
        what: "the channel-binding data has a length its type cannot have",
        advice: "Take the value from the finished TLS connection; never pass empty data.",
    };
    /// Not a certificate.
    pub static BAD_CERTIFICATE: Rule = Rule {
        id: "binding-bad-certificate",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 5280 section 4.1",
        what: "the server's certificate is not well-formed DER",
        advice: "Pass the end-entity certificate alone, in DER.",
    };
    /// The certificate's signature names no hash, or one unknown here.
    pub static END_POINT_UNDEFINED: Rule = Rule {
        id: "binding-end-point-undefined",
        kind: ErrorKind::PeerIncompatible,
        source: "RFC 5929 section 4.1",
        what: "no tls-server-end-point is defined for a certificate with this signature algorithm",
        advice: "Use tls-exporter.",
    };
    /// The connection is older than TLS 1.3.
    pub static NOT_TLS13: Rule = Rule {
        id: "binding-not-tls13",
        kind: ErrorKind::PolicyRefused,
        source: "RFC 9266 section 4.2",
        what: "tls-exporter is taken from TLS 1.3 only",
        advice: "Enable TLS 1.3 on both sides.",
    };
    /// The connection's handshake goes on.
    pub static NOT_FINISHED: Rule = Rule {
        id: "binding-not-finished",
        kind: ErrorKind::Misuse,
        source: "RFC 9266 section 2",
        what: "the TLS handshake has not finished",
        advice: "Complete the handshake before taking its channel binding.",
    };
    /// A channel-binding type nobody here knows.
    pub static UNKNOWN_TYPE: Rule = Rule {
        id: "binding-unknown-type",
        kind: ErrorKind::PeerIncompatible,
        source: "IANA channel-binding types",
        what: "unknown channel-binding type",
        advice: "Use tls-exporter; tls-server-end-point and tls-unique are known too.",
    };
}

/// A registered channel-binding type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BindingType {
    /// `tls-exporter` (RFC 9266): 32 octets, unique to the connection; the one to use.
    TlsExporter,
    /// `tls-server-end-point` (RFC 5929 section 4): the hash of the server's certificate.
    TlsServerEndPoint,
    /// `tls-unique` (RFC 5929 section 3): the first Finished message; TLS 1.2 and earlier.
    TlsUnique,
}

impl BindingType {
    /// All types, strongest first.
    pub const ALL: [Self; 3] = [Self::TlsExporter, Self::TlsUnique, Self::TlsServerEndPoint];

    /// The name in the IANA registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TlsExporter => "tls-exporter",
            Self::TlsServerEndPoint => "tls-server-end-point",
            Self::TlsUnique => "tls-unique",
        }
    }
}

impl fmt::Display for BindingType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BindingType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or_else(|| Error::new(&rules::UNKNOWN_TYPE).about(name))
    }
}

/// What identifies one channel. Never empty: no constructor accepts empty data.
///
/// Not a secret, but unique to the connection for `tls-exporter` and `tls-unique`; must not be used as a key
/// (RFC 9266 section 4).
#[derive(Clone)]
pub struct ChannelBinding {
    kind: BindingType,
    data: Vec<u8>,
}

impl ChannelBinding {
    /// `tls-exporter` from the 32 octets that an application exported from its own finished connection with
    /// [`EXPORTER_LABEL`] and an empty context.
    ///
    /// # Security
    /// Use TLS 1.3, or TLS 1.2 with extended master secret and without renegotiation (RFC 9266 section 4.2).
    #[must_use]
    pub fn tls_exporter(value: [u8; EXPORTER_LEN]) -> Self {
        Self { kind: BindingType::TlsExporter, data: value.to_vec() }
    }

    /// `tls-unique` from the verify_data of the first Finished message, 12 to 64 octets.
    ///
    /// # Errors
    /// [`rules::BAD_LENGTH`].
    ///
    /// # Security
    /// Undefined in TLS 1.3, and safe in TLS 1.2 only with extended master secret (RFC 7627).
    pub fn tls_unique(first_finished: &[u8]) -> Result<Self> {
        Self::checked(BindingType::TlsUnique, first_finished, UNIQUE_MIN..=DATA_MAX)
    }

    /// `tls-server-end-point` from the hash of the server's certificate, 28 to 64 octets.
    ///
    /// # Errors
    /// [`rules::BAD_LENGTH`].
    ///
    /// # Security
    /// Binds to the server's key, not to the connection: who holds a copy of the key can relay.
    pub fn tls_server_end_point(certificate_hash: &[u8]) -> Result<Self> {
        Self::checked(BindingType::TlsServerEndPoint, certificate_hash, END_POINT_MIN..=DATA_MAX)
    }

    /// `tls-exporter` of a rustls connection of either side: pass the `ClientConnection` or `ServerConnection`.
    ///
    /// # Errors
    /// [`rules::NOT_FINISHED`] during the handshake, [`rules::NOT_TLS13`] for an older version.
    #[cfg(feature = "rustls")]
    pub fn from_rustls<Data>(connection: &rustls::ConnectionCommon<Data>) -> Result<Self> {
        if connection.is_handshaking() {
            return Err(Error::new(&rules::NOT_FINISHED));
        }
        if connection.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3) {
            return Err(Error::new(&rules::NOT_TLS13));
        }
        connection
            .export_keying_material([0; EXPORTER_LEN], EXPORTER_LABEL, Some(&[]))
            .map(Self::tls_exporter)
            .map_err(|error| Error::new(&rules::NOT_FINISHED).about(error.to_string()))
    }

    /// `tls-server-end-point` from the server's certificate (DER, the end entity's), hashed with the hash of its
    /// own signature; SHA-256 in place of MD5 and SHA-1. SHA-3 is known with the feature `scram`.
    ///
    /// # Errors
    /// [`rules::BAD_CERTIFICATE`]; [`rules::END_POINT_UNDEFINED`] where the signature names no hash (Ed25519,
    /// Ed448), or one that is unknown here.
    ///
    /// # Security
    /// As [`ChannelBinding::tls_server_end_point`].
    pub fn server_end_point_of(certificate_der: &[u8]) -> Result<Self> {
        Self::tls_server_end_point(&end_point::hash(certificate_der)?)
    }

    fn checked(kind: BindingType, data: &[u8], allowed: std::ops::RangeInclusive<usize>) -> Result<Self> {
        if !allowed.contains(&data.len()) {
            return Err(Error::new(&rules::BAD_LENGTH).about(kind.name()));
        }
        Ok(Self { kind, data: data.to_vec() })
    }

    /// Binding data exactly as a published vector prints it, which may be shorter than its type allows.
    #[cfg(any(test, feature = "vectors"))]
    #[allow(dead_code, reason = "used by the vector families that are compiled in")]
    pub(crate) fn from_vector(kind: BindingType, data: &[u8]) -> Result<Self> {
        Self::checked(kind, data, 1..=DATA_MAX)
    }

    /// The type.
    #[must_use]
    pub fn kind(&self) -> BindingType {
        self.kind
    }

    /// The octets, at least one.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Whether both identify the same channel; constant time in the data.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        self.kind == other.kind && bool::from(self.data.ct_eq(&other.data))
    }
}

impl fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelBinding({}, {} octets)", self.kind, self.data.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_wrong_lengths_are_refused() {
        for (result, fits) in [
            (ChannelBinding::tls_unique(&[]), false),
            (ChannelBinding::tls_unique(&[1; UNIQUE_MIN - 1]), false),
            (ChannelBinding::tls_unique(&[1; UNIQUE_MIN]), true),
            (ChannelBinding::tls_unique(&[1; DATA_MAX]), true),
            (ChannelBinding::tls_unique(&[1; DATA_MAX + 1]), false),
            (ChannelBinding::tls_server_end_point(&[]), false),
            (ChannelBinding::tls_server_end_point(&[1; END_POINT_MIN - 1]), false),
            (ChannelBinding::tls_server_end_point(&[1; END_POINT_MIN]), true),
            (ChannelBinding::tls_server_end_point(&[1; DATA_MAX]), true),
            (ChannelBinding::tls_server_end_point(&[1; DATA_MAX + 1]), false),
        ] {
            assert_eq!(result.is_ok(), fits);
            if let Err(error) = result {
                assert!(error.is(&rules::BAD_LENGTH));
            }
        }
    }

    #[test]
    fn types_have_their_registered_names() {
        for kind in BindingType::ALL {
            assert_eq!(kind.name().parse::<BindingType>().unwrap(), kind);
        }
        assert!("tls-unique-for-telnet".parse::<BindingType>().unwrap_err().is(&rules::UNKNOWN_TYPE));
    }

    #[test]
    fn same_channel_compares_type_and_data() {
        let a = ChannelBinding::tls_exporter([7; 32]);
        assert!(a.same_channel(&ChannelBinding::tls_exporter([7; 32])));
        assert!(!a.same_channel(&ChannelBinding::tls_exporter([8; 32])));
        assert!(!a.same_channel(&ChannelBinding::tls_server_end_point(&[7; 32]).unwrap()));
    }
}
