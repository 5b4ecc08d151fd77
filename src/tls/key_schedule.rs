//! The key schedule of TLS 1.3 (RFC 8446 section 7.1), with nothing around it: from a PSK or none to binders,
//! Finished values and exporters.
//!
//! The tunnels do not use it; their TLS stack has its own. It recomputes published handshakes, and shows what a
//! captured ClientHello lets a listener test.

use hmac::digest::{Digest, block_api::BlockSizeUser};
use hmac::{KeyInit, Mac, SimpleHmac};
use sha2::{Sha256, Sha384};

use super::exporter::SuiteHash;
use crate::error::Result;
use crate::secret::SecretBytes;

impl SuiteHash {
    /// Octets of an output.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    /// The hash of all parts, one after the other.
    pub(crate) fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        fn digest<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            parts.iter().fold(D::new(), |hash, part| hash.chain_update(part)).finalize().to_vec()
        }
        match self {
            Self::Sha256 => digest::<Sha256>(parts),
            Self::Sha384 => digest::<Sha384>(parts),
        }
    }

    pub(crate) fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        fn hmac<D: Digest + BlockSizeUser>(key: &[u8], data: &[u8]) -> Vec<u8> {
            let mac = <SimpleHmac<D> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
            mac.chain_update(data).finalize().into_bytes().to_vec()
        }
        match self {
            Self::Sha256 => hmac::<Sha256>(key, data),
            Self::Sha384 => hmac::<Sha384>(key, data),
        }
    }

    /// HKDF-Extract (RFC 5869 section 2.2).
    pub(crate) fn extract(self, salt: &[u8], ikm: &[u8]) -> SecretBytes {
        SecretBytes::new(self.hmac(salt, ikm))
    }

    /// HKDF-Expand-Label to the length of the hash; a context has at most 255 octets.
    ///
    /// # Errors
    /// As [`export`](super::exporter::export).
    pub(crate) fn expand_label(self, secret: &[u8], label: &[u8], context: &[u8]) -> Result<SecretBytes> {
        self.expand_label_to(secret, label, context, self.len())
    }

    /// HKDF-Expand-Label to any length.
    ///
    /// # Errors
    /// As [`export`](super::exporter::export).
    pub(crate) fn expand_label_to(
        self,
        secret: &[u8],
        label: &[u8],
        context: &[u8],
        len: usize,
    ) -> Result<SecretBytes> {
        let mut out = vec![0; len];
        self.fill_by_label(secret, label, context, &mut out)?;
        Ok(SecretBytes::new(out))
    }

    /// Derive-Secret, with the transcript already hashed.
    fn derive(self, secret: &SecretBytes, label: &'static [u8], transcript_hash: &[u8]) -> SecretBytes {
        self.expand_label(secret.expose(), label, transcript_hash).expect("our labels are short")
    }

    fn derive_empty(self, secret: &SecretBytes, label: &'static [u8]) -> SecretBytes {
        self.derive(secret, label, &self.digest(&[]))
    }

    /// The key of a Finished message or of a binder (section 4.4.4).
    pub(crate) fn finished_key(self, base_key: &SecretBytes) -> SecretBytes {
        self.derive(base_key, b"finished", &[])
    }

    /// The value of a Finished message or of a binder (sections 4.4.4 and 4.2.11.2).
    pub(crate) fn finished(self, base_key: &SecretBytes, transcript_hash: &[u8]) -> Vec<u8> {
        self.hmac(self.finished_key(base_key).expose(), transcript_hash)
    }

    /// The PSK of a session ticket (section 4.6.1).
    pub(crate) fn resumption_psk(
        self,
        resumption_master_secret: &[u8],
        ticket_nonce: &[u8],
    ) -> Result<SecretBytes> {
        self.expand_label(resumption_master_secret, b"resumption", ticket_nonce)
    }
}

/// Which kind of PSK a binder vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PskKind {
    /// Agreed outside TLS.
    External,
    /// From a session ticket.
    Resumption,
    /// External, and imported for one protocol and KDF (RFC 9258 section 5.2).
    Imported,
}

impl PskKind {
    pub(crate) const ALL: [Self; 3] = [Self::External, Self::Resumption, Self::Imported];

    /// The label of the binder key.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::External => "ext binder",
            Self::Resumption => "res binder",
            Self::Imported => "imp binder",
        }
    }
}

/// The first secret: from the PSK alone.
pub(crate) struct EarlySecret {
    hash: SuiteHash,
    pub(crate) secret: SecretBytes,
}

impl EarlySecret {
    /// From the PSK, or from zeros without one.
    pub(crate) fn new(hash: SuiteHash, psk: Option<&[u8]>) -> Self {
        let zeros = vec![0; hash.len()];
        Self { hash, secret: hash.extract(&[], psk.unwrap_or(&zeros)) }
    }

    pub(crate) fn binder_key(&self, kind: PskKind) -> SecretBytes {
        self.hash.derive_empty(&self.secret, kind.label().as_bytes())
    }

    pub(crate) fn early_exporter_master_secret(&self, client_hello_hash: &[u8]) -> SecretBytes {
        self.hash.derive(&self.secret, b"e exp master", client_hello_hash)
    }

    /// Mixes the shared (EC)DHE secret in.
    pub(crate) fn handshake(&self, shared: &[u8]) -> HandshakeSecret {
        let salt = self.hash.derive_empty(&self.secret, b"derived");
        HandshakeSecret { hash: self.hash, secret: self.hash.extract(salt.expose(), shared) }
    }
}

/// The second secret: PSK and (EC)DHE.
pub(crate) struct HandshakeSecret {
    hash: SuiteHash,
    pub(crate) secret: SecretBytes,
}

impl HandshakeSecret {
    /// The hash is of the messages up to and including ServerHello.
    pub(crate) fn client_traffic_secret(&self, server_hello_hash: &[u8]) -> SecretBytes {
        self.hash.derive(&self.secret, b"c hs traffic", server_hello_hash)
    }

    /// The hash is of the messages up to and including ServerHello.
    pub(crate) fn server_traffic_secret(&self, server_hello_hash: &[u8]) -> SecretBytes {
        self.hash.derive(&self.secret, b"s hs traffic", server_hello_hash)
    }

    pub(crate) fn master(&self) -> MasterSecret {
        let salt = self.hash.derive_empty(&self.secret, b"derived");
        MasterSecret { hash: self.hash, secret: self.hash.extract(salt.expose(), &vec![0; self.hash.len()]) }
    }
}

/// The third secret.
pub(crate) struct MasterSecret {
    hash: SuiteHash,
    pub(crate) secret: SecretBytes,
}

impl MasterSecret {
    /// The hash is of the messages up to and including the server's Finished.
    pub(crate) fn exporter_master_secret(&self, server_finished_hash: &[u8]) -> SecretBytes {
        self.hash.derive(&self.secret, b"exp master", server_finished_hash)
    }
}
