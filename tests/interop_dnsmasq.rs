//! Against dnsmasq: the servers of a domain by its SRV records.
#![cfg(feature = "dns")]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

#[path = "common/certificates.rs"]
#[allow(dead_code, reason = "each test file takes what it needs")]
mod certificates;
mod common;
#[path = "common/servers.rs"]
#[allow(dead_code, reason = "each test file takes what it needs")]
mod servers;

use std::net::Ipv4Addr;

use countersign::xmpp::BareJid;
use countersign::xmpp::client::{Resolver, Target, rules};

use servers::Dns;

fn start(records: &[&str]) -> Option<(Dns, Resolver)> {
    if !common::peer_or_skip("dnsmasq", common::is_installed("dnsmasq")) {
        return None;
    }
    let dns = Dns::start(&records.iter().map(|record| (*record).to_owned()).collect::<Vec<_>>());
    let resolver = Resolver::at((Ipv4Addr::LOCALHOST, dns.port).into()).unwrap();
    Some((dns, resolver))
}

fn account(domain: &str) -> BareJid {
    BareJid::new(&format!("alice@{domain}")).unwrap()
}

#[tokio::test]
async fn records_of_both_kinds_are_tried_in_the_order_of_their_priority() {
    let Some((_dns, resolver)) = start(&[
        "_xmpp-client._tcp.home.example,second.home.example,5222,20,0",
        "_xmpp-client._tcp.home.example,last.home.example,5232,30,0",
        "_xmpps-client._tcp.home.example,first.home.example,443,10,0",
    ]) else {
        return;
    };
    let servers = resolver.servers(&account("home.example")).await.unwrap();
    let expected = [
        Target::direct("first.home.example", 443),
        Target::new("second.home.example", 5222),
        Target::new("last.home.example", 5232),
    ];
    assert_eq!(servers, expected);
}

#[tokio::test]
async fn a_domain_without_records_is_its_own_server() {
    let Some((_dns, resolver)) = start(&[]) else { return };
    for (domain, host) in [
        ("home.example", "home.example"),
        ("b\u{fc}cher.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
    ] {
        assert_eq!(resolver.servers(&account(domain)).await.unwrap(), [Target::new(host, 5222)]);
    }
}

#[tokio::test]
async fn a_domain_can_say_that_it_has_no_service() {
    let Some((_dns, resolver)) = start(&["_xmpp-client._tcp.home.example,."]) else { return };
    let error = resolver.servers(&account("home.example")).await.unwrap_err();
    assert!(error.is(&rules::NO_SERVICE), "{error}");
}

#[tokio::test]
async fn a_dns_that_refuses_is_an_error() {
    // dnsmasq refuses what is not .example: it knows nobody to ask.
    let Some((_dns, resolver)) = start(&[]) else { return };
    let error = resolver.servers(&account("home.test")).await.unwrap_err();
    assert!(error.is(&rules::DNS_FAILED), "{error}");
}
