//! The login itself, in the elements of either profile.

use jid::FullJid;
use minidom::Element;
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::mechanism::MechanismName;
use crate::registry::{self, ClientSetup};
use crate::sasl::ClientExchange;
use crate::xmpp::profile::{Profile, Reply};
use crate::xmpp::sasl::Features;
use crate::xmpp::sasl2;

use super::bind::{TAG, check_identity};
use super::choice::{Offer, choose};
use super::login::{Login, LoginReport, Proof};
use super::negotiation::Negotiation;
use super::rules;

const PLAIN: MechanismName = MechanismName::from_static("PLAIN");

/// What a login has led to.
pub(super) struct LoggedIn {
    pub(super) report: LoginReport,
    /// The resource that was bound on the way.
    pub(super) bound: Option<FullJid>,
}

pub(super) async fn authenticate<S: AsyncRead + AsyncWrite>(
    negotiation: &mut Negotiation<S>,
    login: &Login,
    features: &Features,
) -> Result<LoggedIn> {
    let offer = Offer::of(features);
    if offer.mechanisms.is_empty() && features.starttls {
        return Err(Error::new(&rules::NEEDS_TLS));
    }
    let Started { mut exchange, initial, report, refused } = start(login, &offer)?;
    let profile = offer.profile;
    let bind = login.resource.is_none() && features.sasl2.as_ref().is_some_and(|sasl2| sasl2.bind);
    negotiation.send(&auth(profile, report.mechanism.clone(), initial, bind)).await?;
    loop {
        match profile.reply(&negotiation.next().await?)? {
            Reply::Challenge(message) => match exchange.challenge(&message) {
                Ok(response) => negotiation.send(&profile.response(response)).await?,
                Err(error) => {
                    // The reason is ours; that the server hears of the end is a courtesy.
                    let _ = negotiation.send(&profile.abort()).await;
                    return Err(error);
                }
            },
            Reply::Success { additional, identity } => {
                exchange.success(additional.as_deref())?;
                let bound = identity.map(|(jid, bound)| check_identity(&jid, bound, login)).transpose()?;
                return Ok(LoggedIn { report, bound: bound.flatten() });
            }
            Reply::Failure(condition) => return Err(Error::new(refused).about(condition.name())),
            Reply::Continue(tasks) => return Err(Error::new(&rules::MORE_TASKS).about(tasks.join(", "))),
        }
    }
}

struct Started {
    exchange: Exchange,
    initial: Option<Vec<u8>>,
    report: LoginReport,
    /// What a failure means.
    refused: &'static crate::error::Rule,
}

fn start(login: &Login, offer: &Offer<'_>) -> Result<Started> {
    let node = login.account.node().ok_or_else(|| Error::new(&rules::NOT_AN_ACCOUNT))?;
    let Proof::Mechanism(policy) = &login.proof else { return start_plain(login, node.as_str(), offer) };
    let choice = choose(login, policy, offer)?;
    let used = choice.binding.as_ref().map(|binding| binding.kind()).filter(|_| choice.mechanism.is_plus());
    let setup = ClientSetup {
        authcid: node.as_str().to_owned(),
        authzid: None,
        password: login.password.clone(),
        preparation: login.preparation,
        binding: choice.binding,
        context: offer.context(),
    };
    let mechanism = registry::find(&choice.mechanism)?.client(setup, &mut crate::system_rng())?;
    let (exchange, initial) = ClientExchange::start(mechanism)?;
    Ok(Started {
        exchange: Exchange::Mutual(Box::new(exchange)),
        initial,
        report: LoginReport { mechanism: choice.mechanism, binding: used, profile: offer.profile },
        refused: if choice.unannounced { &rules::UNANNOUNCED_BINDING } else { &rules::LOGIN_REFUSED },
    })
}

/// RFC 4616.
fn start_plain(login: &Login, user: &str, offer: &Offer<'_>) -> Result<Started> {
    if !offer.mechanisms.contains(&PLAIN) {
        return Err(Error::new(&rules::NO_PLAIN));
    }
    let password = login.preparation.prepare(&login.password)?;
    let message = Zeroizing::new([b"\0", user.as_bytes(), b"\0", password.expose()].concat());
    Ok(Started {
        exchange: Exchange::Plain,
        initial: Some(message.to_vec()),
        report: LoginReport { mechanism: PLAIN, binding: None, profile: offer.profile },
        refused: &rules::LOGIN_REFUSED,
    })
}

enum Exchange {
    /// The server proves itself as well.
    Mutual(Box<ClientExchange>),
    /// The server has the password and says what it likes.
    Plain,
}

impl Exchange {
    fn challenge(&mut self, message: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Mutual(exchange) => exchange.challenge(message),
            Self::Plain => Err(Error::new(&rules::UNEXPECTED).about("a challenge in PLAIN")),
        }
    }

    fn success(self, additional: Option<&[u8]>) -> Result<()> {
        match self {
            Self::Mutual(exchange) => exchange.success(additional).map(drop),
            Self::Plain => Ok(()),
        }
    }
}

/// How the login begins.
fn auth(profile: Profile, mechanism: MechanismName, initial: Option<Vec<u8>>, bind: bool) -> Element {
    match profile {
        Profile::Sasl2 => {
            let (software, bind) = (Some(TAG.to_owned()), bind.then(|| TAG.to_owned()));
            sasl2::ClientMessage::Authenticate { mechanism, initial, software, bind }.to_element()
        }
        Profile::Sasl => profile.auth(mechanism, initial),
    }
}
