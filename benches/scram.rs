//! How long does a SCRAM-SHA-256 login keep each side busy, beside rsasl 2.3 and scram 0.6?
//!
//! Server: stored keys, from the first message to the verdict. Client: 4096 iterations, with and without cached
//! keys. Only the measured side's own calls are timed. After criterion's report the engines run in turn, and the
//! ratios of the medians and of the minima are printed: those are the numbers to compare.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::prep::Preparation;
use countersign::registry::{self, Credential, MemoryStore, ServerSetup};
use countersign::scram::{
    ClientConfig, ClientKeys, HashFunction, ScramMechanism, ServerConfig, StoredCredential, pbkdf2,
};
use countersign::secret::SecretBytes;
use countersign::{Context, Password, Step, system_rng};
use criterion::Criterion;
use rsasl::callback::{Context as Asked, Request, SessionCallback, SessionData};
use rsasl::mechanisms::scram::properties::{SaltedPassword, ScramStoredPassword};
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLClient, SASLConfig, SASLServer, SessionError, Validation};
use rsasl::property::{AuthId, Password as PasswordProperty};
use rsasl::validate::{Validate, ValidationError};
use scram::server::{AuthenticationProvider, AuthenticationStatus, PasswordInfo};

const USER: &str = "user";
const PASSWORD: &str = "pencil";
const SALT: &[u8; 16] = b"sixteen octets!!";
const ITERATIONS: u32 = 4096;
const MECHANISM: ScramMechanism = ScramMechanism::new(HashFunction::Sha256);
const ROUNDS: usize = 41;

/// One login; the time that the measured side took.
type Login = Box<dyn FnMut() -> Duration>;

struct Clock(Duration);

impl Clock {
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = black_box(work());
        self.0 += start.elapsed();
        result
    }
}

fn main() {
    let questions = [
        ("server, stored keys", servers(), 400),
        ("client, 4096 iterations", clients(), 8),
        ("client, cached keys", cached_clients(), 400),
    ];
    let mut criterion = Criterion::default().configure_from_args();
    for (question, mut engines, logins) in questions {
        let mut group = criterion.benchmark_group(question);
        for (name, login) in &mut engines {
            group.bench_function(*name, |bencher| {
                bencher.iter_custom(|count| (0..count).map(|_| login()).sum());
            });
        }
        group.finish();
        in_turn(question, engines, logins);
    }
    criterion.final_summary();
}

/// Runs the engines in turn, so that a neighbour on the machine slows all of them alike.
fn in_turn(question: &str, mut engines: Vec<(&'static str, Login)>, logins: u32) {
    let mut times = vec![Vec::with_capacity(ROUNDS); engines.len()];
    for round in 0..ROUNDS {
        for turn in 0..engines.len() {
            let engine = (round + turn) % engines.len();
            let login = &mut engines[engine].1;
            times[engine].push((0..logins).map(|_| login()).sum::<Duration>() / logins);
        }
    }
    let summary = times.iter_mut().map(|times| {
        times.sort_unstable();
        (times[ROUNDS / 2].as_secs_f64() * 1e6, times[0].as_secs_f64() * 1e6)
    });
    let summary = summary.collect::<Vec<_>>();
    println!("{question}: microseconds a login, median (minimum), and ratio to the first");
    for ((name, _), (median, minimum)) in engines.iter().zip(&summary) {
        let (ratio, of_minima) = (median / summary[0].0, minimum / summary[0].1);
        println!("  {name:<24} {median:9.2} ({minimum:9.2})   {ratio:6.2}x ({of_minima:6.2}x)");
    }
}

fn record() -> StoredCredential {
    let password = Password::new(PASSWORD);
    StoredCredential::derive(MECHANISM.hash(), &password, Preparation::SaslPrep, SALT, ITERATIONS)
        .expect("a good password")
}

fn seed() -> SecretBytes {
    SecretBytes::new(vec![7; 32])
}

fn client() -> ClientConfig {
    ClientConfig::new(MECHANISM, USER, Password::new(PASSWORD), None).expect("a good name")
}

fn salted_password() -> [u8; 32] {
    let mut salted = [0; 32];
    let iterations = NonZeroU32::new(ITERATIONS).expect("not 0");
    pbkdf2(MECHANISM.hash(), PASSWORD.as_bytes(), SALT, iterations, &mut salted);
    salted
}

/// Keys from a first login, so that driving a server costs no PBKDF2.
fn client_keys() -> ClientKeys {
    let (client, first) = client().start(&mut system_rng()).expect("starts");
    let server = ServerConfig::new(MECHANISM, None, &seed()).expect("a long seed");
    let request = server.start(&mut system_rng()).receive(&first).expect("client-first");
    let (server, challenge) = request.respond(Some(record())).expect("the right hash");
    let (client, response) = client.receive(&challenge).expect("server-first");
    let (_, success) = server.receive(&response).expect("the right password");
    client.receive(&success).expect("the right server").1
}

fn servers() -> Vec<(&'static str, Login)> {
    let keys = client_keys();
    vec![
        ("countersign, registry", registry_server(keys.clone())),
        ("countersign, states", states_server(keys.clone())),
        ("rsasl 2.3", rsasl_server(keys.clone())),
        ("scram 0.6", scram_server(keys)),
    ]
}

fn registry_server(keys: ClientKeys) -> Login {
    let mut store = MemoryStore::new(&mut system_rng());
    store.insert(&MECHANISM.name(), USER, Credential::Scram(record())).expect("a good name");
    let credentials = Arc::new(store);
    Box::new(move || {
        let mut clock = Clock(Duration::ZERO);
        let (client, first) = client().with_keys(keys.clone()).start(&mut system_rng()).expect("starts");
        let (mut server, challenge) = clock.time(|| {
            let setup =
                ServerSetup { credentials: credentials.clone(), binding: None, context: Context::new() };
            let row = registry::find(&MECHANISM.name()).expect("compiled in");
            let mut server = row.server(setup, &mut system_rng()).expect("starts");
            let Ok(Step::Continue(challenge)) = server.step(&first) else { panic!("client-first") };
            (server, challenge)
        });
        let (client, response) = client.receive(&challenge).expect("server-first");
        let success = clock.time(|| match server.step(&response) {
            Ok(Step::Finished { reply: Some(success), .. }) => success,
            other => panic!("{other:?}"),
        });
        client.receive(&success).expect("the right server");
        clock.0
    })
}

fn states_server(keys: ClientKeys) -> Login {
    let config = ServerConfig::new(MECHANISM, None, &seed()).expect("a long seed");
    let record = record();
    Box::new(move || {
        let mut clock = Clock(Duration::ZERO);
        let (client, first) = client().with_keys(keys.clone()).start(&mut system_rng()).expect("starts");
        let (server, challenge) = clock.time(|| {
            let request = config.clone().start(&mut system_rng()).receive(&first).expect("client-first");
            assert_eq!(request.username(), USER);
            request.respond(Some(record.clone())).expect("the right hash")
        });
        let (client, response) = client.receive(&challenge).expect("server-first");
        let (_, success) = clock.time(|| server.receive(&response).expect("the right password"));
        client.receive(&success).expect("the right server");
        clock.0
    })
}

struct Rsasl {
    record: StoredCredential,
    salted_password: [u8; 32],
    caches: bool,
}

struct Valid;

impl Validation for Valid {
    type Value = String;
}

impl SessionCallback for Rsasl {
    fn callback(&self, _: &SessionData, asked: &Asked, request: &mut Request) -> Result<(), SessionError> {
        if asked.get_ref::<AuthId>() == Some(USER) {
            request.satisfy::<ScramStoredPassword>(&ScramStoredPassword::new(
                ITERATIONS,
                self.record.salt(),
                self.record.stored_key(),
                self.record.server_key(),
            ))?;
        }
        if self.caches {
            request.satisfy::<SaltedPassword>(&self.salted_password)?;
        }
        request.satisfy::<AuthId>(USER)?;
        request.satisfy::<PasswordProperty>(PASSWORD.as_bytes())?;
        Ok(())
    }

    fn validate(&self, _: &SessionData, asked: &Asked, it: &mut Validate<'_>) -> Result<(), ValidationError> {
        it.with::<Valid, _>(|| Ok(asked.get_ref::<AuthId>().unwrap_or_default().to_owned()))?;
        Ok(())
    }
}

fn rsasl_config(caches: bool) -> Arc<SASLConfig> {
    let callback = Rsasl { record: record(), salted_password: salted_password(), caches };
    SASLConfig::builder().with_defaults().with_callback(callback).expect("a good configuration")
}

fn rsasl_server(keys: ClientKeys) -> Login {
    let config = rsasl_config(false);
    let name = Mechname::parse(b"SCRAM-SHA-256").expect("a name");
    Box::new(move || {
        let mut clock = Clock(Duration::ZERO);
        let (client, first) = client().with_keys(keys.clone()).start(&mut system_rng()).expect("starts");
        let (mut server, challenge) = clock.time(|| {
            let mut server =
                SASLServer::<Valid>::new(config.clone()).start_suggested(name).expect("compiled in");
            let mut challenge = Vec::new();
            server.step(Some(&first), &mut challenge).expect("client-first");
            (server, challenge)
        });
        let (client, response) = client.receive(&challenge).expect("server-first");
        let success = clock.time(|| {
            let mut success = Vec::new();
            server.step(Some(&response), &mut success).expect("client-final");
            assert_eq!(server.validation().as_deref(), Some(USER));
            success
        });
        client.receive(&success).expect("the right server");
        clock.0
    })
}

struct ScramProvider([u8; 32]);

impl AuthenticationProvider for ScramProvider {
    fn get_password_for(&self, username: &str) -> Option<PasswordInfo> {
        (username == USER).then(|| PasswordInfo::new(self.0.to_vec(), ITERATIONS as u16, SALT.to_vec()))
    }
}

fn scram_server(keys: ClientKeys) -> Login {
    let salted = salted_password();
    Box::new(move || {
        let mut clock = Clock(Duration::ZERO);
        let (client, first) = client().with_keys(keys.clone()).start(&mut system_rng()).expect("starts");
        let first = str::from_utf8(&first).expect("text");
        let scram = scram::ScramServer::new(ScramProvider(salted));
        let (server, challenge) =
            clock.time(|| scram.handle_client_first(first).expect("client-first").server_first());
        let (client, response) = client.receive(challenge.as_bytes()).expect("server-first");
        let response = str::from_utf8(&response).expect("text");
        let success = clock.time(|| {
            let (status, success) =
                server.handle_client_final(response).expect("client-final").server_final();
            assert_eq!(status, AuthenticationStatus::Authenticated);
            success
        });
        client.receive(success.as_bytes()).expect("the right server");
        clock.0
    })
}

fn clients() -> Vec<(&'static str, Login)> {
    vec![("countersign", our_client(None)), ("rsasl 2.3", rsasl_client(false)), ("scram 0.6", scram_client())]
}

/// Nobody outside rsasl can make the value that hands it cached keys, so it gets the SaltedPassword instead and spends
/// two more HMACs.
fn cached_clients() -> Vec<(&'static str, Login)> {
    vec![("countersign", our_client(Some(client_keys()))), ("rsasl 2.3", rsasl_client(true))]
}

/// Our server, for clients to log in to.
fn serve(first: &[u8], respond: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let config = ServerConfig::new(MECHANISM, None, &seed()).expect("a long seed");
    let request = config.start(&mut system_rng()).receive(first).expect("client-first");
    let (server, challenge) = request.respond(Some(record_once())).expect("the right hash");
    server.receive(&respond(&challenge)).expect("the right password").1
}

fn record_once() -> StoredCredential {
    static RECORD: std::sync::LazyLock<StoredCredential> = std::sync::LazyLock::new(record);
    RECORD.clone()
}

fn our_client(keys: Option<ClientKeys>) -> Login {
    Box::new(move || {
        let mut clock = Clock(Duration::ZERO);
        let (client, first) = clock.time(|| {
            let config = match &keys {
                Some(keys) => client().with_keys(keys.clone()),
                None => client(),
            };
            config.start(&mut system_rng()).expect("starts")
        });
        let mut last = None;
        let success = serve(&first, |challenge| {
            let (client, response) = clock.time(|| client.receive(challenge).expect("server-first"));
            last = Some(client);
            response
        });
        let client = last.expect("it responded");
        clock.time(|| client.receive(&success).expect("the right server"));
        clock.0
    })
}

fn rsasl_client(caches: bool) -> Login {
    let config = rsasl_config(caches);
    let name = Mechname::parse(b"SCRAM-SHA-256").expect("a name");
    Box::new(move || {
        let mut clock = Clock(Duration::ZERO);
        let (mut client, first) = clock.time(|| {
            let mut client = SASLClient::new(config.clone()).start_suggested(&[name]).expect("compiled in");
            let mut first = Vec::new();
            client.step(None, &mut first).expect("starts");
            (client, first)
        });
        let success = serve(&first, |challenge| {
            clock.time(|| {
                let mut response = Vec::new();
                client.step(Some(challenge), &mut response).expect("server-first");
                response
            })
        });
        clock.time(|| client.step(Some(&success), &mut Vec::new()).expect("the right server"));
        clock.0
    })
}

fn scram_client() -> Login {
    Box::new(|| {
        let mut clock = Clock(Duration::ZERO);
        let (client, first) = clock.time(|| scram::ScramClient::new(USER, PASSWORD, None).client_first());
        let mut last = None;
        let success = serve(first.as_bytes(), |challenge| {
            let challenge = str::from_utf8(challenge).expect("text");
            let (client, response) =
                clock.time(|| client.handle_server_first(challenge).expect("server-first").client_final());
            last = Some(client);
            response.into_bytes()
        });
        let client = last.expect("it responded");
        let success = str::from_utf8(&success).expect("text");
        clock.time(|| client.handle_server_final(success).expect("the right server"));
        clock.0
    })
}
