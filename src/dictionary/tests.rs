//! The readers and the counts of work, on published values. Whole sessions are in `tests/dictionary.rs`.

use super::capture::Capture;
use super::*;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn oracle(exposure: Result<Exposure>) -> Box<dyn Oracle> {
    match exposure.unwrap() {
        Exposure::Guesses(oracle) => oracle,
        other => panic!("{other:?}"),
    }
}

fn low_entropy_vector() -> (Vec<u8>, String) {
    let file = include_str!("../../vectors/tls13_low_entropy_psk_audit_derived.json");
    let file = serde_json::from_str::<serde_json::Value>(file).unwrap();
    let case = &file["cases"][0];
    let text = |name: &str| case[name].as_str().unwrap();
    // The list of binders: its length, and the length of the one.
    let hello = [&unhex(text("truncated_client_hello"))[..], &[0, 33, 32], &unhex(text("observed_binder"))];
    (hello.concat(), text("found_psk_utf8").to_owned())
}

#[test]
fn the_psk_of_the_published_hello_is_found() {
    let (hello, psk) = low_entropy_vector();
    let oracle = oracle(Capture::parse(&hello).unwrap().exposure(Situation::Listener, None));
    assert_eq!((oracle.mechanism(), oracle.situation()), ("TLS13-PSK", Situation::Listener));
    assert_eq!(oracle.work().to_string(), "14 SHA-256 compressions");
    let candidates = ["123456", "password", "", "letmein", &psk, "correcthorse"].map(str::as_bytes);
    assert_eq!(oracle.try_passwords(&candidates).unwrap().unwrap().index(), 4);
    assert!(oracle.try_passwords(&candidates[..4]).unwrap().is_none());
}

#[test]
fn a_hello_cut_anywhere_is_refused() {
    let (hello, _) = low_entropy_vector();
    for len in 0..hello.len() {
        assert!(Capture::parse(&hello[..len]).is_err(), "{len}");
    }
    // The inner lengths, too: nothing is read behind them.
    for at in 4..hello.len() {
        let mut damaged = hello.clone();
        damaged[at] ^= 0xff;
        if let Ok(capture) = Capture::parse(&damaged) {
            let _ = capture.exposure(Situation::Listener, None);
        }
    }
}

#[test]
fn a_hello_without_psk_has_nothing_to_test() {
    let file = include_str!("../../vectors/tls13_traces_binder_exporter.json");
    let file = serde_json::from_str::<serde_json::Value>(file).unwrap();
    let mut seen = [0, 0];
    for case in file["cases"].as_array().unwrap() {
        let Some(hello) = case["client_hello"].as_str().or(case["client_hello_1"].as_str()) else { continue };
        let exposure = Capture::parse(&unhex(hello)).unwrap().exposure(Situation::Listener, None);
        let has_binder = case.get("binder").is_some();
        seen[usize::from(has_binder)] += 1;
        match exposure {
            Ok(Exposure::Guesses(_)) => assert!(has_binder),
            Err(error) => assert!(error.is(&rules::NO_PSK_HANDSHAKE) && !has_binder, "{error}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[cfg(feature = "scram")]
mod scram {
    use super::*;
    use crate::dictionary::export::{
        HASHCAT_SHA1_SALT_MAX, HASHCAT_SHA256_SALT_MAX, JOHN_SALT_MAX, Tool, line,
    };
    use crate::mechanism::Side;

    const SHA256: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    const SHA1: &str =
        "SCRAM-SHA-1$4096:W22ZaJ0SNY7soEsUEjb6gQ==$g2pEzX2tMaoibxTD4YfBJkq1y8w=:ZGkNjsmKwVX5C5z80vGxHZ02jOI=";

    /// The example of RFC 7677 section 3.
    fn rfc7677(messages: usize) -> Transcript {
        let all: [(Side, &[u8]); 4] = [
            (Side::Client, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"),
            (Side::Server, b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
            (Side::Client, b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
            (Side::Server, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
        ];
        let mut transcript = Transcript::new("SCRAM-SHA-256".parse().unwrap(), View::Listener);
        for (from, message) in &all[..messages] {
            transcript.push(*from, message).unwrap();
        }
        transcript
    }

    #[test]
    fn proof_and_signature_of_the_rfc_are_tested() {
        for (messages, test, work) in [
            // 2 states of the key, salt and counter, outer; 4095 times two; ClientKey 4, StoredKey 1, and the
            // signature of an AuthMessage of 176 octets: 2 states, 3 blocks, outer.
            (3, "ClientProof of the exchange", 4 + 2 * 4095 + 4 + 1 + 6),
            (4, "ServerSignature of the exchange", 4 + 2 * 4095 + 4 + 6),
        ] {
            let oracle = oracle(exposure_of_transcript(&rfc7677(messages), Preparation::SaslPrep));
            assert_eq!(oracle.test(), test);
            assert_eq!(oracle.work().parts(), [(Unit::Sha256, work)]);
            let candidates: &[&[u8]] = &[b"pen", b"\xff", "pen\u{ad}cil".as_bytes()];
            assert_eq!(oracle.try_passwords(candidates).unwrap().unwrap().index(), 2);
            assert!(oracle.try_passwords(&candidates[..2]).unwrap().is_none());
        }
    }

    #[test]
    fn what_is_no_exchange_is_refused() {
        for messages in 0..3 {
            let error = exposure_of_transcript(&rfc7677(messages), Preparation::SaslPrep).unwrap_err();
            assert!(error.is(&rules::MESSAGES_DO_NOT_FIT), "{messages}: {error}");
        }
        for (at, from, to, rule) in [
            (2, ",r=rOpr", ",r=rOpx", &rules::MESSAGES_DO_NOT_FIT),
            (1, "r=rOpr", "r=rOpx", &rules::MESSAGES_DO_NOT_FIT),
            (2, "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "p=dHzb", &rules::MESSAGES_DO_NOT_FIT),
            (1, "i=4096", "i=10000001", &rules::TOO_MANY_ITERATIONS),
            (3, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "v=6rri", &rules::MESSAGES_DO_NOT_FIT),
        ] {
            let mut transcript = Transcript::new("SCRAM-SHA-256".parse().unwrap(), View::Listener);
            for (i, (side, message)) in rfc7677(4).messages().iter().enumerate() {
                let text = String::from_utf8(message.clone()).unwrap();
                let text = if i == at { text.replace(from, to) } else { text };
                transcript.push(*side, text.as_bytes()).unwrap();
            }
            let error = exposure_of_transcript(&transcript, Preparation::SaslPrep).unwrap_err();
            assert!(error.is(rule), "{to}: {error}");
        }
    }

    /// The example that hashcat publishes for mode 23200, whose format is that of John; the password is the tool's name.
    #[test]
    fn a_published_line_comes_out_for_its_password() {
        let salt = b"585276250592651960162564135244208991218718414";
        let password = crate::Password::new("hashcat");
        let record = crate::scram::StoredCredential::derive(
            crate::scram::HashFunction::Sha1,
            &password,
            Preparation::SaslPrep,
            salt,
            4096,
        );
        let line = line(&Credential::Scram(record.unwrap()), Tool::John).unwrap();
        assert_eq!(
            line.text,
            "$xmpp-scram$0$4096$45$353835323736323530353932363531393630313632353634313335323434323038393931323138373138343134$6d5b543b985dc6c0645da3c83d114fce121aa51d"
        );
    }

    #[test]
    fn lines_of_other_tools() {
        let export = |text: &str, tool| line(&Credential::Scram(text.parse().unwrap()), tool);
        let postgresql = export(SHA256, Tool::Hashcat).unwrap();
        assert_eq!((postgresql.mode, &postgresql.text[..]), ("28600", SHA256));
        let expected =
            "$xmpp-scram$0$4096$16$5b6d99689d12358eeca04b141236fa81$836a44cd7dad31aa226f14c3e187c1264ab5cbcc";
        for (tool, mode) in [(Tool::Hashcat, "23200"), (Tool::John, "xmpp-scram")] {
            let sha1 = export(SHA1, tool).unwrap();
            assert_eq!((sha1.mode, &sha1.text[..]), (mode, expected));
        }
        assert!(export(SHA256, Tool::John).unwrap_err().is(&rules::NO_FORMAT));
        let password = Credential::Password(crate::Password::new("x"));
        assert!(line(&password, Tool::Hashcat).unwrap_err().is(&rules::NO_FORMAT));
    }

    #[test]
    fn no_salt_is_longer_than_the_tool_reads() {
        use crate::scram::HashFunction::{self, Sha1, Sha256};
        let export = |hash: HashFunction, salt: usize, tool| {
            let (iterations, key) = (std::num::NonZeroU32::new(4096).unwrap(), vec![1; hash.output_len()]);
            let record =
                crate::scram::StoredCredential::from_parts(hash, &vec![7; salt], iterations, &key, &key)
                    .unwrap();
            line(&Credential::Scram(record), tool)
        };
        for (hash, tool, most) in [
            (Sha256, Tool::Hashcat, HASHCAT_SHA256_SALT_MAX),
            (Sha1, Tool::Hashcat, HASHCAT_SHA1_SALT_MAX),
            (Sha1, Tool::John, JOHN_SALT_MAX),
        ] {
            assert!(export(hash, most, tool).is_ok());
            assert!(export(hash, most + 1, tool).unwrap_err().is(&rules::LONG_SALT));
        }
    }
}

#[test]
fn an_unknown_mechanism_is_said_to_be_unknown() {
    let transcript = Transcript::new("X-OTHER".parse().unwrap(), View::Listener);
    let error = exposure_of_transcript(&transcript, Preparation::SaslPrep).unwrap_err();
    assert!(error.is(&rules::UNKNOWN_MECHANISM));
}
