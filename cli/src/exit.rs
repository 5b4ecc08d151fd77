//! How the tool ends: one exit code for each kind of failure, two lines on stderr.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use countersign::xmpp::session;
use countersign::{Error, ErrorKind};

use crate::output;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Success = 0,
    CheckFailed = 1,
    Usage = 2,
    AuthenticationFailed = 3,
    PeerUnavailable = 4,
    TimedOut = 5,
    Truncated = 6,
    ProtocolViolation = 7,
    Local = 8,
    /// As a shell has it for the signal of Ctrl-C.
    Stopped = 130,
}

impl Exit {
    const ALL: [Self; 10] = [
        Self::Success,
        Self::CheckFailed,
        Self::Usage,
        Self::AuthenticationFailed,
        Self::PeerUnavailable,
        Self::TimedOut,
        Self::Truncated,
        Self::ProtocolViolation,
        Self::Local,
        Self::Stopped,
    ];

    fn meaning(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::CheckFailed => "a check failed: something is not what it should be",
            Self::Usage => "wrong arguments or unusable input",
            Self::AuthenticationFailed => "the authentication failed or was refused",
            Self::PeerUnavailable => "the peer is not there or does not talk",
            Self::TimedOut => "nothing came in time",
            Self::Truncated => "the connection was lost before its proper close",
            Self::ProtocolViolation => "the peer broke the protocol, or policy forbids what it wants",
            Self::Local => "a file, socket or terminal of this machine failed",
            Self::Stopped => "stopped with Ctrl-C",
        }
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Misuse => Self::Usage,
            ErrorKind::AuthenticationFailed | ErrorKind::AuthorizationDenied => Self::AuthenticationFailed,
            ErrorKind::PeerUnavailable => Self::PeerUnavailable,
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::Truncated => Self::Truncated,
            ErrorKind::PeerMisbehaved
            | ErrorKind::PeerIncompatible
            | ErrorKind::PolicyRefused
            | ErrorKind::LimitExceeded => Self::ProtocolViolation,
            ErrorKind::Environment => Self::Local,
            _ => Self::CheckFailed,
        }
    }
}

/// The table of exit codes, for the end of the help text.
pub(crate) fn help() -> String {
    let rows = Exit::ALL.map(|exit| format!("  {:<3}  {}", exit as u8, exit.meaning()));
    format!("Exit codes:\n{}", rows.join("\n"))
}

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What happened, as one clause.
    pub(crate) what: String,
    /// What to try, as one sentence.
    pub(crate) advice: String,
    /// The connection to our server is gone: to come back is advice for nobody who does so himself.
    pub(crate) disconnected: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { exit, what: what.into(), advice: advice.into(), disconnected: false }
    }

    /// A file could not be used.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        let what = format!("cannot read {}: {error}", path.display());
        Self::new(Exit::Local, what, "Check the path and the permissions of the file.")
    }
}

impl Failure {
    /// Nothing has failed: a person wants it to end.
    pub(crate) fn stopped() -> Self {
        Self::new(Exit::Stopped, "with Ctrl-C", "")
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let disconnected = error.is(&session::rules::TRANSPORT_LOST);
        Self { disconnected, ..Self::new(error.kind().into(), error.to_string(), error.advice()) }
    }
}

/// Says on stderr what went wrong, and gives the exit code.
pub(crate) fn report(result: Result<(), Failure>) -> ExitCode {
    let exit = match result {
        Ok(()) => Exit::Success,
        Err(Failure { exit: Exit::Stopped, what, .. }) => {
            output::note(output::Tone::Doubtful, "stopped:", what);
            Exit::Stopped
        }
        Err(failure) => {
            complain(&failure);
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// Says what happened and what to try, one line each.
pub(crate) fn complain(failure: &Failure) {
    output::note(output::Tone::Bad, "error:", &failure.what);
    output::note(output::Tone::Good, "  try:", &failure.advice);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_has_every_code_once() {
        let help = help();
        for (code, exit) in (0..=8).chain([130]).zip(Exit::ALL) {
            assert_eq!(exit as u8, code);
            assert_eq!(help.matches(&format!("\n  {code:<3}  ")).count(), 1, "{help}");
        }
    }

    #[test]
    fn only_the_connection_to_our_own_server_is_ours_to_restore() {
        for (rule, disconnected) in [
            (&session::rules::TRANSPORT_LOST, true),
            (&session::rules::CUT_SHORT, false),
            (&session::rules::PEER_ABSENT, false),
        ] {
            assert_eq!(Failure::from(Error::new(rule)).disconnected, disconnected, "{}", rule.id);
        }
    }

    #[test]
    fn every_kind_of_error_has_its_code() {
        for (kind, code) in [
            (ErrorKind::Misuse, 2),
            (ErrorKind::AuthenticationFailed, 3),
            (ErrorKind::AuthorizationDenied, 3),
            (ErrorKind::PeerUnavailable, 4),
            (ErrorKind::TimedOut, 5),
            (ErrorKind::Truncated, 6),
            (ErrorKind::PeerMisbehaved, 7),
            (ErrorKind::PeerIncompatible, 7),
            (ErrorKind::PolicyRefused, 7),
            (ErrorKind::LimitExceeded, 7),
            (ErrorKind::Environment, 8),
        ] {
            assert_eq!(Exit::from(kind) as u8, code, "{kind:?}");
        }
    }
}
