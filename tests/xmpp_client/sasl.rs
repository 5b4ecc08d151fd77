//! Logins in RFC 6120's elements.

use countersign::xmpp::client::{BindingUse, Login, Profile, rules};
use countersign::{BindingType, ChannelBinding, Error, sasl, scram};

use crate::support::*;

const BOTH: &[&str] = &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"];
const EXPORTER: &[&str] = &["tls-server-end-point", "tls-exporter"];
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

fn bound(binding_use: BindingUse) -> Login {
    login("alice@home.example/lap").with_binding(exporter(7)).with_binding_use(binding_use)
}

/// A login at a server that keeps to the rules.
async fn honest(
    login: Login,
    offer: Offer,
    binding: Option<ChannelBinding>,
) -> (Result<Profile, Error>, Attempt) {
    let (client, attempt) = run(login, async |mut server| {
        server.open(&offer.features()).await;
        let attempt = server.authenticate(&offer, binding).await;
        if attempt.proven {
            server.welcome(&attempt).await;
        } else {
            server.refuse(SASL).await;
        }
        attempt
    })
    .await;
    let profile = client.map(|client| {
        assert_eq!(client.jid().as_str(), "alice@home.example/lap");
        let kind = attempt.flag.strip_prefix("p=").map(|kind| kind.parse::<BindingType>().unwrap());
        assert_eq!((&client.report().mechanism, client.report().binding), (&attempt.mechanism, kind));
        client.report().profile
    });
    (profile, attempt)
}

#[tokio::test]
async fn an_announced_type_is_bound_to() {
    for binding_use in [BindingUse::Auto, BindingUse::Required] {
        let (login, attempt) =
            honest(bound(binding_use), Offer::new(BOTH, EXPORTER), Some(exporter(7))).await;
        assert_eq!(login.unwrap(), Profile::Sasl);
        assert_eq!(
            (attempt.mechanism.as_str(), attempt.flag.as_str()),
            ("SCRAM-SHA-256-PLUS", "p=tls-exporter")
        );
    }
}

#[tokio::test]
async fn a_relayed_login_fails_and_is_not_tried_with_less() {
    let offer = Offer::new(BOTH, EXPORTER);
    let (login, attempt) = honest(bound(BindingUse::Auto), offer, Some(exporter(8))).await;
    assert!(login.unwrap_err().is(&rules::LOGIN_REFUSED) && !attempt.proven);
}

#[tokio::test]
async fn a_server_without_plus_hears_that_we_could_bind() {
    let (login, attempt) = honest(bound(BindingUse::Auto), Offer::new(&["SCRAM-SHA-256"], &[]), None).await;
    login.unwrap();
    assert_eq!(attempt.flag, "y");
}

#[tokio::test]
async fn a_server_whose_plus_was_cut_refuses_the_y() {
    let (ours, theirs) = (Offer::new(&["SCRAM-SHA-256"], &[]), Offer::new(BOTH, &[]));
    let (client, proven) = run(bound(BindingUse::Auto), async |mut server| {
        server.open(&ours.features()).await;
        let attempt = server.authenticate(&theirs, Some(exporter(7))).await;
        server.refuse(SASL).await;
        attempt.proven
    })
    .await;
    assert!(client.err().unwrap().is(&rules::LOGIN_REFUSED) && !proven);
}

#[tokio::test]
async fn a_server_that_announces_no_type_gets_an_n() {
    let (login, attempt) = honest(bound(BindingUse::Auto), Offer::new(BOTH, &[]), Some(exporter(7))).await;
    login.unwrap();
    assert_eq!((attempt.mechanism.as_str(), attempt.flag.as_str()), ("SCRAM-SHA-256", "n"));
}

#[tokio::test]
async fn a_cut_announcement_is_noticed_where_the_server_confirms_its_offer() {
    let (ours, theirs) = (Offer::new(BOTH, &[]), Offer::new(BOTH, EXPORTER));
    let (client, ()) = run(bound(BindingUse::Auto), async |mut server| {
        server.open(&ours.features()).await;
        assert!(!server.authenticate(&theirs, Some(exporter(7))).await.proven);
    })
    .await;
    assert!(client.err().unwrap().is(&scram::rules::DOWNGRADE));
}

#[tokio::test]
async fn required_binds_to_the_exporter_where_no_type_is_announced() {
    let (login, attempt) =
        honest(bound(BindingUse::Required), Offer::new(BOTH, &[]), Some(exporter(7))).await;
    login.unwrap();
    assert_eq!(attempt.flag, "p=tls-exporter");
    let other = ChannelBinding::tls_unique(&[1; 12]).unwrap();
    let (login, _) = honest(bound(BindingUse::Required), Offer::new(BOTH, &[]), Some(other)).await;
    assert!(login.unwrap_err().is(&rules::UNANNOUNCED_BINDING));
}

#[tokio::test]
async fn with_no_type_in_common_the_server_must_confirm_its_offer() {
    for types in [&["tls-unique"][..], &["tls-unheard-of"]] {
        let theirs = ChannelBinding::tls_unique(&[1; 12]).unwrap();
        let (login, attempt) = honest(bound(BindingUse::Auto), Offer::new(BOTH, types), Some(theirs)).await;
        login.unwrap();
        assert_eq!(attempt.flag, "n");
    }
    // The same list, cut from a longer one on the way.
    let (ours, theirs) = (Offer::new(BOTH, &["tls-unique"]), Offer::new(BOTH, EXPORTER));
    let (client, ()) = run(bound(BindingUse::Auto), async |mut server| {
        server.open(&ours.features()).await;
        assert!(!server.authenticate(&theirs, Some(exporter(7))).await.proven);
    })
    .await;
    assert!(client.err().unwrap().is(&scram::rules::DOWNGRADE));
}

#[tokio::test]
async fn an_offer_that_contradicts_itself_gets_nothing() {
    let offer = Offer::new(&["SCRAM-SHA-256", "PLAIN"], EXPORTER);
    assert!(gives_up(bound(BindingUse::Auto), &offer).await.is(&rules::BINDING_CUT));
}

#[tokio::test]
async fn never_says_n() {
    let offer = Offer::new(BOTH, EXPORTER);
    let (login, attempt) = honest(bound(BindingUse::Never), offer, Some(exporter(7))).await;
    login.unwrap();
    assert_eq!((attempt.mechanism.as_str(), attempt.flag.as_str()), ("SCRAM-SHA-256", "n"));
}

#[tokio::test]
async fn plain_is_taken_by_name_alone() {
    let offer = Offer::new(&["PLAIN"], &[]);
    assert!(gives_up(bound(BindingUse::Auto), &offer).await.is(&sasl::rules::NO_MECHANISM));

    let by_name = || login("alice@home.example/lap").dangerously_send_password();
    let (client, attempt) = run(by_name(), async |mut server| {
        server.open(&offer.features()).await;
        let attempt = server.authenticate(&offer, None).await;
        server.welcome(&attempt).await;
        attempt
    })
    .await;
    assert_eq!(client.unwrap().report().mechanism.as_str(), "PLAIN");
    assert_eq!(attempt.initial, b"\0alice\0in wonderland");

    let offer = Offer::new(&["SCRAM-SHA-256"], &[]);
    assert!(gives_up(by_name(), &offer).await.is(&rules::NO_PLAIN));
}

#[tokio::test]
async fn a_server_that_claims_success_without_proof_is_not_believed() {
    let offer = Offer::new(BOTH, EXPORTER);
    for lie in [
        format!("<success xmlns='{SASL}'/>"),
        format!("<success xmlns='{SASL}'>=</success>"),
        format!(
            "<success xmlns='{SASL}'>{}</success>",
            sasl::encode(b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        ),
    ] {
        let (client, ()) = run(bound(BindingUse::Auto), async |mut server| {
            server.open(&offer.features()).await;
            server.hear().await;
            server.say(&lie).await;
            server.hear().await;
        })
        .await;
        assert!(client.is_err(), "{lie}");
    }
    // After an honest challenge too.
    let (client, ()) = run(bound(BindingUse::Auto), async |mut server| {
        server.open(&offer.features()).await;
        assert!(server.authenticate(&offer, Some(exporter(7))).await.proven);
        let lie = sasl::encode(b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        server.say(&format!("<success xmlns='{SASL}'>{lie}</success>")).await;
        server.hear().await;
    })
    .await;
    assert!(client.err().unwrap().is(&scram::rules::SERVER_SIGNATURE));
}

#[tokio::test]
async fn a_server_that_vanishes_is_lost_at_every_step() {
    let offer = Offer::new(BOTH, EXPORTER);
    for steps in 0..3 {
        let (client, ()) = run(bound(BindingUse::Auto), async |mut server| {
            if steps > 0 {
                server.open(&offer.features()).await;
            }
            if steps > 1 {
                let attempt = server.authenticate(&offer, Some(exporter(7))).await;
                let data = attempt.additional.as_deref().map(sasl::encode).unwrap();
                server.say(&format!("<success xmlns='{SASL}'>{data}</success>")).await;
            }
        })
        .await;
        assert!(client.err().unwrap().is(&rules::LOST), "{steps}");
    }
}
