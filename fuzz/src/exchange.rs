//! SASL exchanges in which one message is an attacker's.
//!
//! The first octet of the data chooses the mechanism and the place of the message; whatever comes before is honest. No
//! message but the honest one may end an exchange well.

use std::convert::Infallible;
use std::sync::Arc;

use countersign::ksf::{self, Ksf};
use countersign::mechanism::Step;
use countersign::prep::Preparation;
use countersign::registry::{
    self, ClientSetup, Credential, CredentialStore, Registered, ServerSetup, SharedPassword,
};
use countersign::scram::ITERATIONS_MIN;
use countersign::secret::SecretBytes;
use countersign::srp::plus::Suite;
use countersign::srp::{Parameters, Prehash, Verifier};
use countersign::{ChannelBinding, Context, Mechanism, MechanismName, Password, Result};
use rand_core::{TryCryptoRng, TryRng};

pub(crate) const USER: &str = "alice@wonderland.example";
pub(crate) const PASSWORD: &str = "correct horse";
pub(crate) const SALT: [u8; 16] = *b"sixteen octets!!";

/// Most messages of an exchange.
const MESSAGES: usize = 6;

/// PBKDF2 iterations that a run may cost. What is asked for beyond the limits is refused, as plain tests show; what is
/// within them may take long.
const ITERATIONS_RUN: u64 = 20_000;

pub(crate) fn password() -> SecretBytes {
    SecretBytes::new(PASSWORD.as_bytes().to_vec())
}

/// SCRAM, all hashes.
pub fn scram(data: &[u8]) {
    run("SCRAM-", data);
}

/// CPace on both groups.
pub fn cpace(data: &[u8]) {
    run("CPACE-", data);
}

/// SPAKE2+ on both groups.
pub fn spake2plus(data: &[u8]) {
    run("SPAKE2P", data);
}

/// OPAQUE.
pub fn opaque(data: &[u8]) {
    run("OPAQUE-", data);
}

/// SASL SRP as Cyrus SASL has it.
pub fn srp_sasl(data: &[u8]) {
    run("SRP", data);
}

/// SRP-SHA-256-PLUS and SRP-SHA-512-PLUS.
pub fn srp_plus(data: &[u8]) {
    run("SRP-", data);
}

/// The mechanisms whose names begin so; `SRP` is one alone.
fn family(prefix: &str) -> Vec<&'static Registered> {
    let belongs = |name: &str| if prefix == "SRP" { name == prefix } else { name.starts_with(prefix) };
    registry::all().iter().filter(|registered| belongs(registered.name().as_str())).collect()
}

/// Each message of an honest exchange, for each mechanism, as a target takes it.
pub(crate) fn seeds(prefix: &str) -> Vec<Vec<u8>> {
    let family = family(prefix);
    let mut seeds = Vec::new();
    for (i, registered) in family.iter().enumerate() {
        let mut sides = Sides::new(registered);
        let mut message = Vec::new();
        for place in 0..MESSAGES {
            let Some(next) = sides.step(place, &message) else { break };
            message = next;
            seeds.push([&[(place * family.len() + i) as u8], &message[..]].concat());
        }
    }
    seeds
}

fn run(prefix: &str, data: &[u8]) {
    let Some((&choice, message)) = data.split_first() else { return };
    if costs_much(message) {
        return;
    }
    let family = family(prefix);
    let choice = usize::from(choice);
    let (registered, place) = (family[choice % family.len()], choice / family.len() % MESSAGES);
    let mut sides = Sides::new(registered);
    let mut honest = Vec::new();
    for earlier in 0..=place {
        match sides.step(earlier, &honest) {
            Some(next) => honest = next,
            // It has fewer messages.
            None => return,
        }
    }
    if let Ok(Step::Finished { .. }) = sides.receiver(place).step(message) {
        // SASL SRP proves neither its initial vectors, which only the security layers use, nor an unused option.
        assert!(
            message == honest || registered.name().as_str() == "SRP",
            "a message of another has ended well"
        );
    }
}

/// Whether a message asks for a password hash that takes long, though it is within the limits.
fn costs_much(message: &[u8]) -> bool {
    let dear_ksf = message.windows(ksf::ENCODED_LEN).any(|window| {
        let window = window.try_into().expect("it is as long");
        Ksf::from_bytes(window).is_ok_and(|ksf| ksf != Ksf::CHEAPEST)
    });
    let iterations =
        message.split(|octet| *octet == b',').filter_map(|attribute| attribute.strip_prefix(b"i="));
    let dear_scram = iterations
        .map(|digits| {
            digits
                .iter()
                .fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit & 15)))
        })
        .any(|iterations| iterations > ITERATIONS_RUN);
    dear_ksf || dear_scram
}

struct Sides {
    client: Box<dyn Mechanism>,
    server: Box<dyn Mechanism>,
}

impl Sides {
    fn new(registered: &Registered) -> Self {
        let binding = ChannelBinding::tls_exporter([0x42; 32]);
        let context = Context::between("alice@wonderland.example/phone", "bob@home.example/laptop");
        let context = context.with_mechanisms([registered.name().clone()]);
        let binding = registered.properties().needs_binding.then_some(binding);
        let client = ClientSetup {
            authcid: USER.into(),
            authzid: None,
            password: Password::new(PASSWORD),
            preparation: Preparation::SaslPrep,
            binding: binding.clone(),
            context: context.clone(),
        };
        let server = ServerSetup { credentials: Arc::new(Cheap::new()), binding, context };
        Self {
            client: registered.client(client, &mut Rng(10)).expect("a good setup"),
            server: registered.server(server, &mut Rng(11)).expect("a good setup"),
        }
    }

    /// The message of that number from 0, whose answer to `received` it is; `None` after the last one.
    fn step(&mut self, number: usize, received: &[u8]) -> Option<Vec<u8>> {
        let sender = if number.is_multiple_of(2) { &mut self.client } else { &mut self.server };
        match sender.step(received).expect("an honest peer") {
            Step::Continue(message) => Some(message),
            Step::Finished { reply, .. } => reply,
        }
    }

    fn receiver(&mut self, number: usize) -> &mut dyn Mechanism {
        if number.is_multiple_of(2) { &mut *self.server } else { &mut *self.client }
    }
}

/// Records with the cheapest password hashes, for one user.
struct Cheap(SharedPassword);

impl Cheap {
    fn new() -> Self {
        let shared = SharedPassword::new(USER, Password::new(PASSWORD), Preparation::SaslPrep, Rng(12));
        let shared = shared.expect("a good name").with_scram_iterations(ITERATIONS_MIN);
        Self(shared.with_ksf(Ksf::CHEAPEST))
    }
}

impl CredentialStore for Cheap {
    fn lookup(&self, mechanism: &MechanismName, authcid: &str) -> Result<Option<Credential>> {
        let Ok(suite) = Suite::of(mechanism) else { return self.0.lookup(mechanism, authcid) };
        let parameters = Parameters { prehash: Prehash::Ksf(Ksf::CHEAPEST), ..suite.parameters() };
        let record = Verifier::derive(&parameters, USER, &password(), &SALT)?;
        Ok((authcid == USER).then_some(Credential::Srp(record)))
    }

    fn simulation_seed(&self) -> &SecretBytes {
        self.0.simulation_seed()
    }

    fn simulated_iterations(&self, mechanism: &MechanismName) -> Option<u32> {
        self.0.simulated_iterations(mechanism)
    }

    fn simulated_ksf(&self, mechanism: &MechanismName) -> Option<Ksf> {
        self.0.simulated_ksf(mechanism)
    }
}

/// Repeatable octets (splitmix64), so that the same data always does the same.
pub struct Rng(pub u64);

impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Infallible> {
        self.try_next_u64().map(|number| number as u32)
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> std::result::Result<(), Infallible> {
        for chunk in out.chunks_mut(8) {
            let octets = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&octets[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Rng {}
