//! The exporter of TLS 1.3 from its secret (RFC 8446 sections 7.1 and 7.5), to check published traces.
//!
//! A live connection exports by itself: [`Tunnel::export`](super::Tunnel::export).

use hmac::digest::{Digest, block_api::BlockSizeUser};
use hmac::{KeyInit, Mac, SimpleHmac};
use sha2::{Sha256, Sha384};
use zeroize::Zeroizing;

use crate::binding::{ChannelBinding, EXPORTER_LABEL, EXPORTER_LEN};
use crate::error::{Error, ErrorKind, Result, Rule};

/// Longest label: its length octet counts the six octets of `tls13 ` too (RFC 8446 section 7.1).
pub const LABEL_MAX: usize = 255 - PREFIX.len();

const PREFIX: &[u8] = b"tls13 ";

/// Longest context, whose length is one octet.
const CONTEXT_MAX: usize = 255;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// The label or the output is too long.
    pub static TOO_LONG: Rule = Rule {
        id: "exporter-too-long",
        kind: ErrorKind::LimitExceeded,
        source: "RFC 8446 section 7.1, RFC 5869 section 2.3",
        what: "the label, context or output of an HKDF-Expand-Label is too long",
        advice: "Use at most 249 octets of label, 255 of context and 255 hash lengths of output.",
    };
}

/// The hash of a TLS 1.3 cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SuiteHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

impl SuiteHash {
    /// Fills `out` by HKDF-Expand-Label.
    pub(super) fn fill_by_label(
        self,
        secret: &[u8],
        label: &[u8],
        context: &[u8],
        out: &mut [u8],
    ) -> Result<()> {
        match self {
            Self::Sha256 => expand_label::<Sha256>(secret, label, context, out),
            Self::Sha384 => expand_label::<Sha384>(secret, label, context, out),
        }
    }
}

/// Fills `out` with `TLS-Exporter(label, context, out.len())`.
///
/// # Errors
/// [`rules::TOO_LONG`] above [`LABEL_MAX`] octets of label, or above 255 hash lengths of output.
pub fn export(
    hash: SuiteHash,
    exporter_master_secret: &[u8],
    label: &[u8],
    context: &[u8],
    out: &mut [u8],
) -> Result<()> {
    match hash {
        SuiteHash::Sha256 => export_with::<Sha256>(exporter_master_secret, label, context, out),
        SuiteHash::Sha384 => export_with::<Sha384>(exporter_master_secret, label, context, out),
    }
}

/// The `tls-exporter` binding (RFC 9266 section 2) of the connection with this secret.
#[must_use]
pub fn channel_binding(hash: SuiteHash, exporter_master_secret: &[u8]) -> ChannelBinding {
    let mut value = [0; EXPORTER_LEN];
    export(hash, exporter_master_secret, EXPORTER_LABEL, &[], &mut value)
        .expect("label and output are short");
    ChannelBinding::tls_exporter(value)
}

fn export_with<D: Digest + BlockSizeUser>(
    secret: &[u8],
    label: &[u8],
    context: &[u8],
    out: &mut [u8],
) -> Result<()> {
    let mut derived = Zeroizing::new(vec![0; <D as Digest>::output_size()]);
    expand_label::<D>(secret, label, &D::digest(b""), &mut derived)?;
    expand_label::<D>(&derived, b"exporter", &D::digest(context), out)
}

/// HKDF-Expand-Label; `context` is a hash or the nonce of a ticket.
fn expand_label<D: Digest + BlockSizeUser>(
    secret: &[u8],
    label: &[u8],
    context: &[u8],
    out: &mut [u8],
) -> Result<()> {
    let most = 255 * <D as Digest>::output_size();
    if label.len() > LABEL_MAX {
        return Err(Error::exceeds(&rules::TOO_LONG, label.len() as u64, LABEL_MAX as u64));
    }
    if context.len() > CONTEXT_MAX {
        return Err(Error::exceeds(&rules::TOO_LONG, context.len() as u64, CONTEXT_MAX as u64));
    }
    if out.len() > most {
        return Err(Error::exceeds(&rules::TOO_LONG, out.len() as u64, most as u64));
    }
    // The checks above make every length fit its field: 255 SHA-384 outputs are 12240 octets.
    let mut info = (out.len() as u16).to_be_bytes().to_vec();
    info.push((PREFIX.len() + label.len()) as u8);
    info.extend_from_slice(PREFIX);
    info.extend_from_slice(label);
    info.push(context.len() as u8);
    info.extend_from_slice(context);

    let mut block = Zeroizing::new(Vec::new());
    for (counter, part) in (1_u8..=255).zip(out.chunks_mut(<D as Digest>::output_size())) {
        let mac = <SimpleHmac<D> as KeyInit>::new_from_slice(secret)
            .expect("HMAC takes keys of any length")
            .chain_update(block.as_slice())
            .chain_update(&info)
            .chain_update([counter]);
        *block = mac.finalize().into_bytes().to_vec();
        part.copy_from_slice(&block[..part.len()]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    #[test]
    fn published_traces_give_their_channel_bindings() {
        let file = include_str!("../../vectors/tls13_traces_binder_exporter.json");
        let file: serde_json::Value = serde_json::from_str(file).unwrap();
        let mut checked = 0;
        for case in file["cases"].as_array().unwrap() {
            let octets = |name: &str| case[name].as_str().map(unhex);
            let (Some(secret), Some(expected)) =
                (octets("exporter_master_secret"), octets("tls_exporter_channel_binding"))
            else {
                continue;
            };
            let hash = match case["hash"].as_str().unwrap() {
                "sha256" => SuiteHash::Sha256,
                "sha384" => SuiteHash::Sha384,
                other => panic!("{other}"),
            };
            assert_eq!(channel_binding(hash, &secret).data(), expected, "{}", case["name"]);
            checked += 1;
        }
        assert_eq!(checked, 7);
    }

    #[test]
    fn label_length_is_limited() {
        let mut out = [0; 32];
        export(SuiteHash::Sha256, &SECRET, &[b'x'; LABEL_MAX], b"", &mut out).unwrap();
        let error = export(SuiteHash::Sha256, &SECRET, &[b'x'; LABEL_MAX + 1], b"", &mut out).unwrap_err();
        assert!(error.is(&rules::TOO_LONG));
    }

    #[test]
    fn context_length_is_limited() {
        let mut out = [0; 32];
        SuiteHash::Sha256.fill_by_label(&SECRET, b"x", &[0; CONTEXT_MAX], &mut out).unwrap();
        let error =
            SuiteHash::Sha256.fill_by_label(&SECRET, b"x", &[0; CONTEXT_MAX + 1], &mut out).unwrap_err();
        assert!(error.is(&rules::TOO_LONG));
    }

    #[test]
    fn output_length_is_limited_by_the_hash() {
        for (hash, most) in [(SuiteHash::Sha256, 255 * 32), (SuiteHash::Sha384, 255 * 48)] {
            let mut out = vec![0; most];
            export(hash, &SECRET, b"EXPERIMENTAL x", b"", &mut out).unwrap();
            assert!(out[most - 16..].iter().any(|&octet| octet != 0));
            let error = export(hash, &SECRET, b"EXPERIMENTAL x", b"", &mut vec![0; most + 1]).unwrap_err();
            assert_eq!(error.numbers(), Some((most as u64 + 1, most as u64)));
        }
    }

    #[test]
    fn label_and_context_change_the_value() {
        let value = |label: &[u8], context: &[u8]| {
            let mut out = [0; 32];
            export(SuiteHash::Sha256, &SECRET, label, context, &mut out).unwrap();
            out
        };
        assert_ne!(value(b"a", b""), value(b"b", b""));
        assert_ne!(value(b"a", b""), value(b"a", b"c"));
    }

    fn unhex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }
}
