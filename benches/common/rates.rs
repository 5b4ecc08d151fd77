//! What the benches of guesses share: each row is a benchmark of criterion's, and then all rows of a section run in turn,
//! because only times of the same moments make a ratio.
//!
//! Options are criterion's, with `=` before a value (`--save-baseline=before`). An argument that is no option is a part of
//! the titles to measure. `ROUNDS` sets how often all rows have their turn.

use std::time::Duration;

use criterion::{Criterion, Throughput};

use super::common::{Row, Times, compare};

// Enough for criterion to see an outlier, and short enough for fifty rows in a minute.
const SAMPLES: usize = 20;
const WARM_UP: Duration = Duration::from_millis(100);
const MEASUREMENT: Duration = Duration::from_millis(600);
const RESAMPLES: usize = 10_000;

/// Measures section after section; a run of each row gives the time of one guess.
pub(crate) struct Sections {
    criterion: Criterion,
    rounds: usize,
    wanted: String,
}

impl Sections {
    pub(crate) fn from_args(rounds: usize) -> Self {
        let criterion = Criterion::default().without_plots().sample_size(SAMPLES).nresamples(RESAMPLES);
        let criterion = criterion.warm_up_time(WARM_UP).measurement_time(MEASUREMENT).configure_from_args();
        let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(rounds);
        let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
        // Titles are chosen here, as they are written, before anything is made for their rows.
        Self { criterion: criterion.with_filter(""), rounds, wanted }
    }

    pub(crate) fn is_wanted(&self, title: &str) -> bool {
        title.contains(&self.wanted)
    }

    /// The times are those in turn.
    pub(crate) fn measure(&mut self, title: &str, rows: &[Row<'_>]) -> Vec<Times> {
        let mut group = self.criterion.benchmark_group(title);
        group.throughput(Throughput::Elements(1));
        for (name, run) in rows {
            group.bench_function(*name, |bencher| {
                bencher.iter_custom(|runs| (0..runs).map(|_| run()).sum());
            });
        }
        group.finish();
        compare(self.rounds, title, rows)
    }
}
