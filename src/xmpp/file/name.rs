//! Names that the peer gives, and what is taken of them.

use std::fmt;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::error::{Error, Result};

use super::rules;

/// Longest name, in octets of UTF-8. File systems take 255; the rest is for what a receiver appends while the file is
/// not complete.
pub const NAME_MAX: usize = 220;

/// The end of the names of incomplete files, which no complete one may have.
pub const PARTIAL: &str = ".part";

/// Joiners, which names in many scripts and emoji need; all other format characters are refused.
const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

/// Devices of Windows, which have these names in every directory, whatever extension follows.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// One plain component of a path: it can only name a file directly in the directory it is joined to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileName(String);

impl FileName {
    /// The last component of what is given, whatever kind of slash is before it.
    ///
    /// # Errors
    /// [`rules::NAME_TOO_LONG`] above [`NAME_MAX`]. [`rules::BAD_NAME`] for one that is empty or begins with a dot (so `.` and
    /// `..` too) or with a hyphen, begins or ends with a space, ends with a dot or with [`PARTIAL`], holds control or format
    /// characters (those that change the direction of text among them) or line separators, or has a meaning of its own on
    /// Windows.
    ///
    /// # Security
    /// Nothing of the name is repaired but the path that is cut off: what a person has seen in an offer is what is stored.
    pub fn new(path: &str) -> Result<Self> {
        let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        if name.len() > NAME_MAX {
            return Err(Error::exceeds(&rules::NAME_TOO_LONG, name.len() as u64, NAME_MAX as u64));
        }
        match objection(name) {
            Some(why) => Err(Error::new(&rules::BAD_NAME).about(why)),
            None => Ok(Self(name.to_owned())),
        }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What speaks against a name, in words without any of it.
fn objection(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.starts_with('.') {
        Some("it begins with a dot")
    } else if name.starts_with('-') {
        Some("it begins with a hyphen")
    } else if name.starts_with(char::is_whitespace) || name.ends_with(char::is_whitespace) {
        Some("it begins or ends with a space")
    } else if name.ends_with('.') {
        Some("it ends with a dot")
    } else if ends_as_partial(name) {
        Some("it ends as incomplete files do")
    } else if name.chars().any(is_invisible) {
        Some("it holds control or format characters")
    } else if has_meaning_on_windows(name) {
        Some("it has a meaning of its own on Windows")
    } else {
        None
    }
}

/// Without regard to case, as some file systems are.
fn ends_as_partial(name: &str) -> bool {
    let start = name.len().checked_sub(PARTIAL.len());
    start.and_then(|start| name.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(PARTIAL))
}

fn is_invisible(c: char) -> bool {
    match c.general_category() {
        GeneralCategory::Format => !JOINERS.contains(&c),
        GeneralCategory::Control
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator
        | GeneralCategory::Surrogate
        | GeneralCategory::Unassigned => true,
        _ => false,
    }
}

/// On every system: a name that is taken on one should be good on all.
fn has_meaning_on_windows(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let port = |kind| matches!(stem.strip_prefix(kind).map(str::as_bytes), Some([b'0'..=b'9']));
    // A colon names a stream inside another file.
    name.contains(':') || DEVICES.contains(&stem.as_str()) || port("com") || port("lpt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(name: &str, why: &str) {
        let error = FileName::new(name).unwrap_err();
        assert!(error.is(&rules::BAD_NAME), "{name:?}");
        assert_eq!(error.subject(), Some(why), "{name:?}");
    }

    #[test]
    fn plain_names_are_taken_as_they_are() {
        for name in [
            "a",
            "report.pdf",
            "a b",
            "no extension",
            "x..y",
            "naïve.txt",
            "日本語.txt",
            "می‌خواهم",
            "👩‍💻.png",
            "a.parts",
            "part",
            "%2e%2e%2f",
            "console",
            "com",
            "com10",
            "$HOME",
            "a;rm -rf",
            "~",
        ] {
            assert_eq!(FileName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn only_the_last_component_counts() {
        for (path, name) in [
            ("/etc/passwd", "passwd"),
            ("../../up", "up"),
            ("C:\\Windows\\system.ini", "system.ini"),
            ("..\\up", "up"),
            ("mixed/..\\name", "name"),
            ("//host/share", "share"),
        ] {
            assert_eq!(FileName::new(path).unwrap().as_str(), name);
        }
    }

    #[test]
    fn an_empty_name_is_refused() {
        for name in ["", "/", "a/", "a\\", "../"] {
            refused(name, "it is empty");
        }
    }

    #[test]
    fn a_leading_dot_is_refused() {
        for name in [".", "..", "...", ".bashrc", "a/..", "a/.ssh"] {
            refused(name, "it begins with a dot");
        }
    }

    #[test]
    fn a_leading_hyphen_is_refused() {
        refused("-rf", "it begins with a hyphen");
    }

    #[test]
    fn spaces_around_are_refused() {
        for name in [" a", "a ", "\u{a0}a", "a\u{3000}", "a\t", "a\n"] {
            refused(name, "it begins or ends with a space");
        }
    }

    #[test]
    fn a_trailing_dot_is_refused() {
        refused("a.", "it ends with a dot");
    }

    #[test]
    fn names_of_incomplete_files_are_refused() {
        for name in ["a.part", "a.0123456789abcdef.PART", "é.part"] {
            refused(name, "it ends as incomplete files do");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        for c in [
            '\0',
            '\u{7}',
            '\n',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}', // control
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200e}',
            '\u{200f}',
            '\u{202a}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0041}', // format
            '\u{2028}',
            '\u{2029}', // lines
            '\u{378}',
            '\u{ffff}', // nothing at all
        ] {
            refused(&format!("a{c}b"), "it holds control or format characters");
        }
    }

    #[test]
    fn what_windows_takes_for_something_else_is_refused() {
        for name in ["a.txt:stream", "c:", "CON", "nul.txt", "Aux .tar.gz", "com1", "LPT9.x", "prn"] {
            refused(name, "it has a meaning of its own on Windows");
        }
    }

    #[test]
    fn the_longest_name_is_taken_and_one_octet_more_refused() {
        let longest = "x".repeat(NAME_MAX);
        assert_eq!(FileName::new(&format!("directory/{longest}")).unwrap().as_str(), longest);
        let error = FileName::new(&format!("{longest}x")).unwrap_err();
        assert!(error.is(&rules::NAME_TOO_LONG));
        assert_eq!(error.numbers(), Some((NAME_MAX as u64 + 1, NAME_MAX as u64)));
        // Octets, not characters.
        assert!(FileName::new(&"é".repeat(NAME_MAX / 2 + 1)).is_err());
    }
}
