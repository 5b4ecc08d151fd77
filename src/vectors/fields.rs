//! Strict access to the fields of one case. Each look is remembered; what nobody looked at is a failure.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write;

use base64ct::{Base64, Encoding};
use serde_json::{Map, Value};

use crate::error::Error;

/// Why a case does not pass.
#[derive(Debug)]
pub(super) enum Fault {
    /// A value differs, or the case itself is broken.
    Wrong(String),
    /// This build cannot check it.
    Unsupported(&'static str),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Wrong(error.to_string())
    }
}

pub(super) type Checked<T = ()> = Result<T, Fault>;

pub(super) fn wrong<T>(reason: impl Into<String>) -> Checked<T> {
    Err(Fault::Wrong(reason.into()))
}

/// Compares what was computed with what the case states under `name`.
pub(super) fn same(name: &str, computed: &[u8], stated: &[u8]) -> Checked {
    if computed == stated {
        return Ok(());
    }
    wrong(format!("{name} differs: computed {}, the file has {}", to_hex(computed), to_hex(stated)))
}

pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    seen: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(map: &'a Map<String, Value>) -> Self {
        Self { map, seen: RefCell::default() }
    }

    /// Whether there is such a field. Does not count as a look.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    pub(super) fn text(&self, name: &str) -> Checked<&'a str> {
        self.value(name)?.as_str().map_or_else(|| wrong(format!("{name} is not a text")), Ok)
    }

    /// Octets in lower-case hex.
    pub(super) fn octets(&self, name: &str) -> Checked<Vec<u8>> {
        from_hex(name, self.text(name)?)
    }

    /// Octets in lower-case hex, of a fixed length.
    pub(super) fn array<const N: usize>(&self, name: &str) -> Checked<[u8; N]> {
        let octets = self.octets(name)?;
        octets.try_into().or_else(|_| wrong(format!("{name} does not have {N} octets")))
    }

    pub(super) fn base64(&self, name: &str) -> Checked<Vec<u8>> {
        Base64::decode_vec(self.text(name)?).or_else(|_| wrong(format!("{name} is not base64")))
    }

    /// A whole number up to and including `max`, which keeps one case from running for years.
    pub(super) fn number(&self, name: &str, max: u64) -> Checked<u64> {
        match self.value(name)?.as_u64() {
            Some(number) if number <= max => Ok(number),
            Some(number) => wrong(format!("{name} is {number}, the limit is {max}")),
            None => wrong(format!("{name} is not a whole number")),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Checked<bool> {
        self.value(name)?.as_bool().map_or_else(|| wrong(format!("{name} is neither true nor false")), Ok)
    }

    /// `None` where the file has `null`.
    pub(super) fn nullable<T>(
        &self,
        name: &str,
        read: impl Fn(&Self, &str) -> Checked<T>,
    ) -> Checked<Option<T>> {
        if self.value(name)?.is_null() { Ok(None) } else { read(self, name).map(Some) }
    }

    /// `None` where there is no such field.
    pub(super) fn optional<T>(
        &self,
        name: &str,
        read: impl Fn(&Self, &str) -> Checked<T>,
    ) -> Checked<Option<T>> {
        if self.has(name) { read(self, name).map(Some) } else { Ok(None) }
    }

    pub(super) fn texts(&self, name: &str) -> Checked<Vec<&'a str>> {
        let list = self.list(name)?;
        list.iter()
            .map(|item| {
                item.as_str().map_or_else(|| wrong(format!("{name} holds something that is not a text")), Ok)
            })
            .collect()
    }

    pub(super) fn objects(&self, name: &str) -> Checked<Vec<Self>> {
        let list = self.list(name)?;
        list.iter()
            .map(|item| {
                let object = item.as_object().map(Self::new);
                object.map_or_else(|| wrong(format!("{name} holds something that is not an object")), Ok)
            })
            .collect()
    }

    pub(super) fn object(&self, name: &str) -> Checked<Self> {
        let object = self.value(name)?.as_object().map(Self::new);
        object.map_or_else(|| wrong(format!("{name} is not an object")), Ok)
    }

    /// Octets in lower-case hex must be what was computed.
    pub(super) fn expect(&self, name: &str, computed: &[u8]) -> Checked {
        same(name, computed, &self.octets(name)?)
    }

    /// Octets in base64 must be what was computed.
    pub(super) fn expect_base64(&self, name: &str, computed: &[u8]) -> Checked {
        same(name, computed, &self.base64(name)?)
    }

    /// A text must be what was computed.
    pub(super) fn expect_text(&self, name: &str, computed: &str) -> Checked {
        let stated = self.text(name)?;
        if stated == computed {
            Ok(())
        } else {
            wrong(format!("{name} differs: computed {computed}, the file has {stated}"))
        }
    }

    /// These fields, where present, only tell the reader something; they must be texts or flags.
    pub(super) fn describe(&self, names: &[&str]) {
        for name in names {
            if let Some((key, Value::String(_) | Value::Bool(_))) = self.map.get_key_value(*name) {
                self.seen.borrow_mut().insert(key);
            }
        }
    }

    /// Fails on fields that nobody looked at.
    pub(super) fn finish(&self) -> Checked {
        let seen = self.seen.borrow();
        match self.map.keys().find(|key| !seen.contains(key.as_str())) {
            None => Ok(()),
            Some(key) => wrong(format!("nothing checks the field {key}")),
        }
    }

    fn list(&self, name: &str) -> Checked<&'a [Value]> {
        let list = self.value(name)?.as_array().map(Vec::as_slice);
        list.map_or_else(|| wrong(format!("{name} is not a list")), Ok)
    }

    fn value(&self, name: &str) -> Checked<&'a Value> {
        let Some((key, value)) = self.map.get_key_value(name) else {
            return wrong(format!("the field {name} is missing"));
        };
        self.seen.borrow_mut().insert(key);
        Ok(value)
    }
}

/// Octets from lower-case hex; `name` is for the complaint.
pub(super) fn from_hex(name: &str, text: &str) -> Checked<Vec<u8>> {
    let digit = |octet: u8| match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let octets =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect::<Option<Vec<_>>>();
    match octets {
        Some(octets) if rest.is_empty() => Ok(octets),
        _ => wrong(format!("{name} is not lower-case hex")),
    }
}

fn to_hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a String does not fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(json: &str) -> Map<String, Value> {
        serde_json::from_str(json).unwrap()
    }

    fn reason<T>(checked: Checked<T>) -> String {
        match checked {
            Err(Fault::Wrong(reason)) => reason,
            _ => panic!("should be wrong"),
        }
    }

    #[test]
    fn missing_and_mistyped_fields_are_named() {
        let map = map(r#"{"n":1.5,"t":"xyz","l":[1],"neg":-1,"o":{},"odd":"abc","up":"AB"}"#);
        let fields = Fields::new(&map);
        assert!(reason(fields.text("gone")).contains("gone is missing"));
        assert!(reason(fields.text("n")).contains("n is not a text"));
        assert!(reason(fields.octets("t")).contains("t is not lower-case hex"));
        assert!(reason(fields.octets("odd")).contains("odd is not lower-case hex"));
        assert!(reason(fields.octets("up")).contains("up is not lower-case hex"));
        assert!(reason(fields.base64("t")).contains("t is not base64"));
        assert!(reason(fields.number("n", 9)).contains("n is not a whole number"));
        assert!(reason(fields.number("neg", 9)).contains("neg is not a whole number"));
        assert!(reason(fields.flag("t")).contains("t is neither"));
        assert!(reason(fields.texts("t")).contains("t is not a list"));
        assert!(reason(fields.texts("l")).contains("l holds"));
        assert!(reason(fields.objects("l")).contains("l holds"));
        assert!(reason(fields.object("l")).contains("l is not an object"));
        assert!(reason(fields.nullable("gone", Fields::text)).contains("gone is missing"));
    }

    #[test]
    fn numbers_are_bounded() {
        let map = map(r#"{"below":9,"at":10,"above":11}"#);
        let fields = Fields::new(&map);
        assert_eq!(fields.number("below", 10).unwrap(), 9);
        assert_eq!(fields.number("at", 10).unwrap(), 10);
        assert_eq!(reason(fields.number("above", 10)), "above is 11, the limit is 10");
    }

    #[test]
    fn a_field_without_a_look_fails() {
        let map = map(r#"{"a":"00","b":"note","c":{"x":1}}"#);
        let fields = Fields::new(&map);
        fields.expect("a", &[0]).unwrap();
        assert!(reason(fields.finish()).contains("the field b"));
        // An object is no description: what it holds would go unchecked.
        fields.describe(&["b", "c", "absent"]);
        assert!(reason(fields.finish()).contains("the field c"));
    }

    #[test]
    fn expected_values_are_compared() {
        let map = map(r#"{"hex":"0aff","b64":"Cv8=","text":"x"}"#);
        let fields = Fields::new(&map);
        fields.expect("hex", &[0x0a, 0xff]).unwrap();
        fields.expect_base64("b64", &[0x0a, 0xff]).unwrap();
        fields.expect_text("text", "x").unwrap();
        assert_eq!(reason(fields.expect("hex", &[0x0b])), "hex differs: computed 0b, the file has 0aff");
        assert!(reason(fields.expect_base64("b64", &[])).starts_with("b64 differs"));
        assert!(reason(fields.expect_text("text", "y")).starts_with("text differs"));
    }
}
