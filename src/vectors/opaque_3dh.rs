//! The formulas of RFC 9807 on ristretto255-SHA512, apart from the crate that the mechanism is built on.
//!
//! They give the values that never leave a party, which no message shows.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha512};

use super::fields::{Checked, wrong};
use crate::ksf::Ksf;

/// Octets of a hash, a MAC and an extracted key.
pub(super) const NH: usize = 64;
/// Octets of a private or public key, a nonce and a seed.
pub(super) const NPK: usize = 32;

pub(super) type Key = [u8; NH];

/// RFC 9497 section 3.1, in the mode 0x00.
const CONTEXT_STRING: &[u8] = b"OPRFV1-\x00-ristretto255-SHA512";

/// The server's key of the OPRF for one record (section 6.3.2.1).
pub(super) fn oprf_key(oprf_seed: &[u8; NH], credential_identifier: &[u8]) -> Checked<Scalar> {
    let seed = expand(oprf_seed, &[credential_identifier, b"OprfKey"])?;
    Ok(derive_key_pair(&seed[..NPK], b"OPAQUE-DeriveKeyPair"))
}

/// The output of the OPRF (RFC 9497 section 3.3.1).
pub(super) fn oprf_output(password: &[u8], blind: &Scalar, evaluated: &[u8; NPK]) -> Checked<Key> {
    let unblinded = (point(evaluated)? * blind.invert()).compress();
    let output = Sha512::new()
        .chain_update(u16_prefixed(password))
        .chain_update(u16_prefixed(unblinded.as_bytes()))
        .chain_update(b"Finalize")
        .finalize();
    Ok(output.into())
}

/// The output of the OPRF after the slow hash, under the salt of section 7.
pub(super) fn stretched(ksf: Ksf, oprf_output: &Key) -> Checked<Key> {
    let mut stretched = [0; NH];
    ksf.stretch_into(oprf_output, &[0; 16], &mut stretched)?;
    Ok(stretched)
}

/// The randomized password (section 6.3.2.3).
pub(super) fn randomized_password(oprf_output: &Key, stretched: &Key) -> Key {
    extract(&[&oprf_output[..], stretched].concat())
}

/// What a client makes of the randomized password (section 4.1.2).
pub(super) struct Stored {
    pub(super) masking_key: Key,
    pub(super) auth_key: Key,
    pub(super) export_key: Key,
    pub(super) client_private_key: Scalar,
}

impl Stored {
    pub(super) fn new(randomized_password: &Key, envelope_nonce: &[u8; NPK]) -> Checked<Self> {
        let seed = expand(randomized_password, &[envelope_nonce, b"PrivateKey"])?;
        Ok(Self {
            masking_key: expand(randomized_password, &[b"MaskingKey"])?,
            auth_key: expand(randomized_password, &[envelope_nonce, b"AuthKey"])?,
            export_key: expand(randomized_password, &[envelope_nonce, b"ExportKey"])?,
            client_private_key: diffie_hellman_key(&seed),
        })
    }

    /// Nonce and tag.
    pub(super) fn envelope(
        &self,
        nonce: &[u8; NPK],
        server_key: &[u8],
        server: &[u8],
        client: &[u8],
    ) -> Vec<u8> {
        let identities = [u16_prefixed(server), u16_prefixed(client)].concat();
        [&nonce[..], &mac(&self.auth_key, &[nonce, server_key, &identities])].concat()
    }
}

/// The key of a key share, or a client's own (section 2.1 and 6.4.3).
pub(super) fn diffie_hellman_key(seed: &[u8]) -> Scalar {
    derive_key_pair(&seed[..NPK], b"OPAQUE-DeriveDiffieHellmanKeyPair")
}

pub(super) fn public_key(private_key: &Scalar) -> [u8; NPK] {
    RistrettoPoint::mul_base(private_key).compress().to_bytes()
}

/// `private_key` times a public key.
pub(super) fn diffie_hellman(private_key: &Scalar, public_key: &[u8; NPK]) -> Checked<[u8; NPK]> {
    Ok((point(public_key)? * private_key).compress().to_bytes())
}

/// The keys of the handshake (section 6.4.2.2).
pub(super) struct Schedule {
    pub(super) handshake_secret: Key,
    pub(super) session_key: Key,
    pub(super) server_mac_key: Key,
    pub(super) client_mac_key: Key,
}

impl Schedule {
    pub(super) fn new(ikm: &[u8], preamble: &[u8]) -> Checked<Self> {
        let (prk, hash) = (extract(ikm), Sha512::digest(preamble));
        let handshake_secret = derive_secret(&prk, b"HandshakeSecret", &hash)?;
        Ok(Self {
            session_key: derive_secret(&prk, b"SessionKey", &hash)?,
            server_mac_key: derive_secret(&handshake_secret, b"ServerMAC", b"")?,
            client_mac_key: derive_secret(&handshake_secret, b"ClientMAC", b"")?,
            handshake_secret,
        })
    }
}

/// The transcript up to the server's MAC (section 6.4.2.1); `ke2` without that MAC.
pub(super) fn preamble(context: &[u8], client: &[u8], ke1: &[u8], server: &[u8], ke2: &[u8]) -> Vec<u8> {
    let (context, client, server) = (u16_prefixed(context), u16_prefixed(client), u16_prefixed(server));
    [b"OPAQUEv1-", &context[..], &client, ke1, &server, ke2].concat()
}

/// The server's answer under its mask (section 6.3.2.2): its own inverse.
pub(super) fn masked(masking_key: &Key, masking_nonce: &[u8; NPK], response: &[u8]) -> Checked<Vec<u8>> {
    let mut pad = vec![0; response.len()];
    expand_into(masking_key, &[masking_nonce, b"CredentialResponsePad"], &mut pad)?;
    Ok(pad.iter().zip(response).map(|(pad, octet)| pad ^ octet).collect())
}

/// A MAC over the hash of a transcript.
pub(super) fn transcript_mac(key: &Key, transcript: &[u8]) -> Key {
    mac(key, &[&Sha512::digest(transcript)])
}

fn derive_secret(secret: &Key, label: &[u8], context: &[u8]) -> Checked<Key> {
    let label = [b"OPAQUE-", label].concat();
    let (label_len, context_len) = ([label.len() as u8], [context.len() as u8]);
    expand(secret, &[&(NH as u16).to_be_bytes(), &label_len, &label, &context_len, context])
}

/// RFC 9497 section 3.2.1 with the counter 0: that it must go on happens once in 2^252 times.
fn derive_key_pair(seed: &[u8], info: &[u8]) -> Scalar {
    let input = [seed, &u16_prefixed(info), &[0]].concat();
    hash_to_scalar(&input, &[b"DeriveKeyPair", CONTEXT_STRING].concat())
}

/// RFC 9497 section 4.1, with the one block that RFC 9380's `expand_message_xmd` makes of 64 octets.
fn hash_to_scalar(message: &[u8], tag: &[u8]) -> Scalar {
    const BLOCK: usize = 128;
    let tag = [tag, &[tag.len() as u8]].concat();
    let first = Sha512::new()
        .chain_update([0; BLOCK])
        .chain_update(message)
        .chain_update((NH as u16).to_be_bytes())
        .chain_update([0])
        .chain_update(&tag)
        .finalize();
    let uniform = Sha512::new().chain_update(first).chain_update([1]).chain_update(&tag).finalize();
    Scalar::from_bytes_mod_order_wide(&uniform.into())
}

fn point(octets: &[u8; NPK]) -> Checked<RistrettoPoint> {
    CompressedRistretto(*octets).decompress().map_or_else(|| wrong("not an element of ristretto255"), Ok)
}

fn u16_prefixed(octets: &[u8]) -> Vec<u8> {
    [&(octets.len() as u16).to_be_bytes()[..], octets].concat()
}

fn extract(ikm: &[u8]) -> Key {
    Hkdf::<Sha512>::extract(None, ikm).0.into()
}

fn expand(key: &Key, info: &[&[u8]]) -> Checked<Key> {
    let mut output = [0; NH];
    expand_into(key, info, &mut output)?;
    Ok(output)
}

fn expand_into(key: &Key, info: &[&[u8]], output: &mut [u8]) -> Checked {
    let hkdf = Hkdf::<Sha512>::from_prk(key).map_err(|_| ());
    match hkdf.and_then(|hkdf| hkdf.expand_multi_info(info, output).map_err(|_| ())) {
        Ok(()) => Ok(()),
        Err(()) => wrong("the key derivation refused a length"),
    }
}

fn mac(key: &Key, parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}
