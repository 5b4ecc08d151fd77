//! Logins in the elements of SASL2.

use countersign::BindingType;
use countersign::xmpp::client::{Profile, rules};
use countersign::{sasl, scram, xmpp};

use crate::support::*;

const BOTH: &[&str] = &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"];
const EXPORTER: &[&str] = &["tls-exporter"];
const BIND2: &str = "<bind xmlns='urn:xmpp:bind:0'/>";
const SASL2: &str = "urn:xmpp:sasl:2";

fn offer() -> Offer {
    Offer { inline: BIND2, ..Offer::new(BOTH, EXPORTER).in_sasl2() }
}

fn success(attempt: &Attempt, identity: &str, more: &str) -> String {
    let data = attempt.additional.as_deref().map(sasl::encode).unwrap_or_default();
    format!(
        "<success xmlns='{SASL2}'><additional-data>{data}</additional-data>\
         <authorization-identifier>{identity}</authorization-identifier>{more}</success>"
    )
}

#[tokio::test]
async fn a_resource_is_bound_on_the_way() {
    let (client, attempt) = run(login("alice@home.example").with_binding(exporter(7)), async |mut server| {
        server.open(&offer().features()).await;
        let attempt = server.authenticate(&offer(), Some(exporter(7))).await;
        let bound = "<bound xmlns='urn:xmpp:bind:0'/>";
        server.say(&success(&attempt, "alice@home.example/countersign~1", bound)).await;
        server.say("<stream:features/>").await;
        attempt
    })
    .await;
    let client = client.unwrap();
    assert_eq!(client.jid().as_str(), "alice@home.example/countersign~1");
    assert_eq!(
        (client.report().profile, client.report().binding),
        (Profile::Sasl2, Some(BindingType::TlsExporter))
    );
    let auth = text(&attempt.auth);
    assert!(auth.contains("<bind xmlns='urn:xmpp:bind:0'><tag>countersign</tag></bind>"), "{auth}");
    // Nothing in it names the device.
    assert!(auth.contains("<user-agent><software>countersign</software></user-agent>"), "{auth}");
}

#[tokio::test]
async fn a_wished_resource_is_bound_afterwards() {
    let (client, attempt) =
        run(login("alice@home.example/lap").with_binding(exporter(7)), async |mut server| {
            server.open(&offer().features()).await;
            let attempt = server.authenticate(&offer(), Some(exporter(7))).await;
            server.say(&success(&attempt, "alice@home.example", "")).await;
            server.say(BIND).await;
            server.bind().await;
            attempt
        })
        .await;
    assert_eq!(client.unwrap().jid().as_str(), "alice@home.example/lap");
    assert!(!text(&attempt.auth).contains("bind"));
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let (client, ()) = run(login("mallory@home.example").with_binding(exporter(7)), async |mut server| {
        server.open(&offer().features()).await;
        assert!(!server.authenticate(&offer(), Some(exporter(7))).await.proven);
        server.refuse(SASL2).await;
    })
    .await;
    assert!(client.err().unwrap().is(&rules::LOGIN_REFUSED));
}

#[tokio::test]
async fn lies_at_the_end_are_noticed() {
    let me = "alice@home.example";
    for (identity, more, lie, rule) in [
        ("bob@home.example/x", "<bound xmlns='urn:xmpp:bind:0'/>", false, &rules::UNEXPECTED),
        (me, "<bound xmlns='urn:xmpp:bind:0'/>", false, &rules::UNEXPECTED),
        ("@", "", false, &xmpp::sasl2::rules::MALFORMED),
        (me, "", true, &scram::rules::SERVER_SIGNATURE),
    ] {
        let (client, ()) = run(login(me).with_binding(exporter(7)), async |mut server| {
            server.open(&offer().features()).await;
            let mut attempt = server.authenticate(&offer(), Some(exporter(7))).await;
            if lie {
                attempt.additional = Some(b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_vec());
            }
            server.say(&success(&attempt, identity, more)).await;
            server.hear().await;
        })
        .await;
        let error = client.err().unwrap();
        assert!(error.is(rule), "{error}");
    }
}

#[tokio::test]
async fn success_without_proof_is_no_success() {
    let (client, ()) = run(login("alice@home.example").with_binding(exporter(7)), async |mut server| {
        server.open(&offer().features()).await;
        server.hear().await;
        let text = "<authorization-identifier>alice@home.example</authorization-identifier>";
        server.say(&format!("<success xmlns='{SASL2}'>{text}</success>")).await;
        server.hear().await;
    })
    .await;
    assert!(client.err().unwrap().is(&sasl::rules::EARLY_SUCCESS));
}

#[tokio::test]
async fn further_tasks_end_the_login() {
    let (client, ()) = run(login("alice@home.example").with_binding(exporter(7)), async |mut server| {
        server.open(&offer().features()).await;
        server.authenticate(&offer(), Some(exporter(7))).await;
        server.say(&format!("<continue xmlns='{SASL2}'><tasks><task>HOTP</task></tasks></continue>")).await;
        server.hear().await;
    })
    .await;
    let error = client.err().unwrap();
    assert!(error.is(&rules::MORE_TASKS));
    assert_eq!(error.subject(), Some("HOTP"));
}

#[tokio::test]
async fn a_cut_list_is_noticed_where_the_server_confirms_its_offer() {
    let cut = Offer::new(&["SCRAM-SHA-256"], &[]).in_sasl2();
    let (client, ()) = run(login("alice@home.example").with_binding(exporter(7)), async |mut server| {
        server.open(&cut.features()).await;
        server.authenticate(&offer(), Some(exporter(7))).await;
        server.refuse(SASL2).await;
    })
    .await;
    // The server refuses the flag `y` before it confirms anything.
    assert!(client.err().unwrap().is(&rules::LOGIN_REFUSED));
    let longer =
        Offer::new(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-512-PLUS"], EXPORTER).in_sasl2();
    let (client, ()) = run(login("alice@home.example").with_binding(exporter(7)), async |mut server| {
        server.open(&offer().features()).await;
        assert!(!server.authenticate(&longer, Some(exporter(7))).await.proven);
    })
    .await;
    assert!(client.err().unwrap().is(&scram::rules::DOWNGRADE));
}

#[tokio::test]
async fn plus_without_types_gets_nothing() {
    let cut = Offer::new(BOTH, &[]).in_sasl2();
    assert!(
        gives_up(login("alice@home.example").with_binding(exporter(7)), &cut).await.is(&rules::BINDING_CUT)
    );
}
