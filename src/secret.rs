//! Secret types: no `Debug` of contents, no `==`, wiped on drop; comparison in constant time only.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A password as the user typed it, not yet prepared (SASLprep, OpaqueString).
///
/// # Security
/// Wiped on drop. `Debug` shows only that there is one. The one way to the text is [`Password::expose`].
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Password(String);

impl Password {
    /// Takes over the text; the given allocation itself is kept and wiped later.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text. Name what you do with it: whoever calls this holds the secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing was typed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Zeroizing<String>> for Password {
    fn from(mut text: Zeroizing<String>) -> Self {
        Self(std::mem::take(&mut *text))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}

/// Secret octets of any length: derived keys, stored keys, seeds.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes over the octets.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The octets.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in octets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no octets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&[u8]> for SecretBytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl ConstantTimeEq for SecretBytes {
    fn ct_eq(&self, other: &Self) -> subtle::Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} octets, redacted)", self.0.len())
    }
}

/// The key that a mechanism agreed on with the peer, after key confirmation.
///
/// # Security
/// Feed it to a KDF with a label of your own; never use it directly for two purposes.
#[derive(Clone, Debug, Zeroize, ZeroizeOnDrop)]
pub struct SessionKey(SecretBytes);

impl SessionKey {
    #[allow(dead_code, reason = "only the mechanisms that agree on a key make one")]
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(SecretBytes::new(bytes))
    }

    /// The octets of the key; length by mechanism, at least 32.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

/// Evidence that the peer's proof was checked: the only way to an
/// [`Outcome`](crate::mechanism::Outcome) leads through one of these.
///
/// It is made by [`verify`] alone, so a forgotten comparison is a missing argument and does not compile.
#[derive(Debug)]
pub struct ProofVerified(());

/// Compares the proof we computed with the one received, in constant time.
///
/// Lengths are public: different lengths fail at once. An empty proof proves nothing and fails.
#[must_use]
#[allow(dead_code, reason = "unused when no mechanism is compiled in")]
pub(crate) fn verify(expected: &[u8], received: &[u8]) -> Option<ProofVerified> {
    (!expected.is_empty() && bool::from(expected.ct_eq(received))).then_some(ProofVerified(()))
}

/// For a proof that a library compares itself, in constant time: evidence comes only with its `Ok`.
#[allow(dead_code, reason = "used by the mechanisms that stand on a library")]
pub(crate) fn verified_by<T, E>(comparison: Result<T, E>) -> Result<(T, ProofVerified), E> {
    comparison.map(|value| (value, ProofVerified(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", Password::new("hunter2")), "Password(redacted)");
        assert_eq!(format!("{:?}", SecretBytes::new(vec![1, 2])), "SecretBytes(2 octets, redacted)");
        assert!(!format!("{:?}", SessionKey::new(vec![77; 32])).contains("77"));
    }

    #[test]
    fn verify_needs_equal_and_non_empty() {
        assert!(verify(b"abc", b"abc").is_some());
        assert!(verify(b"abc", b"abd").is_none());
        assert!(verify(b"abc", b"ab").is_none());
        assert!(verify(b"", b"").is_none());
    }
}
