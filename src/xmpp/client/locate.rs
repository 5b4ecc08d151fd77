//! The servers of a domain, by SRV records (RFC 6120 section 3.2, XEP-0368).
//!
//! The DNS is not believed: whatever server it names must have a certificate for the domain.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData};
use rand_core::CryptoRng;

use crate::error::{Error, Result};
use crate::xmpp::BareJid;

use super::tls::{Target, TlsStart, ascii_domain};
use super::{rules, within};

/// For both questions together.
pub const DNS_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the DNS.
pub struct Resolver {
    inner: TokioResolver,
}

impl Resolver {
    /// Asks those that the system asks.
    ///
    /// # Errors
    /// [`rules::DNS_FAILED`].
    pub fn system() -> Result<Self> {
        let inner = TokioResolver::builder_tokio().and_then(|builder| builder.build()).map_err(failed)?;
        Ok(Self { inner })
    }

    /// Asks this server.
    ///
    /// # Errors
    /// [`rules::DNS_FAILED`].
    pub fn at(address: SocketAddr) -> Result<Self> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        let server = NameServerConfig::new(address.ip(), true, connections.to_vec());
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        Ok(Self { inner: builder.build().map_err(failed)? })
    }

    /// Where the servers of this account's domain are, in the order in which to try them; the domain itself where
    /// the DNS has no records of them.
    ///
    /// # Errors
    /// [`rules::DNS_FAILED`], [`rules::NO_SERVICE`], [`rules::BAD_DOMAIN`], [`rules::TIMED_OUT`].
    pub async fn servers(&self, account: &BareJid) -> Result<Vec<Target>> {
        let domain = ascii_domain(account)?;
        if domain.parse::<std::net::IpAddr>().is_ok() {
            return Ok(vec![Target::of_domain(account)?]);
        }
        let asking = async {
            Ok(tokio::join!(
                self.records(&domain, "_xmpp-client._tcp", TlsStart::StartTls),
                self.records(&domain, "_xmpps-client._tcp", TlsStart::Direct),
            ))
        };
        let (starttls, direct) = within(DNS_TIMEOUT, "the DNS", asking).await?;
        let records = match (starttls, direct) {
            (Ok(starttls), Ok(direct)) => [starttls, direct].concat(),
            (Ok(some), Err(error)) | (Err(error), Ok(some)) if some.is_empty() => return Err(error),
            (Ok(some), Err(_)) | (Err(_), Ok(some)) => some,
            (Err(error), Err(_)) => return Err(error),
        };
        if records.is_empty() {
            return Ok(vec![Target::of_domain(account)?]);
        }
        let targets = order(records, &mut crate::system_rng());
        if targets.is_empty() { Err(Error::new(&rules::NO_SERVICE).about(domain)) } else { Ok(targets) }
    }

    async fn records(&self, domain: &str, service: &str, start: TlsStart) -> Result<Vec<Record>> {
        // A final dot: the search list of this machine has no say in it.
        let name = Name::from_ascii(format!("{service}.{domain}."));
        let name = name.map_err(|_| Error::new(&rules::BAD_DOMAIN).about(domain))?;
        let answer = match self.inner.srv_lookup(name).await {
            Ok(answer) => answer,
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let records = answer.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(Record {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                host: srv.target.to_ascii().trim_end_matches('.').to_owned(),
                start,
            }),
            _ => None,
        });
        Ok(records.collect())
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(&rules::DNS_FAILED).about(error.to_string())
}

/// An SRV record (RFC 2782); an empty host says that there is no such service.
#[derive(Clone, Debug)]
struct Record {
    priority: u16,
    weight: u16,
    port: u16,
    host: String,
    start: TlsStart,
}

/// Lower priorities first, and among equals by chance as their weights say. Records of both services are mixed
/// (XEP-0368 section 2).
fn order(mut records: Vec<Record>, rng: &mut dyn CryptoRng) -> Vec<Target> {
    records.retain(|record| !record.host.is_empty());
    let mut ordered = Vec::new();
    while let Some(best) = records.iter().map(|record| record.priority).min() {
        let equals = records.iter().enumerate().filter(|(_, record)| record.priority == best);
        let shares = equals.map(|(i, record)| (i, u64::from(record.weight).max(1))).collect::<Vec<_>>();
        let total = shares.iter().map(|(_, share)| share).sum::<u64>();
        // The bias of the remainder is below 2^-40 and only decides which server gets the load.
        let mut drawn = rng.next_u64() % total;
        let chosen = shares.iter().find_map(|(i, share)| match drawn.checked_sub(*share) {
            None => Some(*i),
            Some(left) => {
                drawn = left;
                None
            }
        });
        let Record { host, port, start, .. } = records.remove(chosen.unwrap_or_default());
        ordered.push(Target { host, port, start });
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, host: &str) -> Record {
        Record { priority, weight, port: 1, host: host.into(), start: TlsStart::StartTls }
    }

    fn hosts(records: &[Record]) -> Vec<String> {
        let ordered = order(records.to_vec(), &mut crate::system_rng());
        ordered.into_iter().map(|target| target.host).collect()
    }

    #[test]
    fn priorities_decide() {
        let records = [record(20, 9, "c"), record(5, 0, "a"), record(10, 0, "b")];
        assert_eq!(hosts(&records), ["a", "b", "c"]);
    }

    #[test]
    fn weights_decide_among_equals() {
        let records = [record(1, 1, "rare"), record(1, 65535, "often")];
        let first = (0..200).filter(|_| hosts(&records)[0] == "often").count();
        assert!(first > 150, "{first}");
        let light = [record(1, 0, "x"), record(1, 0, "y")];
        let first = (0..200).filter(|_| hosts(&light)[0] == "x").count();
        assert!((20..180).contains(&first), "{first}");
    }

    #[test]
    fn a_root_target_is_no_server() {
        assert!(hosts(&[record(0, 0, "")]).is_empty());
    }
}
