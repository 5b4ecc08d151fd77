//! Progress bars: on stderr, and only when that is a terminal.

use std::time::Instant;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

/// A bar that is at `from` already. Its message says how fast it goes.
pub(crate) fn bar(prefix: impl Into<String>, from: u64, to: u64) -> ProgressBar {
    let bar = ProgressBar::new(to);
    let style = ProgressStyle::with_template("{prefix} {bar:30} {percent} % {msg}, {eta} left");
    bar.set_style(style.expect("a constant that is well formed"));
    bar.set_prefix(prefix.into());
    bar.set_position(from);
    bar.reset_eta();
    bar
}

/// A bar for the octets of a file, with their rate.
pub(crate) struct Octets {
    bar: ProgressBar,
    from: u64,
    begun: Instant,
}

impl Octets {
    /// Unseen where a program reads what we print.
    pub(crate) fn new(prefix: &str, from: u64, to: u64, json: bool) -> Self {
        let bar = if json { ProgressBar::hidden() } else { bar(prefix, from, to) };
        Self { bar, from, begun: Instant::now() }
    }

    pub(crate) fn at(&self, position: u64) {
        self.bar.set_position(position);
        let rate = (position - self.from) as f64 / self.begun.elapsed().as_secs_f64();
        self.bar.set_message(format!("{}/s", HumanBytes(rate as u64)));
    }
}

/// The line is free again, however it ends.
impl Drop for Octets {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
