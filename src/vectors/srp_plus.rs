//! SRP-SHA-256-PLUS and SRP-SHA-512-PLUS: the examples of `docs/sasl-pake.md`.

use super::example::{Example, run};
use super::fields::{Checked, Fields, same, wrong};
use crate::ksf::Ksf;
use crate::registry::Credential;
use crate::srp::plus::{
    ClientReady, ExpectClientFirst, SrpPlusClient, SrpPlusServer, Suite, session_key, transcript,
};
use crate::srp::trace::{Inputs, exponent};
use crate::srp::{Dialect, Group, Legacy, Parameters, Prehash};

/// A SASL exchange with everything that happens inside.
pub(super) fn check(case: &Fields<'_>) -> Checked {
    for (name, octets) in computed(case)? {
        case.expect(name, &octets)?;
    }
    Ok(())
}

/// Every value, in the order in which it comes up.
fn computed(case: &Fields<'_>) -> Checked<Vec<(&'static str, Vec<u8>)>> {
    let example = Example::read(case)?;
    let suite = Suite::of(&example.mechanism)?;
    let bits = u16::from_be_bytes(case.array("group")?);
    let ksf = Ksf::from_bytes(&case.array("ksf")?)?;
    let (salt, a, b) = (case.octets("salt")?, case.octets("a")?, case.octets("b")?);
    let parameters = Parameters {
        dialect: Dialect::PLUS.with_hash(suite.hash()),
        group: Group::from_bits(bits.into(), Legacy::Refused)?,
        prehash: Prehash::Ksf(ksf),
    };
    let password = example.prepared_password()?;
    let mut inputs = Inputs {
        parameters,
        username: &example.authcid,
        password: &password,
        salt: &salt,
        a: &a,
        b: &b,
        appended: [&[], &[]],
    };
    let verifier = inputs.trace()?.verifier;

    let client = ClientReady::with(suite, exponent(&a), example.client())?;
    let server = example.server(Credential::Srp(verifier));
    let server = ExpectClientFirst::with(suite, exponent(&b), server)?;
    let mut client = SrpPlusClient::from_ready(suite, client);
    let mut server = SrpPlusServer::from_state(suite, server);
    let (messages, agreed) = run(&mut client, &mut server)?;
    let [client_first, server_first, client_second, server_second] = &messages[..] else {
        return wrong("not four messages");
    };

    let channel = example.channel_identifier();
    let tt = transcript(suite.hash(), &channel, client_first, server_first);
    inputs.appended = [&tt, &tt];
    let trace = inputs.trace()?;
    same("the S of the server", &trace.server_secret, &trace.client_secret)?;
    same("the agreed key", &agreed, session_key(suite.hash(), &trace.key, &tt).expose())?;
    Ok(vec![
        ("context_digest", example.context.digest().to_vec()),
        ("channel_identifier", channel),
        ("stretched", ksf.stretch::<32>(password.expose(), &salt)?.to_vec()),
        ("x", trace.x.to_vec()),
        ("v", trace.verifier.expose().to_vec()),
        ("k", trace.k),
        ("B", trace.b),
        ("client_first", client_first.clone()),
        ("server_first", server_first.clone()),
        ("TT", tt),
        ("A", trace.a),
        ("u", trace.u.to_vec()),
        ("S", trace.client_secret.to_vec()),
        ("K", trace.key.to_vec()),
        ("M1", trace.m1.to_vec()),
        ("client_second", client_second.clone()),
        ("M2", trace.m2.to_vec()),
        ("server_second", server_second.clone()),
        ("session_key", agreed),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::example::document::{Place, hex, inputs};
    use super::*;

    const PLACE: Place = Place {
        file: "vectors/srp_sasl.json",
        document: "docs/sasl-pake-3.part.md",
        begin: "<!-- examples of SRP: written by a test, do not edit -->\n",
        end: "<!-- end of the examples of SRP -->",
    };

    fn case(name: &str, suite: Suite, group: Group, ksf: Ksf) -> Value {
        let octets =
            |first: u8, len: usize| (0..len).map(|i| first.wrapping_add(i as u8)).collect::<Vec<_>>();
        let own = [
            ("group", hex(&(group.bits() as u16).to_be_bytes())),
            ("ksf", hex(&ksf.to_bytes())),
            ("salt", hex(&octets(0xa0, 16))),
            ("a", hex(&octets(0x10, group.exponent_len()))),
            ("b", hex(&octets(0x80, group.exponent_len()))),
        ];
        let mut case = inputs(name, suite.mechanism().as_str(), &own);
        case["mechanisms"] = json!(["SRP-SHA-256-PLUS", "SRP-SHA-512-PLUS"]);
        let map = case.as_object().unwrap().clone();
        for (name, octets) in computed(&Fields::new(&map)).unwrap_or_else(|fault| panic!("{fault:?}")) {
            case[name] = json!(hex(&octets));
        }
        case
    }

    #[test]
    fn the_document_shows_the_examples_of_the_file() {
        PLACE.check();
    }

    #[test]
    #[ignore = "writes the examples into the document and the file of vectors"]
    fn regenerate() {
        let cheap = Ksf::CHEAPEST;
        let cases = [
            case("SRP-SHA-256-PLUS, 3072 bits", Suite::Sha256, Group::Bits3072, cheap),
            case("SRP-SHA-512-PLUS, 4096 bits", Suite::Sha512, Group::Bits4096, cheap),
        ];
        PLACE.write(&cases, "both sides agree; single implementation");
    }
}
