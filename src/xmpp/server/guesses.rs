//! Counts the wrong passwords of logins. Whose account it is stands in the mechanism's first message, so the accounts
//! themselves count: they are asked before anything is computed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jid::{BareJid, NodePart};
use tokio::time::Instant;

use crate::error::Result;
use crate::guess::{Guesses, Running};
use crate::mechanism::{MechanismName, Outcome};
use crate::registry::{Credential, CredentialStore};
use crate::secret::SecretBytes;

/// The account of that user; names without one are not addresses.
pub(super) fn account(authcid: &str, domain: &BareJid) -> Option<BareJid> {
    let node = NodePart::new(authcid).ok()?.into_owned();
    Some(BareJid::from_parts(Some(&node), domain.domain()))
}

/// The accounts as one login sees them. Its guess is given back for a verified proof, or when the login ends before
/// a message that a password can be tested with.
pub(super) struct Counting {
    accounts: Arc<dyn CredentialStore>,
    guesses: Guesses,
    domain: BareJid,
    /// The message of ours that allows a test.
    first_test: u8,
    running: Mutex<Option<Running>>,
}

impl Counting {
    pub(super) fn new(
        accounts: Arc<dyn CredentialStore>,
        guesses: Guesses,
        domain: BareJid,
        first_test: u8,
    ) -> Self {
        Self { accounts, guesses, domain, first_test, running: Mutex::new(None) }
    }

    /// One more message of ours is about to be made.
    pub(super) fn answer(&self) {
        if let Some(running) = &mut *self.lock() {
            running.answer();
        }
    }

    pub(super) fn confirmed(&self, outcome: &Outcome) {
        if let Some(running) = &mut *self.lock() {
            running.confirmed(outcome);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        // Nothing here panics half-way.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CredentialStore for Counting {
    fn lookup(&self, mechanism: &MechanismName, authcid: &str) -> Result<Option<Credential>> {
        // Names that no account can have are counted as well: their refusal must not look different.
        let peer = account(authcid, &self.domain).map_or_else(|| authcid.to_owned(), |jid| jid.to_string());
        let guess = self.guesses.reserve(&peer, Instant::now().into_std())?;
        let mut running = Running::new(Some(guess), self.first_test);
        // The message with the name is the first, and its answer is being made.
        running.answer();
        *self.lock() = Some(running);
        self.accounts.lookup(mechanism, authcid)
    }

    fn simulation_seed(&self) -> &SecretBytes {
        self.accounts.simulation_seed()
    }

    fn simulated_iterations(&self, mechanism: &MechanismName) -> Option<u32> {
        self.accounts.simulated_iterations(mechanism)
    }

    #[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
    fn simulated_ksf(&self, mechanism: &MechanismName) -> Option<crate::ksf::Ksf> {
        self.accounts.simulated_ksf(mechanism)
    }
}
