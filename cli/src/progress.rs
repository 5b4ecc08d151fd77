//! Progress bars: on stderr, and only when that is a terminal.

use std::cell::Cell;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use console::{Term, truncate_str};
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::interrupt;

/// All bars of the process, one below the other; what is printed meanwhile comes above them.
pub(crate) static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// As long as this lives, no bar is seen.
pub(crate) struct Hidden;

/// Takes all bars from the screen.
pub(crate) fn hide() -> Hidden {
    let _ = BARS.clear();
    BARS.set_draw_target(ProgressDrawTarget::hidden());
    Hidden
}

impl Drop for Hidden {
    fn drop(&mut self) {
        BARS.set_draw_target(ProgressDrawTarget::stderr());
    }
}

/// Between two movements of what shows that it goes on.
const TICK: Duration = Duration::from_millis(125);

/// Columns of what stands beside the name and the bar: a space, the per cent, the rate and the time that is left, and room for
/// the terminal to show what is typed.
const NUMBERS: u16 = 33;

/// A bar that is at `from` already. Its message says how fast it goes.
pub(crate) fn bar(prefix: &str, from: u64, to: u64) -> ProgressBar {
    let bar = BARS.add(ProgressBar::new(to));
    fit(&bar, prefix, columns());
    // Until more is known.
    bar.set_message("0/s");
    bar.set_position(from);
    bar.reset_eta();
    bar
}

fn columns() -> u16 {
    Term::stderr().size().1
}

/// Makes a line of it. The numbers are what one looks for; a name is cut, and where there is little room the bar goes.
fn fit(bar: &ProgressBar, prefix: &str, columns: u16) {
    let name = columns / 4;
    let drawn = match columns.saturating_sub(name + NUMBERS).min(30) {
        0..8 => String::new(),
        width => format!("{{bar:{width}}} "),
    };
    let template = format!("{{prefix}} {drawn}{{percent}} % {{msg}}, {{eta}} left");
    bar.set_style(ProgressStyle::with_template(&template).expect("all of it is well formed"));
    bar.set_prefix(truncate_str(prefix, name.into(), "\u{2026}").into_owned());
}

/// A bar for the octets of a file, with their rate.
pub(crate) struct Octets {
    bar: ProgressBar,
    prefix: String,
    /// Of the terminal, as the line was made for it.
    columns: Cell<u16>,
    from: u64,
    begun: Instant,
}

impl Octets {
    /// Unseen where a program reads what we print.
    pub(crate) fn new(prefix: &str, from: u64, to: u64, json: bool) -> Self {
        let bar = if json { ProgressBar::hidden() } else { bar(prefix, from, to) };
        if !bar.is_hidden() {
            interrupt::hide_keys();
        }
        Self { bar, prefix: prefix.to_owned(), columns: columns().into(), from, begun: Instant::now() }
    }

    pub(crate) fn at(&self, position: u64) {
        let columns = columns();
        if self.columns.replace(columns) != columns {
            fit(&self.bar, &self.prefix, columns);
        }
        self.bar.set_position(position);
        let rate = (position - self.from) as f64 / self.begun.elapsed().as_secs_f64();
        self.bar.set_message(format!("{}/s", HumanBytes(rate as u64)));
    }
}

/// The line is free again, however it ends.
impl Drop for Octets {
    fn drop(&mut self) {
        let seen = !self.bar.is_hidden();
        self.bar.finish_and_clear();
        BARS.remove(&self.bar);
        if seen {
            interrupt::restore();
        }
    }
}

/// What is being waited for, while it lasts.
pub(crate) struct Wait(ProgressBar);

impl Wait {
    /// Unseen where a program reads what we print.
    pub(crate) fn new(text: String, json: bool) -> Self {
        if json {
            return Self(ProgressBar::hidden());
        }
        let bar = BARS.add(ProgressBar::new_spinner());
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg}").expect("a constant that is well formed"),
        );
        bar.set_message(text);
        bar.enable_steady_tick(TICK);
        Self(bar)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        BARS.remove(&self.0);
    }
}
