//! Octets in the stream of a tunnel (`docs/xtls-profile.md` section 9): an element says how many follow, and they follow as
//! they are. TLS is there already, so base64 would only cost time.

use minidom::Element;

use crate::error::{Error, Result};
use crate::xmpp::ns;
use crate::xmpp::xml::Reader;

use super::rules;

/// Most octets that one element announces when we send.
pub const OCTETS_SENT: usize = 16 * 1024;

/// Most octets that one element may announce. They are passed on as they come, so this bounds no memory.
pub const OCTETS_MAX: usize = 1024 * 1024;

/// The element that announces so many octets, at least one.
pub(super) fn announcement(length: usize) -> Vec<u8> {
    format!("<octets xmlns='{}' length='{length}'/>", ns::E2E).into_bytes()
}

/// The element and what it announces, in one piece: few octets share its record.
pub(super) fn announced(octets: &[u8]) -> Vec<u8> {
    let mut all = announcement(octets.len());
    all.extend_from_slice(octets);
    all
}

/// How many octets follow this element; `None` when it is another one.
///
/// # Errors
/// [`rules::BAD_OCTETS`], [`rules::TOO_MANY_OCTETS`].
pub(super) fn follow(element: &Element) -> Result<Option<usize>> {
    if !element.is("octets", ns::E2E) {
        return Ok(None);
    }
    let octets = Reader::new(element, "octets", ns::E2E, &rules::BAD_OCTETS)?;
    octets.only_attributes(&["length"])?;
    octets.no_children()?;
    octets.no_text()?;
    match octets.parsed::<u64>("length")? {
        0 => Err(octets.broken("length")),
        length => match usize::try_from(length) {
            Ok(length) if length <= OCTETS_MAX => Ok(Some(length)),
            _ => Err(Error::exceeds(&rules::TOO_MANY_OCTETS, length, OCTETS_MAX as u64)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Option<usize>> {
        follow(&text.parse().unwrap())
    }

    fn of_length(length: &str) -> Result<Option<usize>> {
        parsed(&format!("<octets xmlns='urn:countersign:e2e:0' length='{length}'/>"))
    }

    #[test]
    fn both_ways() {
        let all = announced(b"abc<>");
        let (element, octets) = all.split_at(all.len() - 5);
        assert_eq!(octets, b"abc<>");
        assert_eq!(parsed(std::str::from_utf8(element).unwrap()).unwrap(), Some(5));
        assert_eq!(parsed("<message xmlns='jabber:client'/>").unwrap(), None);
        assert_eq!(parsed("<octets xmlns='jabber:client' length='1'/>").unwrap(), None);
    }

    #[test]
    fn the_length_is_limited_exactly() {
        assert_eq!(of_length("1").unwrap(), Some(1));
        assert_eq!(of_length(&OCTETS_MAX.to_string()).unwrap(), Some(OCTETS_MAX));
        let error = of_length(&(OCTETS_MAX + 1).to_string()).unwrap_err();
        assert!(error.is(&rules::TOO_MANY_OCTETS));
        assert_eq!(error.numbers(), Some((OCTETS_MAX as u64 + 1, OCTETS_MAX as u64)));
        assert!(of_length(&u64::MAX.to_string()).unwrap_err().is(&rules::TOO_MANY_OCTETS));
        const { assert!(OCTETS_SENT <= OCTETS_MAX) };
    }

    #[test]
    fn malformed_elements_are_refused() {
        for length in ["0", "", "-1", "1x", "18446744073709551616"] {
            assert!(of_length(length).unwrap_err().is(&rules::BAD_OCTETS), "{length}");
        }
        for inside in [
            "<octets xmlns='urn:countersign:e2e:0'/>",
            "<octets xmlns='urn:countersign:e2e:0' length='1' x=''/>",
            "<octets xmlns='urn:countersign:e2e:0' length='1'>x</octets>",
            "<octets xmlns='urn:countersign:e2e:0' length='1'><x/></octets>",
        ] {
            assert!(parsed(inside).unwrap_err().is(&rules::BAD_OCTETS), "{inside}");
        }
    }
}
