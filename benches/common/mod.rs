//! What several benches share: rows measured in turn, so that a slow moment of the machine hits all of them.

use std::time::{Duration, Instant};

const ROUNDS: usize = 60;
const RUNS_PER_ROUND: u32 = 20;

/// A row: its name and one run, which gives the time that counts.
pub(crate) type Row<'a> = (&'a str, Box<dyn Fn() -> Duration + 'a>);

/// The time of all of `run`.
pub(crate) fn whole(run: impl Fn()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

/// Measures and prints all rows. The ratio is the first row's median to this row's: above 1.00 is faster.
pub(crate) fn compare(title: &str, rows: &[Row<'_>]) {
    let mut times = vec![Vec::new(); rows.len()];
    for round in 0..=ROUNDS {
        for ((_, run), times) in rows.iter().zip(&mut times) {
            let total = (0..RUNS_PER_ROUND).map(|_| run()).sum::<Duration>();
            // The first round warms up.
            if round > 0 {
                times.push(total / RUNS_PER_ROUND);
            }
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    println!("{title:<54} {:>9} {:>9} {:>9} {:>6}", "median", "best", "per s", "ratio");
    let baseline = times[0][ROUNDS / 2];
    for ((name, _), times) in rows.iter().zip(&times) {
        let (median, best) = (times[ROUNDS / 2], times[0]);
        println!(
            "{name:<54} {:>6.1} us {:>6.1} us {:>9.0} {:>6.2}",
            median.as_secs_f64() * 1e6,
            best.as_secs_f64() * 1e6,
            1.0 / median.as_secs_f64(),
            baseline.as_secs_f64() / median.as_secs_f64(),
        );
    }
    println!();
}
