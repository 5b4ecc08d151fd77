//! The SASL mechanism SRP: exchanges of Cyrus SASL and of the draft, encodings, and the parts of its security layers.

use std::sync::Arc;

use aes::Aes128;
use aes::cipher::{Block, BlockCipherEncrypt, KeyInit};

use super::fields::{Checked, Fields, same, wrong};
use super::srp::must_be_refused;
use crate::context::Context;
use crate::error::Result;
use crate::mechanism::MechanismName;
use crate::prep::Preparation;
use crate::registry::{ClientSetup, Credential, CredentialStore, ServerSetup};
use crate::secret::{Password, SecretBytes};
use crate::srp::sasl::wire::{Builder, ClientFirst, ClientSecond, Reader, ServerFirst, ServerSecond};
use crate::srp::sasl::{ClientReady, Drawn, ExpectClientFirst, IV_LEN, PARAMETERS};
use crate::srp::sasl::{appended_to_m1, appended_to_m2};
use crate::srp::trace::{Inputs, Trace};
use crate::srp::{Hash, Verifier, rules};

pub(super) fn check(case: &Fields<'_>) -> Checked {
    if case.has("messages") {
        cyrus(case)
    } else if case.has("client_2") {
        draft(case)
    } else if case.has("Kn") {
        session_reuse(case)
    } else if case.has("KDF_16") {
        key_derivation(case)
    } else {
        encodings(case)
    }
}

/// What both kinds of exchanges state.
struct Exchange<'a> {
    user: &'a str,
    authzid: &'a str,
    password: &'a str,
    salt: Vec<u8>,
    a: Vec<u8>,
    b: Vec<u8>,
    offered: &'a str,
    chosen: &'a str,
    sid: &'a str,
    ttl: u32,
}

impl<'a> Exchange<'a> {
    fn read(case: &Fields<'a>, offered: &str, chosen: &str) -> Checked<Self> {
        if case.number("k", 3)? != 3 {
            return wrong("k is not 3");
        }
        Ok(Self {
            user: case.text("U")?,
            authzid: case.text("I")?,
            password: case.text("password")?,
            salt: case.octets("salt")?,
            a: case.octets("a")?,
            b: case.octets("b")?,
            offered: case.text(offered)?,
            chosen: case.text(chosen)?,
            sid: case.text("sid")?,
            ttl: case.number("ttl", u32::MAX.into())? as u32,
        })
    }

    fn trace(&self, case: &Fields<'_>) -> Checked<Trace> {
        let hash = PARAMETERS.dialect.hash;
        let trace = Inputs {
            parameters: PARAMETERS,
            username: self.user,
            password: &SecretBytes::new(self.password.as_bytes().to_vec()),
            salt: &self.salt,
            a: &self.a,
            b: &self.b,
            appended: [
                &appended_to_m1(hash, self.authzid, self.offered),
                &appended_to_m2(hash, self.authzid, self.chosen, self.sid, self.ttl),
            ],
        }
        .trace()?;
        for (name, computed) in [
            ("x", &trace.x[..]),
            ("v", trace.verifier.expose()),
            ("A", &trace.a),
            ("B", &trace.b),
            ("u", &trace.u),
            ("S", &trace.client_secret),
            ("K", &trace.key),
            ("M1", &trace.m1),
            ("M2", &trace.m2),
        ] {
            case.expect(name, computed)?;
        }
        same("the S of the server", &trace.server_secret, &trace.client_secret)?;
        Ok(trace)
    }

    /// The four messages from the values, and their reading.
    fn messages(&self, trace: &Trace, ivs: [&[u8]; 2]) -> Checked<[Vec<u8>; 4]> {
        let group = PARAMETERS.group;
        let messages = [
            ClientFirst { authcid: self.user, authzid: self.authzid, sid: "", cn: &[] }.to_bytes()?,
            ServerFirst {
                modulus: group.modulus(),
                generator: &[group.generator()],
                salt: &self.salt,
                b: &trace.b,
                options: self.offered,
            }
            .to_bytes()?,
            ClientSecond { a: &trace.a, m1: &trace.m1, options: self.chosen, iv: ivs[0] }.to_bytes()?,
            ServerSecond { m2: &trace.m2, iv: ivs[1], sid: self.sid, ttl: self.ttl }.to_bytes()?,
        ];
        same("S1 read and written", &ServerFirst::parse(&messages[1])?.to_bytes()?, &messages[1])?;
        same("C2 read and written", &ClientSecond::parse(&messages[2])?.to_bytes()?, &messages[2])?;
        same("S2 read and written", &ServerSecond::parse(&messages[3])?.to_bytes()?, &messages[3])?;
        Ok(messages)
    }

    fn client(&self, iv: [u8; IV_LEN]) -> Result<ClientReady> {
        let setup = ClientSetup {
            authcid: self.user.to_owned(),
            authzid: Some(self.authzid.to_owned()).filter(|authzid| !authzid.is_empty()),
            password: Password::new(self.password),
            preparation: Preparation::SaslPrep,
            binding: None,
            context: Context::new(),
        };
        ClientReady::with(Drawn::fixed(&self.a, iv), setup)
    }

    fn server(&self, verifier: Verifier, iv: [u8; IV_LEN]) -> ExpectClientFirst {
        let store = OneRecord { verifier, seed: SecretBytes::new(vec![7; 32]) };
        let setup = ServerSetup { credentials: Arc::new(store), binding: None, context: Context::new() };
        ExpectClientFirst::with(Drawn::fixed(&self.b, iv), setup).with_authorization(|_, _| true)
    }
}

struct OneRecord {
    verifier: Verifier,
    seed: SecretBytes,
}

impl CredentialStore for OneRecord {
    fn lookup(&self, _: &MechanismName, _: &str) -> Result<Option<Credential>> {
        Ok(Some(Credential::Srp(self.verifier.clone())))
    }

    fn simulation_seed(&self) -> &SecretBytes {
        &self.seed
    }
}

/// An exchange recorded from Cyrus SASL; without layers it is replayed through both of our sides.
fn cyrus(case: &Fields<'_>) -> Checked {
    let exchange = Exchange::read(case, "server_options_L", "client_options_o")?;
    let trace = exchange.trace(case)?;
    let group = PARAMETERS.group;
    case.expect("N", group.modulus())?;
    case.expect("g", &[group.generator()])?;
    let ivs = [case.array::<IV_LEN>("cIV")?, case.array::<IV_LEN>("sIV")?];
    let messages = exchange.messages(&trace, [&ivs[0], &ivs[1]])?;
    let stated = case.object("messages")?;
    for (name, message) in ["client_1", "server_1", "client_2", "server_2"].into_iter().zip(&messages) {
        stated.expect(name, message)?;
    }
    stated.finish()?;
    if case.has("client_to_server_packets") {
        return layers(case, &trace.key, &exchange, &ivs[1]);
    }
    let (first, client) = exchange.client(ivs[0])?.start();
    same("C1 of our client", &first, &messages[0])?;
    let (reply, server) = exchange.server(trace.verifier.clone(), ivs[1]).handle(&first)?;
    same("S1 of our server", &reply, &messages[1])?;
    let (second, client) = client.handle(&reply)?;
    same("C2 of our client", &second, &messages[2])?;
    let (last, accepted) = server.handle(&second)?;
    same("S2 of our server", &last, &messages[3])?;
    let confirmed = client.handle(&last)?;
    let keys = [&accepted, &confirmed].map(|outcome| outcome.key().map_or(&[][..], |key| key.expose()));
    same("the session keys", keys[0], keys[1])
}

/// Packets of the security layers, which we compute here only: our client takes none of the offered layers.
fn layers(case: &Fields<'_>, key: &[u8], exchange: &Exchange<'_>, iv: &[u8; IV_LEN]) -> Checked {
    let encrypted = exchange.chosen.contains("confidentiality=AES");
    let mut stream = Vec::new();
    for (sequence, packet) in case.objects("client_to_server_packets")?.into_iter().enumerate() {
        let wire = packet.octets("wire")?;
        let plaintext = packet.text("plaintext")?.as_bytes();
        let mut data = plaintext.to_vec();
        if encrypted {
            while stream.len() < plaintext.len() * (sequence + 1) {
                let last = stream.last_chunk::<IV_LEN>().unwrap_or(iv);
                stream.extend_from_slice(&aes(&key[..16], last)?);
            }
            let used = plaintext.len() * sequence;
            data.iter_mut().zip(&stream[used..]).for_each(|(octet, pad)| *octet ^= pad);
        }
        let length = ((data.len() + 20) as u32).to_be_bytes();
        let Some(tag) = wire.strip_prefix(&[&length[..], &data].concat()[..]) else {
            return wrong("the packet does not carry the plaintext");
        };
        let expected = Hash::Sha1.hmac(key, &[&data[..], &(sequence as u32).to_be_bytes()]);
        if packet.flag("mac_verifies")? != (tag == &expected[..]) || tag.len() != 20 {
            return wrong("the tag of the packet is not what mac_verifies says");
        }
        packet.finish()?;
    }
    Ok(())
}

/// The draft's exchange in full: it demands a layer, so that our client must refuse it.
fn draft(case: &Fields<'_>) -> Checked {
    let exchange = Exchange::read(case, "L", "o")?;
    let trace = exchange.trace(case)?;
    case.expect_text("N_group", &format!("rfc5054_{}", PARAMETERS.group))?;
    if case.number("g", 255)? != u64::from(PARAMETERS.group.generator()) {
        return wrong("g is another");
    }
    // The case does not repeat the initial vectors, which nothing else depends on.
    let ivs = [0, IV_LEN as u8].map(|first| std::array::from_fn::<u8, IV_LEN, _>(|i| first + i as u8));
    let messages = exchange.messages(&trace, [&ivs[0], &ivs[1]])?;
    for (name, message) in ["client_1", "server_1", "client_2", "server_2"].into_iter().zip(&messages) {
        case.expect(name, message)?;
    }
    // Our client would not leave I empty as the draft's does.
    let (_, client) = exchange.client([0; IV_LEN])?.start();
    must_be_refused(client.handle(&messages[1]), &rules::LAYER_DEMANDED)
}

/// Kn = H(K | cn | sn). We never go on with an old session.
fn session_reuse(case: &Fields<'_>) -> Checked {
    let [key, cn, sn] = [case.octets("K")?, case.octets("cn")?, case.octets("sn")?];
    case.expect("Kn", &Hash::Sha1.digest(&[&key, &cn, &sn]))?;
    // The session of the exchange above.
    let first = ClientFirst { authcid: "alice", authzid: "", sid: "session-1", cn: &cn }.to_bytes()?;
    case.expect("client_1", &first)?;
    let parsed = ClientFirst::parse(&first)?;
    same("cn", parsed.cn, &cn)?;
    same("sid", parsed.sid.as_bytes(), b"session-1")?;
    let reply = case.octets("server_1")?;
    same(
        "server_1",
        &reply,
        &[&(sn.len() as u32 + 2).to_be_bytes()[..], &[0xff, sn.len() as u8], &sn].concat(),
    )?;
    must_be_refused(ServerFirst::parse(&reply), &rules::SESSION_REUSE)
}

fn key_derivation(case: &Fields<'_>) -> Checked {
    case.describe(&["note"]);
    let key = case.octets("K")?;
    case.expect("KDF_16", &key[..16])?;
    case.expect("KDF_20", &key[..20])?;
    let first = aes(&key[..16], &[0; IV_LEN])?;
    case.expect("KDF_32", &[first, aes(&key[..16], &first)?].concat())
}

fn encodings(case: &Fields<'_>) -> Checked {
    fn content(message: &[u8]) -> &[u8] {
        &message[4..]
    }
    case.expect("mpi_1", content(&Builder::new().mpi(&[1])?.finish()))?;
    case.expect("mpi_511", content(&Builder::new().mpi(&[0, 1, 255])?.finish()))?;
    case.expect("os_empty", content(&Builder::new().os(&[])?.finish()))?;
    case.expect("utf8_empty", content(&Builder::new().utf8("")?.finish()))?;
    case.expect("buffer_empty", &Builder::new().finish())?;
    let malformed = case.octets("mpi_malformed_leading_zero")?;
    same("mpi_malformed_leading_zero", &malformed, &[0, 2, 0, 1])?;
    let buffer = [&(malformed.len() as u32).to_be_bytes()[..], &malformed].concat();
    must_be_refused(Reader::buffer(&buffer)?.mpi(), &rules::BAD_MESSAGE)?;
    // Only the layers use it, so there is no code for it elsewhere.
    case.expect("eos_abc", &[&3_u32.to_be_bytes()[..], b"abc"].concat())
}

fn aes(key: &[u8], block: &[u8; IV_LEN]) -> Checked<[u8; IV_LEN]> {
    let Ok(cipher) = Aes128::new_from_slice(key) else {
        return wrong("K is too short for a key of AES");
    };
    let mut block = Block::<Aes128>::from(*block);
    cipher.encrypt_block(&mut block);
    Ok(block.into())
}
