//! What the login will be, decided from the server's offer before anything is sent.

use crate::binding::{BindingType, ChannelBinding};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::mechanism::MechanismName;
use crate::sasl::Policy;
use crate::xmpp::Profile;
use crate::xmpp::sasl::Features;

use super::login::{BindingUse, Login};
use super::rules;

/// The server's offer, in the profile that will be used.
pub(super) struct Offer<'a> {
    pub(super) profile: Profile,
    pub(super) mechanisms: &'a [MechanismName],
    features: &'a Features,
}

impl<'a> Offer<'a> {
    /// SASL2 where it is there.
    pub(super) fn of(features: &'a Features) -> Self {
        let (profile, mechanisms) = match &features.sasl2 {
            Some(sasl2) => (Profile::Sasl2, &sasl2.mechanisms),
            None => (Profile::Sasl, &features.mechanisms),
        };
        Self { profile, mechanisms, features }
    }

    fn has_plus(&self) -> bool {
        self.mechanisms.iter().any(MechanismName::is_plus)
    }

    fn announces_types(&self) -> bool {
        !self.features.binding_types.is_empty() || !self.features.other_binding_types.is_empty()
    }

    /// What was offered, for the mechanism to prove.
    pub(super) fn context(&self) -> Context {
        Context::new()
            .with_mechanisms(self.mechanisms.iter().cloned())
            .with_binding_types(self.features.binding_types.iter().copied())
            .with_other_binding_types(self.features.other_binding_types.iter().cloned())
    }
}

/// What will be run.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) mechanism: MechanismName,
    /// What the mechanism is given: without -PLUS it means that the client could bind.
    pub(super) binding: Option<ChannelBinding>,
    /// The server has not said that it knows this binding.
    pub(super) unannounced: bool,
}

pub(super) fn choose(login: &Login, policy: &Policy, offer: &Offer<'_>) -> Result<Choice> {
    if !offer.has_plus() {
        // Nothing to take is said before anything about what could be bound.
        policy.select(offer.mechanisms)?;
    }
    let binding = binding(login, offer)?;
    let fitting = |name: &&MechanismName| name.is_plus() == matches!(binding, Binding::Use { .. });
    let fitting = offer.mechanisms.iter().filter(fitting).cloned().collect::<Vec<_>>();
    let mechanism = policy.select(&fitting)?.chosen;
    Ok(match binding {
        Binding::Use { binding, unannounced } => Choice { mechanism, binding: Some(binding), unannounced },
        Binding::Tell(binding) => Choice { mechanism, binding: Some(binding), unannounced: false },
        Binding::Silent => Choice { mechanism, binding: None, unannounced: false },
    })
}

enum Binding {
    /// `p=`.
    Use { binding: ChannelBinding, unannounced: bool },
    /// `y`, or `n` with the server's confirmation of its offer: SCRAM decides by the same offer.
    Tell(ChannelBinding),
    /// `n`.
    Silent,
}

fn binding(login: &Login, offer: &Offer<'_>) -> Result<Binding> {
    let required = login.binding_use == BindingUse::Required;
    let refuse = |why: &str| Err(Error::new(&rules::BINDING_REQUIRED).about(why));
    let ours = |kind: BindingType| login.bindings.iter().find(|binding| binding.kind() == kind).cloned();
    let Some(strongest) = BindingType::ALL.into_iter().find_map(ours) else {
        return if required { refuse("this connection has no channel binding") } else { Ok(Binding::Silent) };
    };
    if login.binding_use == BindingUse::Never {
        return Ok(Binding::Silent);
    }
    let announced = BindingType::ALL.into_iter().filter(|kind| offer.features.binding_types.contains(kind));
    match (offer.has_plus(), offer.announces_types()) {
        (true, true) => match announced.into_iter().find_map(ours) {
            Some(binding) => Ok(Binding::Use { binding, unannounced: false }),
            None if required => refuse("the server announces no type that this connection has"),
            None => Ok(Binding::Tell(strongest)),
        },
        (false, true) => Err(Error::new(&rules::BINDING_CUT).about("types, and no mechanism with -PLUS")),
        (true, false) if offer.profile == Profile::Sasl2 => {
            Err(Error::new(&rules::BINDING_CUT).about("a mechanism with -PLUS, and no types"))
        }
        (true, false) if required => match ours(BindingType::TlsExporter) {
            Some(binding) => Ok(Binding::Use { binding, unannounced: true }),
            None => refuse("the server announces no type, and this connection has no tls-exporter"),
        },
        (true, false) => Ok(Binding::Silent),
        (false, false) if required => refuse("the server offers no mechanism with -PLUS"),
        (false, false) => Ok(Binding::Tell(strongest)),
    }
}

#[cfg(test)]
mod tests {
    use jid::Jid;

    use super::*;
    use crate::Password;
    use crate::sasl::{Floor, rules as sasl_rules};
    use crate::xmpp::client::SCRAM;
    use crate::xmpp::sasl2::Authentication;

    const PLAIN: MechanismName = MechanismName::from_static("PLAIN");
    const SHA1: MechanismName = MechanismName::from_static("SCRAM-SHA-1");
    const SHA1_PLUS: MechanismName = MechanismName::from_static("SCRAM-SHA-1-PLUS");

    fn login(binding_use: BindingUse) -> Login {
        Login::new(Jid::new("a@x.example").unwrap(), Password::new("p"))
            .unwrap()
            .with_binding(ChannelBinding::tls_server_end_point(&[1; 32]).unwrap())
            .with_binding(ChannelBinding::tls_exporter([2; 32]))
            .with_binding_use(binding_use)
    }

    fn features(mechanisms: &[MechanismName], types: &[BindingType]) -> Features {
        Features::new().with_mechanisms(mechanisms.iter().cloned()).with_binding_types(types.iter().copied())
    }

    fn chosen(login: &Login, features: &Features) -> Result<Choice> {
        choose(login, &Policy::named(SCRAM).with_floor(Floor::Named), &Offer::of(features))
    }

    fn shown(choice: Result<Choice>) -> (String, Option<BindingType>) {
        let choice = choice.unwrap();
        (choice.mechanism.to_string(), choice.binding.map(|binding| binding.kind()))
    }

    use BindingType::{TlsExporter, TlsServerEndPoint, TlsUnique};

    #[test]
    fn the_strongest_announced_type_is_bound_to() {
        for (types, kind) in [
            (&[TlsServerEndPoint, TlsExporter][..], TlsExporter),
            (&[TlsUnique, TlsServerEndPoint], TlsServerEndPoint),
        ] {
            for binding_use in [BindingUse::Auto, BindingUse::Required] {
                let choice = chosen(&login(binding_use), &features(&[SHA1, SHA1_PLUS], types));
                assert_eq!(shown(choice), ("SCRAM-SHA-1-PLUS".into(), Some(kind)));
            }
        }
    }

    #[test]
    fn a_server_before_xep_0440_gets_no_binding_unless_it_is_required() {
        let old = features(&[SHA1_PLUS, SHA1], &[]);
        assert_eq!(shown(chosen(&login(BindingUse::Auto), &old)), ("SCRAM-SHA-1".into(), None));
        let choice = chosen(&login(BindingUse::Required), &old).unwrap();
        assert!(choice.unannounced && choice.mechanism == SHA1_PLUS);
    }

    #[test]
    fn a_server_without_plus_is_told_that_we_could_bind() {
        let choice = chosen(&login(BindingUse::Auto), &features(&[SHA1], &[]));
        assert_eq!(shown(choice), ("SCRAM-SHA-1".into(), Some(TlsExporter)));
    }

    #[test]
    fn with_no_type_in_common_the_mechanism_is_told_so() {
        for other in [false, true] {
            let mut features = features(&[SHA1_PLUS, SHA1], if other { &[] } else { &[TlsUnique] });
            features.other_binding_types = other.then(|| "tls-new".to_owned()).into_iter().collect();
            let choice = chosen(&login(BindingUse::Auto), &features);
            assert_eq!(shown(choice), ("SCRAM-SHA-1".into(), Some(TlsExporter)));
            let error = chosen(&login(BindingUse::Required), &features).unwrap_err();
            assert!(error.is(&rules::BINDING_REQUIRED));
        }
    }

    #[test]
    fn required_is_required() {
        let error = chosen(&login(BindingUse::Required), &features(&[SHA1], &[])).unwrap_err();
        assert!(error.is(&rules::BINDING_REQUIRED));
        let bare = Login::new(Jid::new("a@x.example").unwrap(), Password::new("p")).unwrap();
        let bare = bare.with_binding_use(BindingUse::Required);
        let error = chosen(&bare, &features(&[SHA1, SHA1_PLUS], &[TlsExporter])).unwrap_err();
        assert!(error.is(&rules::BINDING_REQUIRED));
    }

    #[test]
    fn never_is_silent_even_where_the_offer_contradicts_itself() {
        for (mechanisms, types) in
            [(&[SHA1, SHA1_PLUS][..], &[TlsExporter][..]), (&[SHA1], &[]), (&[SHA1], &[TlsExporter])]
        {
            let choice = chosen(&login(BindingUse::Never), &features(mechanisms, types));
            assert_eq!(shown(choice), ("SCRAM-SHA-1".into(), None));
        }
    }

    #[test]
    fn types_without_plus_are_a_cut_offer() {
        for binding_use in [BindingUse::Auto, BindingUse::Required] {
            let error = chosen(&login(binding_use), &features(&[SHA1], &[TlsExporter])).unwrap_err();
            assert!(error.is(&rules::BINDING_CUT));
        }
    }

    #[test]
    fn in_sasl2_plus_without_types_is_a_cut_offer() {
        let mut features = Features::new();
        features.sasl2 = Some(Authentication::new([SHA1, SHA1_PLUS]));
        for binding_use in [BindingUse::Auto, BindingUse::Required] {
            let error = chosen(&login(binding_use), &features).unwrap_err();
            assert!(error.is(&rules::BINDING_CUT));
        }
    }

    #[test]
    fn sasl2_is_preferred_and_its_list_alone_counts() {
        let mut features = features(&[SHA1_PLUS, SHA1], &[TlsExporter]);
        features.sasl2 = Some(Authentication::new([SHA1, SHA1_PLUS, PLAIN]));
        let offer = Offer::of(&features);
        assert_eq!((offer.profile, offer.context().mechanisms().len()), (Profile::Sasl2, 3));
    }

    #[test]
    fn plain_is_never_taken_by_itself() {
        for binding_use in [BindingUse::Auto, BindingUse::Never] {
            for types in [&[][..], &[TlsExporter]] {
                let error = chosen(&login(binding_use), &features(&[PLAIN], types)).unwrap_err();
                assert!(error.is(&sasl_rules::NO_MECHANISM));
            }
        }
    }

    #[test]
    fn a_policy_without_the_bound_form_does_not_slip_below_it() {
        let policy = Policy::named([SHA1]).with_floor(Floor::Named);
        let features = features(&[SHA1, SHA1_PLUS], &[TlsExporter]);
        let error = choose(&login(BindingUse::Auto), &policy, &Offer::of(&features)).unwrap_err();
        assert!(error.is(&sasl_rules::NO_MECHANISM));
    }
}
