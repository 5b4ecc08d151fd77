//! Tries the lines of a list against one transcript or record, on all cores, until one is the password.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use countersign::dictionary::cost::ATTACKERS;
use countersign::dictionary::{Exposure, Oracle};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::target::short_hash;
use super::{numbers, title};
use crate::exit::{Exit, Failure};
use crate::{output, progress};

/// Longest line that is tried; longer ones are nobody's password.
const LINE_MAX: u64 = 4096;

/// Most octets of a state file.
const STATE_MAX: u64 = 4096;

/// Octets at the start of a list by which its state knows it again.
const LIST_START: u64 = 1 << 16;

/// How often the state is kept.
const STATE_INTERVAL: Duration = Duration::from_secs(2);

/// What is tried against what.
pub(crate) struct Plan<'a> {
    pub(crate) oracle: &'a dyn Oracle,
    pub(crate) words: &'a Path,
    pub(crate) state: Option<&'a Path>,
    /// Of the transcript or record.
    pub(crate) fingerprint: String,
    pub(crate) threads: usize,
    pub(crate) json: bool,
}

/// There is no list to try, because there is no test, or nothing left to find.
pub(crate) fn nothing_to_try(exposure: &Exposure, as_json: bool) -> Result<(), Failure> {
    let (verdict, immediate) = match exposure {
        Exposure::Immediate(verdict) => (verdict, true),
        Exposure::NothingOffline(verdict) => (verdict, false),
        _ => unreachable!("the caller tries what can be tried"),
    };
    let (mechanism, situation, reason) = (&verdict.mechanism, verdict.situation, verdict.reason);
    if as_json {
        let offline = if immediate { "immediate" } else { "nothing" };
        let value = json!({
            "mechanism": mechanism, "situation": situation.name(), "offline": offline, "reason": reason,
        });
        output::print(value)?;
    } else if immediate {
        output::print(format_args!("{mechanism}, {situation}: nothing to guess. {reason}"))?;
    } else {
        output::print(format_args!("{mechanism}, {situation}: nothing to test offline. {reason}"))?;
    }
    if immediate {
        let what = "whoever holds this needs no list";
        return Err(Failure::new(
            Exit::CheckFailed,
            what,
            "Use a mechanism whose records are not the secret itself.",
        ));
    }
    Ok(())
}

pub(crate) fn run(plan: &Plan<'_>) -> Result<(), Failure> {
    let list = List::open(plan)?;
    let start = Instant::now();
    let bar = progress::bar(&title(plan.oracle), list.tried_to, list.len);
    let shared = Mutex::new(Shared { list, ended: None });
    let workers = std::thread::scope(|scope| {
        let workers = (0..plan.threads).map(|_| scope.spawn(|| work(plan, &shared, &bar, start)));
        let workers = workers.collect::<Vec<_>>();
        let ended = workers.into_iter().map(|worker| worker.join().expect("an oracle does not panic"));
        ended.collect::<Result<Vec<_>, _>>()
    });
    bar.finish_and_clear();
    workers?;
    let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    report(plan, shared, start.elapsed())
}

struct Shared {
    list: List,
    ended: Option<Hit>,
}

struct Hit {
    /// Its number in the list, counted from 1.
    line: u64,
    password: Zeroizing<Vec<u8>>,
}

fn work(plan: &Plan<'_>, shared: &Mutex<Shared>, bar: &ProgressBar, start: Instant) -> Result<(), Failure> {
    loop {
        let batch = {
            let mut shared = lock(shared);
            if shared.ended.is_some() {
                return Ok(());
            }
            match shared.list.next_batch(plan.oracle.batch())? {
                Some(batch) => batch,
                None => return Ok(()),
            }
        };
        let words = batch.words.iter().map(|word| &word[..]).collect::<Vec<_>>();
        let found = plan.oracle.try_passwords(&words)?;
        let mut shared = lock(shared);
        if let Some(found) = found {
            shared.list.tried_now += found.index() as u64 + 1;
            let line = batch.first_line + found.index() as u64;
            // Another thread may have found the same password earlier in the list.
            if shared.ended.as_ref().is_none_or(|hit| line < hit.line) {
                let password = batch.words[found.index()].clone();
                shared.ended = Some(Hit { line, password });
            }
            return Ok(());
        }
        shared.list.done(&batch);
        bar.set_position(shared.list.tried_to);
        let rate = shared.list.tried_now as f64 / start.elapsed().as_secs_f64();
        bar.set_message(format!("{}/s", numbers::rate(rate)));
        shared.list.keep_state(plan, false)?;
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn report(plan: &Plan<'_>, shared: Shared, time: Duration) -> Result<(), Failure> {
    let Shared { mut list, ended } = shared;
    let rate = list.tried_now as f64 / time.as_secs_f64();
    let Some(hit) = ended else {
        list.keep_state(plan, true)?;
        let what = format!("none of {} lines is the password", list.next_line - 1);
        if plan.json {
            return output::print(json!({
                "mechanism": plan.oracle.mechanism(), "situation": plan.oracle.situation().name(),
                "found": false, "tried": list.next_line - 1, "guesses_per_second": rate,
            }));
        }
        return output::print(format_args!("{}: {what}", title(plan.oracle)));
    };
    if let Some(state) = plan.state {
        // It has done its work; a list that is tried again begins anew.
        let _ = std::fs::remove_file(state);
    }
    let password = String::from_utf8_lossy(&hit.password);
    let work = plan.oracle.work();
    let worth = ATTACKERS.map(|attacker| {
        let seconds = hit.line as f64 / attacker.rate(&work);
        (attacker, seconds)
    });
    if plan.json {
        let worth = worth.map(|(attacker, seconds)| {
            json!({ "attacker": attacker.name, "seconds": seconds, "dollars": attacker.dollars(seconds) })
        });
        output::print(json!({
            "mechanism": plan.oracle.mechanism(), "situation": plan.oracle.situation().name(),
            "found": true, "password": password, "line": hit.line, "guesses_per_second": rate, "worth": worth,
        }))?;
    } else {
        let bits = (hit.line as f64).log2();
        output::print(format_args!("{}: the password is {}", title(plan.oracle), output::plain(&password)))?;
        output::print(format_args!("It was worth {} guesses of this list, {bits:.1} bits:", hit.line))?;
        for (attacker, seconds) in worth {
            let (time, money) = (numbers::time(seconds), numbers::money(attacker.dollars(seconds)));
            output::print(format_args!("  {}: {time}, {money}", attacker.name))?;
        }
    }
    Err(Failure::new(
        Exit::CheckFailed,
        format!("the password is line {} of the list", hit.line),
        "Change it to one that no list has, and take a mechanism that leaves nothing to test offline.",
    ))
}

/// The list, read in batches, and how far all of it has been tried.
struct List {
    reader: Box<dyn BufRead + Send>,
    len: u64,
    /// Octets handed out.
    offset: u64,
    next_line: u64,
    next_batch: u64,
    /// Batches that were tried before one that was handed out earlier.
    early: std::collections::BTreeMap<u64, (u64, u64)>,
    next_tried: u64,
    /// Octets and lines up to which everything was tried.
    tried_to: u64,
    tried_lines: u64,
    tried_now: u64,
    kept: Instant,
    identity: String,
}

struct Batch {
    number: u64,
    first_line: u64,
    words: Vec<Zeroizing<Vec<u8>>>,
    end: u64,
}

impl List {
    fn open(plan: &Plan<'_>) -> Result<Self, Failure> {
        let stdin = plan.words == Path::new("-");
        if stdin && plan.state.is_some() {
            return Err(Failure::new(
                Exit::Usage,
                "a list from stdin cannot be gone on with",
                "Give the list as a file, or leave --state away.",
            ));
        }
        let wrong = |error: io::Error| Failure::file(plan.words, &error);
        let (mut tried_to, mut tried_lines, mut len, mut identity) = (0, 0, 0, String::new());
        let reader: Box<dyn BufRead + Send> = if stdin {
            Box::new(BufReader::new(io::stdin()))
        } else {
            let mut file = File::open(plan.words).map_err(wrong)?;
            len = file.metadata().map_err(wrong)?.len();
            if let Some(state) = plan.state {
                identity = format!("{} in {}", plan.fingerprint, start_of(&mut file).map_err(wrong)?);
                if let Some((octets, lines)) = read_state(state, &identity)? {
                    (tried_to, tried_lines) = (octets.min(len), lines);
                }
                file.seek(SeekFrom::Start(tried_to)).map_err(wrong)?;
            }
            Box::new(BufReader::with_capacity(1 << 20, file))
        };
        Ok(Self {
            reader,
            len,
            offset: tried_to,
            next_line: tried_lines + 1,
            next_batch: 0,
            early: std::collections::BTreeMap::new(),
            next_tried: 0,
            tried_to,
            tried_lines,
            tried_now: 0,
            kept: Instant::now(),
            identity,
        })
    }

    fn next_batch(&mut self, size: usize) -> Result<Option<Batch>, Failure> {
        let first_line = self.next_line;
        let mut words = Vec::with_capacity(size);
        while words.len() < size {
            match self.line()? {
                Some(word) => words.push(word),
                None => break,
            }
        }
        if words.is_empty() {
            return Ok(None);
        }
        let number = self.next_batch;
        self.next_batch += 1;
        Ok(Some(Batch { number, first_line, words, end: self.offset }))
    }

    /// The next line without its end; empty for one that is too long.
    fn line(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        let unreadable = |error: io::Error| {
            let what = format!("cannot read the list: {error}");
            Failure::new(Exit::Local, what, "Check the file.")
        };
        let mut line = Zeroizing::new(Vec::new());
        let mut taken = 0;
        loop {
            let available = self.reader.fill_buf().map_err(unreadable)?;
            if available.is_empty() {
                break;
            }
            let end = available.iter().position(|octet| *octet == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            if taken + part.len() as u64 <= LINE_MAX {
                line.extend_from_slice(part);
            } else {
                line.clear();
            }
            taken += part.len() as u64;
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            self.offset += used as u64;
            if end.is_some() {
                taken += 1;
                break;
            }
        }
        if taken == 0 {
            return Ok(None);
        }
        self.next_line += 1;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }

    fn done(&mut self, batch: &Batch) {
        let lines = batch.first_line + batch.words.len() as u64 - 1;
        self.tried_now += batch.words.len() as u64;
        self.early.insert(batch.number, (batch.end, lines));
        while let Some((end, lines)) = self.early.remove(&self.next_tried) {
            (self.tried_to, self.tried_lines) = (end, lines);
            self.next_tried += 1;
        }
    }

    /// Writes down up to where everything was tried: no password, and nothing of the target but a hash.
    fn keep_state(&mut self, plan: &Plan<'_>, now: bool) -> Result<(), Failure> {
        let Some(path) = plan.state else { return Ok(()) };
        if !now && self.kept.elapsed() < STATE_INTERVAL {
            return Ok(());
        }
        self.kept = Instant::now();
        let state = json!({
            "type": "countersign-audit", "version": 1, "of": self.identity,
            "octets": self.tried_to, "lines": self.tried_lines,
        });
        // Written beside and moved into its place, so that an end in between leaves the old one.
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let written =
            std::fs::write(&beside, format!("{state}\n")).and_then(|()| std::fs::rename(&beside, path));
        written.map_err(|error| {
            let what = format!("cannot write {}: {error}", output::path(path));
            Failure::new(Exit::Local, what, "Check the directory and its permissions.")
        })
    }
}

/// What tells a list from others: its length and how it begins.
fn start_of(list: &mut File) -> io::Result<String> {
    let (len, mut start) = (list.metadata()?.len(), Vec::new());
    list.take(LIST_START).read_to_end(&mut start)?;
    Ok(short_hash([&len.to_be_bytes(), &start]))
}

/// How far an earlier run came with the same target and list.
fn read_state(path: &Path, identity: &str) -> Result<Option<(u64, u64)>, Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::file(path, &error)),
    };
    let other = || {
        let what = format!("{} is not the state of this audit", output::path(path));
        Failure::new(
            Exit::Usage,
            what,
            "Name the state that belongs to this target and list; a new name begins anew.",
        )
    };
    let state = serde_json::from_reader::<_, Value>(Read::take(file, STATE_MAX)).map_err(|_| other())?;
    let number = |name: &str| state[name].as_u64();
    match (state["type"].as_str(), number("version"), state["of"].as_str(), number("octets"), number("lines"))
    {
        (Some("countersign-audit"), Some(1), Some(of), Some(octets), Some(lines)) if of == identity => {
            Ok(Some((octets, lines)))
        }
        _ => Err(other()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &'static [u8]) -> List {
        List {
            reader: Box::new(text),
            len: text.len() as u64,
            offset: 0,
            next_line: 1,
            next_batch: 0,
            early: std::collections::BTreeMap::new(),
            next_tried: 0,
            tried_to: 0,
            tried_lines: 0,
            tried_now: 0,
            kept: Instant::now(),
            identity: String::new(),
        }
    }

    fn words(batch: &Batch) -> Vec<&[u8]> {
        batch.words.iter().map(|word| &word[..]).collect()
    }

    #[test]
    fn lines_are_tried_as_they_stand() {
        let mut list = list(b"one\r\n\n two \nthree");
        let batch = list.next_batch(3).unwrap().unwrap();
        assert_eq!(words(&batch), [&b"one"[..], b"", b" two "]);
        let rest = list.next_batch(3).unwrap().unwrap();
        assert_eq!((words(&rest), rest.first_line, rest.end), (vec![&b"three"[..]], 4, 17));
        assert!(list.next_batch(3).unwrap().is_none());
    }

    #[test]
    fn a_line_that_is_too_long_keeps_its_number() {
        let text =
            [&b"x".repeat(LINE_MAX as usize)[..], b"\n", &b"y".repeat(LINE_MAX as usize + 1), b"\nz\n"]
                .concat();
        let mut list = list(Box::leak(text.into_boxed_slice()));
        let batch = list.next_batch(8).unwrap().unwrap();
        assert_eq!(batch.words.iter().map(|word| word.len()).collect::<Vec<_>>(), [LINE_MAX as usize, 0, 1]);
    }

    #[test]
    fn only_what_is_tried_without_a_gap_counts() {
        let mut list = list(b"a\nb\nc\nd\n");
        let batches = [0; 4].map(|_| list.next_batch(1).unwrap().unwrap());
        list.done(&batches[1]);
        list.done(&batches[2]);
        assert_eq!((list.tried_to, list.tried_lines), (0, 0));
        list.done(&batches[0]);
        assert_eq!((list.tried_to, list.tried_lines), (6, 3));
    }

    /// The record of RFC 7677's example.
    fn pencil() -> Box<dyn Oracle> {
        let record = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                      wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        let record = countersign::registry::Credential::Scram(record.parse().unwrap());
        let preparation = countersign::prep::Preparation::SaslPrep;
        match countersign::dictionary::exposure_of_record(&record, "", preparation).unwrap() {
            Exposure::Guesses(oracle) => oracle,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_audit_goes_on_where_it_stopped() {
        let oracle = pencil();
        let folder = std::env::temp_dir().join(format!("countersign-audit-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (words, state) = (folder.join("words"), folder.join("state"));
        let plan = |fingerprint: &str| Plan {
            oracle: &*oracle,
            words: &words,
            state: Some(&state),
            fingerprint: fingerprint.to_owned(),
            threads: 2,
            json: true,
        };
        std::fs::write(&words, "one\ntwo\nthree\n").unwrap();
        run(&plan("a")).unwrap();
        let kept = std::fs::read_to_string(&state).unwrap();
        assert!(kept.contains("\"octets\":14") && kept.contains("\"lines\":3"), "{kept}");
        // Of another target, or another list.
        assert_eq!(run(&plan("b")).unwrap_err().exit, Exit::Usage);
        std::fs::write(&words, "one\ntwo\nthree\npencil\n").unwrap();
        assert_eq!(run(&plan("a")).unwrap_err().exit, Exit::Usage);
        // As long as that list, but another one.
        std::fs::write(&words, "six\ntwo\nthree\n").unwrap();
        assert_eq!(run(&plan("a")).unwrap_err().exit, Exit::Usage);
        // What the state says was tried is not tried again: the first line is passed over.
        std::fs::write(&words, "pencil\nabcdef\nghijkl\npencil\n").unwrap();
        let identity = format!("a in {}", start_of(&mut File::open(&words).unwrap()).unwrap());
        let begun = json!({
            "type": "countersign-audit", "version": 1, "of": identity, "octets": 14, "lines": 2,
        });
        std::fs::write(&state, begun.to_string()).unwrap();
        let failure = run(&plan("a")).unwrap_err();
        assert_eq!(failure.exit, Exit::CheckFailed);
        assert!(failure.what.contains("line 4 "), "{}", failure.what);
        assert!(!state.exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
