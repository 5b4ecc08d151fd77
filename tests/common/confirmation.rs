//! What is broken at the end that finds in a mechanism's proof that the two have not seen the same.

use countersign::error::Rule;
use countersign::{cpace, opaque, scram, spake2plus, srp};

/// At the client, but for SRP, whose server finds it out.
pub(crate) fn rule(mechanism: &str) -> &'static Rule {
    match mechanism {
        name if name.starts_with("CPACE-") => &cpace::rules::WRONG_CONFIRMATION,
        name if name.starts_with("SPAKE2P") => &spake2plus::rules::WRONG_CONFIRMATION,
        name if name.starts_with("OPAQUE-") => &opaque::rules::WRONG_CONFIRMATION,
        name if name.starts_with("SCRAM-") => &scram::rules::CONTEXT_MISMATCH,
        name if is_found_by_server(name) => &srp::rules::WRONG_CLIENT_PROOF,
        other => panic!("{other} has no row here"),
    }
}

pub(crate) fn is_found_by_server(mechanism: &str) -> bool {
    mechanism.starts_with("SRP-")
}
