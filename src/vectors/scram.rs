//! SCRAM: whole exchanges, and stored records.
//!
//! The values between password and proof are computed here, by the letter of RFC 5802 section 3 and without the code
//! under test. Then both sides of the mechanism must send the messages of the case, octet by octet. SHA-224 and
//! SHA-384 belong to no mechanism of this crate; their cases end with the first step.

use std::num::NonZeroU32;
use std::sync::Arc;

use base64ct::{Base64, Encoding};
use hmac::digest::{Digest, block_api::BlockSizeUser};
use hmac::{KeyInit, Mac, SimpleHmac};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use sha3::Sha3_512;

use super::fields::{Checked, Fields, same, wrong};
use crate::binding::{BindingType, ChannelBinding};
use crate::context::Context;
use crate::error::Result;
use crate::mechanism::{Mechanism, MechanismName, Step};
use crate::prep::{self, StringUse};
use crate::registry::{Credential, CredentialStore};
use crate::scram::wire::{ClientFinalMessage, ClientFirstMessage, ServerFirstMessage};
use crate::scram::{
    ClientConfig, ITERATIONS_MAX, ScramClient, ScramMechanism, ScramServer, ServerConfig, StoredCredential,
};
use crate::secret::{Password, SecretBytes};

pub(super) fn check(case: &Fields<'_>) -> Checked {
    case.describe(&["source", "cb_data_origin", "format", "published"]);
    if case.has("verifier") { record(case) } else { exchange(case) }
}

/// `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`.
fn record(case: &Fields<'_>) -> Checked {
    let (password, text) = (case.text("password")?, case.text("verifier")?);
    let stored = text.parse::<StoredCredential>()?;
    let prepared = prep::saslprep(password, StringUse::Stored)?;
    check_iterations(stored.iterations().get().into())?;
    let derived = StoredCredential::from_prepared(
        stored.hash(),
        prepared.as_bytes(),
        stored.salt(),
        stored.iterations(),
    );
    same("StoredKey", derived.stored_key(), stored.stored_key())?;
    same("ServerKey", derived.server_key(), stored.server_key())?;
    case.expect_text("verifier", &derived.to_rfc5803())
}

fn exchange(case: &Fields<'_>) -> Checked {
    let exchange = Exchange::read(case)?;
    let values = exchange.check_messages(case)?;
    for (name, value) in [
        ("salted_password", &values.salted_password),
        ("client_key", &values.client_key),
        ("stored_key", &values.stored_key),
        ("server_key", &values.server_key),
        ("client_signature", &values.client_signature),
    ] {
        case.expect(name, value)?;
    }
    case.expect_base64("client_proof", &values.client_proof)?;
    case.expect_base64("server_signature", &values.server_signature)?;
    match &exchange.mechanism {
        Some(mechanism) => exchange.replay(*mechanism, &values),
        None => Ok(()),
    }
}

struct Exchange<'a> {
    hash: Hash,
    /// `None` for a hash that no mechanism of this crate has.
    mechanism: Option<ScramMechanism>,
    user: &'a str,
    password: &'a str,
    gs2_header: String,
    binding: Option<ChannelBinding>,
    /// What the server offered, where the case tells it.
    context: Context,
    client_first: &'a str,
    server_first: &'a str,
    client_final: &'a str,
    server_final: &'a str,
    nonces: Nonces<'a>,
    salt: Vec<u8>,
    iterations: NonZeroU32,
    /// An attribute at the end of the client-final-message without proof, such as `x=1`.
    final_extension: Option<&'a str>,
}

struct Nonces<'a> {
    client: &'a str,
    server: &'a str,
}

impl<'a> Exchange<'a> {
    fn read(case: &Fields<'a>) -> Checked<Self> {
        let name = match case.optional("mechanism", Fields::text)? {
            Some(name) => name.to_owned(),
            None => format!("SCRAM-{}", case.text("hash")?),
        };
        let name = name.parse::<MechanismName>()?;
        let plus = name.is_plus();
        let binding = if plus { Some(binding(case)?) } else { None };
        let gs2_header = match &binding {
            Some(binding) => format!("p={},,", binding.kind()),
            None => "n,,".to_owned(),
        };
        if case.has("gs2_header") {
            case.expect_text("gs2_header", &gs2_header)?;
            case.expect("channel_binding_data", binding.as_ref().map_or(&[], ChannelBinding::data))?;
        }
        let Some(hash) = Hash::of(&name) else {
            return wrong(format!("no mechanism of the SCRAM family: {name}"));
        };

        let server_first = case.text("server_first")?;
        let client_first = case.text("client_first")?;
        let client_final = case.text("client_final")?;
        let first = ClientFirstMessage::parse(client_first.as_bytes())?;
        let challenge = ServerFirstMessage::parse(server_first.as_bytes())?;
        let Some(server_nonce) = challenge.nonce.strip_prefix(first.nonce) else {
            return wrong("the nonce of server_first does not begin with that of client_first");
        };
        let last = ClientFinalMessage::parse(client_final.as_bytes())?;
        let final_extension = last.without_proof.splitn(3, ',').nth(2);
        Ok(Self {
            hash,
            mechanism: ScramMechanism::try_from(&name).ok(),
            user: case.text("user")?,
            password: case.text("password")?,
            gs2_header,
            binding,
            context: offer(case)?,
            client_first,
            server_first,
            client_final,
            server_final: case.text("server_final")?,
            nonces: Nonces { client: first.nonce, server: server_nonce },
            salt: challenge.salt,
            iterations: check_iterations(challenge.iterations)?,
            final_extension,
        })
    }

    /// Writes every message from its parts and compares; gives the values between them.
    fn check_messages(&self, case: &Fields<'_>) -> Checked<Values> {
        let nonce = format!("{}{}", self.nonces.client, self.nonces.server);
        let bare = format!("n={},r={}", self.user, self.nonces.client);
        case.expect_text("client_first", &format!("{}{bare}", self.gs2_header))?;
        let salt = Base64::encode_string(&self.salt);
        let mut server_first = format!("r={nonce},s={salt},i={}", self.iterations);
        if case.has("h") {
            let hash = (self.hash.digest)(&self.context.downgrade_string());
            case.expect_base64("h", &hash)?;
            server_first = format!("{server_first},h={}", Base64::encode_string(&hash));
        }
        case.expect_text("server_first", &server_first)?;
        let data = self.binding.as_ref().map_or(&[][..], ChannelBinding::data);
        let channel_binding = Base64::encode_string(&[self.gs2_header.as_bytes(), data].concat());
        let mut without_proof = format!("c={channel_binding},r={nonce}");
        if let Some(extension) = self.final_extension {
            without_proof = format!("{without_proof},{extension}");
        }
        let auth_message = format!("{bare},{server_first},{without_proof}");
        case.expect_text("auth_message", &auth_message)?;

        let prepared = prep::saslprep(self.password, StringUse::Stored)?;
        let values =
            (self.hash.values)(prepared.as_bytes(), &self.salt, self.iterations, auth_message.as_bytes());
        let proof = Base64::encode_string(&values.client_proof);
        case.expect_text("client_final", &format!("{without_proof},p={proof}"))?;
        case.expect_text("server_final", &format!("v={}", Base64::encode_string(&values.server_signature)))?;
        Ok(values)
    }

    /// Both sides must send what the case has.
    fn replay(&self, mechanism: ScramMechanism, values: &Values) -> Checked {
        let password = || Password::new(self.password);
        let mut rng = crate::system_rng();
        let mut config = ClientConfig::new(mechanism, self.user, password(), self.binding.clone())?
            .with_context(self.context.clone())
            .with_nonce(self.nonces.client);
        if let Some(extension) = self.final_extension {
            config = config.with_final_extension(extension);
        }
        let mut client = ScramClient::new(config, &mut rng)?;

        let prepared = prep::saslprep(self.password, StringUse::Stored)?;
        let record = StoredCredential::from_prepared(
            mechanism.hash(),
            prepared.as_bytes(),
            &self.salt,
            self.iterations,
        );
        same("StoredKey of the record", record.stored_key(), &values.stored_key)?;
        same("ServerKey of the record", record.server_key(), &values.server_key)?;
        let store =
            Arc::new(OneRecord { user: self.user.to_owned(), record, seed: SecretBytes::new(vec![0; 32]) });
        let config = ServerConfig::new(mechanism, self.binding.clone(), &store.seed)?
            .with_context(self.context.clone())
            .with_nonce(self.nonces.server);
        let mut server = ScramServer::new(config, store, &mut rng);

        continues("our client_first", client.step(&[])?, self.client_first)?;
        continues("our server_first", server.step(self.client_first.as_bytes())?, self.server_first)?;
        continues("our client_final", client.step(self.server_first.as_bytes())?, self.client_final)?;
        let accepted = server.step(self.client_final.as_bytes())?;
        finishes("our server_final", accepted, Some(self.server_final))?;
        finishes("our client's end", client.step(self.server_final.as_bytes())?, None)
    }
}

fn continues(what: &str, step: Step, message: &str) -> Checked {
    match step {
        Step::Continue(ours) => same(what, &ours, message.as_bytes()),
        Step::Finished { .. } => wrong(format!("{what}: the exchange ends too early")),
    }
}

fn finishes(what: &str, step: Step, message: Option<&str>) -> Checked {
    match step {
        Step::Finished { reply, .. } => {
            same(what, &reply.unwrap_or_default(), message.unwrap_or_default().as_bytes())
        }
        Step::Continue(_) => wrong(format!("{what}: the exchange does not end")),
    }
}

fn binding(case: &Fields<'_>) -> Checked<ChannelBinding> {
    let kind = case.text("cb_type")?.parse::<BindingType>()?;
    Ok(ChannelBinding::from_vector(kind, &case.octets("cb_data")?)?)
}

/// What XEP-0474 protects, where the case has it.
fn offer(case: &Fields<'_>) -> Checked<Context> {
    if !case.has("mechanisms_advertised") {
        return Ok(Context::new());
    }
    let names = case.texts("mechanisms_advertised")?;
    let names = names.into_iter().map(str::parse::<MechanismName>).collect::<Result<Vec<_>>>()?;
    let types = case.texts("cb_types_advertised")?;
    let types = types.into_iter().map(str::parse::<BindingType>).collect::<Result<Vec<_>>>()?;
    let context = Context::new().with_mechanisms(names).with_binding_types(types);
    case.expect("ssdp_hash_input_hex", &context.downgrade_string())?;
    Ok(context)
}

fn check_iterations(iterations: u64) -> Checked<NonZeroU32> {
    u32::try_from(iterations)
        .ok()
        .filter(|&iterations| iterations <= ITERATIONS_MAX)
        .and_then(NonZeroU32::new)
        .map_or_else(|| wrong(format!("the limit of iterations is {ITERATIONS_MAX}")), Ok)
}

struct OneRecord {
    user: String,
    record: StoredCredential,
    seed: SecretBytes,
}

impl CredentialStore for OneRecord {
    fn lookup(&self, _: &MechanismName, authcid: &str) -> Result<Option<Credential>> {
        Ok((authcid == self.user).then(|| Credential::Scram(self.record.clone())))
    }

    fn simulation_seed(&self) -> &SecretBytes {
        &self.seed
    }
}

/// What RFC 5802 section 3 computes.
struct Values {
    salted_password: Vec<u8>,
    client_key: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
    client_signature: Vec<u8>,
    client_proof: Vec<u8>,
    server_signature: Vec<u8>,
}

/// H, by its name in the names of mechanisms.
#[derive(Clone, Copy)]
struct Hash {
    name: &'static str,
    digest: fn(&[u8]) -> Vec<u8>,
    values: fn(&[u8], &[u8], NonZeroU32, &[u8]) -> Values,
}

impl Hash {
    const ALL: [Self; 6] = [
        Self::new::<Sha1>("SHA-1"),
        Self::new::<Sha224>("SHA-224"),
        Self::new::<Sha256>("SHA-256"),
        Self::new::<Sha384>("SHA-384"),
        Self::new::<Sha512>("SHA-512"),
        Self::new::<Sha3_512>("SHA3-512"),
    ];

    const fn new<D: Digest + BlockSizeUser + Clone>(name: &'static str) -> Self {
        Self { name, digest: |data| D::digest(data).to_vec(), values: values::<D> }
    }

    fn of(mechanism: &MechanismName) -> Option<Self> {
        let name = mechanism.as_str().strip_prefix("SCRAM-")?;
        let name = name.strip_suffix("-PLUS").unwrap_or(name);
        Self::ALL.into_iter().find(|hash| hash.name == name)
    }
}

fn values<D: Digest + BlockSizeUser + Clone>(
    password: &[u8],
    salt: &[u8],
    iterations: NonZeroU32,
    auth_message: &[u8],
) -> Values {
    let salted_password = hi::<D>(password, salt, iterations);
    let client_key = hmac::<D>(&salted_password, b"Client Key");
    let stored_key = D::digest(&client_key).to_vec();
    let server_key = hmac::<D>(&salted_password, b"Server Key");
    let client_signature = hmac::<D>(&stored_key, auth_message);
    let client_proof = client_key.iter().zip(&client_signature).map(|(a, b)| a ^ b).collect();
    let server_signature = hmac::<D>(&server_key, auth_message);
    Values {
        salted_password,
        client_key,
        stored_key,
        server_key,
        client_signature,
        client_proof,
        server_signature,
    }
}

fn keyed<D: Digest + BlockSizeUser>(key: &[u8]) -> SimpleHmac<D> {
    <SimpleHmac<D> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn hmac<D: Digest + BlockSizeUser>(key: &[u8], data: &[u8]) -> Vec<u8> {
    keyed::<D>(key).chain_update(data).finalize().into_bytes().to_vec()
}

fn hi<D: Digest + BlockSizeUser + Clone>(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
    let key = keyed::<D>(password);
    let mut last = key.clone().chain_update(salt).chain_update([0, 0, 0, 1]).finalize().into_bytes();
    let mut sum = last.clone();
    for _ in 1..iterations.get() {
        last = key.clone().chain_update(&last).finalize().into_bytes();
        sum.iter_mut().zip(&last).for_each(|(sum, octet)| *sum ^= octet);
    }
    sum.to_vec()
}
