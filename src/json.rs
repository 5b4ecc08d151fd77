//! The JSON of stored records: read without any leniency, written without a copy of a secret left behind.
//!
//! Strings are wiped when they are dropped. Those with escapes also pass through a buffer of the parser, which is not.

use std::collections::HashSet;
use std::fmt;

use base64ct::{Base64, Encoding};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

pub(crate) mod rules;

/// Longest record, in octets of text.
pub const RECORD_MAX: usize = 32 << 10;

/// The version of all types of records.
const VERSION: u64 = 1;

/// A JSON object in which no name comes twice. Members are taken out; in the end none may be left.
#[derive(Debug)]
pub(crate) struct Object(Vec<(String, Member)>);

/// A value as records have it: no fractions, no negative numbers, no arrays.
enum Member {
    Null,
    Flag(bool),
    Number(u64),
    Text(Zeroizing<String>),
    Object(Object),
}

impl Object {
    /// Reads one object and nothing after it.
    ///
    /// # Errors
    /// [`rules::NOT_JSON`], [`rules::REPEATED_MEMBER`], [`rules::TOO_LONG`].
    #[cfg(feature = "srp")]
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut all = Self::parse_all(text)?;
        match all.pop() {
            Some((_, object)) if all.is_empty() => Ok(object),
            _ => Err(Error::new(&rules::NOT_JSON)),
        }
    }

    /// Reads objects with nothing but white space between them, each with the number of its first line.
    ///
    /// # Errors
    /// [`rules::NOT_JSON`], [`rules::REPEATED_MEMBER`], [`rules::TOO_LONG`].
    pub(crate) fn parse_all(text: &str) -> Result<Vec<(usize, Self)>> {
        let mut objects = Vec::new();
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Self>();
        let (mut line, mut end) = (1, 0);
        loop {
            let gap = text[end..].len() - text[end..].trim_start().len();
            line += line_ends(&text[end..end + gap]);
            let start = end + gap;
            let object = match stream.next() {
                None => return Ok(objects),
                Some(Ok(object)) => object,
                Some(Err(error)) => {
                    return Err(Error::new(&rules::NOT_JSON).about(format!("line {}", error.line())));
                }
            };
            end = stream.byte_offset();
            let at = |error: Error| error.about(format!("line {line}"));
            check_len(end - start).map_err(at)?;
            object.check_names().map_err(|error| at_line(line, &error))?;
            objects.push((line, object));
            line += line_ends(&text[start..end]);
        }
    }

    fn check_names(&self) -> Result<()> {
        let mut seen = HashSet::new();
        for (name, member) in &self.0 {
            if !seen.insert(name) {
                return Err(Error::new(&rules::REPEATED_MEMBER).about(name));
            }
            if let Member::Object(inner) = member {
                inner.check_names()?;
            }
        }
        Ok(())
    }

    fn take(&mut self, name: &str) -> Option<Member> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// Whether a member of that name is left.
    #[cfg(feature = "srp")]
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    fn need(&mut self, name: &str) -> Result<Member> {
        self.take(name).ok_or_else(|| Error::new(&rules::MISSING_MEMBER).about(name))
    }

    /// A string.
    pub(crate) fn text(&mut self, name: &str) -> Result<Zeroizing<String>> {
        match self.need(name)? {
            Member::Text(text) => Ok(text),
            _ => Err(bad(name)),
        }
    }

    /// A string that may be missing.
    pub(crate) fn text_or_none(&mut self, name: &str) -> Result<Option<Zeroizing<String>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Member::Text(text)) => Ok(Some(text)),
            Some(_) => Err(bad(name)),
        }
    }

    /// A whole number.
    #[cfg(any(feature = "scram", feature = "srp"))]
    pub(crate) fn number(&mut self, name: &str) -> Result<u32> {
        match self.need(name)? {
            Member::Number(number) => u32::try_from(number).map_err(|_| bad(name)),
            _ => Err(bad(name)),
        }
    }

    /// true or false.
    #[cfg(feature = "srp")]
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool> {
        match self.need(name)? {
            Member::Flag(flag) => Ok(flag),
            _ => Err(bad(name)),
        }
    }

    /// An object, or null.
    #[cfg(feature = "srp")]
    pub(crate) fn object_or_null(&mut self, name: &str) -> Result<Option<Self>> {
        match self.need(name)? {
            Member::Null => Ok(None),
            Member::Object(object) => Ok(Some(object)),
            _ => Err(bad(name)),
        }
    }

    /// Octets of any length, in base64.
    pub(crate) fn octets(&mut self, name: &str) -> Result<Zeroizing<Vec<u8>>> {
        let text = self.text(name)?;
        Base64::decode_vec(&text).map(Zeroizing::new).map_err(|_| bad(name))
    }

    /// So many octets, in base64; the length is checked before they are decoded.
    #[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
    pub(crate) fn array<const LEN: usize>(&mut self, name: &str) -> Result<Zeroizing<[u8; LEN]>> {
        let text = self.text(name)?;
        let mut octets = Zeroizing::new([0; LEN]);
        match Base64::decode(text.as_bytes(), octets.as_mut_slice()) {
            Ok(decoded) if decoded.len() == LEN => Ok(octets),
            _ => Err(bad(name)),
        }
    }

    /// The hash that a record was made with.
    #[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
    pub(crate) fn ksf(&mut self, name: &str) -> Result<crate::ksf::Ksf> {
        crate::ksf::Ksf::from_bytes(&*self.array(name)?)
    }

    /// The type, after the version, which must be 1.
    ///
    /// # Errors
    /// [`rules::UNKNOWN_VERSION`].
    pub(crate) fn kind(&mut self) -> Result<Zeroizing<String>> {
        match self.need("version")? {
            Member::Number(VERSION) => self.text("type"),
            Member::Number(other) => Err(Error::exceeds(&rules::UNKNOWN_VERSION, other, VERSION)),
            _ => Err(bad("version")),
        }
    }

    /// Refuses what nobody has taken.
    ///
    /// # Errors
    /// [`rules::UNKNOWN_MEMBER`].
    pub(crate) fn end(self) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Error::new(&rules::UNKNOWN_MEMBER).about(name)),
        }
    }
}

/// A member with a value it cannot have.
pub(crate) fn bad(name: &str) -> Error {
    Error::new(&rules::BAD_MEMBER).about(name)
}

/// The same error, with the line in front of what it is about.
pub(crate) fn at_line(line: usize, error: &Error) -> Error {
    let subject = match error.subject() {
        Some(subject) => format!("line {line}, {subject}"),
        None => format!("line {line}"),
    };
    error.clone().about(subject)
}

/// A record of that many octets is not too long.
pub(crate) fn check_len(len: usize) -> Result<()> {
    if len > RECORD_MAX {
        return Err(Error::exceeds(&rules::TOO_LONG, len as u64, RECORD_MAX as u64));
    }
    Ok(())
}

fn line_ends(text: &str) -> usize {
    text.bytes().filter(|octet| *octet == b'\n').count()
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Object, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Object(members))
    }
}

struct MemberVisitor;

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a whole number, true, false, null or an object")
    }

    fn visit_unit<E>(self) -> std::result::Result<Member, E> {
        Ok(Member::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> std::result::Result<Member, E> {
        Ok(Member::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> std::result::Result<Member, E> {
        Ok(Member::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Member, E> {
        Ok(Member::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Member, A::Error> {
        ObjectVisitor.visit_map(map).map(Member::Object)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Member(redacted)")
    }
}

/// Writes one object on one line. There is room for the longest record from the start, so no growing buffer
/// leaves a copy behind.
pub(crate) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    /// Begins a record of that type.
    pub(crate) fn new(kind: &str) -> Self {
        let mut writer = Self(Zeroizing::new(Vec::with_capacity(RECORD_MAX)));
        writer.0.push(b'{');
        writer.text("type", kind);
        writer.name("version");
        writer.0.extend_from_slice(VERSION.to_string().as_bytes());
        writer
    }

    fn name(&mut self, name: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.quoted(name);
        self.0.push(b':');
    }

    fn quoted(&mut self, text: &str) {
        serde_json::to_writer(&mut *self.0, text).expect("a vector takes everything");
    }

    /// A string.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.quoted(value);
    }

    /// Octets, in base64.
    pub(crate) fn octets(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.0.push(b'"');
        let start = self.0.len();
        self.0.resize(start + Base64::encoded_len(value), 0);
        Base64::encode(value, &mut self.0[start..]).expect("there is room for exactly this");
        self.0.push(b'"');
    }

    /// A whole number.
    #[cfg(any(feature = "scram", feature = "srp"))]
    pub(crate) fn number(&mut self, name: &str, value: u32) {
        self.name(name);
        self.0.extend_from_slice(value.to_string().as_bytes());
    }

    /// true or false.
    #[cfg(feature = "srp")]
    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// null.
    #[cfg(feature = "srp")]
    pub(crate) fn null(&mut self, name: &str) {
        self.name(name);
        self.0.extend_from_slice(b"null");
    }

    /// An object within.
    #[cfg(feature = "srp")]
    pub(crate) fn object(&mut self, name: &str, members: impl FnOnce(&mut Self)) {
        self.name(name);
        self.0.push(b'{');
        members(self);
        self.0.push(b'}');
    }

    /// Ends the object.
    pub(crate) fn finish(mut self) -> Zeroizing<String> {
        self.0.push(b'}');
        let text = String::from_utf8(std::mem::take(&mut *self.0));
        Zeroizing::new(text.expect("JSON is UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_member_comes_back_as_it_was_written() {
        let mut writer = Writer::new("test");
        writer.text("text", "a\"\\\u{1}\u{e9}");
        writer.octets("octets", &[0, 1, 254]);
        let text = writer.finish();
        assert_eq!(
            *text,
            "{\"type\":\"test\",\"version\":1,\"text\":\"a\\\"\\\\\\u0001\u{e9}\",\"octets\":\"AAH+\"}"
        );
        let (line, mut object) = Object::parse_all(&text).unwrap().pop().unwrap();
        assert_eq!((line, object.kind().unwrap().as_str()), (1, "test"));
        assert_eq!(*object.text("text").unwrap(), "a\"\\\u{1}\u{e9}");
        assert_eq!(*object.octets("octets").unwrap(), [0, 1, 254]);
        object.end().unwrap();
    }

    #[test]
    fn what_records_never_have_is_refused() {
        for text in [
            "[]",
            "1",
            "{\"a\":[]}",
            "{\"a\":1.5}",
            "{\"a\":-1}",
            "{\"a\":1e3}",
            "{\"a\":1",
            "{a:1}",
            "{\"a\":1,}",
            "{\"a\":18446744073709551616}",
            "{} x",
        ] {
            let error = Object::parse_all(text).unwrap_err();
            assert!(error.is(&rules::NOT_JSON), "{text}: {error:?}");
        }
        let deep = "{\"a\":".repeat(10_000);
        assert!(Object::parse_all(&deep).unwrap_err().is(&rules::NOT_JSON));
    }

    #[test]
    fn a_name_comes_once_also_within() {
        for text in ["{\"a\":1,\"b\":2,\"a\":1}", "{\"b\":{\"a\":1,\"a\":1}}", "{\"a\":1,\"\\u0061\":1}"] {
            let error = Object::parse_all(text).unwrap_err();
            assert!(error.is(&rules::REPEATED_MEMBER), "{text}: {error:?}");
        }
        assert!(Object::parse_all("{\"a\":{\"a\":1}}").is_ok());
    }

    #[test]
    fn objects_know_their_lines() {
        let lines =
            |text| Object::parse_all(text).unwrap().into_iter().map(|(line, _)| line).collect::<Vec<_>>();
        assert_eq!(lines("{}{}\n{\n\"a\":1}\n\n {}\n"), [1, 1, 2, 5]);
        assert_eq!(lines(" \n"), [0_usize; 0]);
        let error = Object::parse_all("{}\n{\"a\":\n]}").unwrap_err();
        assert_eq!(error.subject(), Some("line 3"));
        let error = Object::parse_all("{}\n{\"a\":1,\"a\":2}").unwrap_err();
        assert_eq!(error.subject(), Some("line 2, a"));
    }

    #[test]
    fn the_longest_record_is_read_and_one_octet_more_is_not() {
        let record = |len: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(len - 8));
        assert_eq!(record(RECORD_MAX).len(), RECORD_MAX);
        assert!(Object::parse_all(&record(RECORD_MAX)).is_ok());
        let error = Object::parse_all(&record(RECORD_MAX + 1)).unwrap_err();
        assert!(error.is(&rules::TOO_LONG));
        assert_eq!(error.numbers(), Some((RECORD_MAX as u64 + 1, RECORD_MAX as u64)));
    }
}
