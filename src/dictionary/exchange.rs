//! From a transcript to what it is worth.

use super::capture::Capture;
use super::{Exposure, Situation, Transcript, Verdict, View, rules, tls12, tls13};
use crate::error::{Error, Result};
use crate::prep::Preparation;

/// Why a transcript of each family tests nothing, for a listener and for an impostor.
struct Nothing {
    family: &'static str,
    listener: &'static str,
    impostor: &'static str,
}

static NOTHING: &[Nothing] = &[
    Nothing {
        family: "CPACE",
        listener: "Both messages are random group elements: every password explains them equally well.",
        impostor: "He fixed one password in his own share, and the answer tells only whether it was the right one: one guess for each run.",
    },
    Nothing {
        family: "SPAKE2",
        listener: "Both shares are blinded by random elements: every password explains them equally well.",
        impostor: "He fixed one w0 in his own share, and the confirmation tells only whether it was the right one: one guess for each run.",
    },
    Nothing {
        family: "OPAQUE",
        listener: "The request is blinded and the answer masked: every password explains both equally well.",
        impostor: "Without the server's OPRF key his answer fits one password at most; as a client he gets one blinded evaluation: one guess for each run.",
    },
    Nothing {
        family: "SRP",
        listener: "A and B hide their exponents: to test a password against M1 takes a discrete logarithm.",
        impostor: "He fixed one verifier or one password in his own share, and the proof tells only whether it was the right one: one guess for each run.",
    },
];

const INSIDE_TLS: &str =
    "It runs only inside the TLS channel that it is bound to, where a listener sees no message.";

const NO_PROOF: &str = "An impostor of the client gets salt and iteration count, but no proof: one guess for each run with the server.";

const NO_BINDER: &str =
    "Without the PSK he cannot make the first message that a server answers: one guess for each connection.";

/// What the transcript is worth.
///
/// `preparation` is how passwords of SASL mechanisms are prepared; TLS takes its keys as they are.
///
/// # Errors
/// [`rules::UNKNOWN_MECHANISM`], [`rules::NOT_IN_THIS_BUILD`], [`rules::MESSAGES_DO_NOT_FIT`] when the transcript is cut
/// short or is of something else, and what the messages' own grammar refuses.
pub fn exposure_of_transcript(transcript: &Transcript, preparation: Preparation) -> Result<Exposure> {
    let name = transcript.mechanism().as_str();
    let situation = transcript.view().situation();
    let nothing = |reason| Ok(Exposure::NothingOffline(Verdict::new(name, situation, reason)));
    if name.starts_with("SCRAM-") {
        return match transcript.view() {
            View::Listener if transcript.mechanism().is_plus() => nothing(INSIDE_TLS),
            View::ImpostorOfClient => nothing(NO_PROOF),
            _ => scram(transcript, preparation),
        };
    }
    if name.starts_with("TLS") && name.ends_with("-PSK") {
        return match transcript.view() {
            View::ImpostorOfClient => nothing(NO_BINDER),
            _ => tls(transcript),
        };
    }
    let is_of = |family: &str| name.starts_with(family) || name.ends_with(&format!("-{family}"));
    let family = NOTHING.iter().find(|nothing| is_of(nothing.family));
    let family = family.ok_or_else(|| Error::new(&rules::UNKNOWN_MECHANISM).about(name))?;
    nothing(if situation == Situation::Listener { family.listener } else { family.impostor })
}

#[cfg(feature = "scram")]
fn scram(transcript: &Transcript, preparation: Preparation) -> Result<Exposure> {
    super::scram::Exchange::new(transcript, preparation).map(|exchange| Exposure::Guesses(Box::new(exchange)))
}

#[cfg(not(feature = "scram"))]
fn scram(transcript: &Transcript, _: Preparation) -> Result<Exposure> {
    Err(Error::new(&rules::NOT_IN_THIS_BUILD).about(transcript.mechanism().as_str()))
}

/// Flights of TLS, or a whole connection, as its octets crossed the wire.
fn tls(transcript: &Transcript) -> Result<Exposure> {
    let octets = transcript.messages().iter().map(|(_, message)| &message[..]).collect::<Vec<_>>().concat();
    exposure_of_capture(
        &Capture::parse(&octets)?,
        transcript.view().situation(),
        transcript.impostor_secret(),
    )
}

/// What a captured TLS handshake is worth. See [`Transcript::with_impostor_secret`] for the secret.
///
/// # Errors
/// [`rules::NO_PSK_HANDSHAKE`], [`rules::UNSUPPORTED_SUITE`].
pub(super) fn exposure_of_capture(
    capture: &Capture,
    situation: Situation,
    impostor_secret: Option<&[u8]>,
) -> Result<Exposure> {
    if capture.has_psk_binders()? {
        return tls13::Binders::new(capture, situation).map(|oracle| Exposure::Guesses(Box::new(oracle)));
    }
    tls12::exposure(capture, situation, impostor_secret)
}
