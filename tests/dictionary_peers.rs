//! Planted passwords in what other programs wrote or sent: OpenSSL's PSK handshakes on the wire, PostgreSQL's
//! records; and what is exported: hashcat itself, and for John an independent reader of its format.
#![cfg(all(feature = "dictionary", feature = "records", feature = "scram"))]
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod common;
#[path = "common/impostor.rs"]
mod impostor;
#[path = "common/peer.rs"]
mod python;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{PATIENCE, is_installed, peer_or_skip};
use countersign::dictionary::capture::Capture;
use countersign::dictionary::export::{Tool, line};
use countersign::dictionary::{Exposure, Oracle, Situation, Transcript, View, exposure_of_transcript};
use countersign::prep::Preparation;
use countersign::records::{Format, Record};
use countersign::registry::{Credential, Work};
use countersign::{Password, Side, system_rng};

/// Eight octets, as people choose them.
const PSK: &[u8] = b"hunter22";
const CANDIDATES: [&[u8]; 4] = [b"123456", b"", b"hunter2", PSK];

/// Ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory that goes away with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn openssl(arguments: &[&str]) -> Process {
    let psk = PSK.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let mut command = Command::new("openssl");
    command.args(arguments).args(["-psk", &psk]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Process(command.spawn().unwrap())
}

fn client(port: u16, arguments: &[&str]) -> Process {
    let address = format!("127.0.0.1:{port}");
    openssl(&[&["s_client", "-connect", &address], arguments].concat())
}

/// A port that nobody listens on, for a moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn connect(port: u16) -> TcpStream {
    let start = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) => assert!(start.elapsed() < PATIENCE, "nobody listens: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let start = Instant::now();
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            return stream;
        }
        assert!(start.elapsed() < PATIENCE, "the client does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One TLS record, its header included.
fn read_record(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 5];
    stream.read_exact(&mut header).unwrap();
    let mut record = header.to_vec();
    record.resize(5 + usize::from(u16::from_be_bytes([header[3], header[4]])), 0);
    stream.read_exact(&mut record[5..]).unwrap();
    record
}

fn oracle(exposure: countersign::Result<Exposure>) -> Box<dyn Oracle> {
    match exposure.unwrap() {
        Exposure::Guesses(oracle) => oracle,
        other => panic!("{other:?}"),
    }
}

fn finds_the_psk(oracle: &dyn Oracle) {
    let found = oracle.try_passwords(&CANDIDATES).unwrap();
    assert_eq!(found.map(|found| found.index()), Some(3), "{}", oracle.work());
    assert!(oracle.try_passwords(&CANDIDATES[..3]).unwrap().is_none());
}

/// One ClientHello is enough: nobody needs to answer it.
#[test]
fn openssl_tls13_client_hello() {
    if !peer_or_skip("openssl", is_installed("openssl")) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = client(listener.local_addr().unwrap().port(), &["-tls1_3"]);
    let hello = read_record(&mut accept(&listener));
    let oracle = oracle(Capture::parse(&hello).unwrap().exposure(Situation::Listener, None));
    assert_eq!(oracle.mechanism(), "TLS13-PSK");
    finds_the_psk(&*oracle);
}

/// Whole TLS 1.2 handshakes between two OpenSSLs, with a wire tap between them.
#[test]
fn openssl_tls12_psk_handshakes() {
    if !peer_or_skip("openssl", is_installed("openssl")) {
        return;
    }
    for suite in [
        "PSK-AES128-GCM-SHA256",
        "PSK-AES256-GCM-SHA384",
        "PSK-AES128-CBC-SHA",
        "PSK-AES256-CBC-SHA",
        "PSK-AES128-CBC-SHA256",
        "PSK-AES256-CBC-SHA384",
        "PSK-AES128-CCM",
        "PSK-AES256-CCM8",
        "PSK-CHACHA20-POLY1305",
    ] {
        for extra in [&[][..], &["-no_ems"]] {
            let Some(wire) = tapped(suite, extra) else {
                assert!(!extra.is_empty(), "{suite}");
                continue;
            };
            let capture = Capture::parse(&wire).unwrap();
            let oracle = oracle(capture.exposure(Situation::Listener, None));
            assert_eq!(oracle.mechanism(), "TLS12-PSK", "{suite}");
            finds_the_psk(&*oracle);
        }
    }
}

/// What crosses the wire in a handshake, both directions in the order of time; none if this OpenSSL lacks an option.
fn tapped(suite: &str, client_arguments: &[&str]) -> Option<Vec<u8>> {
    let suite = format!("{suite}:@SECLEVEL=0");
    let port = free_port();
    let port_text = port.to_string();
    let _server =
        openssl(&["s_server", "-accept", &port_text, "-nocert", "-tls1_2", "-cipher", &suite, "-quiet"]);
    let server = connect(port);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tap = listener.local_addr().unwrap().port();
    let mut running = client(tap, &[&["-tls1_2", "-cipher", &suite], client_arguments].concat());
    std::thread::sleep(Duration::from_millis(100));
    if running.0.try_wait().unwrap().is_some_and(|status| !status.success()) && !client_arguments.is_empty() {
        return None;
    }
    let mut client = accept(&listener);
    let wire = Arc::new(Mutex::new(Vec::new()));
    let forward = |mut from: TcpStream, mut to: TcpStream, wire: Arc<Mutex<Vec<u8>>>| {
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                wire.lock().unwrap().extend_from_slice(&buffer[..count]);
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Write);
        })
    };
    let up = forward(client.try_clone().unwrap(), server.try_clone().unwrap(), wire.clone());
    let down = forward(server.try_clone().unwrap(), client.try_clone().unwrap(), wire.clone());
    // Its input is empty, so the client leaves by itself after the handshake.
    let _ = up.join();
    let _ = client.flush();
    let _ = server.shutdown(Shutdown::Both);
    let _ = down.join();
    let wire = wire.lock().unwrap().clone();
    Some(wire)
}

/// An impostor of the server who does not know the PSK answers an ECDHE_PSK client, up to its Finished.
#[test]
fn openssl_ecdhe_psk_client_and_an_impostor() {
    if !peer_or_skip("openssl", is_installed("openssl")) {
        return;
    }
    for (name, number) in
        [("ECDHE-PSK-AES128-CBC-SHA256", 0xc037_u16), ("ECDHE-PSK-AES256-CBC-SHA384", 0xc038)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cipher = format!("{name}:@SECLEVEL=0");
        let _client = client(port, &["-tls1_2", "-cipher", &cipher, "-groups", "X25519"]);
        let mut stream = accept(&listener);
        let mut transcript = Transcript::new("TLS12-PSK".parse().unwrap(), View::ImpostorOfServer);
        transcript.push(Side::Client, &read_record(&mut stream)).unwrap();

        let flight = impostor::flight(number);
        stream.write_all(&flight).unwrap();
        transcript.push(Side::Server, &flight).unwrap();

        let answer = [read_record(&mut stream), read_record(&mut stream), read_record(&mut stream)];
        transcript.push(Side::Client, &answer.concat()).unwrap();
        let secret = impostor::secret(&answer[0]);

        // A listener has the same messages and no secret.
        let exposure = exposure_of_transcript(&transcript, Preparation::None).unwrap();
        assert!(matches!(exposure, Exposure::NothingOffline(_)), "{exposure:?}");
        let transcript = transcript.with_impostor_secret(&secret).unwrap();
        let transcript = Transcript::from_text(&transcript.to_text()).unwrap();
        finds_the_psk(&*oracle(exposure_of_transcript(&transcript, Preparation::None)));
    }
}

/// A record that PostgreSQL itself made.
#[test]
fn postgresql_record() {
    let initdb = ["/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/17/bin"].map(Path::new);
    let found = initdb.into_iter().find(|folder| folder.join("initdb").is_file());
    if !peer_or_skip("postgresql", found.is_some() && is_installed("setpriv")) {
        return;
    }
    let Some(programs) = found else { return };
    let directory = Directory::new("postgresql");
    // It refuses to run as root.
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut own = Command::new("chown");
    assert!(own.arg("65534:65534").arg(&directory.0).status().unwrap().success());
    let data = directory.0.join("data");
    let run = |program: &str, arguments: &[&str], input: &str| {
        let mut command = Command::new("setpriv");
        command.args(nobody).arg(programs.join(program)).arg(arguments[0]).arg("-D").arg(&data);
        command.args(&arguments[1..]);
        command.current_dir(&directory.0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run("initdb", &["--no-sync", "--auth=trust", "--username=postgres"], "");
    // In single-user mode it reads statements from its input, one in each line.
    let statements =
        "CREATE ROLE alice PASSWORD 'hunter22';\nSELECT rolpassword FROM pg_authid WHERE rolname='alice';\n";
    let said = run(
        "postgres",
        &["--single", "-F", "-c", "password_encryption=scram-sha-256", "postgres"],
        statements,
    );
    let start = said.find("SCRAM-SHA-256$").unwrap_or_else(|| panic!("{said}"));
    let record = said[start..].split('"').next().unwrap();
    let [record] = <[Record; 1]>::try_from(Record::read(record).unwrap()).unwrap();
    let exposure =
        countersign::dictionary::exposure_of_record(record.credential(), "alice", record.preparation());
    finds_the_psk(&*oracle(exposure));
}

/// hashcat takes our lines and finds the password in a small list.
#[test]
fn hashcat_finds_what_we_export() {
    if !peer_or_skip("hashcat", is_installed("hashcat")) {
        return;
    }
    let directory = Directory::new("hashcat");
    let words = directory.0.join("words");
    std::fs::write(&words, "123456\nhunter2\nhunter22\n").unwrap();
    for (mechanism, mode) in [("SCRAM-SHA-256", "28600"), ("SCRAM-SHA-1", "23200")] {
        let (password, work) = (Password::new("hunter22"), Work::default().with_iterations(4096));
        let mechanism = mechanism.parse().unwrap();
        let record =
            Record::enroll(&mechanism, "alice", &password, Preparation::SaslPrep, &work, &mut system_rng());
        let exported = line(record.unwrap().credential(), Tool::Hashcat).unwrap();
        assert_eq!(exported.mode, mode);
        let hashes = directory.0.join(mode);
        std::fs::write(&hashes, format!("{}\n", exported.text)).unwrap();
        let output = Command::new("hashcat")
            .args(["--quiet", "--potfile-disable", "--force", "-D", "1", "-a", "0", "-m", mode])
            .args(["--outfile-format", "2"])
            .arg(&hashes)
            .arg(&words)
            .current_dir(&directory.0)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.lines().any(|line| line == "hunter22"), "{mode}: {said} {complained}");
    }
}

/// `tests/peers/xmpp_scram_peer.py` reads what John reads, which it shows on John's own examples.
#[test]
fn a_reader_of_johns_format_finds_what_we_export() {
    if !peer_or_skip("python3", is_installed("python3")) {
        return;
    }
    let directory = Directory::new("john");
    let (words, lines) = (directory.0.join("words"), directory.0.join("lines"));
    std::fs::write(&words, "123456\nhunter2\nhunter22\n").unwrap();
    let exported = |password: &str| {
        let (password, work) = (Password::new(password), Work::default().with_iterations(4096));
        let (mechanism, preparation) = ("SCRAM-SHA-1".parse().unwrap(), Preparation::SaslPrep);
        let record = Record::enroll(&mechanism, "alice", &password, preparation, &work, &mut system_rng());
        line(record.unwrap().credential(), Tool::John).unwrap().text
    };
    let text = ["hunter22", "none of the list", "hunter2"].map(exported).join("\n");
    std::fs::write(&lines, text + "\n").unwrap();
    let output = python::script("xmpp_scram_peer.py").arg(&lines).arg(&words).output().unwrap();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{complained}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hunter22\nhunter2\n");
}

#[test]
fn what_other_tools_have_no_format_for_is_refused() {
    let record = Record::new(
        Some("alice"),
        Some(&"CPACE-R255-PLUS".parse().unwrap()),
        Preparation::SaslPrep,
        Credential::Password(Password::new("hunter22")),
    );
    let record = record.unwrap();
    assert!(line(record.credential(), Tool::Hashcat).is_err());
    assert!(record.write(Format::PostgreSql).is_err());
}
