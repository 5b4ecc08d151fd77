//! SASLprep (RFC 4013) and the OpaqueString profile (RFC 8265 section 4).

use zeroize::Zeroizing;

use super::fields::{Checked, Fields, wrong};
use crate::error::Result;
use crate::prep::{self, StringUse};

pub(super) fn saslprep(case: &Fields<'_>) -> Checked {
    case.describe(&["rfc4013_section3"]);
    let string_use = match case.text("mode")? {
        "stored (unassigned prohibited)" => StringUse::Stored,
        "query (unassigned allowed)" => StringUse::Query,
        other => return wrong(format!("mode is not known: {other}")),
    };
    check(case, |input| prep::saslprep(input, string_use))
}

pub(super) fn opaque_string(case: &Fields<'_>) -> Checked {
    case.describe(&["rfc8265_section4_3"]);
    check(case, prep::opaque_string)
}

fn check(case: &Fields<'_>, profile: impl Fn(&str) -> Result<Zeroizing<String>>) -> Checked {
    let Ok(input) = String::from_utf8(case.octets("input_utf8")?) else {
        return wrong("input_utf8 is not UTF-8");
    };
    let refused = case.flag("error")?;
    match (profile(&input), case.nullable("output_utf8", Fields::octets)?) {
        (Ok(_), _) if refused => wrong("error is true, but the profile takes the input"),
        (Ok(output), Some(_)) => case.expect("output_utf8", output.as_bytes()),
        (Err(_), None) if refused => Ok(()),
        (Err(error), _) if !refused => Err(error.into()),
        _ => wrong("output_utf8 does not go with error"),
    }
}
