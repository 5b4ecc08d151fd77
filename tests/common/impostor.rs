//! An impostor of a TLS 1.2 server, who does not know the PSK: what he says, and what he learns.

use curve25519_dalek::MontgomeryPoint;

const PRIVATE: [u8; 32] = [0x42; 32];

/// One flight that answers any ClientHello, up to ServerHelloDone: this ECDHE_PSK suite, on X25519.
pub(crate) fn flight(suite: u16) -> Vec<u8> {
    let public = MontgomeryPoint::mul_base_clamped(PRIVATE).to_bytes();
    let handshake = |kind: u8, body: &[u8]| {
        let len = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[kind, len[1], len[2], len[3]], body].concat()
    };
    // Version, random, no session, suite, no compression, and an empty renegotiation_info.
    let hello = [&[3, 3][..], &[9; 32], &[0], &suite.to_be_bytes(), &[0, 0, 5, 0xff, 1, 0, 1, 0]].concat();
    // No hint; a named curve, X25519.
    let key_exchange = [&[0, 0, 3, 0, 29, 32][..], &public].concat();
    let flight = [handshake(2, &hello), handshake(12, &key_exchange), handshake(14, &[])].concat();
    let len = u16::try_from(flight.len()).unwrap().to_be_bytes();
    [&[22, 3, 3, len[0], len[1]], &flight[..]].concat()
}

/// The secret of Diffie and Hellman, by the client's ClientKeyExchange in a record of its own.
pub(crate) fn secret(record: &[u8]) -> [u8; 32] {
    // The headers of record and message; the identity, then the client's share.
    let body = &record[5 + 4..];
    let identity_len = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let share = body[2 + identity_len + 1..][..32].try_into().unwrap();
    MontgomeryPoint(share).mul_clamped(PRIVATE).to_bytes()
}
