use countersign::xmpp::client::Client;

use crate::support::*;

async fn ask(client: &mut Client, iq: &str) -> countersign::xmpp::Element {
    client.send(&element(iq)).await.unwrap();
    next(client).await
}

#[tokio::test]
async fn stanzas_pass_between_clients_with_the_true_sender() {
    let server = server().await;
    let mut alice = login(&server, "alice@home.example/lap").await;
    let mut bob = login(&server, "bob@home.example/tab").await;
    let message = "<message xmlns='jabber:client' to='bob@home.example/tab'><body>a &amp; b</body></message>";
    alice.send(&element(message)).await.unwrap();
    let received = next(&mut bob).await;
    assert_eq!(received.attr("from"), Some("alice@home.example/lap"));
    assert_eq!(received.get_child("body", "jabber:client").unwrap().text(), "a & b");
    let statistics = server.statistics();
    assert_eq!(statistics.stanzas_routed, 1);
    assert!(statistics.octets_routed > 60);
}

#[tokio::test]
async fn the_server_answers_ping() {
    let server = server().await;
    let mut alice = login(&server, "alice@home.example/lap").await;
    for to in ["", "to='home.example'", "to='alice@home.example'"] {
        let ping =
            format!("<iq xmlns='jabber:client' type='get' id='p' {to}><ping xmlns='urn:xmpp:ping'/></iq>");
        let answer = ask(&mut alice, &ping).await;
        assert_eq!((answer.attr("type"), answer.attr("id")), (Some("result"), Some("p")));
    }
}

#[tokio::test]
async fn the_server_describes_itself() {
    let server = server().await;
    let mut alice = login(&server, "alice@home.example/lap").await;
    let info = "http://jabber.org/protocol/disco#info";
    let iq =
        format!("<iq xmlns='jabber:client' type='get' id='d' to='home.example'><query xmlns='{info}'/></iq>");
    let answer = ask(&mut alice, &iq).await;
    let query = answer.get_child("query", info).unwrap();
    let identity = query.get_child("identity", info).unwrap();
    assert_eq!((identity.attr("category"), identity.attr("type")), (Some("server"), Some("im")));
    assert!(identity.attr("name").unwrap().contains("FOR DEMOS AND TESTS ONLY"));
    assert!(query.children().any(|feature| feature.attr("var") == Some("urn:xmpp:ping")));
}

#[tokio::test]
async fn the_roster_is_empty_and_other_requests_are_refused() {
    let server = server().await;
    let mut alice = login(&server, "alice@home.example/lap").await;
    let roster =
        ask(&mut alice, "<iq xmlns='jabber:client' type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
            .await;
    assert_eq!(roster.attr("type"), Some("result"));
    for to in ["", "to='home.example'", "to='bob@home.example'"] {
        let iq = format!("<iq xmlns='jabber:client' type='set' id='u' {to}><q xmlns='urn:unknown'/></iq>");
        assert_eq!(condition(&ask(&mut alice, &iq).await), "service-unavailable", "{to}");
    }
}

#[tokio::test]
async fn absent_peers_and_bad_addresses_are_refused() {
    let server = server().await;
    let mut alice = login(&server, "alice@home.example/lap").await;
    for (to, expected) in [
        ("bob@home.example/tab", "service-unavailable"),
        ("nobody@home.example/x", "service-unavailable"),
        ("bob@elsewhere.example/tab", "remote-server-not-found"),
        ("@@", "jid-malformed"),
    ] {
        let iq = format!("<iq xmlns='jabber:client' type='get' id='a' to='{to}'><q xmlns='u'/></iq>");
        assert_eq!(condition(&ask(&mut alice, &iq).await), expected, "{to}");
        let message = format!("<message xmlns='jabber:client' id='m' to='{to}'/>");
        assert_eq!(condition(&ask(&mut alice, &message).await), expected, "{to}");
    }
}

#[tokio::test]
async fn a_malformed_iq_is_refused() {
    let server = server().await;
    let mut alice = login(&server, "alice@home.example/lap").await;
    let iq = "<iq xmlns='jabber:client' type='get' id='a' to='home.example'/>";
    assert_eq!(condition(&ask(&mut alice, iq).await), "bad-request");
}

#[tokio::test]
async fn presence_makes_an_account_reachable() {
    let server = server().await;
    let mut alice = login(&server, "alice@home.example/lap").await;
    let mut bob = login(&server, "bob@home.example/tab").await;
    bob.send(&element("<presence xmlns='jabber:client'/>")).await.unwrap();
    assert_eq!(next(&mut bob).await.attr("from"), Some("bob@home.example/tab"));
    alice.send(&element("<message xmlns='jabber:client' to='bob@home.example'/>")).await.unwrap();
    assert_eq!(next(&mut bob).await.name(), "message");
}
