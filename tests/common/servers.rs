//! Prosody, ejabberd and dnsmasq, each started by a test in a folder of its own: loopback only, free ports, no service of
//! the system. They are killed when they go out of scope.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::certificates::Authority;

/// For a server to start, on a machine that is busy.
const START: Duration = Duration::from_secs(90);

/// A folder that goes away with the test. Seen from inside of another root it has a shorter name.
pub(crate) struct Folder {
    outside: PathBuf,
    root: Option<PathBuf>,
}

impl Folder {
    pub(crate) fn new(name: &str, root: Option<&Path>) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{name}-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let parent = root.map_or_else(std::env::temp_dir, |root| root.join("tmp"));
        let outside = parent.join(format!("countersign-{unique}"));
        fs::create_dir_all(&outside).unwrap();
        Self { outside, root: root.map(Path::to_owned) }
    }

    /// Writes a file and gives its name as a process started by [`Folder::command`] sees it.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.outside.join(name), text).unwrap();
        self.path(name)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        let path = self.outside.join(name);
        let inside = match &self.root {
            Some(root) => Path::new("/").join(path.strip_prefix(root).unwrap()),
            None => path,
        };
        inside.to_str().unwrap().to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let octets = fs::read(self.outside.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// A program, started in the root that the folder lies in.
    fn command(&self, program: &str) -> Command {
        let mut command = match &self.root {
            Some(root) => {
                let mut command = Command::new("chroot");
                command.arg(root).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.outside);
    }
}

/// A port that nobody listens on, for the next moments.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Where a server listens.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    /// Clients, by STARTTLS.
    pub(crate) clients: u16,
    /// Clients, by TLS at once.
    pub(crate) direct: u16,
    /// Other servers.
    pub(crate) servers: u16,
    /// The proxy for bytestreams, where there is one.
    pub(crate) proxy: u16,
}

impl Ports {
    pub(crate) fn free() -> Self {
        Self { clients: free_port(), direct: free_port(), servers: free_port(), proxy: free_port() }
    }
}

/// What a server is to be.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a> {
    pub(crate) domain: &'a str,
    /// Users and their passwords.
    pub(crate) accounts: &'a [(&'a str, &'a str)],
    pub(crate) authority: &'a Authority,
    pub(crate) ports: Ports,
    /// The port of the DNS server that knows other domains.
    pub(crate) dns: Option<u16>,
    /// The root that the server's files lie in, where it is not the system's own.
    pub(crate) root: Option<&'a Path>,
    /// Lets clients send no more than the server's stock configuration does.
    pub(crate) limited: bool,
}

/// Prosody's stock limit on what a client sends.
const PROSODY_LIMIT: &str = r#"limits = { c2s = { rate = "10kb/s" } }"#;

/// ejabberd's stock limit on what a client sends.
const EJABBERD_LIMIT: &str = "
shaper:
  normal:
    rate: 3000
    burst_size: 20000
shaper_rules:
  c2s_shaper: normal
";

impl<'a> Setup<'a> {
    pub(crate) fn new(domain: &'a str, accounts: &'a [(&'a str, &'a str)], authority: &'a Authority) -> Self {
        Self { domain, accounts, authority, ports: Ports::free(), dns: None, root: None, limited: false }
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) folder: Folder,
    pub(crate) ports: Ports,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            for name in ["log", "out"] {
                let log = self.folder.read(name);
                let from = log.char_indices().rev().nth(4000).map_or(0, |(i, _)| i);
                eprintln!("--- {name} of the server\n{}", &log[from..]);
            }
        }
    }
}

impl Server {
    /// Where clients connect, by STARTTLS.
    pub(crate) fn clients(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.clients).into()
    }

    /// Ends it at once, as a power failure would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn prosody(setup: Setup<'_>) -> Self {
        let folder = Folder::new("prosody", setup.root);
        let Setup { domain, ports, .. } = setup;
        let issued = setup.authority.issue(domain);
        let (certificate, key) =
            (folder.write("cert.pem", &issued.certificate), folder.write("key.pem", &issued.key));
        let authorities = folder.write("ca.pem", setup.authority.pem());
        let (data, log) = (folder.path("data"), folder.path("log"));
        fs::create_dir(folder.outside.join("data")).unwrap();
        let dns = setup.dns.map_or_else(String::new, |port| {
            format!(
                "unbound = {{ resolvconf = false, hoststxt = false, forward = {{ \"127.0.0.1@{port}\" }}, \
                 [\"do-not-query-localhost:\"] = \"no\" }}"
            )
        });
        let (module, limits) = if setup.limited { (r#", "limits""#, PROSODY_LIMIT) } else { ("", "") };
        let config = folder.write(
            "prosody.cfg.lua",
            &format!(
                r#"
run_as_root = true
data_path = "{data}"
log = {{ {{ levels = {{ min = "debug" }}, to = "file", filename = "{log}" }} }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {clients} }}
c2s_direct_tls_ports = {{ {direct} }}
s2s_ports = {{ {servers} }}
modules_enabled = {{ "roster", "saslauth", "tls", "disco", "presence", "message", "iq"{module} }}
modules_disabled = {{ "offline", "posix", "s2s_auth_dane_in" }}
authentication = "internal_hashed"
password_hash = "SHA-256"
c2s_require_encryption = true
s2s_require_encryption = true
s2s_secure_auth = true
{dns}
{limits}
ssl = {{ certificate = "{certificate}", key = "{key}", cafile = "{authorities}" }}
proxy65_ports = {{ {proxy} }}
VirtualHost "{domain}"
Component "proxy.{domain}" "proxy65"
  proxy65_address = "127.0.0.1"
"#,
                proxy = ports.proxy,
                clients = ports.clients,
                direct = ports.direct,
                servers = ports.servers,
            ),
        );
        for (user, password) in setup.accounts {
            let mut register = folder.command("prosodyctl");
            register.args(["--root", "--config", &config, "register", user, domain, password]);
            let output = register.output().expect("prosodyctl starts");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let mut command = folder.command("prosody");
        command.args(["--root", "--config", &config, "-F"]);
        Self::start(command, folder, ports, |folder| {
            folder.read("log").contains("Hello and welcome to Prosody")
        })
    }

    /// ejabberd without distribution: no node name, no epmd, no cookie.
    pub(crate) fn ejabberd(setup: Setup<'_>) -> Self {
        let folder = Folder::new("ejabberd", setup.root);
        let Setup { domain, ports, .. } = setup;
        let issued = setup.authority.issue(domain);
        let certificate = folder.write("cert.pem", &format!("{}{}", issued.certificate, issued.key));
        let authorities = folder.write("ca.pem", setup.authority.pem());
        let (shaper, shapers) = if setup.limited { ("shaper: c2s_shaper", EJABBERD_LIMIT) } else { ("", "") };
        let config = folder.write(
            "ejabberd.yml",
            &format!(
                r#"
hosts: ["{domain}"]
loglevel: debug
certfiles: ["{certificate}"]
ca_file: "{authorities}"
auth_method: internal
auth_password_format: scram
auth_scram_hash: sha256
s2s_use_starttls: required
listen:
  - port: {clients}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    starttls_required: true
    {shaper}
  - port: {direct}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    tls: true
    {shaper}
  - port: {servers}
    ip: "127.0.0.1"
    module: ejabberd_s2s_in
{shapers}
modules:
  mod_roster: {{}}
  mod_disco: {{}}
"#,
                clients = ports.clients,
                direct = ports.direct,
                servers = ports.servers,
            ),
        );
        let dns =
            setup.dns.map_or_else(String::new, |port| format!("{{nameserver, {{127,0,0,1}}, {port}}}.\n"));
        let network =
            folder.write("inetrc", &format!("{{resolv_conf, \"\"}}.\n{{hosts_file, \"\"}}.\n{dns}"));
        let mut begin = "{ok, _} = application:ensure_all_started(ejabberd), ".to_owned();
        for (user, password) in setup.accounts {
            let _ = write!(
                begin,
                "ok = ejabberd_auth:try_register(<<\"{user}\">>, <<\"{domain}\">>, <<\"{password}\">>), "
            );
        }
        begin.push_str("io:format(\"READY~n\").");
        let mut command = folder.command("env");
        for (name, value) in [
            ("EJABBERD_CONFIG_PATH", config.as_str()),
            ("EJABBERD_LOG_PATH", &folder.path("log")),
            ("ERL_LIBS", "/usr/lib/x86_64-linux-gnu"),
            ("ERL_INETRC", &network),
            ("ERL_CRASH_DUMP", "/dev/null"),
            ("HOME", &folder.path("")),
        ] {
            command.arg(format!("{name}={value}"));
        }
        command.args(["erl", "-noinput", "-mnesia", "dir", &format!("\"{}\"", folder.path("mnesia"))]);
        command.args(["-eval", &begin]);
        Self::start(command, folder, ports, |folder| folder.read("out").contains("READY"))
    }

    fn start(mut command: Command, folder: Folder, ports: Ports, ready: impl Fn(&Folder) -> bool) -> Self {
        let out = fs::File::create(folder.outside.join("out")).unwrap();
        command.stdout(out.try_clone().unwrap()).stderr(out);
        let child = command.spawn().expect("the server starts");
        let mut server = Self { child, folder, ports };
        let end = Instant::now() + START;
        while !ready(&server.folder) || TcpStream::connect(server.clients()).is_err() {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "the server has ended: {ended:?}");
            assert!(Instant::now() < end, "the server does not get ready");
            thread::sleep(Duration::from_millis(50));
        }
        server
    }
}

/// dnsmasq, which answers for `.example` alone.
pub(crate) struct Dns {
    child: Child,
    pub(crate) port: u16,
}

impl Drop for Dns {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Dns {
    /// With these SRV records, as dnsmasq writes them: name, target, port, priority, weight. Targets are `localhost`:
    /// not every server asks this DNS for addresses.
    pub(crate) fn start(records: &[String]) -> Self {
        let port = free_port();
        let mut command = Command::new("dnsmasq");
        command.args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file="]);
        command.args(["--user=root", "--bind-interfaces", "--listen-address=127.0.0.1", "--local=/example/"]);
        command.arg(format!("--port={port}"));
        command.args(records.iter().map(|record| format!("--srv-host={record}")));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let dns = Self { child: child.expect("dnsmasq starts"), port };
        let end = Instant::now() + START;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < end, "dnsmasq does not get ready");
            thread::sleep(Duration::from_millis(20));
        }
        dns
    }
}
