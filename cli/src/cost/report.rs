//! The report: rates, then times and money for each dictionary, then what it means.

use std::time::Duration;

use comfy_table::{CellAlignment, ColumnConstraint, Table};
use countersign::dictionary::GuessWork;
use countersign::dictionary::cost::{ATTACKERS, Attacker, Basis, DICTIONARIES, FIGURES};
use countersign::dictionary::lanes::{self, Prf};
use serde_json::{Value, json};

use super::measure::{Row, Worth};
use super::{explain, numbers};
use crate::output;

pub(crate) struct Report {
    rows: Vec<Row>,
    threads: usize,
    time: Duration,
}

/// A row that can be guessed at.
struct Guessed<'a> {
    row: &'a Row,
    work: &'a GuessWork,
    rate: f64,
}

impl Report {
    pub(crate) fn new(rows: Vec<Row>, threads: usize, time: Duration) -> Self {
        Self { rows, threads, time }
    }

    fn guessed(&self) -> Vec<Guessed<'_>> {
        let guessed = self.rows.iter().filter_map(|row| match &row.worth {
            Worth::Guesses { work, rate, .. } => Some(Guessed { row, work, rate: *rate }),
            _ => None,
        });
        guessed.collect()
    }

    pub(crate) fn to_text(&self) -> String {
        let guessed = self.guessed();
        let mut parts = Vec::new();
        if !guessed.is_empty() {
            let machine = self.machine();
            parts.push(output::paragraph(&format!(
                "Guesses a second on this machine ({machine}), and by others:"
            )));
            parts.push(rates(&guessed));
            let plural = if self.threads == 1 { "" } else { "s" };
            let who = format!("this machine, {} thread{plural}", self.threads);
            parts.push(times(&who, &guessed, |row| row.rate, None));
            for attacker in &ATTACKERS {
                let price = numbers::money(attacker.dollars_per_hour());
                let who = format!("{} at {price} an hour", attacker.name);
                parts.push(times(&who, &guessed, |row| attacker.rate(row.work), Some(attacker)));
            }
            parts.push(UNITS.to_owned());
        }
        parts.extend(self.without_guesses());
        parts.push(meaning(&guessed));
        parts.push(output::paragraph(SOURCES));
        parts.retain(|part| !part.is_empty());
        parts.join("\n\n")
    }

    fn machine(&self) -> String {
        let kernels = Prf::ALL.map(|prf| format!("{} {}", prf_name(prf), lanes::kernel(prf)));
        let plural = if self.threads == 1 { "" } else { "s" };
        format!("{} thread{plural}; {}", self.threads, kernels.join(", "))
    }

    /// Secrets that need no guess, and what tests nothing.
    fn without_guesses(&self) -> Option<String> {
        let mut table = table(&["can test offline", "because"], 0);
        let mut any = false;
        for row in &self.rows {
            let (what, reason) = match &row.worth {
                Worth::Immediate(reason) => ("nothing to guess: has it", reason),
                Worth::Nothing(reason) => ("nothing", reason),
                Worth::Guesses { .. } => continue,
            };
            let words = [what, reason].map(str::to_owned);
            table.add_row(subject(row).into_iter().chain(words));
            any = true;
        }
        any.then(|| output::lines(&table))
    }

    pub(crate) fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let mut value = json!({ "mechanism": row.mechanism, "situation": row.situation.name() });
            if let Some(variant) = &row.variant {
                value["variant"] = variant[..].into();
            }
            match &row.worth {
                Worth::Guesses { work, test, rate } => {
                    value["offline"] = "guesses".into();
                    value["test"] = (*test).into();
                    value["work"] = work.to_string().into();
                    value["meaning"] = explain::guesses(&row.mechanism, row.situation, work).into();
                    let mut attackers = vec![attacker("this machine", *rate, None)];
                    attackers
                        .extend(ATTACKERS.iter().map(|who| attacker(who.name, who.rate(work), Some(who))));
                    value["attackers"] = attackers.into();
                }
                Worth::Immediate(reason) => {
                    value["offline"] = "immediate".into();
                    value["reason"] = (*reason).into();
                }
                Worth::Nothing(reason) => {
                    value["offline"] = "nothing".into();
                    value["online_guesses_per_run"] = 1.into();
                    value["reason"] = (*reason).into();
                }
            }
            value
        });
        let figures = FIGURES.iter().map(|figure| {
            json!({
                "what": figure.what,
                "value": figure.value,
                "basis": basis(figure.basis),
                "source": figure.source,
            })
        });
        let kernels = Prf::ALL.iter().map(|prf| (prf_name(*prf).to_owned(), lanes::kernel(*prf).into()));
        json!({
            "machine": {
                "threads": self.threads,
                "seconds_per_test": self.time.as_secs(),
                "kernels": kernels.collect::<serde_json::Map<_, _>>(),
            },
            "rows": rows.collect::<Vec<_>>(),
            "figures_of_one_gpu": figures.collect::<Vec<_>>(),
        })
    }
}

const UNITS: &str = "y is a year, ky and My are thousands and millions of them.";

const SOURCES: &str =
    "Every figure of the reference attackers and its source: docs/offline-cost.md, or --json.";

fn attacker(name: &str, rate: f64, priced: Option<&Attacker>) -> Value {
    let dictionaries = DICTIONARIES.iter().map(|dictionary| {
        let seconds = dictionary.guesses / rate;
        json!({
            "dictionary": dictionary.name,
            "guesses": dictionary.guesses,
            "seconds": seconds,
            "dollars": priced.map(|who| who.dollars(seconds)),
        })
    });
    json!({
        "name": name,
        "guesses_per_second": rate,
        "dollars_per_hour": priced.map(Attacker::dollars_per_hour),
        "exhausts": dictionaries.collect::<Vec<_>>(),
    })
}

/// The first columns of every table: the mechanism, and who attacks it. They are one column on a screen, which has no
/// room for more.
const SUBJECT: [&str; 2] = ["mechanism", "attacker"];

fn subject(row: &Row) -> Vec<String> {
    let Row { mechanism, variant, situation, .. } = row;
    match variant {
        None if output::is_terminal() => vec![format!("{mechanism}\n{situation}")],
        Some(variant) if output::is_terminal() => vec![format!("{mechanism}\n{situation}, {variant}")],
        _ => vec![name(row), situation.to_string()],
    }
}

fn name(row: &Row) -> String {
    match &row.variant {
        Some(variant) => format!("{}, {variant}", row.mechanism),
        None => row.mechanism.clone(),
    }
}

/// A table about mechanisms; the last `numbers` columns stand to the right.
fn table(header: &[&str], numbers: usize) -> Table {
    let joined = SUBJECT.join("\n");
    let subject = if output::is_terminal() { vec![&joined[..]] } else { SUBJECT.to_vec() };
    let header = subject.into_iter().chain(header.iter().copied()).collect::<Vec<_>>();
    let mut table = output::table(&header, 0);
    for column in table.column_iter_mut().skip(header.len() - numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    // Names are not broken.
    for column in table.column_iter_mut().take(1) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table
}

fn rates(rows: &[Guessed<'_>]) -> String {
    let names = ATTACKERS.map(|attacker| attacker.name);
    let header = ["work of a guess", "here"].into_iter().chain(names).collect::<Vec<_>>();
    let mut table = table(&header, 1 + names.len());
    for row in rows {
        let mut cells = subject(row.row);
        cells.push(row.work.to_string());
        let rates = std::iter::once(row.rate).chain(ATTACKERS.iter().map(|who| who.rate(row.work)));
        table.add_row(cells.into_iter().chain(rates.map(numbers::rate)));
    }
    output::lines(&table)
}

fn times(
    who: &str,
    rows: &[Guessed<'_>],
    rate: impl Fn(&Guessed<'_>) -> f64,
    priced: Option<&Attacker>,
) -> String {
    let header = DICTIONARIES.map(|list| list.name);
    let mut table = table(&header, header.len());
    let between = if output::is_terminal() { "\n" } else { ", " };
    for row in rows {
        let cells = DICTIONARIES.iter().map(|list| {
            let seconds = list.guesses / rate(row);
            let time = numbers::time(seconds);
            match priced {
                Some(who) => format!("{time}{between}{}", numbers::money(who.dollars(seconds))),
                None => time,
            }
        });
        table.add_row(subject(row.row).into_iter().chain(cells));
    }
    format!("All of a list, {who}:\n{}", output::lines(&table))
}

/// One paragraph for each kind of line, with the lines it is about.
fn meaning(rows: &[Guessed<'_>]) -> String {
    let mut paragraphs = Vec::<(&str, Vec<String>)>::new();
    for row in rows {
        let text = explain::guesses(&row.row.mechanism, row.row.situation, row.work);
        let about = format!("{} ({})", name(row.row), row.row.situation);
        match paragraphs.iter_mut().find(|(known, _)| *known == text) {
            Some((_, abouts)) => abouts.push(about),
            None => paragraphs.push((text, vec![about])),
        }
    }
    let paragraphs = paragraphs.iter().map(|(text, abouts)| {
        let about = output::paragraph(&format!("{}:", abouts.join(", ")));
        format!("{about}\n{}", output::paragraph(text))
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

fn prf_name(prf: Prf) -> &'static str {
    match prf {
        Prf::HmacSha1 => "SHA-1",
        Prf::HmacSha256 => "SHA-256",
        Prf::HmacSha512 => "SHA-512",
        _ => "other",
    }
}

fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Measured => "measured",
        Basis::Limit => "limit of the hardware",
        _ => "assumed",
    }
}
