//! What several benches share: rows measured in turn, so that a slow moment of the machine hits all of them, and
//! each run by itself, so that an interruption spoils one run and not the median.

use std::time::{Duration, Instant};

const RUNS_PER_ROUND: usize = 5;

/// A row: its name and one run, which gives the time that counts.
pub(crate) type Row<'a> = (&'a str, Box<dyn Fn() -> Duration + 'a>);

/// The time of all of `run`.
pub(crate) fn whole(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

/// The times of one row, sorted.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    pub(crate) fn best(&self) -> Duration {
        self.0[0]
    }
}

/// Measures and prints all rows, [`RUNS_PER_ROUND`] runs of each in every round. The ratio is the first row's median to
/// this row's: above 1.00 is faster.
pub(crate) fn compare(rounds: usize, title: &str, rows: &[Row<'_>]) -> Vec<Times> {
    let mut times = vec![Vec::new(); rows.len()];
    for round in 0..=rounds {
        for ((_, run), times) in rows.iter().zip(&mut times) {
            let runs = (0..RUNS_PER_ROUND).map(|_| run());
            // The first round warms up.
            if round == 0 { runs.for_each(drop) } else { times.extend(runs) }
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    let times = times.into_iter().map(Times).collect::<Vec<_>>();
    println!("{title:<54} {:>9} {:>9} {:>9} {:>6}", "median", "best", "per s", "ratio");
    let baseline = times[0].median();
    for ((name, _), times) in rows.iter().zip(&times) {
        let (median, best) = (times.median(), times.best());
        println!(
            "{name:<54} {:>6.1} us {:>6.1} us {:>9.0} {:>6.2}",
            median.as_secs_f64() * 1e6,
            best.as_secs_f64() * 1e6,
            1.0 / median.as_secs_f64(),
            baseline.as_secs_f64() / median.as_secs_f64(),
        );
    }
    println!();
    times
}
