//! Guesses a second on this machine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use countersign::dictionary::{Exposure, GuessWork, Oracle, Situation, Verdict};

use super::target::Subject;
use crate::exit::Failure;

/// One line of the report.
pub(crate) struct Row {
    pub(crate) mechanism: String,
    pub(crate) variant: Option<String>,
    pub(crate) situation: Situation,
    pub(crate) worth: Worth,
}

pub(crate) enum Worth {
    /// Guesses a second of all threads.
    Guesses {
        work: GuessWork,
        test: &'static str,
        rate: f64,
    },
    Immediate(&'static str),
    Nothing(&'static str),
}

/// Measures each test in turn.
pub(crate) fn all(subjects: &[Subject], threads: usize, time: Duration) -> Result<Vec<Row>, Failure> {
    let progress = indicatif::ProgressBar::new(subjects.len() as u64);
    let style = indicatif::ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    progress.set_style(style.expect("a constant that is well formed"));
    let mut rows = Vec::new();
    for subject in subjects {
        progress.set_message(subject.mechanism().to_owned());
        rows.push(row(subject, threads, time)?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(rows)
}

fn row(subject: &Subject, threads: usize, time: Duration) -> Result<Row, Failure> {
    let told = |verdict: &Verdict, worth: Worth| Row {
        mechanism: verdict.mechanism.clone(),
        variant: subject.variant.clone(),
        situation: verdict.situation,
        worth,
    };
    Ok(match &subject.exposure {
        Exposure::Guesses(oracle) => Row {
            mechanism: oracle.mechanism().to_owned(),
            variant: subject.variant.clone(),
            situation: oracle.situation(),
            worth: Worth::Guesses {
                work: oracle.work(),
                test: oracle.test(),
                rate: rate(&**oracle, threads, time)?,
            },
        },
        Exposure::Immediate(verdict) => told(verdict, Worth::Immediate(verdict.reason)),
        Exposure::NothingOffline(verdict) => told(verdict, Worth::Nothing(verdict.reason)),
        _ => unreachable!("an exposure is one of three"),
    })
}

/// Each thread tries batches of made-up passwords until the time is over, and finishes the one it is at.
fn rate(oracle: &dyn Oracle, threads: usize, time: Duration) -> Result<f64, Failure> {
    // Tables are made with the first guess.
    oracle.try_passwords(&[b"warm-up"])?;
    let mut batch = oracle.batch() as u64;
    if cfg!(debug_assertions) {
        // It has no lanes to fill, and would be at one batch for minutes.
        let start = Instant::now();
        oracle.try_passwords(&[b"warm-up"])?;
        batch = ((time.as_secs_f64() / start.elapsed().as_secs_f64()) as u64).clamp(1, batch);
    }
    let next = AtomicU64::new(0);
    let rates = std::thread::scope(|scope| {
        let run = || -> countersign::Result<f64> {
            let (start, mut tried) = (Instant::now(), 0);
            while tried == 0 || start.elapsed() < time {
                let first = next.fetch_add(batch, Ordering::Relaxed);
                let words = (first..first + batch).map(|number| format!("word{number:08}"));
                let words = words.collect::<Vec<_>>();
                let words = words.iter().map(String::as_bytes).collect::<Vec<_>>();
                oracle.try_passwords(&words)?;
                tried += batch;
            }
            Ok(tried as f64 / start.elapsed().as_secs_f64())
        };
        let running = (0..threads).map(|_| scope.spawn(run)).collect::<Vec<_>>();
        let ended = running.into_iter().map(|thread| thread.join().expect("an oracle does not panic"));
        ended.collect::<countersign::Result<Vec<_>>>()
    })?;
    Ok(rates.iter().sum())
}
