//! CPace: the draft's strings, points and exchanges, and our SASL examples.

use sha2::{Digest, Sha512};

use super::example::{Example, Given, run};
use super::fields::{Checked, Fault, Fields, same, wrong};
use crate::cpace::strings::{generator_string, lv_cat, o_cat, prepend_len, transcript_ir, transcript_oc};
use crate::cpace::{
    CpaceClient, CpaceServer, Initiator, Inputs, Responder, SHARE_LEN, Suite, TAG_LEN, isk, isk_label,
    mac_key, rules, session_identifier, session_key, sid_output,
};
use crate::error::{Error, Rule};
use crate::registry::Credential;
use crate::secret::Password;

/// The scalar of the draft's X25519 point cases; the cases do not repeat it.
const POINT_SCALAR: [u8; 32] = [
    0xaf, 0x46, 0xe3, 0x6b, 0xf0, 0x52, 0x7c, 0x9d, 0x3b, 0x16, 0x15, 0x4b, 0x82, 0x46, 0x5e, 0xdd, 0x62,
    0x14, 0x4c, 0x0a, 0xc1, 0xfc, 0x5a, 0x18, 0x50, 0x6a, 0x22, 0x44, 0xba, 0x44, 0x9a, 0xff,
];

/// The suites of the draft that we do not have.
const OTHER_SUITES: [&str; 5] = [
    "CPACE-X448-SHAKE256",
    "CPACE-DECAF448-SHAKE256",
    "CPACE-P256_XMD:SHA-256_SSWU_NU_-SHA256",
    "CPACE-P384_XMD:SHA-384_SSWU_NU_-SHA384",
    "CPACE-P521_XMD:SHA-512_SSWU_NU_-SHA512",
];

/// What the draft calls the groups of those suites, where points come without a suite.
const OTHER_GROUPS: [&str; 4] = ["X448", "decaf448", "P-384", "P-521"];

/// Points on P-256 as SEC1 has them, uncompressed: their length and first octet in hex, and the point at infinity.
const P256_POINT: (usize, &str, &str) = (130, "04", "00");

const NOT_OURS: Fault = Fault::Unsupported("this build does not implement the suite");

const S_IN_BYTES: usize = 128;

pub(super) fn check(case: &Fields<'_>) -> Checked {
    if OTHER_GROUPS.iter().any(|group| case.has(group)) {
        Err(NOT_OURS)
    } else if case.has("expr") {
        string(case)
    } else if case.has("mechanism") {
        sasl(case)
    } else if case.has("u") {
        x25519_point(case)
    } else if case.has("X") {
        ristretto255_point(case)
    } else {
        protocol(case)
    }
}

/// `prepend_len(b'1234')` and the like.
fn string(case: &Fields<'_>) -> Checked {
    let expr = case.text("expr")?;
    let Some((function, arguments)) = call(expr) else {
        return wrong(format!("cannot read the expression {expr}"));
    };
    let arguments = arguments.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let result = match (function, &arguments[..]) {
        ("prepend_len", [octets]) => prepend_len(octets),
        ("lv_cat", items) => lv_cat(items),
        ("o_cat", [x, y]) => o_cat(x, y),
        ("transcript_ir", [ya, ada, yb, adb]) => transcript_ir(ya, ada, yb, adb),
        ("transcript_oc", [ya, ada, yb, adb]) => transcript_oc(ya, ada, yb, adb),
        _ => return wrong(format!("no such function: {function} of {}", arguments.len())),
    };
    case.expect("result", &result)
}

/// Function and arguments of `f(b'..',b'..')` or `f(bytes(range(n)))`.
fn call(expr: &str) -> Option<(&str, Vec<Vec<u8>>)> {
    let (function, rest) = expr.strip_suffix(')')?.split_once('(')?;
    if let Some(range) = rest.strip_prefix("bytes(range(") {
        let end = range.strip_suffix("))")?.parse::<u8>().ok()?;
        return Some((function, vec![(0..end).collect()]));
    }
    let literal = |text: &str| Some(text.strip_prefix("b'")?.strip_suffix('\'')?.into());
    Some((function, rest.split(',').map(literal).collect::<Option<_>>()?))
}

fn x25519_point(case: &Fields<'_>) -> Checked {
    case.describe(&["id"]);
    let share = case.array("u")?;
    let result = Suite::X25519Sha512.scalar_mult_vfy(&POINT_SCALAR, &share);
    both_sides(Suite::X25519Sha512, &POINT_SCALAR, &share, result.as_ref().err())?;
    match (result, case.flag("must_abort")?) {
        (Ok(k), false) => case.expect("result", &*k),
        (Err(error), true) if error.is(&rules::NEUTRAL_ELEMENT) => case.expect("result", &[0; 32]),
        (Ok(_), true) => wrong("the point was accepted"),
        (Err(error), _) => Err(error.into()),
    }
}

fn ristretto255_point(case: &Fields<'_>) -> Checked {
    let (len, first, infinity) = P256_POINT;
    let point = case.text("X")?;
    if point == infinity || point.len() == len && point.starts_with(first) {
        return Err(NOT_OURS);
    }
    let scalar = case.optional("s", Fields::array)?.unwrap_or(POINT_SCALAR);
    let share = case.array("X")?;
    let result = Suite::Ristretto255Sha512.scalar_mult_vfy(&scalar, &share);
    both_sides(Suite::Ristretto255Sha512, &scalar, &share, result.as_ref().err())?;
    match (result, case.flag("must_abort")?) {
        (Ok(k), false) => case.expect("result_scalar_mult_vfy", &*k),
        (Err(error), true) if error.is(&rules::BAD_SHARE) => case.expect_text("reason", "does not decode"),
        (Err(error), true) => {
            same_rule(&error, &rules::NEUTRAL_ELEMENT)?;
            case.expect_text("reason", "neutral element encoding")
        }
        (Ok(_), true) => wrong("the point was accepted"),
        (Err(error), false) => Err(error.into()),
    }
}

/// A peer's share that `scalar_mult_vfy` refuses must end the exchange for the same reason in either role, and one that it
/// takes must not end it before the tags are compared.
fn both_sides(suite: Suite, scalar: &[u8; 32], share: &[u8; SHARE_LEN], refused: Option<&Error>) -> Checked {
    let inputs = Inputs { prs: b"any", ci: b"", sid: b"any" };
    let initiator = Initiator::start(suite, inputs, b"", &mut Given::new(&[scalar]))?;
    let finished = initiator.finish(share, b"", &[0; TAG_LEN]).err();
    let responder = Responder::new(suite, &mut Given::new(&[scalar]));
    let responded = responder.respond(inputs, share, b"", b"").err();
    for (role, ended, due) in [
        ("initiator", finished, Some(refused.map_or(&rules::WRONG_CONFIRMATION, Error::rule))),
        ("responder", responded, refused.map(Error::rule)),
    ] {
        if ended.as_ref().map(|error| error.rule().id) != due.map(|rule| rule.id) {
            return wrong(format!("the {role} ends with {ended:?}"));
        }
    }
    Ok(())
}

fn same_rule(error: &Error, rule: &Rule) -> Checked {
    if error.is(rule) { Ok(()) } else { Err(Fault::from(error.clone())) }
}

fn suite(case: &Fields<'_>) -> Checked<Suite> {
    let name = case.text("suite")?;
    match Suite::ALL.into_iter().find(|suite| suite.name() == name) {
        Some(suite) => Ok(suite),
        None if OTHER_SUITES.contains(&name) => Err(NOT_OURS),
        None => wrong(format!("the draft has no suite {name}")),
    }
}

/// An exchange of the draft, both sides and both forms of transcript.
fn protocol(case: &Fields<'_>) -> Checked {
    let suite = suite(case)?;
    let (prs, ci, sid) = (case.octets("PRS")?, case.octets("CI")?, case.octets("sid")?);
    let (ada, adb) = (case.octets("ADa")?, case.octets("ADb")?);
    let (secret_a, secret_b) = (case.array("ya")?, case.array("yb")?);
    case.expect("DSI", suite.dsi())?;
    case.expect_text("DSI_ascii", &String::from_utf8_lossy(suite.dsi()))?;
    if case.number("hash_s_in_bytes", 255)? != S_IN_BYTES as u64 {
        return wrong("hash_s_in_bytes is not that of SHA-512");
    }
    let string = generator_string(suite.dsi(), &prs, &ci, &sid, S_IN_BYTES);
    case.expect("generator_string", &string)?;
    let zeros = lv_cat(&[suite.dsi(), &prs]).len() + 1 + case.number("zpad_len", 255)? as usize;
    if zeros != S_IN_BYTES {
        return wrong("zpad_len does not fill the block");
    }
    let hash = case.octets("generator_hash")?;
    let computed = Sha512::digest(&string);
    same("generator_hash", &computed[..hash.len().clamp(32, 64)], &hash)?;
    let generator = suite.generator(&prs, &ci, &sid);
    case.expect("g", &generator.to_bytes())?;
    let (ya, yb) = (generator.share(&secret_a), generator.share(&secret_b));
    case.expect("Ya", &ya)?;
    case.expect("Yb", &yb)?;
    let k = suite.scalar_mult_vfy(&secret_a, &yb)?;
    case.expect("K", &*k)?;
    case.expect("K", &*suite.scalar_mult_vfy(&secret_b, &ya)?)?;
    for (form, isk_name, transcript) in [
        ("ir", "ISK_IR", transcript_ir(&ya, &ada, &yb, &adb)),
        ("oc", "ISK_SY", transcript_oc(&ya, &ada, &yb, &adb)),
        ("oc", "ISK_SY", transcript_oc(&yb, &adb, &ya, &ada)),
    ] {
        case.expect(&format!("transcript_{form}"), &transcript)?;
        case.expect(&format!("sid_output_{form}"), &sid_output(&transcript))?;
        let label = isk_label(suite, &sid, &*k);
        case.expect(&format!("ISK_input_{form}"), &[&label, &transcript[..]].concat())?;
        case.expect(isk_name, &*isk(suite, &sid, &*k, &transcript))?;
    }
    let isk = case.array("ISK_IR")?;
    case.expect("mac_key_ir_computed", &*mac_key(&sid, &isk))?;
    let inputs = Inputs { prs: &prs, ci: &ci, sid: &sid };
    exchange(suite, inputs, (secret_a, &ya, &ada), (secret_b, &yb, &adb), session_key(&isk).expose())
}

/// The same through the two state machines.
fn exchange(
    suite: Suite,
    inputs: Inputs<'_>,
    (secret_a, ya, ada): ([u8; 32], &[u8], &[u8]),
    (secret_b, yb, adb): ([u8; 32], &[u8], &[u8]),
    key: &[u8],
) -> Checked {
    let initiator = Initiator::start(suite, inputs, ada, &mut Given::new(&[&secret_a]))?;
    let share = *initiator.share();
    same("the initiator's share", &share, ya)?;
    let responder = Responder::new(suite, &mut Given::new(&[&secret_b]));
    let (waiting, share, tb) = responder.respond(inputs, &share, ada, adb)?;
    same("the responder's share", &share, yb)?;
    let (initiator, ta) = initiator.finish(&share, adb, &tb)?;
    let responder = waiting.finish(&ta)?;
    same("the initiator's key", initiator.key().expose(), key)?;
    same("the responder's key", responder.key().expose(), key)
}

/// A SASL exchange with everything that happens inside.
fn sasl(case: &Fields<'_>) -> Checked {
    for (name, octets) in compute(case)? {
        case.expect(name, &octets)?;
    }
    Ok(())
}

/// Every value, in the order in which it comes up.
fn compute(case: &Fields<'_>) -> Checked<Vec<(&'static str, Vec<u8>)>> {
    let example = Example::read(case)?;
    let suite = Suite::of(&example.mechanism)?;
    let (client_scalar, server_scalar) = (case.array("client_scalar")?, case.array("server_scalar")?);
    let prs = example.prepared_password()?;
    let record = Credential::Password(Password::new(String::from_utf8_lossy(prs.expose())));
    let mut client = CpaceClient::new(suite, example.client(), &mut Given::new(&[&client_scalar]))?;
    let mut server = CpaceServer::new(suite, example.server(record), &mut Given::new(&[&server_scalar]))?;
    let (messages, key) = run(&mut client, &mut server)?;
    let [client_share, server_share, client_confirm] = &messages[..] else {
        return wrong("there are not three messages");
    };

    let (ci, sid) = (example.channel_identifier(), session_identifier(&example.binding));
    let generator = suite.generator(prs.expose(), &ci, &sid);
    let (ada, ya) = split(client_share, client_share.len().saturating_sub(SHARE_LEN))?;
    let (adb, rest) = split(server_share, 2)?;
    let (yb, tb) = split(rest, SHARE_LEN)?;
    let (_, ta) = split(client_confirm, 2)?;
    let k = suite.scalar_mult_vfy(&server_scalar, &generator.share(&client_scalar))?;
    let transcript = transcript_ir(ya, ada, yb, adb);
    let isk = isk(suite, &sid, &*k, &transcript);
    Ok(vec![
        ("context_digest", example.context.digest().to_vec()),
        ("CI", ci.clone()),
        ("sid", sid.to_vec()),
        ("PRS", prs.expose().to_vec()),
        ("generator_string", generator_string(suite.dsi(), prs.expose(), &ci, &sid, S_IN_BYTES).to_vec()),
        ("generator", generator.to_bytes().to_vec()),
        ("ADa", ada.to_vec()),
        ("Ya", ya.to_vec()),
        ("client_share", client_share.clone()),
        ("ADb", adb.to_vec()),
        ("Yb", yb.to_vec()),
        ("K", k.to_vec()),
        ("transcript", transcript.clone()),
        ("ISK", isk.to_vec()),
        ("mac_key", mac_key(&sid, &isk).to_vec()),
        ("Tb", tb.to_vec()),
        ("server_share", server_share.clone()),
        ("Ta", ta.to_vec()),
        ("client_confirm", client_confirm.clone()),
        ("session_key", key),
    ])
}

fn split(octets: &[u8], at: usize) -> Checked<(&[u8], &[u8])> {
    octets.split_at_checked(at).map_or_else(|| wrong("a message is too short"), Ok)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::example::document::{Place, hex, inputs};
    use super::*;

    const PLACE: Place = Place {
        file: "vectors/cpace_sasl.json",
        document: "docs/sasl-pake.md",
        begin: "<!-- examples of CPace: written by a test, do not edit -->\n",
        end: "<!-- end of the examples of CPace -->\n",
    };

    #[test]
    fn the_document_shows_the_vectors() {
        PLACE.check();
    }

    #[test]
    #[ignore = "writes vectors/cpace_sasl.json and the examples in docs/sasl-pake.md"]
    fn regenerate() {
        let cases = cases().map(completed);
        PLACE.write(&cases, "tests/peers/cpace_peer.py, an independent implementation of docs/sasl-pake.md");
    }

    fn cases() -> [Value; 2] {
        let scalar =
            |from: u8| hex(&(0..32).map(|i| if i == 31 { 0x0f } else { from + i }).collect::<Vec<_>>());
        let scalars = |client, server| [("client_scalar", scalar(client)), ("server_scalar", scalar(server))];
        let mut session = inputs("end to end on ristretto255", "CPACE-R255-PLUS", &scalars(0x10, 0x80));
        session["mechanisms"] = json!(["CPACE-R255-PLUS", "CPACE-X25519-PLUS"]);
        let mut login = inputs("login on X25519", "CPACE-X25519-PLUS", &scalars(0x20, 0xa0));
        for (name, value) in [
            ("password", json!("kr\u{e4}ftig genug")),
            ("authcid", json!("alice")),
            ("authzid", json!("alice")),
            ("initiator", json!("")),
            ("responder", json!("")),
            ("mechanisms", json!(["CPACE-X25519-PLUS"])),
            ("binding_types", json!([])),
            ("offers", json!([])),
            ("cb_data", json!(hex(&(0..32).collect::<Vec<_>>()))),
        ] {
            login[name] = value;
        }
        [session, login]
    }

    fn completed(mut case: Value) -> Value {
        let map = case.as_object_mut().unwrap();
        let computed = compute(&Fields::new(map)).unwrap();
        map.extend(computed.into_iter().map(|(name, octets)| (name.to_owned(), json!(hex(&octets)))));
        case
    }
}
