//! The published vectors, on both sides.

use serde_json::Value;

use super::protocol::{Secret, isk, mac_key, sid_output};
use super::strings::{generator_string, lv_cat, o_cat, prepend_len, transcript_ir, transcript_oc};
use super::*;

fn cases(json: &str) -> Value {
    serde_json::from_str::<Value>(json).unwrap()["cases"].take()
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn array(value: &Value) -> [u8; 32] {
    hex(value).try_into().unwrap()
}

fn check_protocol(suite: Suite, v: &Value) {
    let [prs, ci, sid, ada, adb] = ["PRS", "CI", "sid", "ADa", "ADb"].map(|name| hex(&v[name]));
    let [ya, yb] = ["Ya", "Yb"].map(|name| array(&v[name]));
    assert_eq!(v["suite"], suite.name());
    assert_eq!(hex(&v["DSI"]), suite.dsi());
    assert_eq!(*generator_string(suite.dsi(), &prs, &ci, &sid, 128), hex(&v["generator_string"]));
    let [secret_a, secret_b] = ["ya", "yb"].map(|name| array(&v[name]));
    let generator = suite.generator(&prs, &ci, &sid);
    assert_eq!((generator.share(&secret_a), generator.share(&secret_b)), (ya, yb));
    for (secret, share) in [(&secret_a, &yb), (&secret_b, &ya)] {
        let k = suite.scalar_mult_vfy(secret, share).unwrap();
        assert_eq!(*k, array(&v["K"]));
        for (transcript, isk_name, sid_name, transcript_name) in [
            (transcript_ir(&ya, &ada, &yb, &adb), "ISK_IR", "sid_output_ir", "transcript_ir"),
            (transcript_oc(&ya, &ada, &yb, &adb), "ISK_SY", "sid_output_oc", "transcript_oc"),
            (transcript_oc(&yb, &adb, &ya, &ada), "ISK_SY", "sid_output_oc", "transcript_oc"),
        ] {
            assert_eq!(transcript, hex(&v[transcript_name]));
            assert_eq!(isk(suite, &sid, &*k, &transcript).to_vec(), hex(&v[isk_name]));
            assert_eq!(sid_output(&transcript).to_vec(), hex(&v[sid_name]));
        }
    }
    let key = hex(&v["ISK_IR"]).try_into().unwrap();
    assert_eq!(mac_key(&sid, &key).to_vec(), hex(&v["mac_key_ir_computed"]));

    // The whole exchange, each side in its state machine.
    let inputs = Inputs { prs: &prs, ci: &ci, sid: &sid };
    let initiator = Initiator::with(Secret::from_vector(suite, secret_a), inputs, &ada).unwrap();
    assert_eq!(*initiator.share(), ya);
    let responder = Responder::with(Secret::from_vector(suite, secret_b));
    let (waiting, share, tb) = responder.respond(inputs, &ya, &ada, &adb).unwrap();
    assert_eq!(share, yb);
    let (initiator, ta) = initiator.finish(&share, &adb, &tb).unwrap();
    let responder = waiting.finish(&ta).unwrap();
    let expected = protocol::session_key(&key);
    assert_eq!(initiator.key().expose(), expected.expose());
    assert_eq!(responder.key().expose(), expected.expose());
    assert_eq!(initiator.sid_output(), None);
}

#[test]
fn x25519_vectors_hold_on_both_sides() {
    let cases = cases(include_str!("../../vectors/cpace_x25519_sha512.json"));
    for v in cases["protocol"].as_array().unwrap() {
        check_protocol(Suite::X25519Sha512, v);
        let hash = std::array::from_fn(|i| hex(&v["generator_hash"])[i]);
        assert_eq!(elligator::map_to_curve(&hash), array(&v["g"]));
    }
}

#[test]
fn ristretto255_vectors_hold_on_both_sides() {
    let cases = cases(include_str!("../../vectors/cpace_ristretto255_sha512.json"));
    for v in cases["protocol"].as_array().unwrap() {
        check_protocol(Suite::Ristretto255Sha512, v);
        let generator = Suite::Ristretto255Sha512.generator(&hex(&v["PRS"]), &hex(&v["CI"]), &hex(&v["sid"]));
        let mut one = [0; 32];
        one[0] = 1;
        assert_eq!(generator.share(&one), array(&v["g"]));
    }
}

#[test]
fn x25519_points_abort_as_listed() {
    // The scalar of these cases stands in the notes of the file.
    let scalar: [u8; 32] =
        hex_literal::hex!("af46e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449aff");
    let cases = cases(include_str!("../../vectors/cpace_x25519_sha512.json"));
    let points = cases["scalar_mult_vfy"].as_array().unwrap();
    assert_eq!(points.len(), 12);
    for v in points {
        let result = Suite::X25519Sha512.scalar_mult_vfy(&scalar, &array(&v["u"]));
        if v["must_abort"] == true {
            assert!(result.unwrap_err().is(&rules::NEUTRAL_ELEMENT), "{}", v["id"]);
        } else {
            assert_eq!(*result.unwrap(), array(&v["result"]), "{}", v["id"]);
        }
    }
}

#[test]
fn ristretto255_points_abort_as_listed() {
    let cases = cases(include_str!("../../vectors/cpace_ristretto255_sha512.json"));
    let points = cases["scalar_mult_vfy"].as_array().unwrap();
    assert_eq!(points.len(), 3);
    let scalar = array(&points[0]["s"]);
    for v in points {
        let result = Suite::Ristretto255Sha512.scalar_mult_vfy(&scalar, &array(&v["X"]));
        match v["reason"].as_str() {
            None => assert_eq!(*result.unwrap(), array(&v["result_scalar_mult_vfy"])),
            Some("does not decode") => assert!(result.unwrap_err().is(&rules::BAD_SHARE)),
            Some("neutral element encoding") => assert!(result.unwrap_err().is(&rules::NEUTRAL_ELEMENT)),
            Some(other) => panic!("{other}"),
        }
    }
}

#[test]
fn string_utilities_match_the_draft() {
    let list = cases(include_str!("../../vectors/cpace_string_utils.json"));
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 11);
    for v in list {
        let (function, arguments) = call(v["expr"].as_str().unwrap());
        let a = arguments.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let result = match function {
            "prepend_len" => prepend_len(a[0]),
            "lv_cat" => lv_cat(&a),
            "o_cat" => o_cat(a[0], a[1]),
            "transcript_ir" => transcript_ir(a[0], a[1], a[2], a[3]),
            "transcript_oc" => transcript_oc(a[0], a[1], a[2], a[3]),
            other => panic!("{other}"),
        };
        assert_eq!(result, hex(&v["result"]), "{}", v["expr"]);
    }
}

/// Function and arguments of `f(b'..',b'..')` or `f(bytes(range(n)))`.
fn call(expr: &str) -> (&str, Vec<Vec<u8>>) {
    let (function, rest) = expr.split_once('(').unwrap();
    let rest = rest.strip_suffix(')').unwrap();
    if let Some(range) = rest.strip_prefix("bytes(range(") {
        let count = range.strip_suffix("))").unwrap().parse().unwrap();
        return (function, vec![(0..count).collect()]);
    }
    let literal = |text: &str| text.strip_prefix("b'").unwrap().strip_suffix('\'').unwrap().into();
    (function, rest.split(',').map(literal).collect())
}

#[test]
fn without_a_session_identifier_the_exchange_makes_one() {
    for suite in Suite::ALL {
        let inputs = Inputs { prs: b"password", ci: b"", sid: b"" };
        let initiator = Initiator::start(suite, inputs, b"", &mut crate::system_rng()).unwrap();
        let ya = *initiator.share();
        let responder = Responder::new(suite, &mut crate::system_rng());
        let (waiting, yb, tb) = responder.respond(inputs, &ya, b"", b"").unwrap();
        let (initiator, ta) = initiator.finish(&yb, b"", &tb).unwrap();
        let responder = waiting.finish(&ta).unwrap();
        let expected = sid_output(&transcript_ir(&ya, b"", &yb, b""));
        assert_eq!(initiator.sid_output(), Some(&expected));
        assert_eq!(responder.sid_output(), Some(&expected));
    }
}

#[test]
fn ristretto255_scalars_have_252_bits() {
    struct Ones;
    impl rand_core::TryRng for Ones {
        type Error = std::convert::Infallible;
        fn try_next_u32(&mut self) -> std::result::Result<u32, Self::Error> {
            Ok(u32::MAX)
        }
        fn try_next_u64(&mut self) -> std::result::Result<u64, Self::Error> {
            Ok(u64::MAX)
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> std::result::Result<(), Self::Error> {
            out.fill(0xff);
            Ok(())
        }
    }
    impl rand_core::TryCryptoRng for Ones {}
    assert_eq!(Suite::Ristretto255Sha512.sample_scalar(&mut Ones)[31], 0x0f);
    assert_eq!(Suite::X25519Sha512.sample_scalar(&mut Ones)[31], 0xff);
}
