//! One exchange and one record of every mechanism, made by the library with its default work factors.

use std::sync::Arc;

use countersign::dictionary::capture::Capture;
use countersign::dictionary::{
    Exposure, Recorder, Situation, View, exposure_of_psk_list, exposure_of_record, exposure_of_transcript,
};
use countersign::prep::Preparation;
use countersign::registry::{self, ClientSetup, CredentialStore, Registered, ServerSetup, SharedPassword};
use countersign::scram::ITERATIONS_MIN;
use countersign::{BindingType, ChannelBinding, Context, Mechanism, Password, Side, Step, system_rng};

use super::target::Subject;
use crate::exit::Failure;

const ALICE: &str = "alice@home.example";

// Suites of TLS 1.2 (RFC 5487 and 8442).
const PSK_WITH_AES_128_GCM_SHA256: [u8; 2] = [0, 0xa8];
const ECDHE_PSK_WITH_AES_128_GCM_SHA256: [u8; 2] = [0xd0, 1];

/// Every mechanism in every situation, or those of the mechanisms named.
pub(crate) fn all(mechanisms: &[String]) -> Result<Vec<Subject>, Failure> {
    let wanted = |name: &str| mechanisms.is_empty() || mechanisms.iter().any(|wanted| wanted == name);
    let mut subjects = Vec::new();
    if wanted("TLS13-PSK") {
        subjects.push(Subject::new(tls13().exposure(Situation::Listener, None)?));
    }
    if wanted("TLS12-PSK") {
        let plain = Capture::parse(&tls12(PSK_WITH_AES_128_GCM_SHA256))?;
        subjects.push(Subject::new(plain.exposure(Situation::Listener, None)?));
        let mixed = Capture::parse(&tls12(ECDHE_PSK_WITH_AES_128_GCM_SHA256))?;
        for (situation, secret) in [(Situation::Impostor, Some(&[7; 32][..])), (Situation::Listener, None)] {
            subjects.push(Subject::new(mixed.exposure(situation, secret)?).with_variant("ECDHE"));
        }
    }
    if wanted("TLS-PSK") {
        subjects.push(Subject::new(exposure_of_psk_list()));
    }
    for row in registry::all() {
        let name = row.name().as_str();
        let base = name.strip_suffix("-PLUS").unwrap_or(name);
        // A record serves both names of SCRAM, and is measured under the one without -PLUS.
        if wanted(name) || (name.starts_with("SCRAM-") && wanted(&format!("{base}-PLUS"))) {
            subjects.extend(of(row)?);
        }
    }
    Ok(subjects)
}

fn of(row: &Registered) -> Result<Vec<Subject>, Failure> {
    let name = row.name().as_str();
    let preparation = Preparation::default();
    let store = Arc::new(shared()?);
    let mut subjects = Vec::new();
    for view in [View::Listener, View::ImpostorOfServer] {
        let transcript = exchange(row, store.clone(), view)?;
        subjects.push(Subject::new(exposure_of_transcript(&transcript, preparation)?));
    }
    let is_scram = name.starts_with("SCRAM-");
    if is_scram && row.name().is_plus() {
        return Ok(subjects);
    }
    let mut stores = vec![(store, None)];
    if is_scram {
        // The least that RFC 5802 and RFC 7677 allow, beside the default.
        let least = Arc::new(shared()?.with_scram_iterations(ITERATIONS_MIN));
        stores.push((least, Some(format!("i = {ITERATIONS_MIN}"))));
    }
    for (store, variant) in stores {
        let Some(record) = store.lookup(row.name(), ALICE)? else { continue };
        let mut exposure = exposure_of_record(&record, ALICE, preparation)?;
        if let Exposure::Immediate(verdict) = &mut exposure {
            name.clone_into(&mut verdict.mechanism);
        }
        subjects.push(Subject { exposure, variant });
    }
    Ok(subjects)
}

fn shared() -> countersign::Result<SharedPassword> {
    let password = Password::new("a password that no list has");
    SharedPassword::new(ALICE, password, Preparation::default(), system_rng())
}

fn exchange(
    row: &Registered,
    credentials: Arc<dyn CredentialStore>,
    view: View,
) -> countersign::Result<countersign::dictionary::Transcript> {
    let recorder = Recorder::new();
    let context = Context::between("alice@home.example/laptop", "bob@home.example/tablet")
        .with_mechanisms([row.name().clone()])
        .with_binding_types([BindingType::TlsExporter]);
    let binding = row.name().is_plus().then(|| ChannelBinding::tls_exporter([7; 32]));
    let client = ClientSetup {
        authcid: ALICE.to_owned(),
        authzid: None,
        password: Password::new("a password that no list has"),
        preparation: Preparation::default(),
        binding: binding.clone(),
        context: context.clone(),
    };
    let server = ServerSetup { credentials, binding, context };
    let mut client = recorder.record(row.client(client, &mut system_rng())?, Side::Client, view);
    let mut server = row.server(server, &mut system_rng())?;
    let mut message = Vec::new();
    loop {
        let (reply, _) = step(&mut *client, &message)?;
        let (answer, finished) = step(&mut *server, &reply)?;
        message = answer;
        if finished {
            break;
        }
    }
    // The client hears the last word where the server has one.
    if !message.is_empty() {
        step(&mut *client, &message)?;
    }
    drop(client);
    let recorded = recorder.take().pop();
    Ok(recorded.expect("the recorder was around the client"))
}

fn step(side: &mut dyn Mechanism, message: &[u8]) -> countersign::Result<(Vec<u8>, bool)> {
    Ok(match side.step(message)? {
        Step::Continue(reply) => (reply, false),
        Step::Finished { reply, .. } => (reply.unwrap_or_default(), true),
    })
}

/// A ClientHello of the shortest form that offers a PSK. Its binder fits no password.
fn tls13() -> Capture {
    // Identity "alice" with its age, then one binder of 32 octets.
    let psk = [&[0, 11, 0, 5][..], b"alice", &[0; 4], &[0, 33, 32], &[0xa5; 32]].concat();
    let extension = [&[0, 41], &u16_len(&psk)[..], &psk].concat();
    let body = [&[3, 3][..], &[1; 32], &[0, 0, 2, 0x13, 1, 1, 0], &u16_len(&extension), &extension].concat();
    Capture::parse(&handshake(1, &body)).expect("it is a whole ClientHello")
}

/// A handshake with AES-128-GCM whose Finished fits no password.
fn tls12(suite: [u8; 2]) -> Vec<u8> {
    let client = [&[3, 3][..], &[1; 32], &[0, 0, 2], &suite, &[1, 0]].concat();
    let server = [&[3, 3][..], &[2; 32], &[0], &suite, &[0]].concat();
    let exchange = [&[0, 5][..], b"alice"].concat();
    let messages =
        [handshake(1, &client), handshake(2, &server), handshake(14, &[]), handshake(16, &exchange)].concat();
    [record(22, &messages), record(20, &[1]), record(22, &[0xa5; 40])].concat()
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16_len(body);
    [&[kind, 0, high, low], body].concat()
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16_len(content);
    [&[kind, 3, 3, high, low], content].concat()
}

fn u16_len(octets: &[u8]) -> [u8; 2] {
    (octets.len() as u16).to_be_bytes()
}
