//! The endpoint on OpenSSL: for handshakes that prove a key or a password themselves, which rustls does not have.
//!
//! [`psk`](super::psk) and [`srp`](super::srp) say how it is set up. No certificates, no resumption, no tickets, no early
//! data, no compression, no renegotiation; TLS 1.2 only with extended master secret (RFC 7627).

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslStream,
    SslVerifyMode, SslVersion,
};
use openssl_sys::ERR_GET_LIB;

use super::ffi::{self, Answers};
use super::{Endpoint, Handshake, Negotiated, TlsMechanism, Tunnel, UNREAD_MAX, Verified, hand_over, rules};
use crate::binding::{ChannelBinding, EXPORTER_LABEL, EXPORTER_LEN};
use crate::error::{Error, Result};
use crate::mechanism::{self, Mechanism, MechanismName, Outcome, Properties, Side, Step};
use crate::secret::{ProofVerified, verified_by};

/// Largest record unless set otherwise, as on rustls: one fills one block of an in-band bytestream.
pub const RECORD_DEFAULT: usize = 4096;

/// Smallest record that can be asked for: OpenSSL sends at least 512 octets of plaintext in one, if there are so many.
pub const RECORD_MIN: usize = 512 + OVERHEAD_MAX;

/// Largest record that can be asked for.
pub const RECORD_MAX: usize = CHUNK + OVERHEAD_MAX;

/// The most that a record adds to its plaintext: header, IV, MAC and padding of TLS 1.2 with AES-CBC and SHA-1.
const OVERHEAD_MAX: usize = 5 + 16 + 20 + 16;

/// Most octets of plaintext in one record (RFC 8446 section 5.1).
const CHUNK: usize = 16_384;

/// Alerts of RFC 8446 section 6, RFC 5246 section 7.2 and RFC 5054 section 2.9, by number.
const ALERTS: [(u8, &str); 30] = [
    (0, "close_notify"),
    (10, "unexpected_message"),
    (20, "bad_record_mac"),
    (21, "decryption_failed"),
    (22, "record_overflow"),
    (30, "decompression_failure"),
    (40, "handshake_failure"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (47, "illegal_parameter"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (50, "decode_error"),
    (51, "decrypt_error"),
    (70, "protocol_version"),
    (71, "insufficient_security"),
    (80, "internal_error"),
    (86, "inappropriate_fallback"),
    (90, "user_canceled"),
    (100, "no_renegotiation"),
    (109, "missing_extension"),
    (110, "unsupported_extension"),
    (112, "unrecognized_name"),
    (113, "bad_certificate_status_response"),
    (115, "unknown_psk_identity"),
    (116, "certificate_required"),
    (120, "no_application_protocol"),
];

/// With these a peer says, among other things, that it did not find our proof right.
const REFUSALS: [u8; 6] = [20, 40, 47, 49, 51, 115];

/// The number of OpenSSL's TLS code among its libraries: reasons are numbered in each.
const ERR_LIB_SSL: i32 = 20;

/// OpenSSL gives a received alert as this number and the alert's own.
const ALERT_REASON: i32 = 1000;

/// Reasons by which OpenSSL says that the peer's proof was wrong: MAC of an encrypted Finished, Finished, binder.
const PROOF_REASONS: [i32; 3] = [281, 149, 253];

/// What a kind of handshake brings to the endpoint.
pub(super) trait Proof: Answers {
    /// The mechanism.
    fn name(&self) -> MechanismName;

    /// What the mechanism promises.
    fn properties(&self) -> Properties;

    /// Whether the finished handshake was of this kind, and the proven identity.
    fn proven(&self, ssl: &openssl::ssl::SslRef) -> Option<String>;

    /// What went wrong in an answer.
    fn failure(&self) -> Option<Error> {
        None
    }
}

/// Settings that all contexts here share.
pub(super) fn context(side: Side, version: SslVersion) -> Result<SslContextBuilder> {
    let mut context = SslContextBuilder::new(SslMethod::tls()).map_err(setup)?;
    context.set_min_proto_version(Some(version)).map_err(setup)?;
    context.set_max_proto_version(Some(version)).map_err(setup)?;
    context.set_options(
        SslOptions::NO_TICKET
            | SslOptions::NO_COMPRESSION
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::NO_SESSION_RESUMPTION_ON_RENEGOTIATION
            | SslOptions::CIPHER_SERVER_PREFERENCE
            | SslOptions::SINGLE_ECDH_USE,
    );
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_num_tickets(0).map_err(setup)?;
    if side == Side::Client {
        // Nobody has a certificate here, so a server that shows one is not the one we talk to.
        context.set_verify_callback(SslVerifyMode::PEER, |_, _| false);
    }
    Ok(context)
}

/// Largest record that is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordSize(usize);

impl RecordSize {
    pub(super) const DEFAULT: Self = Self(RECORD_DEFAULT);

    pub(super) fn new(octets: usize) -> Result<Self> {
        if !(RECORD_MIN..=RECORD_MAX).contains(&octets) {
            return Err(Error::exceeds(&rules::RECORD_SIZE, octets as u64, RECORD_MAX as u64));
        }
        Ok(Self(octets))
    }

    /// 512 to 16,384.
    fn plaintext(self) -> u16 {
        (self.0 - OVERHEAD_MAX) as u16
    }
}

/// X25519MLKEM768 first where OpenSSL has it (3.5 and later), as on rustls.
pub(super) fn set_groups(context: &mut SslContextBuilder) -> Result<()> {
    context
        .set_groups_list("X25519MLKEM768:X25519:P-256")
        .or_else(|_| context.set_groups_list("X25519:P-256"))
        .map_err(setup)
}

pub(super) fn setup(error: ErrorStack) -> Error {
    Error::new(&rules::SETUP).about(error.to_string())
}

/// Octets between us and OpenSSL.
#[derive(Default)]
struct Pipe {
    input: Vec<u8>,
    taken: usize,
    output: Vec<u8>,
}

impl Pipe {
    fn forget_input(&mut self) {
        self.input.clear();
        self.taken = 0;
    }
}

impl Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let waiting = &self.input[self.taken..];
        if waiting.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = waiting.len().min(out.len());
        out[..n].copy_from_slice(&waiting[..n]);
        self.taken += n;
        if self.taken == self.input.len() {
            self.forget_input();
        }
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One end of a TLS connection, made by OpenSSL.
pub struct OpensslEndpoint {
    stream: SslStream<Pipe>,
    side: Side,
    proof: Arc<dyn Proof>,
    /// Who was proven, once the handshake is done.
    authcid: Option<String>,
    unread: Vec<u8>,
    failure: Option<Error>,
    closed: bool,
    peer_closed: bool,
}

impl OpensslEndpoint {
    pub(super) fn new(
        context: &SslContext,
        side: Side,
        record: RecordSize,
        proof: Arc<dyn Proof>,
        install: impl FnOnce(&mut Ssl),
    ) -> Result<Self> {
        let mut ssl = Ssl::new(context).map_err(setup)?;
        let answers: Arc<dyn Answers> = proof.clone();
        ffi::attach(&mut ssl, answers).map_err(setup)?;
        ffi::set_max_fragment(&mut ssl, record.plaintext()).map_err(setup)?;
        install(&mut ssl);
        match side {
            Side::Client => ssl.set_connect_state(),
            Side::Server => ssl.set_accept_state(),
        }
        let mut endpoint = Self {
            stream: SslStream::new(ssl, Pipe::default()).map_err(setup)?,
            side,
            proof,
            authcid: None,
            unread: Vec::new(),
            failure: None,
            closed: false,
            peer_closed: false,
        };
        if side == Side::Client {
            endpoint.shake_hands()?;
        }
        Ok(endpoint)
    }

    /// Who has been proven, and the evidence for it.
    fn proven(&self) -> Result<(String, ProofVerified)> {
        // Set by `shake_hands` alone, when OpenSSL has verified the peer's Finished under the key.
        verified_by(self.authcid.clone().ok_or_else(|| Error::new(&rules::NOT_READY)))
    }

    fn take_in(&mut self) -> Result<()> {
        if self.is_handshaking() {
            self.shake_hands()?;
        }
        if !self.is_handshaking() {
            self.take_plaintext()?;
        }
        Ok(())
    }

    fn shake_hands(&mut self) -> Result<()> {
        match self.stream.do_handshake() {
            Ok(()) => {}
            Err(error) if error.code() == ErrorCode::WANT_READ => return Ok(()),
            Err(error) => return Err(self.refused(&error)),
        }
        let ssl = self.stream.ssl();
        if ssl.version2() == Some(SslVersion::TLS1_2) && !ffi::has_extended_master_secret(ssl) {
            // OpenSSL cannot be told to refuse this itself, so the handshake is over: a close, not an alert.
            let _ = self.stream.shutdown();
            return Err(Error::new(&rules::NO_EXTENDED_MASTER_SECRET));
        }
        let proven = self.proof.proven(ssl).ok_or_else(|| Error::new(&rules::NOT_PROVEN))?;
        self.authcid = Some(proven);
        Ok(())
    }

    fn take_plaintext(&mut self) -> Result<()> {
        let mut chunk = [0; CHUNK];
        loop {
            match self.stream.ssl_read(&mut chunk) {
                Ok(taken) => {
                    let arrived = self.unread.len() + taken;
                    if arrived > UNREAD_MAX {
                        let (arrived, limit) = (arrived as u64, UNREAD_MAX as u64);
                        return Err(Error::exceeds(&rules::TOO_MUCH_UNREAD, arrived, limit));
                    }
                    self.unread.extend_from_slice(&chunk[..taken]);
                }
                Err(error) => match error.code() {
                    ErrorCode::WANT_READ => return Ok(()),
                    ErrorCode::ZERO_RETURN => {
                        self.peer_closed = true;
                        return Ok(());
                    }
                    _ => return Err(self.refused(&error)),
                },
            }
        }
    }

    fn refused(&self, error: &openssl::ssl::Error) -> Error {
        if let Some(failure) = self.proof.failure() {
            return failure;
        }
        let errors = error.ssl_error().map_or(&[][..], |stack| stack.errors());
        // A cipher that failed may stand before what TLS makes of it.
        let of_tls = errors.iter().find(|error| ERR_GET_LIB(error.code()) == ERR_LIB_SSL);
        let Some(found) = of_tls else {
            let text = errors.first().and_then(|error| error.reason()).unwrap_or("no reason given");
            return Error::new(&rules::HANDSHAKE).about(text);
        };
        let reason = found.reason_code();
        if let Some(alert) = reason.checked_sub(ALERT_REASON).and_then(|alert| u8::try_from(alert).ok()) {
            let refused = self.is_handshaking() && REFUSALS.contains(&alert);
            let rule = if refused { &rules::NOT_ACCEPTED } else { &rules::ALERT };
            return Error::new(rule).about(alert_name(alert));
        }
        let text = found.reason().unwrap_or("no reason given");
        if self.is_handshaking() && PROOF_REASONS.contains(&reason) {
            return Error::new(&rules::NOT_PROVEN).about(text);
        }
        Error::new(&rules::HANDSHAKE).about(text)
    }

    fn ready(&self) -> Result<()> {
        if self.is_handshaking() { Err(Error::new(&rules::NOT_READY)) } else { Ok(()) }
    }

    fn open(&self) -> Result<()> {
        self.ready()?;
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.closed { Err(Error::new(&rules::CLOSED)) } else { Ok(()) }
    }

    fn version(&self) -> Option<SslVersion> {
        self.stream.ssl().version2()
    }
}

impl Endpoint for OpensslEndpoint {
    fn side(&self) -> Side {
        self.side
    }

    fn receive(&mut self, ciphertext: &[u8]) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.peer_closed {
            // What follows close_notify is to be ignored (RFC 8446 section 6.1).
            return Ok(());
        }
        self.stream.get_mut().input.extend_from_slice(ciphertext);
        self.take_in().inspect_err(|error| {
            self.failure = Some(error.clone());
            self.stream.get_mut().forget_input();
        })
    }

    fn transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.stream.get_mut().output);
    }

    fn is_handshaking(&self) -> bool {
        self.authcid.is_none()
    }

    fn read(&mut self, out: &mut Vec<u8>) {
        hand_over(&mut self.unread, out);
    }

    fn write(&mut self, plaintext: &[u8]) -> Result<()> {
        self.open()?;
        let mut rest = plaintext;
        while !rest.is_empty() {
            let taken = self.stream.ssl_write(rest).map_err(|error| self.refused(&error))?;
            rest = &rest[taken..];
        }
        Ok(())
    }

    fn export(&self, label: &[u8], context: &[u8], out: &mut [u8]) -> Result<()> {
        self.ready()?;
        let failed = |why: String| Error::new(&rules::NOT_READY).about(why);
        let label = std::str::from_utf8(label).map_err(|error| failed(error.to_string()))?;
        // In TLS 1.2 an empty context and none give different values; RFC 9266 has it present.
        self.stream
            .ssl()
            .export_keying_material(out, label, Some(context))
            .map_err(|error| failed(error.to_string()))
    }

    fn rekey(&mut self) -> Result<()> {
        self.open()?;
        if self.version() != Some(SslVersion::TLS1_3) {
            return Err(Error::new(&rules::NO_KEY_UPDATE));
        }
        ffi::request_key_update(&mut self.stream).map_err(setup)?;
        match self.stream.do_handshake() {
            Err(error) if error.code() != ErrorCode::WANT_READ => Err(self.refused(&error)),
            _ => Ok(()),
        }
    }

    fn close(&mut self) {
        if !self.closed {
            self.closed = true;
            if self.failure.is_none() && !self.is_handshaking() {
                // Sends close_notify into memory, which takes everything.
                let _ = self.stream.shutdown();
            }
        }
    }

    fn peer_has_closed(&self) -> bool {
        self.peer_closed
    }

    fn negotiated(&self) -> Option<Negotiated> {
        self.ready().ok()?;
        let ssl = self.stream.ssl();
        let suite = ssl.current_cipher()?.standard_name()?;
        let group = match ffi::srp_bits(ssl) {
            Some(bits) => format!("SRP-{bits}"),
            None => ffi::group(ssl)?.replacen('x', "X", 1),
        };
        Some(Negotiated::new(ssl.version_str(), suite, group))
    }
}

impl fmt::Debug for OpensslEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "OpensslEndpoint({}, {:?}, {} octets unread)",
            self.proof.name(),
            self.side,
            self.unread.len()
        )
    }
}

fn alert_name(alert: u8) -> String {
    match ALERTS.iter().find(|(number, _)| *number == alert) {
        Some((_, name)) => (*name).to_owned(),
        None => alert.to_string(),
    }
}

/// An endpoint whose handshake is the mechanism.
pub(super) struct HandshakeMechanism {
    endpoint: OpensslEndpoint,
    started: bool,
    ended: bool,
    alert: Option<Vec<u8>>,
}

impl HandshakeMechanism {
    pub(super) fn boxed(endpoint: OpensslEndpoint) -> Box<dyn TlsMechanism> {
        Box::new(Self { endpoint, started: false, ended: false, alert: None })
    }

    fn advance(&mut self, input: &[u8]) -> Result<Step> {
        let first = !std::mem::replace(&mut self.started, true);
        if first && self.endpoint.side == Side::Client && !input.is_empty() {
            return Err(Error::new(&mechanism::rules::UNEXPECTED_DATA));
        }
        self.endpoint.receive(input)?;
        let mut flight = Vec::new();
        self.endpoint.transmit(&mut flight);
        if self.endpoint.is_handshaking() {
            return Ok(Step::Continue(flight));
        }
        let mut value = [0; EXPORTER_LEN];
        self.endpoint.export(EXPORTER_LABEL, &[], &mut value)?;
        let (authcid, proof) = self.endpoint.proven()?;
        let binding = ChannelBinding::tls_exporter(value);
        let outcome = Outcome::new(proof, self.name(), self.endpoint.side, authcid, Some(binding));
        self.ended = true;
        Ok(Step::Finished { reply: (!flight.is_empty()).then_some(flight), outcome })
    }
}

impl Mechanism for HandshakeMechanism {
    fn name(&self) -> MechanismName {
        self.endpoint.proof.name()
    }

    fn properties(&self) -> Properties {
        self.endpoint.proof.properties()
    }

    fn step(&mut self, input: &[u8]) -> Result<Step> {
        if self.ended {
            return Err(Error::new(&mechanism::rules::OUT_OF_TURN));
        }
        self.advance(input).inspect_err(|_| {
            self.ended = true;
            let mut alert = Vec::new();
            self.endpoint.transmit(&mut alert);
            self.alert = (!alert.is_empty()).then_some(alert);
        })
    }

    fn failure_reply(&self) -> Option<Vec<u8>> {
        self.alert.clone()
    }
}

impl TlsMechanism for HandshakeMechanism {
    fn into_tunnel(self: Box<Self>, outcome: Outcome) -> Result<Tunnel<Verified>> {
        Handshake::new(Box::new(self.endpoint)).finish()?.verify(outcome)
    }
}
