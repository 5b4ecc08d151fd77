//! TLS 1.3: whole handshakes (RFC 8446 section 7.1), imported PSKs (RFC 9258), and the test of guesses on a binder.

use curve25519_dalek::MontgomeryPoint;
use p256::elliptic_curve::sec1::ToSec1Point;

use super::fields::{Checked, Fields, from_hex, same, wrong};
use crate::tls::exporter::{self, SuiteHash};
use crate::tls::key_schedule::{EarlySecret, PskKind};

const NAMED_GROUP_P256: u16 = 0x0017;
const NAMED_GROUP_X25519: u16 = 0x001d;
const EXTENSION_KEY_SHARE: u16 = 51;
/// Type and length of a handshake message.
const HEADER_LEN: usize = 4;

pub(super) fn check(case: &Fields<'_>) -> Checked {
    if case.has("server_flight") {
        handshake(case)
    } else if case.has("imported_identity") {
        importer(case)
    } else {
        binder_guesses(case)
    }
}

fn hash(case: &Fields<'_>, field: &str) -> Checked<SuiteHash> {
    match case.text(field)? {
        "sha256" => Ok(SuiteHash::Sha256),
        "sha384" => Ok(SuiteHash::Sha384),
        other => wrong(format!("{field} is no hash of a TLS 1.3 suite: {other}")),
    }
}

/// A handshake up to the client's Finished.
fn handshake(case: &Fields<'_>) -> Checked {
    case.describe(&["origin", "published_by_origin", "note"]);
    let hash = hash(case, "hash")?;
    let hellos = Hellos::read(case)?;
    let shared = hellos.shared_secret(case)?;
    case.expect("ecdhe_shared_secret", &shared)?;

    let psk = case.optional("psk", Fields::octets)?;
    let early = EarlySecret::new(hash, psk.as_deref());
    case.expect("early_secret", early.secret.expose())?;
    match &psk {
        Some(psk) => binder(case, hash, &early, psk, &hellos)?,
        None if case.has("binder") => return wrong("there is a binder but no psk"),
        None => {}
    }

    let mut transcript = hellos.transcript(hash);
    let server_hello_hash = hash.digest(&[&transcript]);
    let handshake = early.handshake(&shared);
    case.expect("handshake_secret", handshake.secret.expose())?;
    let client_traffic = handshake.client_traffic_secret(&server_hello_hash);
    case.expect("client_handshake_traffic_secret", client_traffic.expose())?;
    let server_traffic = handshake.server_traffic_secret(&server_hello_hash);
    case.expect("server_handshake_traffic_secret", server_traffic.expose())?;

    let flight = case.texts("server_flight")?;
    let Some((sent_finished, before)) = flight.split_last() else {
        return wrong("server_flight is empty");
    };
    for message in before {
        transcript.extend(from_hex("server_flight", message)?);
    }
    let server_finished = hash.finished(&server_traffic, &hash.digest(&[&transcript]));
    case.expect("server_finished", &server_finished)?;
    let sent_finished = from_hex("server_flight", sent_finished)?;
    same("the last message of server_flight", &message(20, &server_finished), &sent_finished)?;
    transcript.extend(sent_finished);

    let finished_hash = hash.digest(&[&transcript]);
    case.expect("transcript_hash_ch_to_server_finished", &finished_hash)?;
    let master = handshake.master();
    case.expect("master_secret", master.secret.expose())?;
    let exporter_master_secret = master.exporter_master_secret(&finished_hash);
    case.expect("exporter_master_secret", exporter_master_secret.expose())?;
    let binding = exporter::channel_binding(hash, exporter_master_secret.expose());
    case.expect("tls_exporter_channel_binding", binding.data())?;
    case.expect("client_finished_no_client_auth", &hash.finished(&client_traffic, &finished_hash))
}

fn binder(case: &Fields<'_>, hash: SuiteHash, early: &EarlySecret, psk: &[u8], hellos: &Hellos) -> Checked {
    let hello = &hellos.client;
    let label = case.text("binder_label")?;
    let Some(kind) = PskKind::ALL.into_iter().find(|kind| kind.label() == label) else {
        return wrong(format!("binder_label is not known: {label}"));
    };
    if kind == PskKind::Resumption {
        let origin = case.object("psk_origin")?;
        let secret = origin.octets("resumption_master_secret")?;
        let from_ticket = hash.resumption_psk(&secret, &origin.octets("ticket_nonce")?)?;
        same("psk", from_ticket.expose(), psk)?;
        origin.finish()?;
        let secret = early.early_exporter_master_secret(&hash.digest(&[hello]));
        case.expect("early_exporter_master_secret", secret.expose())?;
    }

    // The one binder, its length, and the length of the list of binders end the ClientHello.
    let binders_len = 2 + 1 + hash.len();
    let truncated_len = hello.len().saturating_sub(binders_len);
    if case.number("truncated_len", hello.len() as u64)? != truncated_len as u64 {
        return wrong(format!("truncated_len differs: computed {truncated_len}"));
    }
    let truncated_hash = hash.digest(&[&hello[..truncated_len]]);
    case.expect("truncated_client_hello_hash", &truncated_hash)?;
    let key = early.binder_key(kind);
    case.expect("binder_key", key.expose())?;
    case.expect("binder_finished_key", hash.finished_key(&key).expose())?;
    let binder = hash.finished(&key, &truncated_hash);
    case.expect("binder", &binder)?;
    same("the binder in the ClientHello", &binder, &hello[hello.len().saturating_sub(hash.len())..])
}

/// The messages up to and including ServerHello.
struct Hellos {
    /// The first ClientHello and the HelloRetryRequest.
    retry: Option<(Vec<u8>, Vec<u8>)>,
    client: Vec<u8>,
    server: Vec<u8>,
}

impl Hellos {
    fn read(case: &Fields<'_>) -> Checked<Self> {
        let server = case.octets("server_hello")?;
        if !case.has("hello_retry_request") {
            return Ok(Self { retry: None, client: case.octets("client_hello")?, server });
        }
        let retry = (case.octets("client_hello_1")?, case.octets("hello_retry_request")?);
        Ok(Self { retry: Some(retry), client: case.octets("client_hello_2")?, server })
    }

    /// RFC 8446 section 4.4.1: the first of two ClientHellos is replaced by its hash.
    fn transcript(&self, hash: SuiteHash) -> Vec<u8> {
        let mut transcript = Vec::new();
        if let Some((first, request)) = &self.retry {
            transcript.extend(message(254, &hash.digest(&[first])));
            transcript.extend(request);
        }
        transcript.extend(&self.client);
        transcript.extend(&self.server);
        transcript
    }

    /// From the client's private key and the server's share; the client's share must belong to the private key.
    fn shared_secret(&self, case: &Fields<'_>) -> Checked<Vec<u8>> {
        let (group, public, shared) = if case.has("client_p256_private") {
            let private = case.octets("client_p256_private")?;
            let server = self.server_share(NAMED_GROUP_P256)?;
            let Some((public, shared)) = p256_exchange(&private, server) else {
                return wrong("client_p256_private or the server's share is no key of the curve");
            };
            (NAMED_GROUP_P256, public, shared)
        } else {
            let private = case.array("client_x25519_private")?;
            let Ok(server) = <[u8; 32]>::try_from(self.server_share(NAMED_GROUP_X25519)?) else {
                return wrong("the key share in server_hello does not have 32 octets");
            };
            let public = MontgomeryPoint::mul_base_clamped(private).to_bytes().to_vec();
            let shared = MontgomeryPoint(server).mul_clamped(private).to_bytes().to_vec();
            (NAMED_GROUP_X25519, public, shared)
        };
        let Some(client) = extension(&self.client, true).and_then(|list| find_share(list.get(2..)?, group))
        else {
            return wrong("the ClientHello has no key share of the group");
        };
        same("the key share in the ClientHello", &public, client)?;
        Ok(shared)
    }

    fn server_share(&self, group: u16) -> Checked<&[u8]> {
        let share = extension(&self.server, false).and_then(|list| find_share(list, group));
        share.map_or_else(|| wrong("server_hello has no key share of the group"), Ok)
    }
}

/// The client's public key, uncompressed, and the shared x coordinate.
fn p256_exchange(private: &[u8], server: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let private = p256::SecretKey::from_slice(private).ok()?;
    let server = p256::PublicKey::from_sec1_bytes(server).ok()?;
    let public = private.public_key().to_sec1_point(false).as_bytes().to_vec();
    let shared = p256::ecdh::diffie_hellman(private.to_nonzero_scalar(), server.as_affine());
    Some((public, shared.raw_secret_bytes().to_vec()))
}

/// The contents of the key_share extension of a ClientHello or ServerHello.
fn extension(hello: &[u8], from_client: bool) -> Option<&[u8]> {
    let version_and_random = 2 + 32;
    let rest = hello.get(HEADER_LEN + version_and_random..)?;
    let (_session_id, rest) = split_u8(rest)?;
    let rest = if from_client {
        let (_suites, rest) = split_u16(rest)?;
        split_u8(rest)?.1
    } else {
        rest.get(3..)?
    };
    let (mut extensions, _) = split_u16(rest)?;
    while let Some((kind, rest)) = extensions.split_first_chunk::<2>() {
        let (data, rest) = split_u16(rest)?;
        if u16::from_be_bytes(*kind) == EXTENSION_KEY_SHARE {
            return Some(data);
        }
        extensions = rest;
    }
    None
}

fn find_share(mut shares: &[u8], group: u16) -> Option<&[u8]> {
    while let Some((kind, rest)) = shares.split_first_chunk::<2>() {
        let (key, rest) = split_u16(rest)?;
        if u16::from_be_bytes(*kind) == group {
            return Some(key);
        }
        shares = rest;
    }
    None
}

fn split_u8(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = data.split_first()?;
    rest.split_at_checked(usize::from(*len))
}

fn split_u16(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = data.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// A handshake message, of at most 255 octets.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u8::try_from(body.len()).expect("the body is one hash");
    [&[kind, 0, 0, len], body].concat()
}

/// RFC 9258 section 5.1: one external PSK becomes one PSK for each protocol and KDF.
fn importer(case: &Fields<'_>) -> Checked {
    let psk_hash = hash(case, "epsk_hash")?;
    let target = case.array("target_kdf")?;
    let target_hash = match u16::from_be_bytes(target) {
        1 => SuiteHash::Sha256,
        2 => SuiteHash::Sha384,
        other => return wrong(format!("target_kdf is not known: {other}")),
    };
    let protocol = case.array::<2>("target_protocol")?;
    let mut identity = Vec::new();
    for part in ["external_identity", "context"] {
        let octets = case.octets(part)?;
        let Ok(len) = u16::try_from(octets.len()) else {
            return wrong(format!("{part} is longer than 65535 octets"));
        };
        identity.extend(len.to_be_bytes());
        identity.extend(octets);
    }
    identity.extend(protocol);
    identity.extend(target);
    case.expect("imported_identity", &identity)?;

    let epskx = psk_hash.extract(&[], &case.octets("epsk")?);
    case.expect("epskx_computed", epskx.expose())?;
    let identity_hash = psk_hash.digest(&[&identity]);
    let ipskx =
        psk_hash.expand_label_to(epskx.expose(), b"derived psk", &identity_hash, target_hash.len())?;
    case.expect("ipskx", ipskx.expose())?;
    let early = EarlySecret::new(target_hash, Some(ipskx.expose()));
    case.expect("early_secret_computed", early.secret.expose())?;
    case.expect("binder_key_imp_computed", early.binder_key(PskKind::Imported).expose())?;
    case.expect("binder_key_ext_computed", early.binder_key(PskKind::External).expose())
}

/// What a listener does with one ClientHello: a binder for each guess, until one fits.
fn binder_guesses(case: &Fields<'_>) -> Checked {
    let hash = hash(case, "hash")?;
    let transcript_hash = hash.digest(&[&case.octets("truncated_client_hello")?]);
    case.expect("transcript_hash", &transcript_hash)?;
    let observed = case.octets("observed_binder")?;
    let mut found = None;
    for candidate in case.objects("candidates")? {
        let psk = candidate.text("psk_utf8")?;
        let key = EarlySecret::new(hash, Some(psk.as_bytes())).binder_key(PskKind::External);
        let binder = hash.finished(&key, &transcript_hash);
        candidate.expect("binder", &binder)?;
        candidate.finish()?;
        if binder == observed {
            found = Some(psk);
        }
    }
    #[cfg(feature = "dictionary")]
    if let Some(psk) = found {
        oracle_finds(&case.octets("truncated_client_hello")?, &observed, psk)?;
    }
    match found {
        Some(psk) => case.expect_text("found_psk_utf8", psk),
        None => wrong("no candidate gives observed_binder"),
    }
}

/// The same with the oracle that audits run.
#[cfg(feature = "dictionary")]
fn oracle_finds(truncated_hello: &[u8], observed: &[u8], psk: &str) -> Checked {
    use crate::dictionary::{Exposure, Situation, capture::Capture};
    let len = observed.len() as u8;
    let hello = [truncated_hello, &[0, len + 1, len], observed].concat();
    let Exposure::Guesses(oracle) = Capture::parse(&hello)?.exposure(Situation::Listener, None)? else {
        return wrong("the ClientHello tests nothing");
    };
    match oracle.try_passwords(&[b"", psk.as_bytes()])? {
        Some(found) if found.index() == 1 => Ok(()),
        _ => wrong("the oracle does not find the PSK"),
    }
}
