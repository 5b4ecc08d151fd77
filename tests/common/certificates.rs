//! A certificate authority that lives as long as one test.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};

/// Before and after now; ejabberd sets a timer to the end of a certificate and cannot wait for millennia.
const VALID: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its private key, PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = valid(CertificateParams::default());
        params.distinguished_name = named("countersign test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its own certificate, PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A leaf for a server, which shows it to clients and to other servers.
    pub(crate) fn issue(&self, domain: &str) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = valid(CertificateParams::new(vec![domain.to_owned()]).unwrap());
        params.distinguished_name = named(domain);
        params.is_ca = IsCa::ExplicitNoCa;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn valid(mut params: CertificateParams) -> CertificateParams {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + (now - VALID);
    params.not_after = epoch + (now + VALID);
    params
}
