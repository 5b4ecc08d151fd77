//! A relay between people who all share one password. Only who they are differs: the channel binding, the offers and
//! the password are the same on both of his sides, and he edits every address that he can read.

use base64ct::{Base64, Encoding};
use countersign::ksf::Ksf;
use countersign::mechanism::MechanismName;
use countersign::prep::Preparation;
use countersign::registry::SharedPassword;
use countersign::sasl::Policy;
use countersign::secret::Password;
use countersign::xmpp::{Element, InitiatorConfig, ResponderConfig, ns, stream};

use crate::kit::*;

/// As long as Alice's address, so that no length inside a message has to be edited.
const MALLORY: &str = "malry@atlanta.example/lap";

const ALICES_ACCOUNT: &str = "alice@atlanta.example";
const MALLORYS_ACCOUNT: &str = "malry@atlanta.example";

type Pairs = &'static [(&'static str, &'static str)];

/// What the relay puts in the place of what, in the stanzas of the initiator and in those of the responder.
type Edits = [Pairs; 2];

/// A session from `caller` to `called` that the relay brings to `answering`, who expects `expected`.
fn relayed(
    mechanism: &MechanismName,
    [caller, called]: [&str; 2],
    [answering, expected]: [&str; 2],
    edits: Edits,
) -> Pair {
    let policy = Policy::named([mechanism.clone()]);
    let password = || Password::new(PASSWORD);
    let store = SharedPassword::new(expected, password(), Preparation::SaslPrep, CountingRng(99)).unwrap();
    let store = std::sync::Arc::new(store.with_ksf(Ksf::CHEAPEST));
    let initiator = InitiatorConfig::new(jid(caller), jid(called), password()).with_policy(policy.clone());
    let responder = ResponderConfig::new(jid(answering), store).with_policy(policy);
    let mut pair = Pair::with(initiator, responder, plain)
        .edited(move |sender, stanza| vec![edit(&stanza, edits[usize::from(sender == From::Bob)])]);
    pair.run();
    assert!(pair.log.iter().any(|line| line.contains(&format!("mechanism='{mechanism}'"))));
    pair
}

/// Edits a stanza, the stream in its block, and the messages of the mechanism in that.
fn edit(stanza: &Element, pairs: Pairs) -> Element {
    let mut text = String::from_utf8(stream::to_octets(stanza).unwrap()).unwrap();
    if let Some(data) = stanza.get_child("data", ns::IBB) {
        let octets = Base64::decode_vec(&data.text()).unwrap();
        text = text.replace(&data.text(), &Base64::encode_string(&edit_frames(&octets, pairs)));
    }
    xml(&replaced(&text, pairs))
}

fn edit_frames(mut octets: &[u8], pairs: Pairs) -> Vec<u8> {
    let mut edited = Vec::new();
    while let [letter, a, b, c, d, rest @ ..] = octets {
        let (content, rest) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        let content = if *letter == b'D' { edit_inside(content, pairs) } else { content.to_vec() };
        edited.extend(frame(*letter, &content));
        octets = rest;
    }
    edited
}

fn edit_inside(content: &[u8], pairs: Pairs) -> Vec<u8> {
    let text = replaced(std::str::from_utf8(content).unwrap(), pairs);
    let (Some(start), Some(end)) = (text.find('>'), text.rfind("</")) else { return text.into_bytes() };
    match text.get(start + 1..end).map(Base64::decode_vec) {
        Some(Ok(message)) => {
            // Octets and characters of the same numbers, because messages are no text.
            let message = message.into_iter().map(char::from).collect::<String>();
            let message = replaced(&message, pairs).chars().map(|c| c as u8).collect::<Vec<_>>();
            format!("{}{}{}", &text[..=start], Base64::encode_string(&message), &text[end..]).into_bytes()
        }
        _ => text.into_bytes(),
    }
}

/// All replacements at once: what one has put there, no other takes away.
fn replaced(text: &str, pairs: Pairs) -> String {
    let (mut edited, mut rest) = (String::new(), text);
    while let Some(next) = rest.chars().next() {
        let found = pairs.iter().find_map(|(old, new)| rest.strip_prefix(old).map(|after| (new, after)));
        if let Some((new, after)) = found {
            edited.push_str(new);
            rest = after;
        } else {
            edited.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    edited
}

#[test]
fn a_relay_that_edits_nothing_passes() {
    let mut count = 0;
    for mechanism in pakes() {
        let pair = relayed(mechanism, [ALICE, BOB], [BOB, ALICES_ACCOUNT], [&[], &[]]);
        assert!(pair.is_established(), "{mechanism}: {:?}", pair.events);
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn a_call_to_bob_that_is_brought_to_mallory_is_refused() {
    for mechanism in pakes() {
        let edits: Edits = [&[(BOB, MALLORY)], &[(MALLORY, BOB)]];
        let pair = relayed(mechanism, [ALICE, BOB], [MALLORY, ALICES_ACCOUNT], edits);
        pair.confirmation_failed(mechanism);
    }
}

#[test]
fn a_call_to_mallory_that_is_brought_to_bob_is_refused() {
    for mechanism in pakes() {
        let edits: Edits = [
            &[(MALLORY, BOB), (ALICES_ACCOUNT, MALLORYS_ACCOUNT)],
            &[(BOB, MALLORY), (MALLORYS_ACCOUNT, ALICES_ACCOUNT)],
        ];
        let pair = relayed(mechanism, [ALICE, MALLORY], [BOB, MALLORYS_ACCOUNT], edits);
        pair.confirmation_failed(mechanism);
    }
}
