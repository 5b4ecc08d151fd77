//! Which TLS method a session takes: what a policy means for the offer, and what may be taken of one.

use crate::error::{Error, Result};
use crate::mechanism::MechanismName;
use crate::sasl::{self, Policy};
use crate::xmpp::jingle::{Method, Security};

use super::rules;

/// The mechanisms that are methods of their own.
static IN_TLS: [(Method, MechanismName); 3] = [
    (Method::CpacePsk, MechanismName::from_static("CPACE-R255-PSK")),
    (Method::Psk, MechanismName::from_static("TLS13-PSK")),
    (Method::Srp, MechanismName::from_static("TLS-SRP")),
];

/// What a policy lets a session take.
#[derive(Clone, Debug)]
pub(super) struct Acceptable {
    /// In the order of the policy; `x509` stands where its first SASL mechanism does.
    pub(super) methods: Vec<Method>,
    /// For `x509`, in the order of the policy.
    pub(super) sasl: Vec<MechanismName>,
}

impl Acceptable {
    /// # Errors
    /// [`sasl::rules::NOTHING_ACCEPTABLE`].
    pub(super) fn of(policy: &Policy) -> Result<Self> {
        let (sasl, in_tls) = (policy.acceptable(), policy.acceptable_in_tls());
        let mut methods = Vec::new();
        for name in policy.preference() {
            let method = match IN_TLS.iter().find(|(_, known)| known == name) {
                Some((method, _)) if in_tls.contains(name) => *method,
                None if sasl.contains(name) => Method::X509,
                // Not acceptable, or for other transports: TLS 1.2 with a pre-shared key.
                _ => continue,
            };
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        if methods.is_empty() {
            policy.check()?;
            return Err(
                Error::new(&sasl::rules::NOTHING_ACCEPTABLE).about("no method of a session over XMPP")
            );
        }
        Ok(Self { methods, sasl })
    }

    pub(super) fn has(&self, method: Method) -> bool {
        self.methods.contains(&method)
    }
}

/// The mechanism that a method runs, where it runs one.
#[cfg(feature = "openssl")]
pub(super) fn mechanism(method: Method) -> Option<MechanismName> {
    IN_TLS.iter().find(|(known, _)| *known == method).map(|(_, name)| name.clone())
}

/// All mechanisms that an offer stands for.
pub(super) fn named(offer: &Security) -> Vec<MechanismName> {
    let in_tls = IN_TLS.iter().filter(|(method, _)| offer.has_method(*method)).map(|(_, name)| name.clone());
    offer.mechanisms().cloned().chain(in_tls).collect()
}

/// Responder: the first method on the initiator's list that we take.
///
/// # Errors
/// [`rules::NO_METHOD`].
pub(super) fn choose(offer: &Security, ours: &Acceptable) -> Result<Method> {
    let mut named = offer.methods().filter_map(known).peekable();
    // An end without a certificate names no method.
    let unnamed = offer.methods().next().is_none().then_some(Method::X509);
    let takes = |method: &Method| ours.has(*method) && (*method != Method::CpacePsk || knows_suite(offer));
    let chosen = named.find(takes).or(unnamed.filter(takes));
    chosen.ok_or_else(|| {
        let names = offer.methods().collect::<Vec<_>>().join(", ");
        Error::new(&rules::NO_METHOD).about(if names.is_empty() { "none".to_owned() } else { names })
    })
}

/// Initiator: the one method of the answer.
///
/// # Errors
/// [`rules::OTHER_METHOD`].
pub(super) fn answered(ours: &Security, theirs: &Security) -> Result<Method> {
    let other = |what: &str| Error::new(&rules::OTHER_METHOD).about(what);
    let mut named = theirs.methods();
    let method = match (named.next(), named.next()) {
        (Some(name), None) => {
            known(name).filter(|method| ours.has_method(*method)).ok_or_else(|| other(name))?
        }
        // Neither end has a certificate.
        (None, _) if ours.methods().next().is_none() => Method::X509,
        (None, _) => return Err(other("none")),
        (Some(_), Some(_)) => return Err(other("several")),
    };
    let plain = theirs.fingerprint().is_none() && theirs.mechanisms().next().is_none();
    if method == Method::X509 || plain { Ok(method) } else { Err(other("certificates beside it")) }
}

fn known(name: &str) -> Option<Method> {
    Method::ALL.into_iter().find(|method| method.name() == name)
}

#[cfg(all(feature = "openssl", feature = "cpace"))]
fn knows_suite(offer: &Security) -> bool {
    offer.share().is_some_and(|(suite, _)| suite == crate::cpace::psk::SUITE.name())
}

#[cfg(not(all(feature = "openssl", feature = "cpace")))]
fn knows_suite(_: &Security) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(methods: &[Method]) -> Security {
        let offer = Security::new(None, []).with_methods(methods.iter().copied());
        if methods.contains(&Method::CpacePsk) {
            offer.with_share("CPACE-RISTR255-SHA512", [7; 32])
        } else {
            offer
        }
    }

    fn acceptable(methods: &[Method]) -> Acceptable {
        Acceptable { methods: methods.to_vec(), sasl: vec![] }
    }

    #[test]
    fn the_first_of_the_initiator_that_the_responder_takes() {
        let named = [Method::Srp, Method::X509, Method::Psk];
        for (ours, chosen) in [
            (&[Method::Psk, Method::X509, Method::Srp][..], Method::Srp),
            (&[Method::Psk, Method::X509], Method::X509),
            (&[Method::Psk], Method::Psk),
        ] {
            assert_eq!(choose(&offer(&named), &acceptable(ours)).unwrap(), chosen);
        }
        for (named, ours) in
            [(&named[..], &[Method::CpacePsk][..]), (&[], &[Method::Psk]), (&[Method::Psk], &[])]
        {
            let error = choose(&offer(named), &acceptable(ours)).unwrap_err();
            assert!(error.is(&rules::NO_METHOD));
        }
    }

    #[test]
    fn a_method_nobody_knows_is_passed_over() {
        let element = "<security xmlns='urn:xmpp:jingle:security:xtls:0'><method name='openpgp'/><method name='srp'/>\
            </security>";
        let offer = Security::from_element(&element.parse().unwrap()).unwrap();
        assert_eq!(choose(&offer, &acceptable(&[Method::Srp])).unwrap(), Method::Srp);
        let error = choose(&offer, &acceptable(&[Method::X509])).unwrap_err();
        assert_eq!(error.subject(), Some("openpgp, srp"));
    }

    #[test]
    fn a_suite_nobody_knows_is_passed_over() {
        let offer =
            Security::new(None, []).with_methods([Method::CpacePsk, Method::Psk]).with_share("S", [7; 32]);
        let ours = acceptable(&[Method::CpacePsk, Method::Psk]);
        assert_eq!(choose(&offer, &ours).unwrap(), Method::Psk);
    }

    #[test]
    fn ends_without_certificates_name_no_method() {
        assert_eq!(choose(&offer(&[]), &acceptable(&[Method::X509])).unwrap(), Method::X509);
        assert_eq!(answered(&offer(&[]), &offer(&[])).unwrap(), Method::X509);
    }

    #[test]
    fn an_answer_names_one_method_of_the_offer() {
        let ours = offer(&[Method::CpacePsk, Method::X509]);
        for method in [Method::CpacePsk, Method::X509] {
            assert_eq!(answered(&ours, &offer(&[method])).unwrap(), method);
        }
        let certified = Security::new(Some(crate::tls::Fingerprint::of(b"")), []);
        assert_eq!(answered(&ours, &certified).unwrap(), Method::X509);
        let beside = certified.with_methods([Method::CpacePsk]).with_share("S", [7; 32]);
        let both = [Method::CpacePsk, Method::X509];
        for theirs in [offer(&[]), offer(&[Method::Srp]), offer(&both), beside] {
            assert!(answered(&ours, &theirs).unwrap_err().is(&rules::OTHER_METHOD), "{theirs:?}");
        }
    }
}
