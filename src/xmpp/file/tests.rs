use std::num::NonZeroU32;

use minidom::Element;
use proptest::prelude::*;

use super::*;

fn id(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn octets(count: usize) -> Vec<u8> {
    (0..count as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn metadata(octets: &[u8]) -> Metadata {
    Metadata::new(FileName::new("x.bin").unwrap(), octets.len() as u64, Hasher::of(octets)).unwrap()
}

fn hasher(octets: &[u8]) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(octets);
    hasher
}

#[track_caller]
fn next<S, T>(turn: Turn<S, T>) -> T {
    match turn {
        Turn::Next(then) => then,
        Turn::Other(_) => panic!("the stanza is none of ours"),
    }
}

#[track_caller]
fn rule_of<S, T>(result: Result<Turn<S, T>, Refused>) -> &'static Rule {
    result.err().expect("it is refused").error.rule()
}

fn offered(file: &[u8]) -> (Offering, Offer) {
    let (offering, stanza) = Offering::new(id(1), metadata(file));
    (offering, next(Receiver::new().stanza(&stanza, SIZE_MAX).unwrap()))
}

fn accepted(file: &[u8], held: &[u8]) -> (Answered, Accepted) {
    let (offering, offer) = offered(file);
    let (accepted, stanza) = offer.accept(hasher(held));
    (next(offering.answered(&stanza).unwrap()), accepted)
}

fn begun(file: &[u8], held: &[u8]) -> (Sending, Receiving) {
    let (mut answered, accepted) = accepted(file, held);
    answered.compare(&file[..answered.held() as usize]);
    let (sending, stanza) = answered.begin();
    (sending, next(accepted.begun(&stanza).unwrap()))
}

/// The whole exchange: octets leave in pieces of one size and come in pieces of another.
fn exchange(file: &[u8], held: &[u8], (out, arrives): (usize, usize)) -> (Delivered, Vec<u8>) {
    let (mut sending, mut receiving) = begun(file, held);
    assert_eq!(sending.position(), receiving.position());
    let mut stored = held[..receiving.position() as usize].to_vec();
    let mut sent = Vec::new();
    for piece in file[sending.position() as usize..].chunks(out) {
        sending.pass(piece).unwrap();
        sent.extend_from_slice(piece);
    }
    for piece in sent.chunks(arrives) {
        receiving.take(piece).unwrap();
        stored.extend_from_slice(piece);
    }
    let (ended, stanza) = sending.end();
    let verified = next(receiving.ended(&stanza).unwrap());
    let resumed = verified.resumed();
    let (_, stanza) = verified.stored();
    let delivered = next(ended.unwrap().verdict(&stanza).unwrap());
    assert_eq!(delivered.resumed(), resumed);
    (delivered, stored)
}

/// What Bob says to octets that are not those of the offer.
fn end_of(file: &[u8], came: &[u8]) -> Result<Turn<Receiving, Verified>, Refused> {
    let (mut sending, mut receiving) = begun(file, b"");
    sending.pass(file).unwrap();
    receiving.take(came)?;
    receiving.ended(&sending.end().1)
}

fn refusal(name: &str) -> Element {
    let text = format!(
        "<message xmlns='jabber:client'><refuse xmlns='urn:countersign:file:0' id='1'><{name}/></refuse></message>"
    );
    text.parse().unwrap()
}

fn chat() -> Element {
    "<message xmlns='jabber:client'><body>hi</body></message>".parse().unwrap()
}

#[test]
fn files_of_every_size_arrive() {
    for size in [0, 1, 2, 1000, 70_000] {
        let file = octets(size);
        let (delivered, stored) = exchange(&file, b"", (4096, 1000));
        assert_eq!((stored, delivered.resumed()), (file, 0));
        assert_eq!(delivered.file().size(), size as u64);
    }
}

#[test]
fn what_is_held_is_not_sent_again() {
    let file = octets(5000);
    for held in [1, 4999, 5000] {
        let (delivered, stored) = exchange(&file, &file[..held], (100, 7));
        assert_eq!((stored, delivered.resumed()), (file.clone(), held as u64));
    }
}

#[test]
fn what_belongs_to_another_file_is_not_gone_on_with() {
    let (file, mut held) = (octets(5000), octets(3000));
    held[2999] ^= 1;
    let (delivered, stored) = exchange(&file, &held, (100, 7));
    assert_eq!((stored, delivered.resumed()), (file, 0));
}

#[test]
fn what_is_longer_than_the_file_does_not_count() {
    let file = octets(100);
    let (answered, _) = accepted(&file, &octets(101));
    assert_eq!(answered.held(), 0);
}

#[test]
fn a_sender_whose_file_has_become_shorter_than_what_is_held_begins_anew() {
    let file = octets(100);
    let (mut answered, _) = accepted(&file, &file[..50]);
    answered.compare(&file[..49]);
    assert_eq!(answered.begin().0.position(), 0);
}

#[test]
fn files_follow_each_other_in_one_tunnel() {
    let mut receiver = Receiver::new();
    for number in [1, 2, 7] {
        let file = octets(number as usize * 100);
        let (offering, stanza) = Offering::new(id(number), metadata(&file));
        let offer = next(receiver.stanza(&stanza, SIZE_MAX).unwrap());
        let (accepted, stanza) = offer.accept(Hasher::new());
        let (mut sending, stanza) = next(offering.answered(&stanza).unwrap()).begin();
        let mut receiving = next(accepted.begun(&stanza).unwrap());
        sending.pass(&file).unwrap();
        receiving.take(&file).unwrap();
        let (ended, stanza) = sending.end();
        let (after, stanza) = next(receiving.ended(&stanza).unwrap()).stored();
        let _ = next(ended.unwrap().verdict(&stanza).unwrap());
        receiver = after;
    }
}

#[test]
fn a_chat_goes_on_beside_it() {
    let file = octets(10);
    let (offering, offer) = offered(&file);
    let Ok(Turn::Other(offering)) = offering.answered(&chat()) else { panic!() };
    let (accepted, stanza) = offer.accept(Hasher::new());
    let Ok(Turn::Other(accepted)) = accepted.begun(&chat()) else { panic!() };
    let (sending, stanza) = next(offering.answered(&stanza).unwrap()).begin();
    let mut receiving = next(accepted.begun(&stanza).unwrap());
    let mut sending = sending.interrupted(&chat()).unwrap();
    sending.pass(&file).unwrap();
    receiving.take(&file).unwrap();
    let (ended, stanza) = sending.end();
    let Ok(Turn::Other(receiving)) = receiving.ended(&chat()) else { panic!() };
    let verified = next(receiving.ended(&stanza).unwrap());
    let Ok(Turn::Other(ended)) = ended.unwrap().verdict(&chat()) else { panic!() };
    let (receiver, stanza) = verified.stored();
    let _ = next(ended.verdict(&stanza).unwrap());
    assert!(matches!(receiver.stanza(&chat(), SIZE_MAX), Ok(Turn::Other(_))));
}

#[test]
fn a_flipped_bit_is_noticed() {
    let file = octets(300);
    for bit in [0, 7, 8 * 150 + 3, 8 * 299 + 7] {
        let mut came = file.clone();
        came[bit / 8] ^= 1 << (bit % 8);
        let refused = end_of(&file, &came).err().unwrap();
        assert!(refused.error.is(&rules::WRONG_HASH));
        assert_eq!(refused.reply.as_deref(), Some(&refusal("wrong-hash")));
        assert!(refused.next.is_some());
    }
}

#[test]
fn reordered_octets_are_noticed() {
    let file = octets(300);
    let came = [&file[100..200], &file[..100], &file[200..]].concat();
    assert_eq!(rule_of(end_of(&file, &came)), &rules::WRONG_HASH);
}

#[test]
fn a_missing_octet_is_noticed() {
    let file = octets(300);
    let refused = end_of(&file, &file[..299]).err().unwrap();
    assert!(refused.error.is(&rules::TOO_SHORT));
    assert_eq!(refused.reply.as_deref(), Some(&refusal("protocol")));
}

#[test]
fn an_octet_too_many_is_noticed_at_once() {
    let file = octets(300);
    let (_, mut receiving) = begun(&file, b"");
    receiving.take(&file).unwrap();
    receiving.take(b"").unwrap();
    let refused = receiving.take(b"x").unwrap_err();
    assert!(refused.error.is(&rules::TOO_LONG));
    assert_eq!(refused.reply.as_deref(), Some(&refusal("protocol")));
    assert_eq!(receiving.position(), 300);
}

#[test]
fn a_file_that_changes_is_noticed_by_its_sender() {
    let file = octets(300);
    let mut other = file.clone();
    other[17] ^= 1;
    for now in [&other[..], &file[..299], b""] {
        let (mut sending, mut receiving) = begun(&file, b"");
        sending.pass(now).unwrap();
        receiving.take(now).unwrap();
        let (ended, stanza) = sending.end();
        assert!(ended.unwrap_err().is(&rules::CHANGED));
        let refused = receiving.ended(&stanza).err().unwrap();
        assert!(refused.error.is(&rules::ABANDONED));
        // It expects no answer, and may offer another file.
        assert!(refused.reply.is_none());
        let (_, stanza) = Offering::new(id(2), metadata(b"y"));
        assert!(matches!(refused.next.unwrap().stanza(&stanza, SIZE_MAX), Ok(Turn::Next(_))));
    }
    let (mut sending, _) = begun(&file, b"");
    sending.pass(&file).unwrap();
    assert!(sending.pass(b"x").unwrap_err().is(&rules::CHANGED));
    assert!(sending.end().0.unwrap_err().is(&rules::CHANGED));
}

#[test]
fn every_reason_reaches_the_sender_as_its_rule() {
    for (reason, name, rule) in Reason::ALL {
        let (offering, offer) = offered(b"x");
        let (_, stanza) = offer.refuse(reason);
        assert_eq!(stanza, refusal(name));
        assert!(offering.answered(&stanza).unwrap_err().is(rule));
        let (sending, receiving) = begun(b"x", b"");
        assert!(sending.interrupted(&receiving.refuse(reason).1).unwrap_err().is(rule));
        let (mut sending, mut receiving) = begun(b"x", b"");
        sending.pass(b"x").unwrap();
        receiving.take(b"x").unwrap();
        let (ended, stanza) = sending.end();
        let (_, stanza) = next(receiving.ended(&stanza).unwrap()).refuse(reason);
        assert!(ended.unwrap().verdict(&stanza).unwrap_err().is(rule));
    }
}

#[test]
fn an_unknown_reason_is_named() {
    let error = offered(b"x").0.answered(&refusal("siesta")).unwrap_err();
    assert!(error.is(&rules::REFUSED));
    assert_eq!(error.subject(), Some("siesta"));
}

#[test]
fn the_size_is_limited_exactly() {
    let of = |size| Metadata::new(FileName::new("x").unwrap(), size, Hasher::of(b""));
    assert_eq!(of(SIZE_MAX).unwrap().size(), SIZE_MAX);
    assert!(of(SIZE_MAX + 1).unwrap_err().is(&rules::TOO_LARGE));
    let (_, stanza) = Offering::new(id(1), metadata(&octets(100)));
    assert!(matches!(Receiver::new().stanza(&stanza, 100), Ok(Turn::Next(_))));
    let refused = Receiver::new().stanza(&stanza, 99).err().unwrap();
    assert_eq!(refused.error.numbers(), Some((100, 99)));
    assert_eq!(refused.reply.as_deref(), Some(&refusal("too-large")));
    // Whatever the receiver's own limit is.
    let stanza = replaced(&stanza, "<size>100<", &format!("<size>{}<", SIZE_MAX + 1));
    assert_eq!(rule_of(Receiver::new().stanza(&stanza, u64::MAX)), &rules::TOO_LARGE);
}

fn replaced(stanza: &Element, from: &str, to: &str) -> Element {
    let text = String::from(stanza);
    assert!(text.contains(from), "{text}");
    text.replace(from, to).parse().unwrap()
}

#[test]
fn hostile_names_are_refused_and_the_tunnel_goes_on() {
    let (_, stanza) = Offering::new(id(1), metadata(b"x"));
    for name in ["", ".", "..", "../", ".bashrc", "a\u{202e}b", "x.part"] {
        let stanza = replaced(&stanza, ">x.bin<", &format!(">{name}<"));
        let refused = Receiver::new().stanza(&stanza, SIZE_MAX).err().unwrap();
        assert!(refused.error.is(&rules::BAD_NAME), "{name}");
        assert_eq!(refused.reply.as_deref(), Some(&refusal("name")));
        let receiver = refused.next.unwrap();
        // What was on its way.
        receiver.octets().unwrap();
        let (_, stanza) = Offering::new(id(2), metadata(b"x"));
        assert!(matches!(receiver.stanza(&stanza, SIZE_MAX), Ok(Turn::Next(_))));
    }
    let offer =
        next(Receiver::new().stanza(&replaced(&stanza, ">x.bin<", ">../../etc/passwd<"), SIZE_MAX).unwrap());
    assert_eq!(offer.file().name().as_str(), "passwd");
}

#[test]
fn what_is_on_its_way_after_a_refusal_is_passed_over() {
    let file = octets(10);
    let (mut sending, receiving) = begun(&file, b"");
    sending.pass(&file).unwrap();
    let (receiver, _) = receiving.refuse(Reason::NoSpace);
    receiver.octets().unwrap();
    let Ok(Turn::Other(receiver)) = receiver.stanza(&sending.end().1, SIZE_MAX) else { panic!() };
    // The end of another transfer is not.
    let other = replaced(&begun(b"", b"").0.end().1, "id='1'", "id='2'");
    assert_eq!(rule_of(receiver.stanza(&other, SIZE_MAX)), &rules::OUT_OF_ORDER);
}

#[test]
fn octets_between_files_are_refused() {
    assert!(Receiver::new().octets().unwrap_err().is(&rules::UNEXPECTED_OCTETS));
    let (sending, receiving) = begun(b"", b"");
    let (receiver, _) = next(receiving.ended(&sending.end().1).unwrap()).stored();
    assert!(receiver.octets().unwrap_err().is(&rules::UNEXPECTED_OCTETS));
}

#[test]
fn an_offer_that_comes_again_is_refused() {
    let (sending, receiving) = begun(b"", b"");
    let (receiver, _) = next(receiving.ended(&sending.end().1).unwrap()).stored();
    let (_, stanza) = Offering::new(id(1), metadata(b""));
    assert_eq!(rule_of(receiver.stanza(&stanza, SIZE_MAX)), &rules::OUT_OF_ORDER);
}

#[test]
fn an_offset_that_was_not_agreed_on_is_refused() {
    let file = octets(10);
    for (offset, right) in [(0, true), (4, false), (5, true), (6, false), (10, false), (11, false)] {
        let (mut answered, accepted) = accepted(&file, &file[..5]);
        answered.compare(&file[..5]);
        let stanza = answered.begin().1;
        let stanza = replaced(&stanza, "offset='5'", &format!("offset='{offset}'"));
        let result = accepted.begun(&stanza);
        if right {
            assert_eq!(next(result.unwrap()).position(), offset);
        } else {
            assert_eq!(rule_of(result), &rules::MALFORMED);
        }
    }
    let (offering, offer) = offered(&file);
    let stanza = replaced(&offer.accept(hasher(&file)).1, "offset='10'", "offset='11'");
    assert!(offering.answered(&stanza).unwrap_err().is(&rules::MALFORMED));
}

/// Every element of the exchange, by its name.
fn every_element() -> Vec<(&'static str, Element)> {
    let (offering, offer) = Offering::new(id(1), metadata(b"x"));
    let (accepted, accept) = next(Receiver::new().stanza(&offer, SIZE_MAX).unwrap()).accept(Hasher::new());
    let (mut sending, begin) = next(offering.answered(&accept).unwrap()).begin();
    let mut receiving = next(accepted.begun(&begin).unwrap());
    let abort = begun(b"x", b"").0.end().1;
    sending.pass(b"x").unwrap();
    receiving.take(b"x").unwrap();
    let end = sending.end().1;
    let stored = next(receiving.ended(&end).unwrap()).stored().1;
    vec![
        ("offer", offer),
        ("accept", accept),
        ("begin", begin),
        ("end", end),
        ("abort", abort),
        ("stored", stored),
        ("refuse", refusal("exists")),
    ]
}

#[test]
fn each_state_takes_its_elements_and_no_other() {
    for (name, stanza) in every_element() {
        let out_of_order = |error: Error| assert!(error.is(&rules::OUT_OF_ORDER), "{name}: {error}");
        let expect = |taken: &[&str], result: Option<Error>| match result {
            None => assert!(taken.contains(&name), "{name} was taken"),
            Some(_) if taken.contains(&name) => {}
            Some(error) => out_of_order(error),
        };
        expect(&["accept", "refuse"], offered(b"x").0.answered(&stanza).err());
        expect(&["refuse"], begun(b"x", b"").0.interrupted(&stanza).err());
        let (mut sending, mut receiving) = begun(b"x", b"");
        sending.pass(b"x").unwrap();
        expect(&["stored", "refuse"], sending.end().0.unwrap().verdict(&stanza).err());
        let of = |refused: Refused| refused.error;
        expect(&["offer"], Receiver::new().stanza(&stanza, SIZE_MAX).err().map(of));
        expect(&["begin", "abort"], accepted(b"x", b"").1.begun(&stanza).err().map(of));
        receiving.take(b"x").unwrap();
        expect(&["end", "abort"], receiving.ended(&stanza).err().map(of));
    }
}

#[test]
fn elements_of_another_transfer_are_refused() {
    for (name, stanza) in every_element() {
        let stanza = replaced(&stanza, "id='1'", "id='2'");
        let out_of_order = |error: Error| assert!(error.is(&rules::OUT_OF_ORDER), "{name}: {error}");
        out_of_order(offered(b"x").0.answered(&stanza).unwrap_err());
        out_of_order(begun(b"x", b"").0.interrupted(&stanza).unwrap_err());
        let (mut sending, receiving) = begun(b"x", b"");
        sending.pass(b"x").unwrap();
        out_of_order(sending.end().0.unwrap().verdict(&stanza).unwrap_err());
        out_of_order(accepted(b"x", b"").1.begun(&stanza).unwrap_err().error);
        out_of_order(receiving.ended(&stanza).unwrap_err().error);
    }
}

proptest! {
    #[test]
    fn octets_arrive_however_they_are_cut(
        file in prop::collection::vec(any::<u8>(), 0..600),
        held in 0_usize..600,
        wrong in any::<bool>(),
        out in 1_usize..700,
        arrives in 1_usize..700,
    ) {
        let mut held = file[..held.min(file.len())].to_vec();
        let wrong = wrong && !held.is_empty();
        if wrong {
            held[0] ^= 0x80;
        }
        let (delivered, stored) = exchange(&file, &held, (out, arrives));
        prop_assert_eq!(stored, file);
        prop_assert_eq!(delivered.resumed(), if wrong { 0 } else { held.len() as u64 });
    }

    #[test]
    fn other_octets_are_never_stored(
        file in prop::collection::vec(any::<u8>(), 0..200),
        came in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let result = end_of(&file, &came);
        prop_assert_eq!(result.is_ok(), file == came);
    }

    #[test]
    fn an_edited_element_is_refused_or_harmless(
        which in 0_usize..7,
        at in any::<prop::sample::Index>(),
        octet in any::<u8>(),
    ) {
        let (_, stanza) = every_element().swap_remove(which);
        let mut text = String::from(&stanza).into_bytes();
        let at = at.index(text.len());
        text[at] = octet;
        if let Some(stanza) = String::from_utf8(text).ok().and_then(|text| text.parse::<Element>().ok()) {
            let (mut sending, mut receiving) = begun(b"x", b"");
            sending.pass(b"x").unwrap();
            receiving.take(b"y").unwrap();
            // Whatever is said, other octets are not verified.
            prop_assert!(!matches!(receiving.ended(&stanza), Ok(Turn::Next(_))));
            let _ = offered(b"x").0.answered(&stanza);
            let _ = accepted(b"x", b"").1.begun(&stanza);
            if let Ok(Turn::Next(offer)) = Receiver::new().stanza(&stanza, SIZE_MAX) {
                prop_assert!(!offer.file().name().as_str().contains(['/', '\\', '\0']));
            }
        }
    }

    #[test]
    fn a_name_is_one_component_that_is_seen(path in any::<String>()) {
        if let Ok(name) = FileName::new(&path) {
            let mut components = std::path::Path::new(name.as_str()).components();
            prop_assert!(matches!(components.next(), Some(std::path::Component::Normal(_))));
            prop_assert!(components.next().is_none());
            prop_assert!(!name.as_str().chars().any(char::is_control));
        }
    }
}
