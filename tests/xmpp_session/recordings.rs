//! What whole sessions give away to an attacker in the middle, by the library's own recorder: planted passwords where the
//! mechanism leaves guesses, nothing where it is a PAKE, and nothing at all without a recorder.

use countersign::dictionary::{Exposure, Recorder, Transcript, View, exposure_of_transcript};
use countersign::mechanism::{Guessing, MechanismName};
use countersign::prep::Preparation;
use countersign::registry;
use countersign::sasl::Policy;

use crate::kit::*;

/// One session of this mechanism, each side with a recorder of its own.
fn recorded(mechanism: &MechanismName, [alices, bobs]: [View; 2]) -> [Transcript; 2] {
    let only = || Policy::named([mechanism.clone()]);
    let recorders = [Recorder::new(), Recorder::new()];
    let alice = alice_config().with_policy(only()).with_recorder(&recorders[0], alices);
    let bob = bob_config().with_policy(only()).with_recorder(&recorders[1], bobs);
    let mut pair = Pair::with(alice, bob, plain);
    pair.run();
    assert!(pair.is_established(), "{mechanism}");
    drop(pair);
    recorders.map(|recorder| {
        let [transcript] = <[Transcript; 1]>::try_from(recorder.take()).unwrap();
        Transcript::from_text(&transcript.to_text()).unwrap()
    })
}

#[test]
fn an_impostor_of_either_side_gets_what_the_mechanism_says() {
    let mut tested = [0, 0];
    for row in registry::all().iter().filter(|row| row.properties().needs_binding) {
        let transcripts = recorded(row.name(), [View::ImpostorOfServer, View::ImpostorOfClient]);
        for (transcript, guessing) in
            transcripts.iter().zip([row.properties().impostor, Guessing::OnlineOnly])
        {
            assert!(!transcript.messages().is_empty(), "{}", row.name());
            let exposure = exposure_of_transcript(transcript, Preparation::SaslPrep).unwrap();
            match (exposure, guessing) {
                (Exposure::Guesses(oracle), Guessing::OfflineStretched) => {
                    tested[0] += 1;
                    let found = oracle.try_passwords(&[b"wrong", PASSWORD.as_bytes()]).unwrap();
                    assert_eq!(found.map(|found| found.index()), Some(1), "{}", row.name());
                    assert!(oracle.try_passwords(&[b"wrong"]).unwrap().is_none());
                }
                (Exposure::NothingOffline(_), Guessing::OnlineOnly) => tested[1] += 1,
                (exposure, guessing) => panic!("{}: {exposure:?} and {guessing:?}", row.name()),
            }
        }
    }
    assert!(tested.iter().all(|count| *count > 0), "{tested:?}");
}

#[test]
fn a_listener_hears_nothing_of_what_runs_inside_tls() {
    for row in registry::all().iter().filter(|row| row.properties().needs_binding) {
        for transcript in recorded(row.name(), [View::Listener; 2]) {
            assert!(transcript.messages().is_empty(), "{}", row.name());
            let exposure = exposure_of_transcript(&transcript, Preparation::SaslPrep).unwrap();
            assert!(matches!(exposure, Exposure::NothingOffline(_)), "{}: {exposure:?}", row.name());
        }
    }
}
