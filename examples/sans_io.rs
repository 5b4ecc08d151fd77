//! For a program that has its own loop, and no tokio: two hosts in one thread, joined by two queues of stanzas in the place
//! of an XMPP connection. Neither has a socket, a clock or a task; they take stanzas and give stanzas.
//!
//! Alice opens a session, each sends the other a message through it, Alice closes it, and both see a proper end.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use countersign::prep::Preparation;
use countersign::registry::SharedPassword;
use countersign::tls::certificate::{Config, Identity, RustlsEndpoint};
use countersign::xmpp::{
    Acceptance, Element, Event, FullJid, Host, HostEvent, InitiatorConfig, ResponderConfig, Session, ns,
};
use countersign::{Password, system_rng};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let alice = FullJid::new("alice@home.example/laptop")?;
    let bob = FullJid::new("bob@home.example/tablet")?;
    let secret = Password::new("rosebud 1941");

    // Bob takes sessions from Alice alone.
    let known =
        SharedPassword::new("alice@home.example", secret.clone(), Preparation::default(), system_rng())?;
    let config = ResponderConfig::new(bob.clone(), Arc::new(known));
    let gate = move |peer: &FullJid| {
        let tls = Config::new(Identity::generate().ok()?).ok()?;
        (peer.to_bare().as_str() == "alice@home.example").then_some(Acceptance {
            config: config.clone(),
            endpoint: Box::new(RustlsEndpoint::server(&tls).ok()?),
            rng: Box::new(system_rng()),
        })
    };
    let mut bobs = End::new("Bob", Host::new(bob.clone(), Some(Box::new(gate))));

    // Alice calls.
    let mut alices = End::new("Alice", Host::new(alice.clone(), None));
    let endpoint = RustlsEndpoint::client(&Config::new(Identity::generate()?)?)?;
    let call = InitiatorConfig::new(alice, bob, secret);
    let session = Session::initiate(call, Box::new(endpoint), Box::new(system_rng()), Instant::now())?;
    alices.host.add(session);

    let (mut to_alice, mut to_bob) = (VecDeque::new(), VecDeque::new());
    while !(alices.closed && bobs.closed) {
        alices.turn(&mut to_alice, &mut to_bob, |session, event| match event {
            Event::Established(_) => session.send(message("Is it you, Bob?")),
            Event::Stanza(_) => {
                session.close();
                Ok(())
            }
            _ => Ok(()),
        })?;
        bobs.turn(&mut to_bob, &mut to_alice, |session, event| match event {
            Event::Stanza(_) => session.send(message("It is.")),
            _ => Ok(()),
        })?;
        // With a network there would be something to wait for, at most until `next_timeout`.
        if to_alice.is_empty() && to_bob.is_empty() && !(alices.closed && bobs.closed) {
            return Err("nobody has anything to say, and the session has not ended".into());
        }
    }
    match (alices.heard, bobs.heard) {
        (1, 1) => Ok(()),
        heard => Err(format!("one message each was sent, but {heard:?} came").into()),
    }
}

/// One side of the example: its host, and what has come of its session.
struct End {
    name: &'static str,
    host: Host,
    heard: usize,
    closed: bool,
}

impl End {
    fn new(name: &'static str, host: Host) -> Self {
        Self { name, host, heard: 0, closed: false }
    }

    /// One turn of the loop: stanzas in, time, events, stanzas out.
    fn turn(
        &mut self,
        inbox: &mut VecDeque<Element>,
        outbox: &mut VecDeque<Element>,
        react: impl Fn(&mut Session, &Event) -> countersign::Result<()>,
    ) -> Result<()> {
        for stanza in inbox.drain(..) {
            if !self.host.handle(&stanza, Instant::now()) {
                println!("{}: a stanza outside of the session, for the rest of the program", self.name);
            }
        }
        self.host.tick(Instant::now());
        while let Some(event) = self.host.poll_event() {
            let HostEvent::Session(id, event) = event else { continue };
            match &event {
                Event::Established(established) => {
                    println!("{}: verified with {}", self.name, established.mechanism);
                }
                Event::Stanza(stanza) => {
                    let body = stanza.get_child("body", ns::CLIENT).ok_or("a message without a body")?;
                    println!("{} hears: {}", self.name, body.text());
                    self.heard += 1;
                }
                Event::Closed => {
                    println!("{}: closed, and nothing was cut off", self.name);
                    self.closed = true;
                }
                Event::Failed(error) => return Err(format!("{}: {error}", self.name).into()),
                _ => {}
            }
            // With its last event the session is gone.
            if let Some(session) = self.host.session_mut(id) {
                react(session, &event)?;
            }
        }
        outbox.extend(std::iter::from_fn(|| self.host.poll_stanza()));
        Ok(())
    }
}

/// A chat message, as it crosses the tunnel.
fn message(text: &str) -> Element {
    let body = Element::builder("body", ns::CLIENT).append(text);
    Element::builder("message", ns::CLIENT).append(body).build()
}
