//! The file that is audited: a transcript, captured TLS, or stored records.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use countersign::dictionary::capture::Capture;
use countersign::dictionary::{
    Exposure, Oracle, Situation, Transcript, exposure_of_record, exposure_of_transcript,
};
use countersign::prep::Preparation;
use countersign::records::{Format, Record, TEXT_MAX};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct TargetArgs {
    /// A transcript, TLS records as captured, or stored records; `-` for stdin
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Whose record it is; needed when there are several users, or when the format does not name them
    #[arg(long, value_name = "NAME", requires = "file")]
    user: Option<String>,
    /// How records are written, instead of finding out: json, postgresql, ldap, openssl, gnutls or cyrus
    #[arg(long, value_name = "NAME", requires = "file")]
    format: Option<Format>,
    /// How the passwords behind a transcript were prepared
    #[arg(long, value_name = "PROFILE", default_value = "saslprep")]
    preparation: PreparationName,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum PreparationName {
    Saslprep,
    OpaqueString,
    None,
}

impl From<PreparationName> for Preparation {
    fn from(name: PreparationName) -> Self {
        match name {
            PreparationName::Saslprep => Self::SaslPrep,
            PreparationName::OpaqueString => Self::OpaqueString,
            PreparationName::None => Self::None,
        }
    }
}

/// One thing that an attacker may hold.
pub(crate) struct Subject {
    pub(crate) exposure: Exposure,
    /// What tells it from others of the same mechanism.
    pub(crate) variant: Option<String>,
}

impl Subject {
    pub(crate) fn new(exposure: Exposure) -> Self {
        Self { exposure, variant: None }
    }

    pub(crate) fn with_variant(self, variant: impl Into<String>) -> Self {
        Self { variant: Some(variant.into()), ..self }
    }

    pub(crate) fn mechanism(&self) -> &str {
        match &self.exposure {
            Exposure::Guesses(oracle) => oracle.mechanism(),
            Exposure::Immediate(verdict) | Exposure::NothingOffline(verdict) => &verdict.mechanism,
            _ => "",
        }
    }

    /// Whether it is of that mechanism; a record of SCRAM is of both its names.
    pub(crate) fn is(&self, name: &str) -> bool {
        let own = self.mechanism();
        let thief =
            matches!(&self.exposure, Exposure::Guesses(oracle) if oracle.situation() == Situation::Thief);
        own == name || (thief && name.strip_suffix("-PLUS") == Some(own))
    }
}

/// What was read.
pub(crate) struct Target {
    octets: Zeroizing<Vec<u8>>,
    content: Content,
}

enum Content {
    Transcript(Transcript),
    Capture(Capture),
    Records(Vec<Record>),
}

impl TargetArgs {
    pub(crate) fn takes_stdin(&self) -> bool {
        self.file.as_deref() == Some(Path::new("-"))
    }

    pub(crate) fn read(&self) -> Result<Option<Target>, Failure> {
        let Some(path) = &self.file else { return Ok(None) };
        let octets = read(path)?;
        let content = if Transcript::is_transcript(&octets) {
            Content::Transcript(Transcript::from_text(text(&octets, path)?)?)
        } else if Capture::is_tls(&octets) {
            Content::Capture(Capture::parse(&octets)?)
        } else {
            let text = text(&octets, path)?;
            let records = match self.format {
                Some(format) => Record::read_as(text, format)?,
                None => Record::read(text)?,
            };
            Content::Records(self.of_user(records)?)
        };
        Ok(Some(Target { octets, content }))
    }

    fn of_user(&self, records: Vec<Record>) -> Result<Vec<Record>, Failure> {
        let Some(user) = &self.user else { return Ok(records) };
        let kept = records.into_iter().map(|record| record.of_user(user));
        let kept = kept.collect::<countersign::Result<Vec<_>>>()?.into_iter().flatten().collect::<Vec<_>>();
        if kept.is_empty() {
            let what = format!("the file has no record of {}", output::plain(user));
            return Err(Failure::new(Exit::Usage, what, "Check the name."));
        }
        Ok(kept)
    }
}

impl Target {
    pub(crate) fn records(&self) -> &[Record] {
        match &self.content {
            Content::Records(records) => records,
            _ => &[],
        }
    }

    pub(crate) fn subjects(&self, args: &TargetArgs) -> Result<Vec<Subject>, Failure> {
        let one = |exposure: countersign::Result<Exposure>| Ok(vec![Subject::new(exposure?)]);
        match &self.content {
            Content::Transcript(transcript) => {
                one(exposure_of_transcript(transcript, args.preparation.into()))
            }
            Content::Capture(capture) => one(capture.exposure(Situation::Listener, None)),
            Content::Records(records) => {
                let subjects = records.iter().map(|record| {
                    // SRP, SPAKE2+ and OPAQUE hash the name; for the rest an empty one will do.
                    let user = record.user().unwrap_or_default();
                    let needs_user = !matches!(
                        record.credential(),
                        countersign::registry::Credential::Password(_)
                            | countersign::registry::Credential::Scram(_)
                    );
                    if user.is_empty() && needs_user {
                        return Err(Failure::new(
                            Exit::Usage,
                            "the record does not name its user, whose name is part of it",
                            "Say with --user whose record it is.",
                        ));
                    }
                    let exposure = exposure_of_record(record.credential(), user, record.preparation())?;
                    Ok(Subject::new(exposure))
                });
                subjects.collect()
            }
        }
    }

    /// What ties a state file to this target.
    pub(crate) fn fingerprint(&self, oracle: &dyn Oracle) -> String {
        short_hash([oracle.mechanism().as_bytes(), &[0], &self.octets])
    }
}

/// Enough of SHA-256 to tell files apart.
pub(crate) fn short_hash<const N: usize>(parts: [&[u8]; N]) -> String {
    let hash = parts.into_iter().fold(Sha256::new(), |hash, part| hash.chain_update(part));
    hash.finalize().iter().take(16).map(|octet| format!("{octet:02x}")).collect()
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let reader: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|error| Failure::file(path, &error))?)
    };
    let mut octets = Zeroizing::new(Vec::new());
    reader.take(TEXT_MAX as u64 + 1).read_to_end(&mut octets).map_err(|error| Failure::file(path, &error))?;
    if octets.len() > TEXT_MAX {
        let what = format!("{} is longer than {TEXT_MAX} octets", output::path(path));
        return Err(Failure::new(Exit::Usage, what, "Split the file."));
    }
    Ok(octets)
}

fn text<'a>(octets: &'a [u8], path: &Path) -> Result<&'a str, Failure> {
    std::str::from_utf8(octets).map_err(|_| {
        let what = format!("{} is neither captured TLS nor text", output::path(path));
        Failure::new(
            Exit::Usage,
            what,
            "Give a transcript, a capture that begins with a TLS record, or records.",
        )
    })
}
