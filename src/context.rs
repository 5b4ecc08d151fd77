//! What an exchange is about: who talks to whom, and everything that was offered in the open before it.
//!
//! Both sides build the same [`Context`] from what they sent and received. Its digest enters the mechanism's
//! transcript, so that a relay, a swap of roles, a password shared with a third person, a stripped offer or an
//! edited list all end in a failed authentication.

use sha2::{Digest, Sha256};

use crate::binding::{BindingType, ChannelBinding};
use crate::mechanism::MechanismName;

/// First octets of everything that is hashed into [`Context::digest`].
const LABEL: &[u8] = b"countersign context v1";

/// First item of every [`Context::channel_identifier`].
const CHANNEL_LABEL: &[u8] = b"countersign channel identifier v1";

/// The public circumstances of an exchange, the same on both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    initiator: String,
    responder: String,
    mechanisms: Vec<MechanismName>,
    binding_types: Vec<BindingType>,
    other_binding_types: Vec<String>,
    offers: Vec<Vec<u8>>,
}

impl Context {
    /// A plain SASL exchange with a service: no end-to-end identities.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Between two named parties: full JIDs in XMPP, or whatever identities an application has. The initiator
    /// is the SASL client.
    #[must_use]
    pub fn between(initiator: impl Into<String>, responder: impl Into<String>) -> Self {
        Self { initiator: initiator.into(), responder: responder.into(), ..Self::default() }
    }

    /// The mechanisms the server side offered on this stream.
    #[must_use]
    pub fn with_mechanisms(mut self, offered: impl IntoIterator<Item = MechanismName>) -> Self {
        self.mechanisms = offered.into_iter().collect();
        self
    }

    /// The channel-binding types the server side offered on this stream (XEP-0440).
    #[must_use]
    pub fn with_binding_types(mut self, offered: impl IntoIterator<Item = BindingType>) -> Self {
        self.binding_types = offered.into_iter().collect();
        self
    }

    /// Those types among them that are not known here: they are never used, and belong to what was offered.
    #[must_use]
    pub fn with_other_binding_types(mut self, offered: impl IntoIterator<Item = String>) -> Self {
        self.other_binding_types = offered.into_iter().collect();
        self
    }

    /// Adds something that crossed the servers in the open, as canonical octets; the initiator's offers first.
    #[must_use]
    pub fn with_offer(mut self, offer: impl Into<Vec<u8>>) -> Self {
        self.offers.push(offer.into());
        self
    }

    /// The initiator's identity; empty for a plain SASL exchange.
    #[must_use]
    pub fn initiator(&self) -> &str {
        &self.initiator
    }

    /// The responder's identity; empty for a plain SASL exchange.
    #[must_use]
    pub fn responder(&self) -> &str {
        &self.responder
    }

    /// The mechanisms that were offered.
    #[must_use]
    pub fn mechanisms(&self) -> &[MechanismName] {
        &self.mechanisms
    }

    /// The channel-binding types that were offered and are known here.
    #[must_use]
    pub fn binding_types(&self) -> &[BindingType] {
        &self.binding_types
    }

    /// Whether any channel-binding type was offered, known here or not.
    #[must_use]
    pub fn offers_binding_types(&self) -> bool {
        !self.binding_types.is_empty() || !self.other_binding_types.is_empty()
    }

    /// Whether two parties are named, so that the exchange must prove the whole context.
    #[must_use]
    pub fn is_end_to_end(&self) -> bool {
        !self.initiator.is_empty() && !self.responder.is_empty()
    }

    /// SHA-256 over everything, each item preceded by its length as 8 octets, big-endian, and each list by its
    /// count; mechanisms and binding types in octet order, as in [`Context::downgrade_string`].
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        fn item(hash: &mut Sha256, octets: &[u8]) {
            hash.update((octets.len() as u64).to_be_bytes());
            hash.update(octets);
        }
        fn list<'a>(hash: &mut Sha256, items: impl ExactSizeIterator<Item = &'a [u8]>) {
            hash.update((items.len() as u64).to_be_bytes());
            items.for_each(|octets| item(hash, octets));
        }
        let mut hash = Sha256::new();
        item(&mut hash, LABEL);
        item(&mut hash, self.initiator.as_bytes());
        item(&mut hash, self.responder.as_bytes());
        list(&mut hash, self.sorted_mechanisms().into_iter().map(str::as_bytes));
        list(&mut hash, self.sorted_binding_types().into_iter().map(str::as_bytes));
        list(&mut hash, self.offers.iter().map(Vec::as_slice));
        hash.finalize().into()
    }

    /// What a PAKE mechanism takes into its transcript: CPace as CI, SPAKE2+ and OPAQUE as Context
    /// (`docs/sasl-pake.md`, Channel identifier). Each item is preceded by its length as 8 octets, big-endian.
    #[must_use]
    pub fn channel_identifier(
        &self,
        mechanism: &MechanismName,
        authcid: &str,
        authzid: &str,
        binding: &ChannelBinding,
    ) -> Vec<u8> {
        let items: [&[u8]; 9] = [
            CHANNEL_LABEL,
            mechanism.as_str().as_bytes(),
            self.initiator.as_bytes(),
            self.responder.as_bytes(),
            authcid.as_bytes(),
            authzid.as_bytes(),
            binding.kind().name().as_bytes(),
            binding.data(),
            &self.digest(),
        ];
        items.iter().flat_map(|item| [&(item.len() as u64).to_be_bytes(), *item].concat()).collect()
    }

    /// The string that XEP-0474 0.5.0 section 4 hashes: mechanisms in octet order joined by 0x1E and, when binding
    /// types were offered, 0x1F and the types in octet order joined by 0x1E.
    #[must_use]
    pub fn downgrade_string(&self) -> Vec<u8> {
        let mut string = self.sorted_mechanisms().join("\u{1e}");
        if self.offers_binding_types() {
            string.push('\u{1f}');
            string.push_str(&self.sorted_binding_types().join("\u{1e}"));
        }
        string.into_bytes()
    }

    fn sorted_mechanisms(&self) -> Vec<&str> {
        let mut names = self.mechanisms.iter().map(MechanismName::as_str).collect::<Vec<_>>();
        names.sort_unstable();
        names
    }

    fn sorted_binding_types(&self) -> Vec<&str> {
        let known = self.binding_types.iter().map(|kind| kind.name());
        let mut names = known.chain(self.other_binding_types.iter().map(String::as_str)).collect::<Vec<_>>();
        names.sort_unstable();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Context {
        Context::between("a@x/1", "b@y/2")
            .with_mechanisms(["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"].map(|n| n.parse().unwrap()))
            .with_binding_types([BindingType::TlsServerEndPoint, BindingType::TlsExporter])
            .with_offer(*b"<security/>")
    }

    #[test]
    fn downgrade_string_is_that_of_xep_0474() {
        assert_eq!(
            full().downgrade_string(),
            b"SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-exporter\x1etls-server-end-point"
        );
        assert_eq!(
            full().with_other_binding_types(["tls-new".to_owned()]).downgrade_string(),
            b"SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-exporter\x1etls-new\x1etls-server-end-point"
        );
    }

    #[test]
    fn every_part_changes_the_digest() {
        let digest = full().digest();
        let edited = [
            Context { initiator: "a@x/11".into(), ..full() },
            Context { responder: "b@y/22".into(), ..full() },
            Context { initiator: "b@y/2".into(), responder: "a@x/1".into(), ..full() },
            full().with_mechanisms(["SCRAM-SHA-1"].map(|n| n.parse().unwrap())),
            full().with_binding_types([BindingType::TlsExporter]),
            full().with_other_binding_types(["tls-new".to_owned()]),
            full().with_offer(*b""),
            Context { offers: vec![], ..full() },
        ];
        for context in edited {
            assert_ne!(context.digest(), digest, "{context:?}");
        }
    }

    #[test]
    fn every_part_changes_the_channel_identifier() {
        let [plus, other] = ["CPACE-R255-PLUS", "CPACE-X25519-PLUS"].map(|name| name.parse().unwrap());
        let binding = ChannelBinding::tls_exporter([7; 32]);
        let identifier = full().channel_identifier(&plus, "alice", "bob", &binding);
        let swapped = Context { initiator: "b@y/2".into(), responder: "a@x/1".into(), ..full() };
        let unique = ChannelBinding::tls_unique(&[7; 32]).unwrap();
        let exporter = ChannelBinding::tls_exporter([8; 32]);
        for edited in [
            full().channel_identifier(&other, "alice", "bob", &binding),
            full().channel_identifier(&plus, "alic", "ebob", &binding),
            full().channel_identifier(&plus, "alicebob", "", &binding),
            full().channel_identifier(&plus, "alice", "bob", &unique),
            full().channel_identifier(&plus, "alice", "bob", &exporter),
            full().with_offer(*b"").channel_identifier(&plus, "alice", "bob", &binding),
            swapped.channel_identifier(&plus, "alice", "bob", &binding),
        ] {
            assert_ne!(edited, identifier);
        }
    }

    #[test]
    fn order_of_offered_names_does_not_matter() {
        let reversed =
            full().with_mechanisms(["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"].map(|n| n.parse().unwrap()));
        assert_eq!(reversed.digest(), full().digest());
    }
}
