//! The methods by which TLS itself authenticates: what they add to the offers, and the handshakes made of them.

use std::sync::Arc;

use jid::FullJid;
use rand_core::CryptoRng;

use crate::error::{Error, Result};
use crate::guess::{Guesses, Running};
use crate::mechanism::{MechanismName, Side};
use crate::registry;
use crate::srp::Legacy;
use crate::tls::TlsMechanism;
use crate::tls::openssl::{RECORD_MAX, RECORD_MIN};
use crate::tls::psk::{PskClientConfig, PskCredential, PskServerConfig, PskStore, Suite};
use crate::tls::srp::{SrpClientConfig, SrpServerConfig};
use crate::xmpp::jingle::{Method, Security};

use super::proving::Proving;
use super::secured::bare;
use super::{InitiatorConfig, ResponderConfig, methods, rules};

#[cfg(feature = "cpace")]
use before::Before;

/// Which session a handshake belongs to.
pub(super) struct Place<'a> {
    pub(super) initiator: &'a FullJid,
    pub(super) responder: &'a FullJid,
    pub(super) sid: &'a str,
    /// Octets of a block of the bytestream.
    pub(super) block: u16,
    pub(super) now: std::time::Instant,
}

impl Place<'_> {
    /// A record in each block.
    fn record(&self) -> usize {
        usize::from(self.block).clamp(RECORD_MIN, RECORD_MAX)
    }

    fn authcid(&self) -> String {
        bare(self.initiator)
    }
}

/// What an initiator has made before its offer.
#[derive(Default)]
pub(super) struct Prepared {
    #[cfg(feature = "cpace")]
    before: Option<Before>,
}

impl Prepared {
    /// Adds to the offer what its methods need.
    ///
    /// # Errors
    /// What the limit on guesses and the password's preparation say.
    pub(super) fn make(
        config: &InitiatorConfig,
        place: &Place<'_>,
        offer: Security,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, Security)> {
        #[cfg(feature = "cpace")]
        if offer.has_method(Method::CpacePsk) {
            let before = Before::start(config, place, rng)?;
            let offer = before.add_to(offer);
            return Ok((Self { before: Some(before) }, offer));
        }
        let _ = (place, rng);
        Ok((Self::default(), offer))
    }

    /// The initiator's handshake, with the method of the answer.
    ///
    /// # Errors
    /// Those of the method's own set-up; [`rules::OTHER_METHOD`].
    pub(super) fn handshake(
        self,
        method: Method,
        config: &InitiatorConfig,
        place: &Place<'_>,
        [ours, theirs]: [&Security; 2],
    ) -> Result<Box<Proving>> {
        let name = name(method)?;
        #[cfg(feature = "cpace")]
        if let (Method::CpacePsk, Some(before)) = (method, self.before) {
            let (credential, guess) = before.finish(place, [ours, theirs])?;
            let identity = credential.authcid().to_owned();
            let mechanism = psk_client(credential, place)?;
            return Proving::start(Side::Client, mechanism, identity, guess);
        }
        let _ = (ours, theirs);
        let guess = reserve(config.guesses.as_ref(), place.responder, place, &name, Side::Client)?;
        let (mechanism, identity) = match (method, &config.psk) {
            (Method::Psk, Some(key)) => {
                let credential = between(key, place);
                let identity = credential.authcid().to_owned();
                (psk_client(credential, place)?, identity)
            }
            (Method::Srp, _) => {
                let authcid = place.authcid();
                let srp =
                    SrpClientConfig::new(&authcid, &config.password, config.preparation, Legacy::Refused)?;
                (srp.with_record_size(place.record())?.mechanism()?, authcid)
            }
            _ => return Err(Error::new(&rules::OTHER_METHOD).about(method.name())),
        };
        Proving::start(Side::Client, mechanism, identity, guess)
    }
}

/// The responder's answer, and its handshake.
///
/// # Errors
/// Those of the method's own set-up; what the limit on guesses and the store of records say.
pub(super) fn respond(
    method: Method,
    config: &ResponderConfig,
    place: &Place<'_>,
    offer: &Security,
    rng: &mut dyn CryptoRng,
) -> Result<(Security, Box<Proving>)> {
    let name = name(method)?;
    let guess = reserve(config.guesses.as_ref(), place.initiator, place, &name, Side::Server)?;
    let answer = Security::new(None, []).with_methods([method]);
    match method {
        #[cfg(feature = "cpace")]
        Method::CpacePsk => {
            let (answer, credential, guess) = before::answer(config, place, [offer, &answer], guess, rng)?;
            let identity = credential.authcid().to_owned();
            let mechanism = psk_server(Arc::new(credential), place)?;
            Ok((answer, Proving::start(Side::Server, mechanism, identity, guess)?))
        }
        Method::Psk => {
            // Where there is no key for this peer, no name is known, and the handshake fails as with a wrong key.
            let store: Arc<dyn PskStore> = match &config.psk {
                Some(key) => Arc::new(between(key, place)),
                None => Arc::new(crate::tls::psk::KeyRing::new()),
            };
            let mechanism = psk_server(store, place)?;
            let identity = place.initiator.to_string();
            Ok((answer, Proving::start(Side::Server, mechanism, identity, guess)?))
        }
        Method::Srp => {
            let srp = SrpServerConfig::new(config.credentials.clone())?;
            let mechanism = srp.with_record_size(place.record())?.mechanism()?;
            Ok((answer, Proving::start(Side::Server, mechanism, place.authcid(), guess)?))
        }
        _ => {
            let _ = (offer, rng);
            Err(Error::new(&rules::NO_METHOD).about(method.name()))
        }
    }
}

fn name(method: Method) -> Result<MechanismName> {
    methods::mechanism(method).ok_or_else(|| Error::new(&rules::OTHER_METHOD).about(method.name()))
}

/// Counts a guess before anything is computed for it.
fn reserve(
    guesses: Option<&Guesses>,
    peer: &FullJid,
    place: &Place<'_>,
    name: &MechanismName,
    side: Side,
) -> Result<Running> {
    let properties = registry::find_in_tls(name)?.properties();
    let first_test = match side {
        Side::Client => properties.client_test,
        Side::Server => properties.server_test,
    };
    let guess = guesses.map(|guesses| guesses.reserve(&bare(peer), place.now)).transpose()?;
    Ok(Running::new(guess, first_test))
}

/// The key of a session between these two, by their full addresses.
fn between(key: &crate::tls::psk::PreSharedKey, place: &Place<'_>) -> PskCredential {
    PskCredential::between(key, place.initiator.as_str(), place.responder.as_str(), Suite::Tls13Sha256)
}

fn psk_client(credential: PskCredential, place: &Place<'_>) -> Result<Box<dyn TlsMechanism>> {
    PskClientConfig::new(credential)?.with_record_size(place.record())?.mechanism()
}

fn psk_server(store: Arc<dyn PskStore>, place: &Place<'_>) -> Result<Box<dyn TlsMechanism>> {
    PskServerConfig::only(Suite::Tls13Sha256, store)?.with_record_size(place.record())?.mechanism()
}

#[cfg(feature = "cpace")]
mod before {
    //! PAKE before TLS.

    use rand_core::CryptoRng;
    use zeroize::Zeroizing;

    use super::Place;
    use crate::cpace::SHARE_LEN;
    use crate::cpace::psk::{Answered, NAME, Offered, Offers, Run, SUITE};
    use crate::error::{Error, Result};
    use crate::guess::Running;
    use crate::mechanism::Side;
    use crate::registry::{self, Credential};
    use crate::tls::psk::PskCredential;
    use crate::xmpp::jingle::{self, Security};
    use crate::xmpp::session::{InitiatorConfig, ResponderConfig, rules};

    /// The initiator between its offer and the answer.
    pub(super) struct Before {
        offered: Offered,
        guess: Running,
    }

    impl Before {
        pub(super) fn start(
            config: &InitiatorConfig,
            place: &Place<'_>,
            rng: &mut dyn CryptoRng,
        ) -> Result<Self> {
            let guess = super::reserve(config.guesses.as_ref(), place.responder, place, &NAME, Side::Client)?;
            let prs = config.preparation.prepare(&config.password)?;
            Ok(Self { offered: Offered::start(prs.expose(), run(place), rng)?, guess })
        }

        pub(super) fn add_to(&self, offer: Security) -> Security {
            offer.with_share(SUITE.name(), *self.offered.share())
        }

        pub(super) fn finish(
            mut self,
            place: &Place<'_>,
            [ours, theirs]: [&Security; 2],
        ) -> Result<(PskCredential, Running)> {
            // The share.
            self.guess.answer();
            let yb = share(theirs)?;
            let offers = Offers { initiator: &ours.canonical(), responder: &theirs.canonical() };
            let key = self.offered.finish(run(place), offers, yb)?;
            Ok((PskCredential::once(&key, &place.authcid()), self.guess))
        }
    }

    /// The responder's share in its answer, and the key.
    pub(super) fn answer(
        config: &ResponderConfig,
        place: &Place<'_>,
        [offer, answer]: [&Security; 2],
        mut guess: Running,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Security, PskCredential, Running)> {
        let ya = share(offer)?;
        let mut stand_in = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *stand_in);
        let stored = match config.credentials.lookup(&NAME, &place.authcid())? {
            Some(Credential::Password(password)) => Some(password),
            Some(_) => return Err(Error::new(&registry::rules::WRONG_CREDENTIAL).about(NAME.as_str())),
            None => None,
        };
        let prs = stored.as_ref().map_or(&stand_in[..], |password| password.expose().as_bytes());
        let answered = Answered::start(prs, run(place), ya, rng)?;
        let answer = answer.clone().with_share(SUITE.name(), *answered.share());
        let offers = Offers { initiator: &offer.canonical(), responder: &answer.canonical() };
        let key = answered.finish(run(place), offers)?;
        guess.answer();
        Ok((answer, PskCredential::once(&key, &place.authcid()), guess))
    }

    fn run<'a>(place: &Place<'a>) -> Run<'a> {
        Run { initiator: place.initiator.as_str(), responder: place.responder.as_str(), session: place.sid }
    }

    fn share(security: &Security) -> Result<&[u8; SHARE_LEN]> {
        let (suite, share) =
            security.share().ok_or_else(|| Error::new(&jingle::rules::BAD_SECURITY).about("pake"))?;
        if suite != SUITE.name() {
            return Err(Error::new(&rules::OTHER_METHOD).about(suite));
        }
        share
            .try_into()
            .map_err(|_| Error::new(&jingle::rules::BAD_SECURITY).about("the length of the share"))
    }
}
