//! One error type for the whole crate.
//!
//! Every failure is the breach of a [`Rule`]: a constant that says what was broken, where the rule is
//! written, whose fault the breach is, and what a person may try. Families keep their rules beside the code
//! that checks them (`scram::rules`, `binding::rules`, …), so a test names the exact rule it expects and no
//! error text is put together at the place of failure.
//!
//! An error tells its owner a great deal; do not echo it to the peer. What the peer may hear is decided by
//! [`Mechanism::failure_reply`](crate::mechanism::Mechanism::failure_reply) and by the carrying protocol.

use std::fmt;
use std::time::Duration;

/// Result of every fallible call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose doing a failure is, and so who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The peer (or somebody in between) broke a rule of the protocol.
    PeerMisbehaved,
    /// The peer keeps to the protocol but has nothing in common with us.
    PeerIncompatible,
    /// The proof was wrong: another password, an unknown user, or a man in the middle. Which of them, nobody
    /// can tell.
    AuthenticationFailed,
    /// The peer is who he says, and may not act as the one he wants to.
    AuthorizationDenied,
    /// Our own policy refused what the peer offered or asked for.
    PolicyRefused,
    /// A named limit was exceeded; [`Error::numbers`] holds the demand and the limit.
    LimitExceeded,
    /// The channel ended before its proper close: data may be missing.
    Truncated,
    /// Nothing came in time.
    TimedOut,
    /// The peer is not there, or refused to talk at all.
    PeerUnavailable,
    /// The caller used the API or gave input in a way that cannot work.
    Misuse,
    /// Something outside the protocol failed: sockets, files, randomness.
    Environment,
}

/// A rule that can be broken.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable short name, `family-what`, for scripts and tests: `scram-nonce-mismatch`.
    pub id: &'static str,
    /// Class of the failure.
    pub kind: ErrorKind,
    /// Where the rule stands: `RFC 5802 section 5.1`, or `countersign` for our own.
    pub source: &'static str,
    /// What happened, as one clause without a full stop.
    pub what: &'static str,
    /// What to try, as one sentence.
    pub advice: &'static str,
}

/// A broken [`Rule`], with the numbers or the name that make it concrete.
///
/// `Display` gives what happened and its source on one line; [`Error::advice`] is the second line.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    rule: &'static Rule,
    numbers: Option<(u64, u64)>,
    subject: Option<Box<str>>,
    retry_after: Option<Duration>,
}

/// The longest subject shown in an error, in characters.
pub const SUBJECT_MAX: usize = 200;

impl Error {
    /// The breach of `rule`.
    #[must_use]
    pub fn new(rule: &'static Rule) -> Self {
        Self(Box::new(Inner { rule, numbers: None, subject: None, retry_after: None }))
    }

    /// A limit was exceeded: what was demanded, and what is allowed.
    #[must_use]
    pub fn exceeds(rule: &'static Rule, demanded: u64, limit: u64) -> Self {
        let mut error = Self::new(rule);
        error.0.numbers = Some((demanded, limit));
        error
    }

    /// Adds the name of the thing concerned (a mechanism, an address, a file).
    ///
    /// Control characters are replaced and the text is cut at [`SUBJECT_MAX`] characters, so a name that came
    /// from the peer cannot disturb a terminal. Never pass a secret.
    #[must_use]
    pub fn about(mut self, subject: impl AsRef<str>) -> Self {
        let clean = subject
            .as_ref()
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .take(SUBJECT_MAX)
            .collect::<String>();
        self.0.subject = Some(clean.into_boxed_str());
        self
    }

    /// Adds after which time the same can be tried again.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// The rule that was broken.
    #[must_use]
    pub fn rule(&self) -> &'static Rule {
        self.0.rule
    }

    /// Whose doing it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.rule.kind
    }

    /// Whether exactly this rule was broken.
    #[must_use]
    pub fn is(&self, rule: &Rule) -> bool {
        self.0.rule.id == rule.id
    }

    /// Demand and limit, for exceeded limits.
    #[must_use]
    pub fn numbers(&self) -> Option<(u64, u64)> {
        self.0.numbers
    }

    /// After which time the same can be tried again, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The name of the thing concerned.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// What to try, as one sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        self.0.rule.advice
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.rule.what)?;
        if let Some(subject) = &self.0.subject {
            write!(f, ": {subject}")?;
        }
        if let Some((demanded, limit)) = self.0.numbers {
            write!(f, " ({demanded}, the limit is {limit})")?;
        }
        if let Some(wait) = self.0.retry_after {
            // Rounded up: who comes back after so many seconds does not come too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            write!(f, "; try again in {seconds} s")?;
        }
        write!(f, " [{}]", self.0.rule.source)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {self})", self.0.rule.id)
    }
}

impl std::error::Error for Error {}

impl From<&'static Rule> for Error {
    fn from(rule: &'static Rule) -> Self {
        Self::new(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static RULE: Rule = Rule {
        id: "test-rule",
        kind: ErrorKind::LimitExceeded,
        source: "RFC 0 section 0",
        what: "too many of them",
        advice: "Send fewer.",
    };

    #[test]
    fn display_names_rule_numbers_and_source() {
        let error = Error::exceeds(&RULE, 11, 10).about("a\u{7}b");
        assert_eq!(error.to_string(), "too many of them: a\u{fffd}b (11, the limit is 10) [RFC 0 section 0]");
        assert_eq!(error.advice(), "Send fewer.");
        assert_eq!(error.numbers(), Some((11, 10)));
    }

    #[test]
    fn the_wait_is_rounded_up_to_seconds() {
        let error = Error::exceeds(&RULE, 6, 5).with_retry_after(Duration::from_millis(8001));
        assert_eq!(
            error.to_string(),
            "too many of them (6, the limit is 5); try again in 9 s [RFC 0 section 0]"
        );
        assert_eq!(error.retry_after(), Some(Duration::from_millis(8001)));
        assert_eq!(Error::new(&RULE).retry_after(), None);
    }

    #[test]
    fn subject_is_cut_at_its_limit() {
        let at = Error::new(&RULE).about("x".repeat(SUBJECT_MAX));
        assert_eq!(at.subject().map(str::len), Some(SUBJECT_MAX));
        let above = Error::new(&RULE).about("x".repeat(SUBJECT_MAX + 1));
        assert_eq!(above.subject().map(str::len), Some(SUBJECT_MAX));
    }
}
