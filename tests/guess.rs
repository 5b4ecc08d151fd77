//! Limits on online guesses: counts, windows, stores, and which message of each mechanism makes a guess count.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "this is a test")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use countersign::binding::ChannelBinding;
use countersign::context::Context;
use countersign::error::{Error, ErrorKind, Result, Rule};
use countersign::guess::{
    Counted, GUESSES_MAX, Guess, GuessLimits, GuessStore, Guesses, OVERALL_GUESSES, OVERALL_WINDOW,
    PEER_GUESSES, PEER_NAME_MAX, PEER_WINDOW, rules,
};
use countersign::ksf::Ksf;
use countersign::mechanism::Side;
use countersign::prep::Preparation;
use countersign::registry::{self, ClientSetup, Registered, ServerSetup, SharedPassword};
use countersign::sasl::{ClientExchange, ServerExchange, ServerStep};
use countersign::{Password, cpace, opaque, spake2plus, srp, system_rng};

const ALICE: &str = "alice@atlanta.example";
const SECOND: Duration = Duration::from_secs(1);

fn guesses() -> Guesses {
    Guesses::in_memory(GuessLimits::default())
}

/// One guess in an hour: the second one shows whether the first counts.
fn one() -> Guesses {
    Guesses::in_memory(GuessLimits::default().with_per_peer(1, OVERALL_WINDOW))
}

fn counts(guesses: &Guesses, now: Instant) -> bool {
    match guesses.reserve(ALICE, now) {
        Ok(guess) => {
            guess.unused();
            false
        }
        Err(error) => {
            assert!(error.is(&rules::PEER_LIMIT), "{error:?}");
            true
        }
    }
}

fn refused(guesses: &Guesses, peer: &str, now: Instant) -> Error {
    guesses.reserve(peer, now).unwrap_err()
}

#[test]
fn a_peer_is_refused_above_its_limit_and_told_how_long() {
    let (guesses, start) = (guesses(), Instant::now());
    for n in 0..PEER_GUESSES as u32 {
        drop(guesses.reserve(ALICE, start + n * SECOND).unwrap());
    }
    let error = refused(&guesses, ALICE, start + 10 * SECOND);
    assert!(error.is(&rules::PEER_LIMIT));
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert_eq!(error.numbers(), Some((PEER_GUESSES as u64 + 1, PEER_GUESSES as u64)));
    assert_eq!(error.retry_after(), Some(PEER_WINDOW - 10 * SECOND));
    assert_eq!(
        error.to_string(),
        "too many wrong passwords with this peer: alice@atlanta.example (6, the limit is 5); \
         try again in 890 s [countersign]"
    );
    drop(guesses.reserve("carol@atlanta.example", start).unwrap());
}

#[test]
fn a_refused_guess_does_not_count() {
    let (guesses, start) = (one(), Instant::now());
    drop(guesses.reserve(ALICE, start).unwrap());
    for n in 1..100 {
        let wait = refused(&guesses, ALICE, start + n * SECOND).retry_after();
        assert_eq!(wait, Some(OVERALL_WINDOW - n * SECOND));
    }
}

#[test]
fn the_window_slides_to_the_exact_moment() {
    let (guesses, start) = (guesses(), Instant::now());
    for n in 0..PEER_GUESSES as u32 {
        drop(guesses.reserve(ALICE, start + n * 60 * SECOND).unwrap());
    }
    let first_leaves = start + PEER_WINDOW;
    let error = refused(&guesses, ALICE, first_leaves - Duration::from_nanos(1));
    assert_eq!(error.retry_after(), Some(Duration::from_nanos(1)));
    drop(guesses.reserve(ALICE, first_leaves).unwrap());
    // The second one leaves a minute after the first.
    assert_eq!(refused(&guesses, ALICE, first_leaves).retry_after(), Some(60 * SECOND));
}

#[test]
fn all_peers_together_are_refused_above_the_overall_limit() {
    let (guesses, start) = (guesses(), Instant::now());
    for n in 0..OVERALL_GUESSES {
        drop(guesses.reserve(&format!("mallory{n}@atlanta.example"), start).unwrap());
    }
    let error = refused(&guesses, ALICE, start + SECOND);
    assert!(error.is(&rules::OVERALL_LIMIT));
    assert_eq!(error.retry_after(), Some(OVERALL_WINDOW - SECOND));
    drop(guesses.reserve(ALICE, start + OVERALL_WINDOW).unwrap());
}

#[test]
fn the_longer_wait_is_told() {
    let limits = GuessLimits::default().with_per_peer(2, 10 * SECOND).with_overall(2, 100 * SECOND);
    let (guesses, start) = (Guesses::in_memory(limits), Instant::now());
    drop(guesses.reserve(ALICE, start).unwrap());
    drop(guesses.reserve(ALICE, start).unwrap());
    assert!(refused(&guesses, ALICE, start).is(&rules::OVERALL_LIMIT));
    let limits = limits.with_overall(3, 100 * SECOND);
    let guesses = Guesses::in_memory(limits);
    drop(guesses.reserve(ALICE, start).unwrap());
    drop(guesses.reserve(ALICE, start).unwrap());
    assert!(refused(&guesses, ALICE, start).is(&rules::PEER_LIMIT));
}

#[test]
fn limits_are_moved_to_what_can_be_kept() {
    let start = Instant::now();
    let none = Guesses::in_memory(GuessLimits::default().with_per_peer(0, SECOND));
    drop(none.reserve(ALICE, start).unwrap());
    assert_eq!(refused(&none, ALICE, start).numbers(), Some((2, 1)));
}

#[test]
fn what_is_kept_is_bounded_whatever_the_limits_say() {
    let limits =
        GuessLimits::default().with_per_peer(usize::MAX, SECOND).with_overall(usize::MAX, Duration::MAX);
    let (kept, start) = (Kept::default(), Instant::now());
    // One less than the most that is kept.
    *kept.counted.lock().unwrap() =
        (1..GUESSES_MAX).map(|n| Counted { peer: n.to_string(), at: Duration::ZERO }).collect();
    let guesses = Guesses::stored(limits, Box::new(kept), start, SystemTime::UNIX_EPOCH);
    drop(guesses.reserve("the last", start).unwrap());
    let error = refused(&guesses, "one more", start);
    assert!(error.is(&rules::OVERALL_LIMIT));
    assert_eq!(error.numbers(), Some((GUESSES_MAX as u64 + 1, GUESSES_MAX as u64)));
}

#[test]
fn a_long_per_peer_window_is_bounded_as_well() {
    // The overall window forgets what the longer one of the peers must remember.
    let limits = GuessLimits::default().with_per_peer(1, 1000 * SECOND).with_overall(1, SECOND);
    let (guesses, start) = (Guesses::in_memory(limits), Instant::now());
    for n in 0..GUESSES_MAX as u32 / 8 {
        drop(guesses.reserve(&n.to_string(), start + n * SECOND).unwrap());
    }
    assert!(refused(&guesses, "0", start + 600 * SECOND).is(&rules::PEER_LIMIT));
}

#[test]
fn names_are_bounded() {
    let guesses = guesses();
    drop(guesses.reserve(&"n".repeat(PEER_NAME_MAX), Instant::now()).unwrap());
    let error = refused(&guesses, &"n".repeat(PEER_NAME_MAX + 1), Instant::now());
    assert!(error.is(&rules::PEER_NAME_TOO_LONG));
    assert_eq!(error.numbers(), Some((PEER_NAME_MAX as u64 + 1, PEER_NAME_MAX as u64)));
}

#[test]
fn guesses_at_the_same_time_all_count() {
    let (guesses, now) = (guesses(), Instant::now());
    let running = (0..PEER_GUESSES).map(|_| guesses.reserve(ALICE, now).unwrap()).collect::<Vec<_>>();
    assert!(refused(&guesses, ALICE, now).is(&rules::PEER_LIMIT));
    running.into_iter().for_each(Guess::unused);
    drop(guesses.reserve(ALICE, now).unwrap());
}

#[test]
fn one_guess_is_given_back_not_all() {
    let (guesses, now) = (guesses(), Instant::now());
    let mut running = (0..PEER_GUESSES).map(|_| guesses.reserve(ALICE, now).unwrap()).collect::<Vec<_>>();
    running.pop().unwrap().unused();
    drop(guesses.reserve(ALICE, now).unwrap());
    assert!(refused(&guesses, ALICE, now).is(&rules::PEER_LIMIT));
}

#[test]
fn clones_share_their_counts() {
    let (guesses, now) = (one(), Instant::now());
    drop(guesses.clone().reserve(ALICE, now).unwrap());
    assert!(counts(&guesses, now));
}

/// What a store that outlives a limiter has on its disk.
#[derive(Clone, Default)]
struct Kept {
    counted: Arc<Mutex<Vec<Counted>>>,
    broken: Arc<Mutex<bool>>,
}

static BROKEN: Rule = Rule {
    id: "test-broken",
    kind: ErrorKind::Environment,
    source: "this test",
    what: "the disk is gone",
    advice: "Buy another.",
};

impl GuessStore for Kept {
    fn load(&mut self) -> Result<Vec<Counted>> {
        Ok(self.counted.lock().unwrap().clone())
    }

    fn store(&mut self, counted: &[Counted]) -> Result<()> {
        if *self.broken.lock().unwrap() {
            return Err(Error::new(&BROKEN));
        }
        *self.counted.lock().unwrap() = counted.to_vec();
        Ok(())
    }
}

/// Some day in 2026.
fn today() -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_000 * 86_400 * SECOND
}

fn open(kept: &Kept, calendar: SystemTime) -> (Guesses, Instant) {
    let now = Instant::now();
    (Guesses::stored(GuessLimits::default(), Box::new(kept.clone()), now, calendar), now)
}

#[test]
fn counts_survive_a_restart() {
    let kept = Kept::default();
    let (guesses, now) = open(&kept, today());
    for _ in 0..PEER_GUESSES {
        drop(guesses.reserve(ALICE, now).unwrap());
    }
    let (guesses, now) = open(&kept, today() + 60 * SECOND);
    assert_eq!(refused(&guesses, ALICE, now).retry_after(), Some(PEER_WINDOW - 60 * SECOND));
    let (guesses, now) = open(&kept, today() + PEER_WINDOW);
    drop(guesses.reserve(ALICE, now).unwrap());
}

#[test]
fn what_no_window_needs_is_forgotten() {
    let kept = Kept::default();
    let (guesses, now) = open(&kept, today());
    drop(guesses.reserve(ALICE, now).unwrap());
    drop(guesses.reserve("carol@atlanta.example", now + OVERALL_WINDOW).unwrap());
    assert_eq!(kept.counted.lock().unwrap().len(), 1);
}

#[test]
fn a_calendar_set_back_keeps_nobody_out_for_longer_than_the_window() {
    let kept = Kept::default();
    let (guesses, now) = open(&kept, today() + 1_000_000 * SECOND);
    for _ in 0..PEER_GUESSES {
        drop(guesses.reserve(ALICE, now).unwrap());
    }
    let (guesses, now) = open(&kept, today());
    assert_eq!(refused(&guesses, ALICE, now).retry_after(), Some(PEER_WINDOW));
    drop(guesses.reserve(ALICE, now + PEER_WINDOW).unwrap());
}

#[test]
fn a_store_that_fails_lets_nobody_through() {
    let kept = Kept::default();
    let (guesses, now) = open(&kept, today());
    *kept.broken.lock().unwrap() = true;
    assert!(refused(&guesses, ALICE, now).is(&BROKEN));
}

#[test]
fn a_guess_that_cannot_be_given_back_counts() {
    let kept = Kept::default();
    let (guesses, now) = open(&kept, today());
    let guess = guesses.reserve(ALICE, now).unwrap();
    *kept.broken.lock().unwrap() = true;
    guess.unused();
    assert_eq!(kept.counted.lock().unwrap().len(), 1);
}

fn context() -> Context {
    Context::between("alice@atlanta.example/lap", "bob@biloxi.example/tab")
}

fn store() -> Arc<SharedPassword> {
    let password = Password::new("correct horse");
    let store = SharedPassword::new(ALICE, password, Preparation::default(), system_rng()).unwrap();
    Arc::new(store.with_scram_iterations(4096).with_ksf(Ksf::CHEAPEST))
}

/// How a run of a mechanism ended on both sides.
struct Run {
    client: bool,
    server: bool,
}

/// Runs a mechanism until both are done, one fails, or this many messages of that side have been made.
fn run(
    row: &Registered,
    password: &str,
    guesses: [Option<Guess>; 2],
    client_messages: u8,
    server_messages: u8,
) -> Run {
    let binding = row.properties().needs_binding.then(|| ChannelBinding::tls_exporter([7; 32]));
    let client = ClientSetup {
        authcid: ALICE.to_owned(),
        authzid: None,
        password: Password::new(password),
        preparation: Preparation::default(),
        binding: binding.clone(),
        context: context(),
    };
    let server = ServerSetup { credentials: store(), binding, context: context() };
    let mut rng = system_rng();
    let [client_guess, server_guess] = guesses;
    let client = row.client(client, &mut rng).unwrap();
    let server = row.server(server, &mut rng).unwrap();

    let mut ends = Run { client: false, server: false };
    let (mut client, initial) = ClientExchange::start_counted(client, client_guess).unwrap();
    let (mut clients, mut servers) = (1, 1);
    let (mut server, mut step) =
        ServerExchange::start_counted(server, initial.as_deref(), server_guess).unwrap();
    loop {
        let challenge = match step {
            ServerStep::Challenge(challenge) => challenge,
            ServerStep::Success(additional, _) => {
                ends.server = true;
                ends.client = client.success(additional.as_deref()).is_ok();
                return ends;
            }
        };
        clients += 1;
        if clients > client_messages {
            return ends;
        }
        let Ok(response) = client.challenge(&challenge) else { return ends };
        servers += 1;
        if servers > server_messages {
            return ends;
        }
        match server.response(&response) {
            Ok(next) => step = next,
            Err(_) => return ends,
        }
    }
}

#[test]
fn a_proven_password_gives_the_guess_back_on_both_sides() {
    for row in registry::all() {
        let (alices, bobs, now) = (one(), one(), Instant::now());
        let taken = [&alices, &bobs].map(|guesses| guesses.reserve(ALICE, now).ok());
        let ends = run(row, "correct horse", taken, u8::MAX, u8::MAX);
        assert!(ends.client && ends.server, "{}", row.name());
        assert!(!counts(&alices, now) && !counts(&bobs, now), "{}", row.name());
    }
}

#[test]
fn a_wrong_password_counts_on_both_sides() {
    for row in registry::all() {
        let (alices, bobs, now) = (one(), one(), Instant::now());
        let taken = [&alices, &bobs].map(|guesses| guesses.reserve(ALICE, now).ok());
        let ends = run(row, "wrong", taken, u8::MAX, u8::MAX);
        assert!(!ends.client && !ends.server, "{}", row.name());
        assert!(counts(&alices, now) && counts(&bobs, now), "{}", row.name());
    }
}

#[test]
fn an_exchange_that_ends_early_counts_from_the_message_that_allows_a_test() {
    for row in registry::all() {
        let properties = row.properties();
        for messages in 1..=properties.server_test {
            let (guesses, now) = (one(), Instant::now());
            let taken = [None, guesses.reserve(ALICE, now).ok()];
            run(row, "wrong", taken, u8::MAX, messages);
            let expected = messages == properties.server_test;
            assert_eq!(counts(&guesses, now), expected, "{} after {messages}", row.name());
        }
        for messages in 1..=properties.client_test {
            let (guesses, now) = (one(), Instant::now());
            let taken = [guesses.reserve(ALICE, now).ok(), None];
            run(row, "wrong", taken, messages, u8::MAX);
            let expected = messages == properties.client_test;
            assert_eq!(counts(&guesses, now), expected, "{} after {messages}", row.name());
        }
    }
}

/// Runs a mechanism with the right password, but for one message that reaches `side` broken; the error there.
fn broken(
    row: &Registered,
    side: Side,
    guess: Option<Guess>,
    number: u8,
    edit: &dyn Fn(&mut Vec<u8>),
) -> Error {
    let binding = row.properties().needs_binding.then(|| ChannelBinding::tls_exporter([7; 32]));
    let client = ClientSetup {
        authcid: ALICE.to_owned(),
        authzid: None,
        password: Password::new("correct horse"),
        preparation: Preparation::default(),
        binding: binding.clone(),
        context: context(),
    };
    let server = ServerSetup { credentials: store(), binding, context: context() };
    let mut rng = system_rng();
    let client = row.client(client, &mut rng).unwrap();
    let server = row.server(server, &mut rng).unwrap();
    let (clients, servers) = if side == Side::Client { (guess, None) } else { (None, guess) };
    let arrived = |to: Side, count: u8, message: &mut Vec<u8>| {
        let breaks = to == side && count == number;
        breaks.then(|| edit(message));
        breaks
    };

    let (mut client, initial) = ClientExchange::start_counted(client, clients).unwrap();
    let mut message = initial.unwrap();
    if arrived(Side::Server, 1, &mut message) {
        return ServerExchange::start_counted(server, Some(&message), servers).err().unwrap();
    }
    let (mut server, mut step) = ServerExchange::start_counted(server, Some(&message), servers).unwrap();
    for count in 1.. {
        let ServerStep::Challenge(mut challenge) = step else { break };
        if arrived(Side::Client, count, &mut challenge) {
            return client.challenge(&challenge).unwrap_err();
        }
        let mut response = client.challenge(&challenge).unwrap();
        if arrived(Side::Server, count + 1, &mut response) {
            return server.response(&response).unwrap_err();
        }
        step = server.response(&response).unwrap();
    }
    panic!("{} has no message {number} to the {side:?}", row.name())
}

/// A message in the place of the one that allows a test counts although it only makes the other side fail: else a
/// peer could ask for that failure as often as it likes.
#[test]
fn a_malformed_message_counts_where_its_answer_would_allow_a_test() {
    let cuts: [fn(&mut Vec<u8>); 3] =
        [Vec::clear, |message| message.truncate(1), |message| message.insert(0, 0xff)];
    for row in registry::all() {
        for (place, cut) in cuts.into_iter().enumerate() {
            let properties = row.properties();
            for message in 1..=properties.server_test {
                let (guesses, now) = (one(), Instant::now());
                broken(row, Side::Server, guesses.reserve(ALICE, now).ok(), message, &cut);
                let expected = message == properties.server_test;
                assert_eq!(counts(&guesses, now), expected, "{}, {place} in {message}", row.name());
            }
            // The client's first message is made before anything has come.
            for message in 1..properties.client_test {
                let (guesses, now) = (one(), Instant::now());
                broken(row, Side::Client, guesses.reserve(ALICE, now).ok(), message, &cut);
                let expected = message + 1 == properties.client_test;
                assert_eq!(counts(&guesses, now), expected, "{}, {place} in {message}", row.name());
            }
        }
    }
}

/// A share in a message of a PAKE.
struct Share {
    to: Side,
    message: u8,
    /// Octets from its beginning to the end of the message.
    behind: usize,
    length: usize,
    /// What zeros in its place break: in each of these encodings they are the neutral element, a point of small order,
    /// or no point at all.
    rule: &'static Rule,
}

fn shares(row: &Registered) -> Vec<Share> {
    let share = |to, message, behind, length, rule| Share { to, message, behind, length, rule };
    match row.name().as_str() {
        name if name.starts_with("CPACE-") => {
            let rule = &cpace::rules::NEUTRAL_ELEMENT;
            vec![share(Side::Server, 1, 32, 32, rule), share(Side::Client, 1, 32 + 64, 32, rule)]
        }
        name if name.starts_with("SPAKE2P") => {
            let (length, rule) = (if name.contains("P256") { 65 } else { 32 }, &spake2plus::rules::BAD_SHARE);
            vec![
                share(Side::Server, 2, length, length, rule),
                share(Side::Client, 2, length + 32, length, rule),
            ]
        }
        name if name.starts_with("OPAQUE-") => {
            let rule = &opaque::rules::BAD_ELEMENT;
            vec![
                share(Side::Server, 1, 96, 32, rule),
                share(Side::Server, 1, 32, 32, rule),
                share(Side::Client, 1, opaque::KE2_LEN, 32, rule),
                share(Side::Client, 1, 96, 32, rule),
            ]
        }
        name if name.starts_with("SRP-") => {
            let hash = if name.contains("512") { 64 } else { 32 };
            let (group, rule) = (384, &srp::rules::SHARE_ZERO);
            vec![
                share(Side::Server, 2, group + hash, group, rule),
                share(Side::Client, 1, group, group, rule),
            ]
        }
        _ => vec![],
    }
}

#[test]
fn a_share_without_information_counts() {
    for row in registry::all() {
        let shares = shares(row);
        assert!(
            !shares.is_empty() || !row.properties().needs_binding || row.name().as_str().starts_with("SCRAM")
        );
        for Share { to, message, behind, length, rule } in shares {
            let (guesses, now) = (one(), Instant::now());
            let zero = |message: &mut Vec<u8>| {
                let start = message.len() - behind;
                message[start..start + length].fill(0);
            };
            let error = broken(row, to, guesses.reserve(ALICE, now).ok(), message, &zero);
            assert!(error.is(rule), "{}: {error:?}", row.name());
            assert!(counts(&guesses, now), "{}: {error:?}", row.name());
        }
    }
}

#[test]
fn a_client_that_only_names_a_mechanism_costs_nothing() {
    for row in registry::all() {
        let (guesses, now) = (one(), Instant::now());
        let binding = row.properties().needs_binding.then(|| ChannelBinding::tls_exporter([7; 32]));
        let setup = ServerSetup { credentials: store(), binding, context: context() };
        let server = row.server(setup, &mut system_rng()).unwrap();
        let (exchange, step) =
            ServerExchange::start_counted(server, None, guesses.reserve(ALICE, now).ok()).unwrap();
        assert!(matches!(step, ServerStep::Challenge(empty) if empty.is_empty()), "{}", row.name());
        assert!(counts(&guesses, now), "{}", row.name());
        drop(exchange);
        assert!(!counts(&guesses, now), "{}", row.name());
    }
}

#[test]
fn the_messages_that_allow_a_test_are_those_of_the_documents() {
    for row in registry::all() {
        let properties = row.properties();
        let expected = match row.name().as_str() {
            name if name.starts_with("CPACE-") || name.starts_with("OPAQUE-") => (2, 1),
            name if name.starts_with("SPAKE2P") => (3, 2),
            name if name.starts_with("SRP") || name.starts_with("SCRAM-") => (2, 2),
            other => panic!("{other} has no row here"),
        };
        assert_eq!((properties.client_test, properties.server_test), expected, "{}", row.name());
    }
}
