//! A server for one client, which says what a test wants.

use std::time::Duration;

use countersign::mechanism::MechanismName;
use countersign::prep::Preparation;
use countersign::registry::{self, Credential, MemoryStore, ServerSetup};
use countersign::sasl::{ServerExchange, ServerStep, encode};
use countersign::scram::{HashFunction, StoredCredential};
use countersign::xmpp::client::{Client, Login, Timeouts};
use countersign::xmpp::stream::{Header, Item, Parser, to_octets};
use countersign::xmpp::{Element, Jid, Limits};
use countersign::{BindingType, ChannelBinding, Context, Error, Password, system_rng};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

pub const DOMAIN: &str = "home.example";
pub const PASSWORD: &str = "in wonderland";

/// Fewest iterations a client accepts.
const ITERATIONS: u32 = 4096;

/// After which a test that hangs fails.
const GUARD: Duration = Duration::from_secs(30);

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const SASL2: &str = "urn:xmpp:sasl:2";

pub async fn guard<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, work).await.expect("the test hangs")
}

pub fn login(jid: &str) -> Login {
    let login = Login::new(Jid::new(jid).unwrap(), Password::new(PASSWORD)).unwrap();
    login.with_timeouts(Timeouts::all(Duration::from_secs(20)))
}

pub fn exporter(octet: u8) -> ChannelBinding {
    ChannelBinding::tls_exporter([octet; 32])
}

/// What a client sees of the server's offer.
#[derive(Clone)]
pub struct Offer {
    pub mechanisms: &'static [&'static str],
    pub types: &'static [&'static str],
    pub sasl2: bool,
    /// In `<inline/>` of SASL2.
    pub inline: &'static str,
}

impl Offer {
    pub fn new(mechanisms: &'static [&'static str], types: &'static [&'static str]) -> Self {
        Self { mechanisms, types, sasl2: false, inline: "" }
    }

    pub fn in_sasl2(mut self) -> Self {
        self.sasl2 = true;
        self
    }

    pub fn features(&self) -> String {
        let mechanisms = self.mechanisms.iter().map(|name| format!("<mechanism>{name}</mechanism>"));
        let mechanisms = mechanisms.collect::<String>();
        let types = self.types.iter().map(|name| format!("<channel-binding type='{name}'/>"));
        let types = types.collect::<String>();
        let types = match types.as_str() {
            "" => String::new(),
            types => {
                format!("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>{types}</sasl-channel-binding>")
            }
        };
        let list = if self.sasl2 {
            let inline = self.inline;
            format!("<authentication xmlns='{SASL2}'>{mechanisms}<inline>{inline}</inline></authentication>")
        } else {
            format!("<mechanisms xmlns='{SASL}'>{mechanisms}</mechanisms>")
        };
        format!("<stream:features>{list}{types}</stream:features>")
    }

    /// What the server says it offered (XEP-0474).
    pub fn context(&self) -> Context {
        let types = self.types.iter().filter_map(|name| name.parse::<BindingType>().ok());
        let others = self.types.iter().filter(|name| name.parse::<BindingType>().is_err());
        Context::new()
            .with_mechanisms(self.mechanisms.iter().map(|name| name.parse().unwrap()))
            .with_binding_types(types)
            .with_other_binding_types(others.map(|name| (*name).to_owned()))
    }
}

/// The server's end of a stream.
pub struct Server<S> {
    io: S,
    parser: Parser,
    unread: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Server<S> {
    pub fn new(io: S) -> Self {
        Self { io, parser: Parser::new(&Limits::default()), unread: Vec::new() }
    }

    pub fn into_inner(self) -> S {
        self.io
    }

    pub async fn say(&mut self, text: &str) {
        // The client may have had enough already.
        let _ = self.io.write_all(text.as_bytes()).await;
        let _ = self.io.flush().await;
    }

    async fn item(&mut self) -> Option<Item> {
        loop {
            let mut octets = &self.unread[..];
            let item = self.parser.read(&mut octets).unwrap();
            self.unread = octets.to_vec();
            if item.is_some() {
                return item;
            }
            let mut chunk = [0; 4096];
            match self.io.read(&mut chunk).await {
                Ok(length @ 1..) => self.unread.extend_from_slice(&chunk[..length]),
                _ => return None,
            }
        }
    }

    /// The next element; `None` when the client has gone.
    pub async fn hear(&mut self) -> Option<Element> {
        match self.item().await {
            Some(Item::Element(element)) => Some(element),
            _ => None,
        }
    }

    /// Takes the client's header and gives ours, with features.
    pub async fn open(&mut self, features: &str) -> Header {
        self.parser = Parser::new(&Limits::default());
        let Some(Item::Header(header)) = self.item().await else { panic!("no header") };
        self.say(&format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams' from='{DOMAIN}' id='1' version='1.0'>{features}"
        ))
        .await;
        header
    }

    /// One login by the rules, for alice; what the client chose, the gs2-header where it is SCRAM, and whether it proved
    /// itself.
    pub async fn authenticate(&mut self, offer: &Offer, binding: Option<ChannelBinding>) -> Attempt {
        let auth = self.hear().await.expect("the client begins");
        let namespace = if offer.sasl2 { SASL2 } else { SASL };
        assert_eq!(
            (auth.name(), auth.ns().as_str()),
            (if offer.sasl2 { "authenticate" } else { "auth" }, namespace)
        );
        let mechanism = auth.attr("mechanism").unwrap().parse::<MechanismName>().unwrap();
        let initial =
            if offer.sasl2 { auth.get_child("initial-response", SASL2).unwrap().text() } else { auth.text() };
        let initial = countersign::sasl::decode(&initial).unwrap();
        let flag = String::from_utf8_lossy(&initial).split(',').next().unwrap_or_default().to_owned();
        let mut attempt = Attempt { auth, mechanism, flag, initial, additional: None, proven: false };
        let Ok(row) = registry::find(&attempt.mechanism) else { return attempt };
        let setup = ServerSetup {
            credentials: std::sync::Arc::new(store(&attempt.mechanism)),
            binding,
            context: offer.context(),
        };
        let server = row.server(setup, &mut system_rng()).unwrap();
        let Ok((mut exchange, mut step)) = ServerExchange::start(server, Some(&attempt.initial)) else {
            return attempt;
        };
        loop {
            let challenge = match step {
                ServerStep::Challenge(challenge) => challenge,
                ServerStep::Success(additional, _) => {
                    attempt.proven = true;
                    attempt.additional = additional;
                    return attempt;
                }
            };
            self.say(&format!("<challenge xmlns='{namespace}'>{}</challenge>", encode(&challenge))).await;
            let Some(response) = self.hear().await.filter(|element| element.name() == "response") else {
                return attempt;
            };
            let message = countersign::sasl::decode(&response.text()).unwrap();
            match exchange.response(&message) {
                Ok(next) => step = next,
                Err(_) => return attempt,
            }
        }
    }

    /// Success in RFC 6120's elements, and a resource.
    pub async fn welcome(&mut self, attempt: &Attempt) {
        let data = attempt.additional.as_deref().map(encode).unwrap_or_default();
        self.say(&format!("<success xmlns='{SASL}'>{data}</success>")).await;
        self.open(BIND).await;
        self.bind().await;
    }

    /// Binds the wished resource.
    pub async fn bind(&mut self) {
        let request = self.hear().await.expect("the client binds");
        let wish = request.children().next().and_then(|bind| bind.children().next()).map(Element::text);
        let resource = wish.unwrap_or_else(|| "any".to_owned());
        self.say(&format!(
            "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>alice@{DOMAIN}/{resource}</jid></bind></iq>"
        ))
        .await;
    }

    pub async fn refuse(&mut self, namespace: &str) {
        self.say(&format!("<failure xmlns='{namespace}'><not-authorized xmlns='{SASL}'/></failure>")).await;
        // Until the client has read it.
        while self.hear().await.is_some() {}
    }
}

/// Features after the login.
pub const BIND: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";

/// What a client did.
pub struct Attempt {
    pub auth: Element,
    pub mechanism: MechanismName,
    /// `n`, `y` or `p=…`.
    pub flag: String,
    pub initial: Vec<u8>,
    pub additional: Option<Vec<u8>>,
    pub proven: bool,
}

fn store(mechanism: &MechanismName) -> MemoryStore {
    let hash = if mechanism.as_str().contains("SHA-256") { HashFunction::Sha256 } else { HashFunction::Sha1 };
    let password = Password::new(PASSWORD);
    let record = StoredCredential::generate_with(
        hash,
        &password,
        Preparation::default(),
        ITERATIONS,
        &mut system_rng(),
    );
    let mut store = MemoryStore::new(&mut system_rng());
    store.insert(mechanism, "alice", Credential::Scram(record.unwrap())).unwrap();
    store
}

/// Runs a client against a server that a test writes, in memory.
pub async fn run<F: Future<Output = T>, T>(
    login: Login,
    server: impl FnOnce(Server<DuplexStream>) -> F,
) -> (Result<Client<DuplexStream>, Error>, T) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    guard(async { tokio::join!(Client::over(ours, login), server(Server::new(theirs))) }).await
}

/// What a client says that gets this offer and goes without a word.
pub async fn gives_up(login: Login, offer: &Offer) -> Error {
    let (client, heard) = run(login, async |mut server| {
        server.open(&offer.features()).await;
        server.hear().await
    })
    .await;
    assert!(heard.is_none(), "{heard:?}");
    client.err().unwrap()
}

/// An element as text.
pub fn text(element: &Element) -> String {
    String::from_utf8(to_octets(element).unwrap()).unwrap()
}
