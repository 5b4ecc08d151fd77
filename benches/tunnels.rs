//! Many tunnels in one process, and one at full speed, all through the embedded server over loopback TCP.
//!
//! Both ends of every tunnel and the server share this process and its threads. `TUNNELS` (1,000) are spread over `PAIRS` (20)
//! pairs of XMPP connections, at most 64 on each; `PAIRS=1000` gives each tunnel connections of its own, 4,000 sockets in all:
//! `ulimit -n 8192` first. A word chooses one part: `many`, `throughput`, `parts`; `profile` runs one tunnel for a profiler.
//! Tunnels over SOCKS5 bytestreams have a bench of their own, `sockets`.
//!
//! Holds `unsafe` code: an allocator that counts can be written in no other way.
#![allow(clippy::print_stdout, reason = "this is what a bench is for")]

#[path = "common/home.rs"]
mod home;
#[path = "common/pairs.rs"]
#[allow(dead_code, reason = "each bench takes what it needs")]
mod pairs;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use countersign::system_rng;
use countersign::tls::certificate::Config as Tls;
use countersign::xmpp::client::Client;
use countersign::xmpp::driver::{Connection, Driver, E2eStream, Handle, StanzaReceiver, StanzaSender};
use countersign::xmpp::ibb::Bytestream;
use countersign::xmpp::server::Server;
use countersign::xmpp::stream::{Header, Item, Parser, to_octets};
use countersign::xmpp::{
    Element, FullJid, IBB_BLOCK, IBB_WINDOW, Jid, Limits as SessionLimits, REPLY_TIMEOUT, SESSIONS_MAX,
};
use rand_core::Rng as _;
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use xmpp_parsers::iq::Iq;

const MEBIBYTE: usize = 1024 * 1024;

/// What passes in one run of a throughput row, and runs of each row.
const TRANSFER: usize = 16 * MEBIBYTE;
const ROUNDS: usize = 5;

/// Blocks that each part is timed with.
const BLOCKS: usize = 2000;

/// Set-ups of one pair of connections at the same time.
const AT_ONCE: usize = 4;

/// The heap as this process sees it: what C libraries take by themselves is not in it.
struct Counting;

static HEAP: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HEAP.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HEAP.fetch_add(size, Ordering::Relaxed);
        HEAP.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn main() {
    let number = |name: &str, default: usize| -> usize {
        std::env::var(name)
            .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    let (tunnels, pairs) = (number("TUNNELS", 1000), number("PAIRS", 20));
    assert!(tunnels.div_ceil(pairs) <= SESSIONS_MAX, "at most {SESSIONS_MAX} tunnels fit a connection");
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    // As a task: the thread that waits for it is none of the runtime's, and to wake it costs more.
    let run = |part: Part| runtime.block_on(runtime.spawn(part)).expect("no part panics");
    match std::env::args().nth(1).as_deref() {
        Some("many") => run(Box::pin(many(tunnels, pairs))),
        Some("throughput") => run(Box::pin(throughput())),
        Some("parts") => parts(),
        Some("profile") => run(Box::pin(profile())),
        _ => {
            run(Box::pin(many(tunnels, pairs)));
            run(Box::pin(throughput()));
            parts();
        }
    }
}

/// What a word of the command line stands for.
type Part = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Sets up all tunnels, and sees what they keep while they are idle.
async fn many(tunnels: usize, pairs: usize) {
    let world = World::new(pairs).await;
    let before_connections = HEAP.load(Ordering::Relaxed);
    let mut handles = Vec::new();
    for pair in 0..pairs {
        handles.push(Arc::new(world.pair(pair).await));
    }
    settle().await;
    let (heap, resident) = (HEAP.load(Ordering::Relaxed), pairs::resident());
    let start = Instant::now();
    let mut work = tokio::task::JoinSet::new();
    for (pair, ends) in handles.iter().enumerate() {
        let share = (tunnels + pairs - 1 - pair) / pairs;
        for lane in 0..AT_ONCE {
            let (ends, tls) = (ends.clone(), world.tls.clone());
            let count = (share + AT_ONCE - 1 - lane) / AT_ONCE;
            work.spawn(async move {
                let mut streams = Vec::with_capacity(count);
                for _ in 0..count {
                    streams.push(connect(&ends, &tls).await);
                }
                streams
            });
        }
    }
    let mut streams = Vec::with_capacity(tunnels);
    while let Some(some) = work.join_next().await {
        streams.extend(some.expect("no lane panics"));
    }
    let took = start.elapsed();
    assert_eq!(streams.len(), tunnels);
    settle().await;
    let kibibytes = |octets: usize| octets as f64 / 1024.0 / tunnels as f64;
    println!("{tunnels} tunnels over {pairs} pairs of connections");
    println!(
        "set-ups, both ends and the server in this process    {:>8.0} a second",
        tunnels as f64 / took.as_secs_f64()
    );
    let grown = HEAP.load(Ordering::Relaxed).saturating_sub(heap);
    println!("heap of an idle tunnel, both ends together           {:>8.1} KiB", kibibytes(grown));
    if let (Some(before), Some(after)) = (resident, pairs::resident()) {
        println!(
            "resident memory of the same, what was freed included {:>8.1} KiB",
            kibibytes(after.saturating_sub(before))
        );
    }
    let connections = (heap - before_connections) as f64 / 1024.0 / pairs as f64;
    println!("heap of a pair of connections, with the server's side {connections:>7.1} KiB");
    println!();
    black_box(&streams);
    // Nobody waits for a thousand farewells.
    std::mem::forget(streams);
}

/// One tunnel and nothing else, for a profiler.
async fn profile() {
    let world = World::new(1).await;
    let handles = world.pair(0).await;
    let mut tunnel = connect(&handles, &world.tls).await;
    let data = noise(TRANSFER);
    for _ in 0..2 * ROUNDS {
        let time = through_tunnel(&mut tunnel, &data).await;
        println!("{:.1} MiB/s", (TRANSFER / MEBIBYTE) as f64 / time.as_secs_f64());
    }
}

/// Lets whatever was set up come to rest.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

async fn throughput() {
    let world = World::new(2).await;
    let handles = world.pair(0).await;
    let mut tunnel = connect(&handles, &world.tls).await;
    let mut framed = Framed::new(&world).await;
    let data = noise(TRANSFER);
    let names = [
        "one tunnel over IBB, through the server",
        "base64 and stanzas alone, through the server",
        "base64 and stanzas alone, over one socket",
        "bare rustls over one socket",
    ];
    let mut times = [(); 4].map(|()| Vec::new());
    let mut cpu = Cpu::default();
    for round in 0..=ROUNDS {
        let before = Cpu::now();
        let of_tunnel = through_tunnel(&mut tunnel, &data).await;
        let used = Cpu::now().since(&before);
        let all = [
            of_tunnel,
            framed.carry(&data).await,
            over_one_socket(data.clone()).await,
            tokio::task::spawn_blocking(bare_rustls).await.expect("no panic"),
        ];
        // The first round warms up.
        if round > 0 {
            times.iter_mut().zip(all).for_each(|(times, time)| times.push(time));
            cpu.add(&used);
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    let medians = times.map(|times| times[ROUNDS / 2].as_secs_f64());
    println!("{:<54} {:>9} {:>16}", format!("{} MiB, one way", TRANSFER / MEBIBYTE), "MiB/s", "tunnel is");
    for (name, median) in names.iter().zip(medians) {
        let rate = (TRANSFER / MEBIBYTE) as f64 / median;
        println!("{name:<54} {rate:>9.1} {:>11.2} of it", median / medians[0]);
    }
    let blocks = (ROUNDS * TRANSFER).div_ceil(usize::from(IBB_BLOCK)) as f64;
    println!(
        "processor time of the tunnel, all ends, a block: {:.1} us in programs, {:.1} us in the kernel",
        cpu.user.as_secs_f64() * 1e6 / blocks,
        cpu.system.as_secs_f64() * 1e6 / blocks
    );
    println!();
}

async fn through_tunnel([alice, bob]: &mut [E2eStream; 2], data: &[u8]) -> Duration {
    let start = Instant::now();
    let read = async {
        let mut count = 0;
        while count < data.len() {
            count += bob.read_bytes().await.expect("the tunnel is open").expect("nobody closes it").len();
        }
    };
    let (written, ()) = tokio::join!(alice.write_bytes(data), read);
    written.expect("the tunnel is open");
    start.elapsed()
}

/// Random octets: what is always the same is easier to validate as text than what TLS makes of it.
fn noise(octets: usize) -> Vec<u8> {
    let mut noise = vec![0; octets];
    system_rng().fill_bytes(&mut noise);
    noise
}

/// Two connections to the server between which blocks pass that nothing encrypts.
struct Framed {
    sender: (<Client as Connection>::Sender, <Client as Connection>::Receiver),
    receiver: Option<(<Client as Connection>::Sender, <Client as Connection>::Receiver)>,
    addresses: [FullJid; 2],
}

fn bytestream() -> Bytestream {
    // The window is whole from the beginning: this is the fastest that it can be.
    Bytestream::new("stream", IBB_BLOCK, usize::MAX, REPLY_TIMEOUT)
}

fn iq_with(from: &FullJid, to: &FullJid, id: String, payload: Element) -> Element {
    Iq::Set { from: Some(from.clone().into()), to: Some(to.clone().into()), id, payload }.into()
}

fn answer_to(block: &Element) -> Element {
    let address = |name| block.attr(name).map(|jid| Jid::new(jid).expect("an address"));
    let id = block.attr("id").expect("an id").to_owned();
    Iq::Result { from: address("to"), to: address("from"), id, payload: None }.into()
}

impl Framed {
    async fn new(world: &World) -> Self {
        let [alice, bob] = [world.client("alice1").await, world.client("bob1").await];
        let addresses = [alice.jid().clone(), bob.jid().clone()];
        Self { sender: alice.split(), receiver: Some(bob.split()), addresses }
    }

    async fn carry(&mut self, data: &[u8]) -> Duration {
        let (mut answers, mut blocks) = self.receiver.take().expect("given back below");
        let length = data.len();
        let start = Instant::now();
        let receive = tokio::spawn(async move {
            let (mut into, mut count) = (bytestream(), 0);
            while count < length {
                let block = blocks.recv().await.expect("connected").expect("open");
                count +=
                    into.receive(block.children().next().expect("a block")).expect("nobody edits it").len();
                answers.send(answer_to(&block)).await.expect("connected");
            }
            (answers, blocks)
        });
        let mut out = bytestream();
        let [from, to] = &self.addresses;
        let (mut left, mut on_the_way) = (data.chunks(usize::from(IBB_BLOCK)), 0);
        loop {
            while on_the_way < IBB_WINDOW {
                let Some(chunk) = left.next() else { break };
                out.write(chunk);
                let block = out.probe(start);
                self.sender
                    .0
                    .send(iq_with(from, to, block.seq.to_string(), block.element))
                    .await
                    .expect("connected");
                on_the_way += 1;
            }
            if on_the_way == 0 {
                break;
            }
            let answer = self.sender.1.recv().await.expect("connected").expect("open");
            out.acknowledged(answer.attr("id").expect("an id").parse().expect("a number"), start);
            on_the_way -= 1;
        }
        self.receiver = Some(receive.await.expect("no panic"));
        start.elapsed()
    }
}

/// The same blocks and answers with no server between.
async fn over_one_socket(data: Vec<u8>) -> Duration {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("an address");
    let (near, far) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
    let (mut near, (mut far, _)) = (near.expect("connected"), far.expect("connected"));
    near.set_nodelay(true).expect("a socket");
    far.set_nodelay(true).expect("a socket");
    let jid = |text| FullJid::new(text).expect("an address");
    let (from, to) = (jid("alice1@home.example/bench"), jid("bob1@home.example/bench"));
    let length = data.len();
    let start = Instant::now();
    let receive = tokio::spawn(async move {
        let (mut parser, mut into, mut count) = (opened(), bytestream(), 0);
        while count < length {
            let block = next(&mut far, &mut parser).await;
            count += into.receive(block.children().next().expect("a block")).expect("nobody edits it").len();
            far.write_all(&to_octets(&answer_to(&block)).expect("writable")).await.expect("connected");
        }
    });
    let (mut parser, mut out) = (opened(), bytestream());
    let (mut left, mut on_the_way) = (data.chunks(usize::from(IBB_BLOCK)), 0);
    loop {
        while on_the_way < IBB_WINDOW {
            let Some(chunk) = left.next() else { break };
            out.write(chunk);
            let block = out.probe(start);
            let iq = iq_with(&from, &to, block.seq.to_string(), block.element);
            near.write_all(&to_octets(&iq).expect("writable")).await.expect("connected");
            on_the_way += 1;
        }
        if on_the_way == 0 {
            break;
        }
        let answer = next(&mut near, &mut parser).await;
        out.acknowledged(answer.attr("id").expect("an id").parse().expect("a number"), start);
        on_the_way -= 1;
    }
    receive.await.expect("no panic");
    start.elapsed()
}

/// A parser in the middle of a stream, and what it has not read.
fn opened() -> (Parser, Vec<u8>) {
    let mut parser = Parser::new(&SessionLimits::default());
    let header = Header::new().to_octets();
    assert!(matches!(parser.read(&mut &header[..]), Ok(Some(Item::Header(_)))));
    (parser, vec![])
}

async fn next(socket: &mut tokio::net::TcpStream, (parser, unread): &mut (Parser, Vec<u8>)) -> Element {
    loop {
        let mut rest = &unread[..];
        let item = parser.read(&mut rest).expect("well formed");
        let taken = unread.len() - rest.len();
        unread.drain(..taken);
        if let Some(Item::Element(element)) = item {
            return element;
        }
        let mut chunk = [0; 8 * 1024];
        let length = socket.read(&mut chunk).await.expect("connected");
        unread.extend_from_slice(&chunk[..length]);
    }
}

/// TLS with the same settings straight over a socket, in two threads.
fn bare_rustls() -> Duration {
    let tls = pairs::config();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let near = std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let far = listener.accept().expect("connected").0;
    let server = ServerConnection::new(tls.rustls_server()).expect("the settings are good");
    let name = "countersign.invalid".try_into().expect("a name");
    let client = ClientConnection::new(tls.rustls_client(), name).expect("the settings are good");
    let reader = std::thread::spawn(move || {
        let mut stream = StreamOwned::new(server, far);
        let (mut buffer, mut count) = ([0; 16 * 1024], 0);
        stream.read_exact(&mut buffer[..1]).expect("connected");
        stream.write_all(b"!").expect("connected");
        while count < TRANSFER {
            count += stream.read(&mut buffer).expect("connected");
        }
    });
    let mut stream = StreamOwned::new(client, near);
    // The handshake, before the clock runs.
    stream.write_all(b"?").expect("connected");
    stream.read_exact(&mut [0]).expect("connected");
    let data = vec![7; TRANSFER];
    let start = Instant::now();
    for chunk in data.chunks(16 * 1024) {
        stream.write_all(chunk).expect("connected");
    }
    reader.join().expect("no panic");
    start.elapsed()
}

/// Times by themselves the parts that a block and its answer are made of, as often as each happens on the way.
fn parts() {
    let each = |name: &str, work: &mut dyn FnMut()| {
        work();
        let start = Instant::now();
        (0..BLOCKS).for_each(|_| work());
        println!("  {name:<62} {:>6.1} us", start.elapsed().as_secs_f64() * 1e6 / BLOCKS as f64);
    };
    let jid = |text: &str| FullJid::new(text).expect("an address");
    let (from, to) = (jid("alice1@home.example/bench"), jid("bob1@home.example/bench"));
    let octets = noise(usize::from(IBB_BLOCK));
    println!("the parts of one block of {IBB_BLOCK} octets and its answer, each by itself in one thread:");

    let (mut client, mut server) = pairs::bare(&pairs::config());
    let (mut flight, mut arrived) = (Vec::new(), vec![0; octets.len()]);
    each("TLS: sealed and opened", &mut || {
        client.writer().write_all(&octets).expect("open");
        flight.clear();
        while client.wants_write() {
            client.write_tls(&mut flight).expect("a vector takes everything");
        }
        let mut rest = &flight[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("a slice can be read");
            server.process_new_packets().expect("nobody edits the flight");
        }
        server.reader().read_exact(&mut arrived).expect("so much waits");
    });
    let now = Instant::now();
    let (mut out, mut into) = (bytestream(), bytestream());
    each("IBB: base64 and back, numbering", &mut || {
        out.write(&octets);
        let block = out.probe(now);
        into.receive(&block.element).expect("nobody edits it");
        out.acknowledged(block.seq, now);
    });
    out.write(&octets);
    let block =
        iq_with(&from, &to, "0123456789abcdef0123456789abcdef-i1000".to_owned(), out.probe(now).element);
    let answer = answer_to(&block);
    let written = [&block, &answer].map(|stanza| to_octets(stanza).expect("writable"));
    each("XML: both stanzas written, by a client and by the server", &mut || {
        for stanza in [&block, &block, &answer, &answer] {
            black_box(to_octets(stanza).expect("writable"));
        }
    });
    let (mut parser, _) = opened();
    each("XML: both stanzas parsed, by the server and by a client", &mut || {
        for text in [&written[0], &written[0], &written[1], &written[1]] {
            black_box(parser.read(&mut &text[..]).expect("well formed"));
        }
    });
    each("addresses: one parsed and made bare for each stanza", &mut || {
        for stanza in [&block, &answer] {
            let to = Jid::new(stanza.attr("to").expect("an address")).expect("an address");
            black_box(to.to_bare());
        }
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let mut near =
        std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let mut far = listener.accept().expect("connected").0;
    let mut buffer = [0; 16 * 1024];
    each("system calls: both written and read, two hops, nobody waits", &mut || {
        for text in [&written[0], &written[0], &written[1], &written[1]] {
            near.write_all(text).expect("connected");
            let mut left = text.len();
            while left > 0 {
                left -= far.read(&mut buffer).expect("connected");
            }
        }
    });
    println!(
        "  what the sum lacks to the processor time above: tasks woken and channels passed, copies, the driver"
    );
}

/// The server, and the TLS settings that all ends share: identities are made before the clock runs.
struct World {
    server: Server,
    tls: Tls,
}

impl World {
    async fn new(pairs: usize) -> Self {
        Self { server: home::server(pairs).await, tls: pairs::config() }
    }

    async fn client(&self, user: &str) -> Client {
        home::client(&self.server, user).await
    }

    /// A caller and one who is called.
    async fn pair(&self, pair: usize) -> [Handle; 2] {
        let [alice, bob] =
            [self.client(&format!("alice{pair}")).await, self.client(&format!("bob{pair}")).await];
        let gate = home::gate(bob.jid(), &self.tls, |config| config);
        [Driver::spawn(alice, None), Driver::spawn(bob, Some(gate))]
    }
}

async fn connect([caller, called]: &[Handle; 2], tls: &Tls) -> [E2eStream; 2] {
    home::connect([caller, called], tls, |config| config).await
}

/// Processor time of this process.
#[derive(Default)]
struct Cpu {
    user: Duration,
    system: Duration,
}

impl Cpu {
    /// By `/proc`, in hundredths of a second; zero where that is not there.
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
        let ticks = |n: usize| fields.get(n).and_then(|text| text.parse().ok()).unwrap_or(0);
        Self { user: Duration::from_millis(10 * ticks(11)), system: Duration::from_millis(10 * ticks(12)) }
    }

    fn since(&self, before: &Self) -> Self {
        Self { user: self.user - before.user, system: self.system - before.system }
    }

    fn add(&mut self, other: &Self) {
        self.user += other.user;
        self.system += other.system;
    }
}
