//! What several test files share.

/// Whether a test against a foreign program can run. Where the program is absent the skip is loud, and with
/// `COUNTERSIGN_REQUIRE_PEERS=1` it is a failure.
pub(crate) fn peer_or_skip(name: &str, available: bool) -> bool {
    if !available {
        let required = std::env::var_os("COUNTERSIGN_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "{name} is required and not there");
        eprintln!("SKIPPED: {name} is not there; set COUNTERSIGN_REQUIRE_PEERS=1 to make this a failure");
    }
    available
}
