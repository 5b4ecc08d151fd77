//! Preparation of user names and passwords: SASLprep (RFC 4013) and the OpaqueString profile (RFC 8265).
//!
//! Two keyboards may give one password in two spellings (a composed and a decomposed letter, two kinds of space).
//! Preparation makes them one string before anything is hashed.

use stringprep::tables;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result, Rule};
use crate::secret::{Password, SecretBytes};

/// Longest password, as typed and as prepared, in octets of UTF-8.
pub const PASSWORD_MAX: usize = 1024;

/// Longest user name, as given and as prepared, in octets of UTF-8: that of a bare JID (RFC 7622 section 3.1).
pub const NAME_MAX: usize = 2047;

/// Most octets of NFKC (or NFC) for one octet of input, Unicode Standard Annex 15 section 9. Room for that much is
/// taken at once, so that no growing buffer leaves a copy of a secret behind.
const GROWTH_MAX: usize = 11;

/// Canonical combining class of a virama, after which a joiner is allowed (RFC 5892 appendix A).
const VIRAMA: u8 = 9;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// A character that the profile does not allow.
    pub static PROHIBITED: Rule = Rule {
        id: "prep-prohibited",
        kind: ErrorKind::Misuse,
        source: "RFC 4013 section 2.3, RFC 8264 section 4.3",
        what: "the text has a character that is not allowed in names and passwords",
        advice: "Leave out control characters, private characters and invisible signs.",
    };
    /// Right-to-left and left-to-right text mixed in a way that cannot be shown safely.
    pub static BIDIRECTIONAL: Rule = Rule {
        id: "prep-bidirectional",
        kind: ErrorKind::Misuse,
        source: "RFC 3454 section 6",
        what: "the text mixes right-to-left and left-to-right characters",
        advice: "Use one direction of writing, and begin and end with a letter of it.",
    };
    /// A code point that Unicode 3.2 had not assigned, in a string that is to be stored.
    pub static UNASSIGNED: Rule = Rule {
        id: "prep-unassigned",
        kind: ErrorKind::Misuse,
        source: "RFC 4013 section 2.5",
        what: "the text has a character that SASLprep does not know: it is newer than Unicode 3.2",
        advice: "Use another password, or OpaqueString on both sides.",
    };
    /// Nothing is left, or there was nothing.
    pub static EMPTY: Rule = Rule {
        id: "prep-empty",
        kind: ErrorKind::Misuse,
        source: "RFC 4013 section 3, RFC 8265 section 4.2",
        what: "the name or password is empty after preparation",
        advice: "Give one with at least one visible character.",
    };
    /// More than [`PASSWORD_MAX`](super::PASSWORD_MAX) or [`NAME_MAX`](super::NAME_MAX) octets.
    pub static TOO_LONG: Rule = Rule {
        id: "prep-too-long",
        kind: ErrorKind::LimitExceeded,
        source: "countersign",
        what: "the name or password is too long",
        advice: "Use a shorter one.",
    };
}

/// How a password is prepared before it is hashed. Both sides must use the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preparation {
    /// SASLprep, as RFC 5802 and RFC 7677 ask for.
    #[default]
    SaslPrep,
    /// The OpaqueString profile of PRECIS (RFC 8265 section 4).
    OpaqueString,
    /// The octets as given.
    None,
}

impl Preparation {
    /// The octets of the password that go into the hash: 1 to [`PASSWORD_MAX`].
    ///
    /// Passwords are stored strings (RFC 5802 section 2.2) on both sides.
    ///
    /// # Errors
    /// [`rules::EMPTY`], [`rules::TOO_LONG`], and what the profile refuses.
    pub fn prepare(self, password: &Password) -> Result<SecretBytes> {
        let text = password.expose();
        check_length(text, PASSWORD_MAX)?;
        let prepared = match self {
            Self::SaslPrep => saslprep(text, StringUse::Stored)?,
            Self::OpaqueString => opaque_string(text)?,
            Self::None => Zeroizing::new(text.to_owned()),
        };
        check_length(&prepared, PASSWORD_MAX)?;
        if prepared.is_empty() {
            return Err(Error::new(&rules::EMPTY));
        }
        Ok(SecretBytes::from(prepared.as_bytes()))
    }
}

/// What a prepared string is for (RFC 3454 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "stringprep knows these two")]
pub enum StringUse {
    /// It is stored or hashed: unassigned code points are refused.
    Stored,
    /// It is looked up or compared with a stored one: unassigned code points pass.
    Query,
}

/// SASLprep. The result may be empty; whether that is allowed is the caller's rule.
///
/// Normalisation is that of the current Unicode, not of 3.2. For stored strings that is no difference, since every
/// newer code point is refused first; in queries newer code points may be normalised too.
///
/// # Errors
/// [`rules::PROHIBITED`], [`rules::BIDIRECTIONAL`], [`rules::UNASSIGNED`], [`rules::TOO_LONG`].
pub fn saslprep(text: &str, string_use: StringUse) -> Result<Zeroizing<String>> {
    check_length(text, NAME_MAX)?;
    if text.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return Ok(Zeroizing::new(text.to_owned()));
    }
    if string_use == StringUse::Stored && text.contains(tables::unassigned_code_point) {
        return Err(Error::new(&rules::UNASSIGNED));
    }
    let mapped = text
        .chars()
        .map(|c| if tables::non_ascii_space_character(c) { ' ' } else { c })
        .filter(|&c| !tables::commonly_mapped_to_nothing(c));
    let prepared = collect(text.len(), mapped.nfkc());
    if prepared.contains(is_prohibited_by_saslprep) {
        return Err(Error::new(&rules::PROHIBITED));
    }
    check_direction(&prepared)?;
    check_length(&prepared, NAME_MAX)?;
    Ok(prepared)
}

/// A user name as both sides write it: SASLprep as a query (RFC 5802 section 5.1), not empty.
///
/// # Errors
/// [`rules::EMPTY`], and as [`saslprep`].
pub fn user_name(text: &str) -> Result<String> {
    let prepared = std::mem::take(&mut *saslprep(text, StringUse::Query)?);
    if prepared.is_empty() {
        return Err(Error::new(&rules::EMPTY));
    }
    Ok(prepared)
}

/// The OpaqueString profile: FreeformClass, non-ASCII space to U+0020, NFC, not empty.
///
/// Stricter than RFC 5892 in one point: U+200C and U+200D pass only after a virama, never by joining type.
///
/// # Errors
/// [`rules::PROHIBITED`], [`rules::EMPTY`], [`rules::TOO_LONG`].
pub fn opaque_string(text: &str) -> Result<Zeroizing<String>> {
    check_length(text, PASSWORD_MAX)?;
    if !is_freeform(text) {
        return Err(Error::new(&rules::PROHIBITED));
    }
    let mapped = text.chars().map(|c| match c.general_category() {
        GeneralCategory::SpaceSeparator => ' ',
        _ => c,
    });
    let prepared = collect(text.len(), mapped.nfc());
    // NFC can turn a character that is allowed into one that is not: U+0387 into U+00B7.
    if !is_freeform(&prepared) {
        return Err(Error::new(&rules::PROHIBITED));
    }
    if prepared.is_empty() {
        return Err(Error::new(&rules::EMPTY));
    }
    check_length(&prepared, PASSWORD_MAX)?;
    Ok(prepared)
}

fn check_length(text: &str, most: usize) -> Result<()> {
    if text.len() > most {
        return Err(Error::exceeds(&rules::TOO_LONG, text.len() as u64, most as u64));
    }
    Ok(())
}

fn collect(input_len: usize, chars: impl Iterator<Item = char>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(input_len * GROWTH_MAX));
    text.extend(chars);
    text
}

fn is_prohibited_by_saslprep(c: char) -> bool {
    tables::non_ascii_space_character(c)
        || tables::ascii_control_character(c)
        || tables::non_ascii_control_character(c)
        || tables::private_use(c)
        || tables::non_character_code_point(c)
        || tables::inappropriate_for_plain_text(c)
        || tables::inappropriate_for_canonical_representation(c)
        || tables::change_display_properties_or_deprecated(c)
        || tables::tagging_character(c)
}

fn check_direction(text: &str) -> Result<()> {
    let right_to_left = tables::bidi_r_or_al;
    if !text.contains(right_to_left) {
        return Ok(());
    }
    if text.contains(tables::bidi_l) || !text.starts_with(right_to_left) || !text.ends_with(right_to_left) {
        return Err(Error::new(&rules::BIDIRECTIONAL));
    }
    Ok(())
}

/// RFC 8264 section 4.3, in the order of section 8, with the context rules of RFC 5892 appendix A.
fn is_freeform(text: &str) -> bool {
    let mut before = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let allowed = match c {
            // Latin Catalan l·l.
            '\u{b7}' => before == Some('l') && rest.clone().next() == Some('l'),
            // Greek numeral sign: a Greek letter follows.
            '\u{375}' => rest.clone().next().is_some_and(|next| {
                matches!(next, '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}') && next.is_alphabetic()
            }),
            // Hebrew punctuation: a Hebrew letter stands before.
            '\u{5f3}' | '\u{5f4}' => before.is_some_and(|c| matches!(c, '\u{591}'..='\u{5f4}')),
            // Katakana middle dot: somewhere among Japanese writing.
            '\u{30fb}' => text.contains(is_japanese),
            '\u{660}'..='\u{669}' => !text.contains(|c| matches!(c, '\u{6f0}'..='\u{6f9}')),
            '\u{6f0}'..='\u{6f9}' => !text.contains(|c| matches!(c, '\u{660}'..='\u{669}')),
            '\u{200c}' | '\u{200d}' => before.is_some_and(|c| canonical_combining_class(c) == VIRAMA),
            _ => is_freeform_anywhere(c),
        };
        if !allowed {
            return false;
        }
        before = Some(c);
    }
    true
}

fn is_japanese(c: char) -> bool {
    matches!(
        c,
        '\u{3005}' | '\u{3007}' | '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}'
            | '\u{30fd}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
    )
}

fn is_freeform_anywhere(c: char) -> bool {
    // RFC 5892 section 2.6: disallowed although their category is fine.
    let exception =
        matches!(c, '\u{640}' | '\u{7fa}' | '\u{302e}' | '\u{302f}' | '\u{3031}'..='\u{3035}' | '\u{303b}');
    let old_hangul = matches!(
        c,
        '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97c}' | '\u{d7b0}'..='\u{d7c6}' | '\u{d7cb}'..='\u{d7fb}'
    );
    if exception || old_hangul || is_ignorable(c) {
        return false;
    }
    use GeneralCategory as Category;
    !matches!(
        c.general_category(),
        Category::Control
            | Category::Format
            | Category::LineSeparator
            | Category::ParagraphSeparator
            | Category::PrivateUse
            | Category::Surrogate
            | Category::Unassigned
    )
}

/// Default_Ignorable_Code_Point (non-characters are unassigned already).
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn unhex(text: &Value) -> String {
        let octets = text.as_str().unwrap().as_bytes().chunks(2);
        let octets = octets.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap());
        String::from_utf8(octets.collect()).unwrap()
    }

    fn run(file: &str, profile: impl Fn(&str) -> Result<Zeroizing<String>>) -> usize {
        let file = serde_json::from_str::<Value>(file).unwrap();
        let cases = file["cases"].as_array().unwrap();
        for case in cases {
            let input = unhex(&case["input_utf8"]);
            match profile(&input) {
                Ok(output) => assert_eq!(*output, unhex(&case["output_utf8"]), "{input:?}"),
                Err(error) => assert_eq!(case["error"], true, "{input:?}: {error}"),
            }
        }
        cases.len()
    }

    #[test]
    fn saslprep_vectors() {
        let file = include_str!("../vectors/saslprep_rfc4013.json");
        assert_eq!(run(file, |text| saslprep(text, StringUse::Stored)), 19);
    }

    #[test]
    fn opaque_string_vectors() {
        let file = include_str!("../vectors/precis_opaquestring_rfc8265.json");
        assert_eq!(run(file, opaque_string), 11);
    }

    #[test]
    fn what_nfc_makes_of_a_character_must_be_allowed_too() {
        assert!(opaque_string("\u{387}").unwrap_err().is(&rules::PROHIBITED));
        assert_eq!(*opaque_string("l\u{b7}l").unwrap(), "l\u{b7}l");
    }

    #[test]
    fn unassigned_code_points_pass_in_queries_only() {
        assert_eq!(*saslprep("\u{221}", StringUse::Query).unwrap(), "\u{221}");
        assert!(saslprep("\u{221}", StringUse::Stored).unwrap_err().is(&rules::UNASSIGNED));
    }

    #[test]
    fn saslprep_names_the_broken_rule() {
        for (text, rule) in [
            ("a\u{7}", &rules::PROHIBITED),
            ("a\u{e000}", &rules::PROHIBITED),
            ("\u{627}1", &rules::BIDIRECTIONAL),
            ("1\u{627}", &rules::BIDIRECTIONAL),
            ("\u{627}a\u{627}", &rules::BIDIRECTIONAL),
        ] {
            assert!(saslprep(text, StringUse::Query).unwrap_err().is(rule), "{text:?}");
        }
    }

    #[test]
    fn empty_results_are_refused() {
        for preparation in [Preparation::SaslPrep, Preparation::OpaqueString, Preparation::None] {
            assert!(preparation.prepare(&Password::new("")).unwrap_err().is(&rules::EMPTY));
        }
        assert!(Preparation::SaslPrep.prepare(&Password::new("\u{ad}")).unwrap_err().is(&rules::EMPTY));
        assert!(user_name("\u{ad}").unwrap_err().is(&rules::EMPTY));
    }

    #[test]
    fn passwords_have_a_limit_before_and_after() {
        for preparation in [Preparation::SaslPrep, Preparation::OpaqueString, Preparation::None] {
            assert!(preparation.prepare(&Password::new("x".repeat(PASSWORD_MAX))).is_ok());
            let error = preparation.prepare(&Password::new("x".repeat(PASSWORD_MAX + 1))).unwrap_err();
            assert!(error.is(&rules::TOO_LONG));
            assert_eq!(error.numbers(), Some((PASSWORD_MAX as u64 + 1, PASSWORD_MAX as u64)));
        }
        // U+FDFA grows from 3 octets to 33 under NFKC: the most there is.
        let grown = |count| Preparation::SaslPrep.prepare(&Password::new("\u{fdfa}".repeat(count)));
        assert_eq!(grown(PASSWORD_MAX / 33).unwrap().len(), PASSWORD_MAX / 33 * 33);
        assert!(grown(PASSWORD_MAX / 33 + 1).unwrap_err().is(&rules::TOO_LONG));
    }

    #[test]
    fn names_have_a_limit_before_and_after() {
        assert_eq!(user_name(&"x".repeat(NAME_MAX)).unwrap().len(), NAME_MAX);
        assert!(user_name(&"x".repeat(NAME_MAX + 1)).unwrap_err().is(&rules::TOO_LONG));
        assert!(user_name(&"\u{fdfa}".repeat(NAME_MAX / 33)).is_ok());
        assert!(user_name(&"\u{fdfa}".repeat(NAME_MAX / 33 + 1)).unwrap_err().is(&rules::TOO_LONG));
    }

    #[test]
    fn none_leaves_the_octets_alone() {
        let prepared = Preparation::None.prepare(&Password::new("\u{2168}\u{7}")).unwrap();
        assert_eq!(prepared.expose(), "\u{2168}\u{7}".as_bytes());
    }

    #[test]
    fn freeform_class_by_context() {
        for good in ["l\u{b7}l", "\u{375}\u{3b1}", "\u{5d0}\u{5f3}", "\u{30fb}\u{30a2}", "\u{660}\u{661}"] {
            assert!(opaque_string(good).is_ok(), "{good:?}");
        }
        for good in ["\u{915}\u{94d}\u{200d}", "\u{1f600}", "\u{2168}", "\u{301}a"] {
            assert!(opaque_string(good).is_ok(), "{good:?}");
        }
        for bad in ["a\u{b7}l", "l\u{b7}", "\u{375}a", "a\u{5f3}", "\u{30fb}", "\u{660}\u{6f0}", "a\u{200d}"]
        {
            assert!(opaque_string(bad).unwrap_err().is(&rules::PROHIBITED), "{bad:?}");
        }
        for bad in
            ["\u{640}", "\u{1100}", "\u{ad}", "\u{202e}", "\u{e000}", "\u{fdd0}", "\u{378}", "\u{2028}"]
        {
            assert!(opaque_string(bad).unwrap_err().is(&rules::PROHIBITED), "{bad:?}");
        }
    }
}
