//! Coming back after a connection was lost.

use std::time::Duration;

use crate::exit::{Exit, Failure};
use crate::output::{self, Tone};

/// Longest wait between two attempts.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct RetryArgs {
    /// With a file: when the connection is lost, come back so many times, with growing pauses; progress starts the
    /// count anew
    #[arg(long, value_name = "TIMES", default_value_t = 8, value_parser = clap::value_parser!(u32).range(0..=1000))]
    retries: u32,
}

impl RetryArgs {
    pub(crate) fn start(&self) -> Retry {
        Retry { most: self.retries, done: 0 }
    }
}

/// How often was tried.
pub(crate) struct Retry {
    most: u32,
    done: u32,
}

impl Retry {
    /// The last attempt was of use.
    pub(crate) fn progressed(&mut self) {
        self.done = 0;
    }

    /// The pause before the next attempt, if there is to be one.
    fn next(&mut self, exit: Exit) -> Option<Duration> {
        // Whoever refuses or cannot prove himself is not asked again.
        let lost = matches!(exit, Exit::PeerUnavailable | Exit::TimedOut | Exit::Truncated);
        if !lost || self.done == self.most {
            return None;
        }
        let pause = Duration::from_secs(1 << self.done.min(5)).min(WAIT_MAX);
        self.done += 1;
        Some(pause)
    }

    /// Says what happened and waits, or gives the failure back when it is final.
    pub(crate) async fn wait(&mut self, failure: Failure) -> Result<(), Failure> {
        let Some(pause) = self.next(failure.exit) else { return Err(failure) };
        let (what, seconds) = (&failure.what, pause.as_secs());
        let text = format_args!("{what}; again in {seconds} s, {} of {}", self.done, self.most);
        output::note(Tone::Doubtful, "lost:", text);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(retry: &mut Retry) -> Vec<u64> {
        std::iter::from_fn(|| retry.next(Exit::Truncated)).map(|pause| pause.as_secs()).collect()
    }

    #[test]
    fn pauses_grow_to_their_limit_and_come_to_an_end() {
        let mut retry = RetryArgs { retries: 8 }.start();
        assert_eq!(pauses(&mut retry), [1, 2, 4, 8, 16, 30, 30, 30]);
        retry.progressed();
        assert_eq!(pauses(&mut retry).len(), 8);
        assert!(pauses(&mut RetryArgs { retries: 0 }.start()).is_empty());
        assert_eq!(pauses(&mut RetryArgs { retries: 100 }.start()).len(), 100);
    }

    #[test]
    fn only_what_was_lost_is_tried_again() {
        for (exit, again) in [
            (Exit::PeerUnavailable, true),
            (Exit::TimedOut, true),
            (Exit::Truncated, true),
            (Exit::CheckFailed, false),
            (Exit::Usage, false),
            (Exit::AuthenticationFailed, false),
            (Exit::ProtocolViolation, false),
            (Exit::Local, false),
        ] {
            assert_eq!(RetryArgs { retries: 1 }.start().next(exit).is_some(), again, "{exit:?}");
        }
    }
}
