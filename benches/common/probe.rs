//! What the benches of the PAKEs share: does the server's time tell an unknown user from a wrong password?

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::ksf::Ksf;
use countersign::mechanism::Step;
use countersign::prep::Preparation;
use countersign::registry::{self, ClientSetup, Credential, CredentialStore, ServerSetup, SharedPassword};
use countersign::secret::SecretBytes;
use countersign::{ChannelBinding, Context, Mechanism, MechanismName, Password, Result, system_rng};

use super::common::compare;

/// The user of every row, and the password that the clients have.
pub(crate) const ALICE: &str = "alice@wonderland.example";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Prints the time that a server takes for one login with a wrong password and for one of an unknown user.
pub(crate) fn probe(rounds: usize, name: &MechanismName) {
    let store =
        SharedPassword::new(ALICE, Password::new("other"), Preparation::SaslPrep, system_rng()).unwrap();
    let other = store.with_ksf(Ksf::CHEAPEST).lookup(name, ALICE).unwrap();
    compare(
        rounds,
        &format!("{name}: the server's part of one login"),
        &[
            ("wrong password", Box::new(|| server(name, other.clone()))),
            ("unknown user", Box::new(|| server(name, None))),
        ],
    );
}

/// All that the server answers before the client gives up.
fn server(name: &MechanismName, user: Option<Credential>) -> Duration {
    let (mut client, mut server) = pair(name, user);
    let Step::Continue(mut message) = client.step(&[]).unwrap() else { unreachable!() };
    let mut elapsed = Duration::ZERO;
    loop {
        let start = Instant::now();
        let Step::Continue(answer) = black_box(server.step(&message)).unwrap() else { unreachable!() };
        elapsed += start.elapsed();
        match client.step(&answer) {
            Ok(Step::Continue(next)) => message = next,
            Ok(Step::Finished { .. }) => unreachable!("the password is wrong"),
            Err(_) => return elapsed,
        }
    }
}

/// A client, and a server that knows one user or none.
pub(crate) fn pair(
    name: &MechanismName,
    user: Option<Credential>,
) -> (Box<dyn Mechanism>, Box<dyn Mechanism>) {
    let mut rng = system_rng();
    let row = registry::find(name).unwrap();
    let binding = || Some(ChannelBinding::tls_exporter([0x42; 32]));
    let context = || Context::between("alice@wonderland.example/phone", "bob@home.example/laptop");
    let setup = ClientSetup {
        authcid: ALICE.into(),
        authzid: None,
        password: Password::new(PASSWORD),
        preparation: Preparation::SaslPrep,
        binding: binding(),
        context: context(),
    };
    let client = row.client(setup, &mut rng).unwrap();
    let credentials = Arc::new(Store { user, seed: SecretBytes::new(vec![1; 32]) });
    let setup = ServerSetup { credentials, binding: binding(), context: context() };
    (client, row.server(setup, &mut rng).unwrap())
}

struct Store {
    user: Option<Credential>,
    seed: SecretBytes,
}

impl CredentialStore for Store {
    fn lookup(&self, _: &MechanismName, _: &str) -> Result<Option<Credential>> {
        Ok(self.user.clone())
    }

    fn simulation_seed(&self) -> &SecretBytes {
        &self.seed
    }

    fn simulated_ksf(&self, _: &MechanismName) -> Option<Ksf> {
        Some(Ksf::CHEAPEST)
    }
}
