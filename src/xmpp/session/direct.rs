//! The stream in a tunnel that TLS itself has verified (`docs/xtls-profile.md` section 6): headers, then what both sides
//! saw of the offers, then stanzas. Each state is consumed by the item that it waits for.

use base64ct::{Base64, Encoding};
use jid::FullJid;
use minidom::Element;
use subtle::ConstantTimeEq;

use crate::error::{Error, Result};
use crate::mechanism::{MechanismName, Side};
use crate::xmpp::ns;
use crate::xmpp::sasl::Features;
use crate::xmpp::stream::{Header, Item, to_octets};
use crate::xmpp::xml::Reader;

use super::rules;
use super::secured::{Fault, Next, Tools, check_header, element};

/// What a side knows when the tunnel opens.
pub(super) struct Party {
    pub(super) side: Side,
    pub(super) own: FullJid,
    pub(super) peer: FullJid,
    /// The digest of the context: both addresses, both offers.
    pub(super) digest: [u8; 32],
    /// What the initiator named and our policy does not let through.
    pub(super) refused: Vec<(MechanismName, &'static str)>,
}

pub(super) enum State {
    InitiatorHeader(Party),
    InitiatorFeatures(Party),
    ResponderHeader(Party),
    ResponderOffers(Party),
}

impl State {
    /// The first state, and what to send on the way into it.
    pub(super) fn start(party: Party, tools: &mut Tools<'_>) -> Result<(Self, Vec<u8>)> {
        Ok(match party.side {
            Side::Client => {
                let mut octets = header(&party, tools);
                octets.extend(to_octets(&offers(&party.digest))?);
                (Self::InitiatorHeader(party), octets)
            }
            Side::Server => (Self::ResponderHeader(party), vec![]),
        })
    }

    pub(super) fn advance(self, item: Item, tools: &mut Tools<'_>) -> Result<Next<Self>, Fault> {
        match self {
            Self::InitiatorHeader(party) => {
                check_header(item, &party.own, &party.peer)?;
                Ok(Next::Wait(Self::InitiatorFeatures(party), vec![]))
            }
            Self::InitiatorFeatures(party) => {
                let element = element(item)?;
                Features::from_element(&element).map_err(Fault::malformed)?;
                compare(element.get_child("offers", ns::E2E), &party.digest)?;
                Ok(Next::Live(vec![], party.refused))
            }
            Self::ResponderHeader(party) => {
                check_header(item, &party.own, &party.peer)
                    .map_err(|fault| fault.after(header(&party, tools)))?;
                Ok(Next::Wait(Self::ResponderOffers(party), vec![]))
            }
            Self::ResponderOffers(party) => {
                let mut octets = header(&party, tools);
                element(item)
                    .and_then(|element| compare(Some(&element), &party.digest))
                    .map_err(|fault| fault.after(octets.clone()))?;
                let mut features = Features::new().to_element();
                features.append_child(offers(&party.digest));
                octets.extend(to_octets(&features).map_err(Fault::silent)?);
                Ok(Next::Live(octets, party.refused))
            }
        }
    }

    /// The header that an error has to be preceded by, when none was sent.
    pub(super) fn unsent_header(&self, tools: &mut Tools<'_>) -> Option<Vec<u8>> {
        match self {
            Self::ResponderHeader(party) | Self::ResponderOffers(party) => Some(header(party, tools)),
            Self::InitiatorHeader(_) | Self::InitiatorFeatures(_) => None,
        }
    }
}

/// What its sender has seen of both offers.
fn offers(digest: &[u8; 32]) -> Element {
    Element::builder("offers", ns::E2E).append(Base64::encode_string(digest)).build()
}

fn compare(element: Option<&Element>, digest: &[u8; 32]) -> Result<(), Fault> {
    let Some(element) = element else { return Err(Fault::malformed(Error::new(&rules::OUT_OF_ORDER))) };
    let theirs = read_offers(element).map_err(Fault::malformed)?;
    if bool::from(theirs.ct_eq(digest)) {
        Ok(())
    } else {
        Err(Fault::stream(Error::new(&rules::OFFERS_DIFFER), "not-authorized"))
    }
}

fn read_offers(element: &Element) -> Result<Vec<u8>> {
    let offers = Reader::new(element, "offers", ns::E2E, &rules::OUT_OF_ORDER)?;
    offers.only_attributes(&[])?;
    offers.no_children()?;
    Base64::decode_vec(&offers.text()).map_err(|_| offers.broken("offers"))
}

fn header(party: &Party, tools: &mut Tools<'_>) -> Vec<u8> {
    let header = Header::new().with_from(party.own.clone()).with_to(party.peer.clone());
    match party.side {
        Side::Client => header,
        Side::Server => header.with_id(tools.random_id()),
    }
    .to_octets()
}
