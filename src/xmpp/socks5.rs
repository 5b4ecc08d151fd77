//! SOCKS5 (RFC 1928) as far as bytestreams need it, sans-I/O: no authentication, CONNECT, and a destination that is no host
//! but a digest (XEP-0065 section 5).
//!
//! Both ends say how many octets they want next. Read exactly so many: what follows belongs to the bytestream.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result, Rule};

/// Length of a destination: SHA-1 in hexadecimal digits.
pub const DESTINATION_LENGTH: usize = 40;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
const SUCCEEDED: u8 = 0;
const NOT_ALLOWED: u8 = 2;

/// Rules of this module.
pub mod rules {
    use super::{ErrorKind, Rule};

    /// Not a message of SOCKS5.
    pub static MALFORMED: Rule = Rule {
        id: "socks5-malformed",
        kind: ErrorKind::PeerMisbehaved,
        source: "RFC 1928 sections 3 to 6",
        what: "the other end of the connection does not speak SOCKS5 as it must",
        advice: "Check which program listens there; the session goes on by another way.",
    };
    /// Authentication is wanted, or none of what the other end has can be used.
    pub static NO_METHOD: Rule = Rule {
        id: "socks5-no-method",
        kind: ErrorKind::PeerIncompatible,
        source: "RFC 1928 section 3",
        what: "there is no way to use this SOCKS5 server without authentication",
        advice: "Name a proxy for bytestreams (XEP-0065); others do not work.",
    };
    /// The connection was refused.
    pub static REFUSED: Rule = Rule {
        id: "socks5-refused",
        kind: ErrorKind::PeerUnavailable,
        source: "RFC 1928 section 6",
        what: "the SOCKS5 server refused the connection",
        advice: "The session goes on by another way; the number is the server's reason.",
    };
    /// A destination that is none of a bytestream.
    pub static BAD_DESTINATION: Rule = Rule {
        id: "socks5-bad-destination",
        kind: ErrorKind::PeerMisbehaved,
        source: "XEP-0065 section 5.3.2",
        what: "what is asked for is not the destination of a bytestream",
        advice: "Only the peer of a session may connect here; this was somebody or something else.",
    };
}

/// Where a connection is to lead: a digest that names the session and both of its ends.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination(String);

impl Destination {
    /// Of 20 octets.
    pub(super) fn of(digest: [u8; DESTINATION_LENGTH / 2]) -> Self {
        Self(digest.iter().map(|octet| format!("{octet:02x}")).collect())
    }

    /// The 40 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Destination {
    type Err = Error;

    /// 40 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self> {
        let is_digit = |octet: u8| matches!(octet, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == DESTINATION_LENGTH && text.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::new(&rules::BAD_DESTINATION))
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({})", self.0)
    }
}

/// What came of the octets that an end wanted.
#[derive(Debug)]
#[must_use]
pub enum Progress<S, T> {
    /// Send these, then read what the end wants next.
    More(S, Vec<u8>),
    /// SOCKS5 is over.
    Done(T),
    /// Send these and close.
    Failed(Error, Vec<u8>),
}

/// The end that connects.
#[derive(Debug)]
pub struct Client {
    destination: Destination,
    waits: ClientWaits,
}

#[derive(Debug)]
enum ClientWaits {
    /// Version and method.
    Method,
    /// The reply up to the first octet of its address.
    Head,
    /// So many octets more, which tell nothing.
    Rest(usize),
}

impl Client {
    /// Starts, with what to send.
    #[must_use]
    pub fn start(destination: Destination) -> (Self, Vec<u8>) {
        let client = Self { destination, waits: ClientWaits::Method };
        (client, vec![VERSION, 1, NO_AUTHENTICATION])
    }

    /// How many octets to read.
    #[must_use]
    pub fn wants(&self) -> usize {
        match self.waits {
            ClientWaits::Method => 2,
            ClientWaits::Head => 5,
            ClientWaits::Rest(octets) => octets,
        }
    }

    /// Takes exactly as many.
    pub fn receive(mut self, octets: &[u8]) -> Progress<Self, ()> {
        let failed = |rule, subject: &str| Progress::Failed(Error::new(rule).about(subject), vec![]);
        if octets.len() != self.wants() {
            return failed(&rules::MALFORMED, "length");
        }
        match (&self.waits, octets) {
            (ClientWaits::Method, [VERSION, NO_AUTHENTICATION]) => {
                let request = message(CONNECT, &self.destination);
                self.waits = ClientWaits::Head;
                Progress::More(self, request)
            }
            (ClientWaits::Method, [VERSION, _]) => failed(&rules::NO_METHOD, "the server"),
            (ClientWaits::Head, [VERSION, SUCCEEDED, _, kind, first]) => {
                // The first octet of the address is here already; two of the port follow it.
                let rest = match *kind {
                    IPV4 => 3,
                    IPV6 => 15,
                    NAME => usize::from(*first),
                    _ => return failed(&rules::MALFORMED, "address"),
                };
                self.waits = ClientWaits::Rest(rest + 2);
                Progress::More(self, vec![])
            }
            (ClientWaits::Head, [VERSION, reason, ..]) => failed(&rules::REFUSED, &reason.to_string()),
            (ClientWaits::Rest(_), _) => Progress::Done(()),
            _ => failed(&rules::MALFORMED, "version"),
        }
    }
}

/// The end that listens.
#[derive(Debug)]
pub struct Server {
    waits: ServerWaits,
}

#[derive(Debug)]
enum ServerWaits {
    /// Version, and number of methods.
    Greeting,
    Methods(usize),
    /// The request up to the length of its name.
    Head,
    /// The name, and the port.
    Name,
}

impl Server {
    /// Starts; the other end speaks first.
    #[must_use]
    pub fn start() -> Self {
        Self { waits: ServerWaits::Greeting }
    }

    /// How many octets to read.
    #[must_use]
    pub fn wants(&self) -> usize {
        match self.waits {
            ServerWaits::Greeting => 2,
            ServerWaits::Methods(octets) => octets,
            ServerWaits::Head => 5,
            ServerWaits::Name => DESTINATION_LENGTH + 2,
        }
    }

    /// Takes exactly as many.
    pub fn receive(mut self, octets: &[u8]) -> Progress<Self, Asked> {
        let refused = |subject: &str| {
            Progress::Failed(Error::new(&rules::BAD_DESTINATION).about(subject), refusal().to_vec())
        };
        let malformed =
            |subject: &str| Progress::Failed(Error::new(&rules::MALFORMED).about(subject), vec![]);
        if octets.len() != self.wants() {
            return malformed("length");
        }
        match (&self.waits, octets) {
            (ServerWaits::Greeting, [VERSION, 0]) => {
                Progress::Failed(Error::new(&rules::NO_METHOD).about("the client"), vec![VERSION, NO_METHOD])
            }
            (ServerWaits::Greeting, [VERSION, methods]) => {
                self.waits = ServerWaits::Methods(usize::from(*methods));
                Progress::More(self, vec![])
            }
            (ServerWaits::Methods(_), methods) if methods.contains(&NO_AUTHENTICATION) => {
                self.waits = ServerWaits::Head;
                Progress::More(self, vec![VERSION, NO_AUTHENTICATION])
            }
            (ServerWaits::Methods(_), _) => {
                Progress::Failed(Error::new(&rules::NO_METHOD).about("the client"), vec![VERSION, NO_METHOD])
            }
            (ServerWaits::Head, [VERSION, CONNECT, 0, NAME, length]) => {
                if usize::from(*length) != DESTINATION_LENGTH {
                    return refused("length");
                }
                self.waits = ServerWaits::Name;
                Progress::More(self, vec![])
            }
            (ServerWaits::Head, [VERSION, ..]) => refused("request"),
            (ServerWaits::Name, [name @ .., 0, 0]) => {
                match std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()) {
                    Some(destination) => Progress::Done(Asked { destination }),
                    None => refused("name"),
                }
            }
            (ServerWaits::Name, _) => refused("port"),
            (ServerWaits::Greeting | ServerWaits::Head, _) => malformed("version"),
        }
    }
}

/// Somebody has connected and named a destination; the answer is still to be given.
#[derive(Debug)]
pub struct Asked {
    destination: Destination,
}

impl Asked {
    /// What was named.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The answer to one who may go on: after it the bytestream begins.
    #[must_use]
    pub fn granted(&self) -> Vec<u8> {
        message(SUCCEEDED, &self.destination)
    }

    /// The answer to one who may not: close after it.
    #[must_use]
    pub fn refused(&self) -> Vec<u8> {
        refusal().to_vec()
    }
}

/// A request or a reply: they have the same form.
fn message(code: u8, destination: &Destination) -> Vec<u8> {
    let mut octets = vec![VERSION, code, 0, NAME, DESTINATION_LENGTH as u8];
    octets.extend_from_slice(destination.as_str().as_bytes());
    octets.extend_from_slice(&[0, 0]);
    octets
}

/// A reply to one who asks for what is not here.
fn refusal() -> [u8; 10] {
    [VERSION, NOT_ALLOWED, 0, IPV4, 0, 0, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "972b7bf47291ca609517f67f86b5081086052dad";

    fn destination() -> Destination {
        DIGITS.parse().unwrap()
    }

    fn request() -> Vec<u8> {
        [&[5, 1, 0, 3, 40][..], DIGITS.as_bytes(), &[0, 0]].concat()
    }

    /// Feeds a server what it wants from these octets; the rest is left.
    fn serve(mut octets: &[u8]) -> (Result<Asked>, Vec<u8>) {
        let (mut server, mut said) = (Server::start(), vec![]);
        loop {
            let (now, later) = octets.split_at(server.wants().min(octets.len()));
            octets = later;
            match server.receive(now) {
                Progress::More(next, send) => {
                    server = next;
                    said.extend(send);
                }
                Progress::Done(asked) => return (Ok(asked), said),
                Progress::Failed(error, send) => {
                    said.extend(send);
                    return (Err(error), said);
                }
            }
        }
    }

    /// The same for a client.
    fn connect(mut octets: &[u8]) -> (Result<usize>, Vec<u8>) {
        let (mut client, mut said) = Client::start(destination());
        loop {
            let (now, later) = octets.split_at(client.wants().min(octets.len()));
            octets = later;
            match client.receive(now) {
                Progress::More(next, send) => {
                    client = next;
                    said.extend(send);
                }
                Progress::Done(()) => return (Ok(octets.len()), said),
                Progress::Failed(error, _) => return (Err(error), said),
            }
        }
    }

    #[test]
    fn both_ends_as_literals() {
        let (asked, said) = serve(&[&[5, 2, 2, 0][..], &request()].concat());
        let asked = asked.unwrap();
        assert_eq!((asked.destination(), said), (&destination(), vec![5, 0]));
        let reply = [&[5, 0, 0, 3, 40][..], DIGITS.as_bytes(), &[0, 0]].concat();
        assert_eq!(asked.granted(), reply);
        assert_eq!(asked.refused(), [5, 2, 0, 1, 0, 0, 0, 0, 0, 0]);
        let (left, said) = connect(&[&[5, 0][..], &reply, b"TLS"].concat());
        assert_eq!(left.unwrap(), 3);
        assert_eq!(said, [&[5, 1, 0][..], &request()].concat());
    }

    #[test]
    fn a_client_takes_an_address_of_each_kind_and_nothing_of_what_follows() {
        for (kind, rest) in [(1, 5), (4, 17), (3, 3)] {
            // A name's first octet is its length.
            let address = if kind == 3 { vec![1, 7, 0, 0] } else { vec![0; rest + 1] };
            let reply = [&[5, 0, 5, 0, 0, kind][..], &address, b"TLS"].concat();
            assert_eq!(connect(&reply).0.unwrap(), 3, "{kind}");
        }
        let reply = [5, 0, 5, 0, 0, 2, 0, 0, 0];
        assert!(connect(&reply).0.unwrap_err().is(&rules::MALFORMED));
    }

    #[test]
    fn a_client_hears_every_refusal() {
        for (octets, rule) in [
            (&[4, 0][..], &rules::MALFORMED),
            (&[5, 0xff], &rules::NO_METHOD),
            (&[5, 2], &rules::NO_METHOD),
            (&[5, 0, 4, 0, 0, 1, 0], &rules::MALFORMED),
            (&[5, 0, 5, 1, 0, 1, 0], &rules::REFUSED),
            (&[5], &rules::MALFORMED),
            (&[5, 0, 5, 0, 0, 3], &rules::MALFORMED),
            (&[5, 0, 5, 0, 0, 3, 4, 0], &rules::MALFORMED),
        ] {
            assert!(connect(octets).0.unwrap_err().is(rule), "{octets:?}");
        }
    }

    #[test]
    fn a_server_takes_nothing_but_a_destination() {
        let ask = |request: &[u8]| serve(&[&[5, 1, 0][..], request].concat());
        let edited = |at: usize, octet: u8| {
            let mut request = request();
            request[at] = octet;
            request
        };
        for (request, rule) in [
            (edited(0, 4), &rules::MALFORMED),
            (edited(1, 2), &rules::BAD_DESTINATION),
            (edited(2, 1), &rules::BAD_DESTINATION),
            (edited(3, 1), &rules::BAD_DESTINATION),
            (edited(4, 39), &rules::BAD_DESTINATION),
            (edited(4, 41), &rules::BAD_DESTINATION),
            (edited(5, b'A'), &rules::BAD_DESTINATION),
            (edited(5, 0xff), &rules::BAD_DESTINATION),
            (edited(45, 1), &rules::BAD_DESTINATION),
            (edited(46, 80), &rules::BAD_DESTINATION),
        ] {
            let (asked, said) = ask(&request);
            assert!(asked.unwrap_err().is(rule), "{request:?}");
            assert_eq!(said.len() > 2, *rule == rules::BAD_DESTINATION, "a reply: {request:?}");
        }
    }

    #[test]
    fn a_server_wants_no_authentication() {
        for (greeting, rule, said) in [
            (&[5, 1, 2][..], &rules::NO_METHOD, &[5, 0xff][..]),
            (&[5, 0], &rules::NO_METHOD, &[5, 0xff]),
            (&[4, 1, 0], &rules::MALFORMED, &[]),
            (&[5, 3, 0], &rules::MALFORMED, &[]),
            (&[], &rules::MALFORMED, &[]),
        ] {
            let (asked, heard) = serve(greeting);
            assert!(asked.unwrap_err().is(rule), "{greeting:?}");
            assert_eq!(heard, said, "{greeting:?}");
        }
    }

    #[test]
    fn destinations_have_forty_digits() {
        assert_eq!(destination().as_str(), DIGITS);
        assert_eq!(Destination::of([0xab; 20]).as_str(), "ab".repeat(20));
        let (short, long) = (&DIGITS[1..], format!("{DIGITS}0"));
        for text in [short, &long, &DIGITS.to_uppercase(), &DIGITS.replace('9', "g"), ""] {
            assert!(text.parse::<Destination>().unwrap_err().is(&rules::BAD_DESTINATION), "{text}");
        }
    }
}
