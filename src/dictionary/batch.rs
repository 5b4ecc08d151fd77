//! Candidates on their way into a test: prepared as the mechanism prepares a password, and none that it would refuse.

use zeroize::Zeroizing;

use super::Found;
use crate::error::Result;
use crate::prep::{PASSWORD_MAX, Preparation};
use crate::secret::{Password, SecretBytes};

/// Calls `test` with the candidates as the mechanism hashes them. Printable ASCII is passed through as it stands.
pub(super) fn prepared(
    preparation: Preparation,
    candidates: &[&[u8]],
    test: impl FnOnce(&[&[u8]]) -> Result<Option<Found>>,
) -> Result<Option<Found>> {
    if candidates.iter().all(|candidate| is_plain(candidate)) {
        return test(candidates);
    }
    let kept = candidates.iter().enumerate();
    let kept = kept.filter_map(|(index, candidate)| Some((index, prepare(preparation, candidate)?)));
    let kept = kept.collect::<Vec<_>>();
    let passwords = kept.iter().map(|(_, password)| password.expose()).collect::<Vec<_>>();
    if passwords.is_empty() {
        return Ok(None);
    }
    Ok(test(&passwords)?.map(|found| {
        let index = kept[found.index()].0;
        found.moved_to(index)
    }))
}

/// Calls `test` with the candidates as they stand, but for those that have no octet or more than `most`.
pub(super) fn raw(
    most: usize,
    candidates: &[&[u8]],
    test: impl FnOnce(&[&[u8]]) -> Result<Option<Found>>,
) -> Result<Option<Found>> {
    let fits = |candidate: &[u8]| (1..=most).contains(&candidate.len());
    if candidates.iter().all(|candidate| fits(candidate)) {
        return test(candidates);
    }
    let kept = candidates.iter().enumerate().filter(|(_, candidate)| fits(candidate)).collect::<Vec<_>>();
    let passwords = kept.iter().map(|(_, candidate)| **candidate).collect::<Vec<_>>();
    Ok(test(&passwords)?.map(|found| {
        let index = kept[found.index()].0;
        found.moved_to(index)
    }))
}

/// What every preparation leaves as it is.
fn is_plain(candidate: &[u8]) -> bool {
    (1..=PASSWORD_MAX).contains(&candidate.len())
        && candidate.iter().all(|octet| matches!(octet, b' '..=b'~'))
}

fn prepare(preparation: Preparation, candidate: &[u8]) -> Option<SecretBytes> {
    if is_plain(candidate) {
        return Some(candidate.into());
    }
    let text = Zeroizing::new(std::str::from_utf8(candidate).ok()?.to_owned());
    preparation.prepare(&Password::from(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(preparation: Preparation, candidates: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        let test = |passwords: &[&[u8]]| {
            seen.extend(passwords.iter().map(|password| password.to_vec()));
            Ok(None)
        };
        prepared(preparation, candidates, test).unwrap();
        seen
    }

    #[test]
    fn candidates_are_prepared_and_refused_ones_left_out() {
        let candidates: &[&[u8]] =
            &[b"plain", "\u{2168}".as_bytes(), b"\xff", b"", b"a\x07", "a\u{ad}b".as_bytes()];
        assert_eq!(seen(Preparation::SaslPrep, candidates), [&b"plain"[..], b"IX", b"ab"]);
        assert_eq!(seen(Preparation::None, candidates).len(), 4);
    }

    #[test]
    fn plain_candidates_have_the_length_of_a_password() {
        let longest = vec![b'x'; PASSWORD_MAX];
        let above = vec![b'x'; PASSWORD_MAX + 1];
        assert!(is_plain(&longest) && !is_plain(&above) && !is_plain(b""));
        assert_eq!(seen(Preparation::SaslPrep, &[&above, &longest]), [longest]);
    }

    #[test]
    fn the_index_is_that_of_the_candidate() {
        let test = |passwords: &[&[u8]]| Ok(Found::among(passwords, b"right"));
        let candidates: &[&[u8]] = &[b"\xff", b"", b"wrong", b"right"];
        assert_eq!(prepared(Preparation::SaslPrep, candidates, test).unwrap().unwrap().index(), 3);
        assert_eq!(raw(8, candidates, test).unwrap().unwrap().index(), 3);
        assert!(raw(4, candidates, test).unwrap().is_none());
    }
}
