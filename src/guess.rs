//! Limits on online guesses: how many wrong passwords a peer may try.
//!
//! No mechanism can stop whoever runs it from learning whether one password is right. So a guess is counted before the
//! mechanism is started, and refused before any work is done for it; it is given back when the peer's proof was right,
//! or when the exchange ended before this side had sent anything that a password can be tested with
//! ([`Properties::server_test`](crate::mechanism::Properties::server_test)).
//!
//! [`Guesses`] is shared by all sessions of an account, on both sides: clones share their counts. What is counted is
//! kept by a [`GuessStore`], in memory or, to survive restarts, elsewhere.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, ErrorKind, Result, Rule};
use crate::mechanism::Outcome;

/// Guesses that one peer may make in [`PEER_WINDOW`].
pub const PEER_GUESSES: usize = 5;

/// How long a guess counts against its peer.
pub const PEER_WINDOW: Duration = Duration::from_secs(15 * 60);

/// Guesses that all peers together may make in [`OVERALL_WINDOW`].
pub const OVERALL_GUESSES: usize = 20;

/// How long a guess counts against all peers.
pub const OVERALL_WINDOW: Duration = Duration::from_secs(60 * 60);

/// Most guesses that are kept, whatever the limits say: at this bound every peer is refused until the oldest guess has
/// left its window. Only what is counted is kept, so the names of peers take no more memory than this.
pub const GUESSES_MAX: usize = 4096;

/// Longest name of a peer, in octets: a bare JID (RFC 7622 section 3.1).
pub const PEER_NAME_MAX: usize = 2047;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// One peer has guessed too often.
    pub static PEER_LIMIT: Rule = Rule {
        id: "guess-limit-peer",
        kind: ErrorKind::LimitExceeded,
        source: "countersign",
        what: "too many wrong passwords with this peer",
        advice: "Wait as long as is said, and compare the passwords of both sides over another way meanwhile.",
    };
    /// All peers together have guessed too often.
    pub static OVERALL_LIMIT: Rule = Rule {
        id: "guess-limit-overall",
        kind: ErrorKind::LimitExceeded,
        source: "countersign",
        what: "too many wrong passwords with all peers together",
        advice: "Wait as long as is said; somebody may be guessing under many names, so admit known peers only.",
    };
    /// A peer's name above [`PEER_NAME_MAX`](super::PEER_NAME_MAX).
    pub static PEER_NAME_TOO_LONG: Rule = Rule {
        id: "guess-peer-name-too-long",
        kind: ErrorKind::LimitExceeded,
        source: "RFC 7622 section 3.1",
        what: "the name of the peer is too long to count its guesses",
        advice: "Count under the peer's bare JID.",
    };
}

/// How many guesses in how long. A window slides: each guess counts for its length and then no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuessLimits {
    per_peer: Rate,
    overall: Rate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    guesses: usize,
    window: Duration,
}

impl Rate {
    fn new(guesses: usize, window: Duration) -> Self {
        Self { guesses: guesses.clamp(1, GUESSES_MAX), window }
    }
}

impl Default for GuessLimits {
    fn default() -> Self {
        Self {
            per_peer: Rate::new(PEER_GUESSES, PEER_WINDOW),
            overall: Rate::new(OVERALL_GUESSES, OVERALL_WINDOW),
        }
    }
}

impl GuessLimits {
    /// Sets what one peer may do: 1 to [`GUESSES_MAX`] guesses in a window; other numbers are moved there.
    #[must_use]
    pub fn with_per_peer(mut self, guesses: usize, window: Duration) -> Self {
        self.per_peer = Rate::new(guesses, window);
        self
    }

    /// Sets what all peers together may do: 1 to [`GUESSES_MAX`] guesses in a window; other numbers are moved there.
    ///
    /// # Security
    /// Whoever can use many names can use up this limit and so keep honest peers out; without it he could guess as
    /// often as he has names.
    #[must_use]
    pub fn with_overall(mut self, guesses: usize, window: Duration) -> Self {
        self.overall = Rate::new(guesses, window);
        self
    }

    /// After which a guess counts nowhere any more.
    fn longest(&self) -> Duration {
        self.per_peer.window.max(self.overall.window)
    }
}

/// A guess that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "made by stores, which keep every field")]
pub struct Counted {
    /// Whose: the peer's bare JID, at most [`PEER_NAME_MAX`] octets.
    pub peer: String,
    /// When, since the start of 1970; in memory alone, since the first guess.
    pub at: Duration,
}

/// Where the guesses that count are kept.
///
/// There are few at a time, [`GUESSES_MAX`] at most, so all are loaded and replaced at once. [`Guesses`] makes no two
/// calls at the same time; processes that share a store must lock it themselves.
pub trait GuessStore: Send {
    /// What was stored last; nothing at first.
    ///
    /// # Errors
    /// When the store fails. Nobody is let through then.
    fn load(&mut self) -> Result<Vec<Counted>>;

    /// Replaces what is stored. What must survive a crash is safe when this returns: the password is at stake only
    /// afterwards.
    ///
    /// # Errors
    /// When the store fails. Nobody is let through then.
    fn store(&mut self, counted: &[Counted]) -> Result<()>;
}

/// Guesses that are forgotten with the process.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct MemoryGuesses(Vec<Counted>);

impl GuessStore for MemoryGuesses {
    fn load(&mut self) -> Result<Vec<Counted>> {
        Ok(self.0.clone())
    }

    fn store(&mut self, counted: &[Counted]) -> Result<()> {
        self.0 = counted.to_vec();
        Ok(())
    }
}

/// The limiter: counts guesses by peer and refuses those above the limits. Clones share their counts.
#[derive(Clone)]
pub struct Guesses {
    limits: GuessLimits,
    state: Arc<Mutex<State>>,
}

struct State {
    store: Box<dyn GuessStore>,
    /// An instant and the time on the calendar that it was.
    origin: Option<(Instant, Duration)>,
}

impl Guesses {
    /// Counts that end with the process.
    #[must_use]
    pub fn in_memory(limits: GuessLimits) -> Self {
        Self::new(limits, Box::new(MemoryGuesses::default()), None)
    }

    /// Counts in a store that may outlive the process. Both times are the present: instants mean nothing to another
    /// process, so guesses are stored with the time on the calendar. A stored time that lies ahead, since the
    /// calendar was set back, is taken as the present.
    #[must_use]
    pub fn stored(
        limits: GuessLimits,
        store: Box<dyn GuessStore>,
        now: Instant,
        calendar: SystemTime,
    ) -> Self {
        let since = calendar.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::new(limits, store, Some((now, since)))
    }

    fn new(limits: GuessLimits, store: Box<dyn GuessStore>, origin: Option<(Instant, Duration)>) -> Self {
        Self { limits, state: Arc::new(Mutex::new(State { store, origin })) }
    }

    /// Counts a guess of `peer`, to be called before any work is done for it. Dropped, it stays counted.
    ///
    /// # Errors
    /// [`rules::PEER_LIMIT`] or [`rules::OVERALL_LIMIT`], whichever takes longer, with [`Error::retry_after`];
    /// [`rules::PEER_NAME_TOO_LONG`]; what the store says when it fails.
    pub fn reserve(&self, peer: &str, now: Instant) -> Result<Guess> {
        if peer.len() > PEER_NAME_MAX {
            let (length, limit) = (peer.len() as u64, PEER_NAME_MAX as u64);
            return Err(Error::exceeds(&rules::PEER_NAME_TOO_LONG, length, limit));
        }
        let mut state = self.lock();
        let now = state.calendar(now);
        let stored = state.store.load()?;
        let mut counted = stored
            .iter()
            .map(|guess| Counted { peer: guess.peer.clone(), at: guess.at.min(now) })
            .filter(|guess| now < guess.at.saturating_add(self.limits.longest()))
            .collect::<Vec<_>>();
        if let Err(error) = self.check(&counted, peer, now) {
            if counted != stored {
                state.store.store(&counted)?;
            }
            return Err(error.about(peer));
        }
        let guess = Counted { peer: peer.to_owned(), at: now };
        counted.push(guess.clone());
        state.store.store(&counted)?;
        drop(state);
        Ok(Guess { guesses: self.clone(), counted: guess })
    }

    fn check(&self, counted: &[Counted], peer: &str, now: Duration) -> Result<()> {
        let GuessLimits { per_peer, overall } = self.limits;
        let bound = Rate::new(GUESSES_MAX, self.limits.longest());
        let times = |whose: Option<&str>| {
            let mut times = counted
                .iter()
                .filter(|guess| whose.is_none_or(|peer| guess.peer == peer))
                .map(|guess| guess.at)
                .collect::<Vec<_>>();
            times.sort_unstable();
            times
        };
        let (own, all) = (times(Some(peer)), times(None));
        [
            (&rules::PEER_LIMIT, per_peer, &own),
            (&rules::OVERALL_LIMIT, overall, &all),
            (&rules::OVERALL_LIMIT, bound, &all),
        ]
        .into_iter()
        .filter_map(|(rule, rate, times)| Some((rule, rate, wait(rate, times, now)?)))
        .max_by_key(|(_, _, wait)| *wait)
        .map_or(Ok(()), |(rule, rate, wait)| {
            Err(Error::exceeds(rule, rate.guesses as u64 + 1, rate.guesses as u64).with_retry_after(wait))
        })
    }

    fn give_back(&self, guess: &Counted) {
        let mut state = self.lock();
        let Ok(mut counted) = state.store.load() else { return };
        if let Some(place) = counted.iter().position(|other| other == guess) {
            counted.swap_remove(place);
            // When the store fails it stays counted, which is safe.
            let _ = state.store.store(&counted);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here panics half-way; a store that does has answered for what it keeps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Guesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guesses({:?})", self.limits)
    }
}

impl State {
    fn calendar(&mut self, now: Instant) -> Duration {
        let (instant, calendar) = *self.origin.get_or_insert((now, Duration::ZERO));
        calendar.saturating_add(now.saturating_duration_since(instant))
    }
}

/// How long until there is room below the rate, where there is none now; `times` in order.
fn wait(rate: Rate, times: &[Duration], now: Duration) -> Option<Duration> {
    // The guess that has to leave its window first, so that one less than the limit are left in it.
    let leaver = times[times.len().checked_sub(rate.guesses)?];
    let leaves = leaver.saturating_add(rate.window);
    (now < leaves).then(|| leaves - now)
}

/// A guess that is counted, until it is given back by one of its calls.
#[derive(Debug)]
#[must_use = "the guess stays counted"]
pub struct Guess {
    guesses: Guesses,
    counted: Counted,
}

impl Guess {
    /// Gives the guess back: the peer's proof was right, as only an [`Outcome`] shows.
    pub fn confirmed(self, _outcome: &Outcome) {
        self.guesses.give_back(&self.counted);
    }

    /// Gives the guess back: the exchange ended before this side sent anything to test a password with.
    ///
    /// # Security
    /// Only when that is so. The exchanges of [`crate::sasl`] decide it by the mechanism's
    /// [`Properties`](crate::mechanism::Properties).
    pub fn unused(self) {
        self.guesses.give_back(&self.counted);
    }
}

/// The guess of one exchange, which goes along with it: given back when the exchange ends, or is dropped, too early to
/// test anything.
pub(crate) struct Running {
    guess: Option<Guess>,
    /// Messages of ours left before a password can be tested, that one included.
    left: u8,
}

impl Running {
    pub(crate) fn new(guess: Option<Guess>, first_test: u8) -> Self {
        Self { guess, left: first_test }
    }

    /// A message of ours is about to be made, from now on it counts as sent: to fail in its place is an answer too.
    pub(crate) fn answer(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    pub(crate) fn confirmed(&mut self, outcome: &Outcome) {
        if let Some(guess) = self.guess.take() {
            guess.confirmed(outcome);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.left > 0
            && let Some(guess) = self.guess.take()
        {
            guess.unused();
        }
    }
}
