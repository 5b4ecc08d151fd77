//! PAKE before TLS: the examples of `docs/xtls-profile.md`, from the password to the external pre-shared key.

use super::example::Given;
use super::fields::{Checked, Fields, from_hex, same, wrong};
use crate::cpace::isk;
use crate::cpace::psk::{
    Answered, Offered, Offers, Run, SUITE, expand, extract, identity, imported_identity,
};
use crate::cpace::strings::{generator_string, transcript_ir};
use crate::prep::Preparation;
use crate::secret::Password;

const S_IN_BYTES: usize = 128;

pub(super) fn check(case: &Fields<'_>) -> Checked {
    for (name, octets) in compute(case)? {
        if name == "identity" {
            case.expect_text(name, &String::from_utf8_lossy(&octets))?;
        } else {
            case.expect(name, &octets)?;
        }
    }
    Ok(())
}

/// Every value, in the order in which it comes up.
fn compute(case: &Fields<'_>) -> Checked<Vec<(&'static str, Vec<u8>)>> {
    if case.text("suite")? != SUITE.name() {
        return wrong("the suite is another one");
    }
    let run = Run {
        initiator: case.text("initiator")?,
        responder: case.text("responder")?,
        session: case.text("session")?,
    };
    let prs = Preparation::SaslPrep.prepare(&Password::new(case.text("password")?))?;
    let (a, b) = (case.array::<32>("initiator_scalar")?, case.array::<32>("responder_scalar")?);
    let initiator = Offered::start(prs.expose(), run, &mut Given::new(&[&a]))?;
    let ya = *initiator.share();
    let responder = Answered::start(prs.expose(), run, &ya, &mut Given::new(&[&b]))?;
    let yb = *responder.share();
    let offers = [offer(case, "initiator", &ya)?, offer(case, "responder", &yb)?];
    let offers = Offers { initiator: &offers[0], responder: &offers[1] };
    let (ours, theirs) = (initiator.finish(run, offers, &yb)?, responder.finish(run, offers)?);
    same("the responder's key", theirs.key().expose(), ours.key().expose())?;
    same("the responder's identity", theirs.identity().as_bytes(), ours.identity().as_bytes())?;

    let (ci, sid) = (run.channel_identifier(), run.session_identifier());
    let generator = SUITE.generator(prs.expose(), &ci, &sid);
    let k = SUITE.scalar_mult_vfy(&b, &ya)?;
    let transcript = transcript_ir(&ya, offers.initiator, &yb, offers.responder);
    let isk = isk(SUITE, &sid, &*k, &transcript);
    let identity = identity(&sid, &transcript);
    let imported = imported_identity(&identity, &run.context_digest(offers));
    let prk = extract(&*isk);
    same("the key", ours.key().expose(), &*expand(&prk, &imported))?;
    Ok(vec![
        ("PRS", prs.expose().to_vec()),
        ("CI", ci.clone()),
        ("sid", sid.to_vec()),
        ("generator_string", generator_string(SUITE.dsi(), prs.expose(), &ci, &sid, S_IN_BYTES).to_vec()),
        ("generator", generator.to_bytes().to_vec()),
        ("Ya", ya.to_vec()),
        ("ADa", offers.initiator.to_vec()),
        ("Yb", yb.to_vec()),
        ("ADb", offers.responder.to_vec()),
        ("K", k.to_vec()),
        ("ISK", isk.to_vec()),
        ("context_digest", run.context_digest(offers).to_vec()),
        ("identity", identity.into_bytes()),
        ("PRK", prk.to_vec()),
        ("imported_identity", imported),
        ("PSK", ours.key().expose().to_vec()),
    ])
}

/// The canonical octets of a `<security/>`, put together from its parts.
fn offer(case: &Fields<'_>, side: &str, share: &[u8; 32]) -> Checked<Vec<u8>> {
    fn list(items: &[&[u8]]) -> Vec<u8> {
        let count = (items.len() as u64).to_be_bytes();
        let items = items.iter().flat_map(|item| [&(item.len() as u64).to_be_bytes(), *item].concat());
        count.into_iter().chain(items).collect()
    }
    let texts = |what: &str| case.texts(&format!("{side}_{what}"));
    let read = |text: &str| from_hex("fingerprint", text);
    let fingerprint = texts("fingerprint")?.into_iter().map(read).collect::<Checked<Vec<_>>>()?;
    let [methods, mechanisms] = [texts("methods")?, texts("mechanisms")?];
    Ok([
        list(&fingerprint.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        list(&methods.into_iter().map(str::as_bytes).collect::<Vec<_>>()),
        list(&mechanisms.into_iter().map(str::as_bytes).collect::<Vec<_>>()),
        list(&[SUITE.name().as_bytes(), share]),
    ]
    .concat())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::example::document::{Place, hex};
    use super::*;

    const PLACE: Place = Place {
        file: "vectors/pake_psk.json",
        document: "docs/xtls-profile.md",
        begin: "<!-- examples of PAKE before TLS: written by a test, do not edit -->\n",
        end: "<!-- end of the examples of PAKE before TLS -->\n",
    };

    #[test]
    fn the_document_shows_the_vectors() {
        PLACE.check();
    }

    #[test]
    #[ignore = "writes vectors/pake_psk.json and the examples in docs/xtls-profile.md"]
    fn regenerate() {
        let cases = cases().map(completed);
        PLACE.write(
            &cases,
            "tests/peers/pake_psk_peer.py, an independent implementation of docs/xtls-profile.md",
        );
    }

    fn cases() -> [Value; 2] {
        let scalar =
            |from: u8| hex(&(0..32).map(|i| if i == 31 { 0x0f } else { from + i }).collect::<Vec<_>>());
        let alone = json!({
            "name": "the PAKE alone",
            "suite": "CPACE-RISTR255-SHA512",
            "password": "correct horse battery staple",
            "initiator": "alice@wonderland.example/phone",
            "responder": "bob@home.example/laptop",
            "session": "6b3f0c5a9d2e4817a0b1c2d3e4f50617",
            "initiator_fingerprint": [],
            "initiator_methods": ["urn:countersign:e2e:0#cpace-psk"],
            "initiator_mechanisms": [],
            "responder_fingerprint": [],
            "responder_methods": ["urn:countersign:e2e:0#cpace-psk"],
            "responder_mechanisms": [],
            "initiator_scalar": scalar(0x10),
            "responder_scalar": scalar(0x80),
        });
        let mut beside = alone.clone();
        for (name, value) in [
            ("name", json!("the PAKE first, certificates and SRP after it")),
            ("password", json!("kr\u{e4}ftig genug")),
            ("session", json!("k3Zp9QeXw1")),
            ("initiator_fingerprint", json!([hex(&[0xfa; 32])])),
            ("initiator_methods", json!(["urn:countersign:e2e:0#cpace-psk", "x509", "srp"])),
            ("initiator_mechanisms", json!(["CPACE-R255-PLUS", "SPAKE2P-ED25519-PLUS"])),
            ("initiator_scalar", json!(scalar(0x20))),
            ("responder_scalar", json!(scalar(0xa0))),
        ] {
            beside[name] = value;
        }
        [alone, beside]
    }

    fn completed(mut case: Value) -> Value {
        let map = case.as_object_mut().unwrap();
        let computed = compute(&Fields::new(map)).unwrap();
        map.extend(computed.into_iter().map(|(name, octets)| {
            let text = if name == "identity" { String::from_utf8(octets).unwrap() } else { hex(&octets) };
            (name.to_owned(), json!(text))
        }));
        case
    }

    /// The example as the document writes it in XML has the octets that the vectors have.
    #[cfg(feature = "xmpp")]
    #[test]
    fn the_elements_of_the_document_are_those_of_the_vectors() {
        use crate::xmpp::jingle::{Jingle, Method};

        let root = env!("CARGO_MANIFEST_DIR");
        let document = std::fs::read_to_string(format!("{root}/docs/xtls-profile.md")).unwrap();
        let file = std::fs::read_to_string(format!("{root}/vectors/pake_psk.json")).unwrap();
        let case = serde_json::from_str::<Value>(&file).unwrap()["cases"][0].clone();
        for (action, octets) in [("session-initiate", "ADa"), ("session-accept", "ADb")] {
            let (_, rest) =
                document.split_once(&format!("<jingle xmlns='urn:xmpp:jingle:1' action='{action}'")).unwrap();
            let (inner, _) = rest.split_once("</jingle>").unwrap();
            let text = format!("<jingle xmlns='urn:xmpp:jingle:1' action='{action}'{inner}</jingle>");
            let jingle = Jingle::from_element(&text.parse().unwrap()).unwrap();
            assert_eq!(jingle.sid, case["session"].as_str().unwrap());
            let security = jingle.into_offer().unwrap().security;
            assert!(security.has_method(Method::CpacePsk));
            assert_eq!(hex(&security.canonical()), case[octets].as_str().unwrap(), "{action}");
        }
    }
}
