//! What the SASL examples of the PAKE mechanisms have in common: the inputs, the run, and the document's form.

use std::sync::Arc;

use super::fields::{Checked, Fields, same, wrong};
use crate::binding::ChannelBinding;
use crate::context::Context;
use crate::error::Result;
use crate::mechanism::{Mechanism, MechanismName, Step};
use crate::prep::Preparation;
use crate::registry::{ClientSetup, Credential, CredentialStore, ServerSetup};
use crate::secret::{Password, SecretBytes};

/// What both sides are set up with.
pub(super) struct Example {
    pub(super) mechanism: MechanismName,
    pub(super) authcid: String,
    pub(super) authzid: String,
    pub(super) context: Context,
    pub(super) binding: ChannelBinding,
    pub(super) password: Password,
}

impl Example {
    pub(super) fn read(case: &Fields<'_>) -> Checked<Self> {
        let mechanisms = case.texts("mechanisms")?.into_iter().map(str::parse).collect::<Result<Vec<_>>>()?;
        let binding_types =
            case.texts("binding_types")?.into_iter().map(str::parse).collect::<Result<Vec<_>>>()?;
        let context = Context::between(case.text("initiator")?, case.text("responder")?)
            .with_mechanisms(mechanisms)
            .with_binding_types(binding_types);
        case.describe(&["name"]);
        Ok(Self {
            mechanism: case.text("mechanism")?.parse()?,
            authcid: case.text("authcid")?.to_owned(),
            authzid: case.text("authzid")?.to_owned(),
            context: case.texts("offers")?.into_iter().fold(context, Context::with_offer),
            binding: ChannelBinding::from_vector(case.text("cb_type")?.parse()?, &case.octets("cb_data")?)?,
            password: Password::new(case.text("password")?),
        })
    }

    pub(super) fn prepared_password(&self) -> Result<SecretBytes> {
        Preparation::SaslPrep.prepare(&self.password)
    }

    pub(super) fn channel_identifier(&self) -> Vec<u8> {
        self.context.channel_identifier(&self.mechanism, &self.authcid, &self.authzid, &self.binding)
    }

    pub(super) fn client(&self) -> ClientSetup {
        ClientSetup {
            authcid: self.authcid.clone(),
            authzid: (!self.authzid.is_empty()).then(|| self.authzid.clone()),
            password: self.password.clone(),
            preparation: Preparation::SaslPrep,
            binding: Some(self.binding.clone()),
            context: self.context.clone(),
        }
    }

    pub(super) fn server(&self, credential: Credential) -> ServerSetup {
        let user = OneUser { authcid: self.authcid.clone(), credential, seed: SecretBytes::new(vec![0; 32]) };
        ServerSetup {
            credentials: Arc::new(user),
            binding: Some(self.binding.clone()),
            context: self.context.clone(),
        }
    }
}

/// All messages in the order of the wire, and the key that both sides agreed on.
pub(super) fn run(
    client: &mut dyn Mechanism,
    server: &mut dyn Mechanism,
) -> Checked<(Vec<Vec<u8>>, Vec<u8>)> {
    let (mut messages, mut from_server) = (Vec::new(), Vec::new());
    let ours = loop {
        let (reply, outcome) = match client.step(&from_server)? {
            Step::Continue(reply) => (reply, None),
            Step::Finished { reply: Some(reply), outcome } => (reply, Some(outcome)),
            Step::Finished { reply: None, .. } => return wrong("the client has no last message"),
        };
        let answer = server.step(&reply)?;
        messages.push(reply);
        match (answer, outcome) {
            (Step::Finished { reply: Some(last), outcome: theirs }, None) => {
                let Step::Finished { reply: None, outcome: ours } = client.step(&last)? else {
                    return wrong("the client goes on after the last message");
                };
                messages.push(last);
                break (ours, theirs);
            }
            (Step::Continue(answer), None) => {
                messages.push(answer.clone());
                from_server = answer;
            }
            (Step::Finished { reply: None, outcome: theirs }, Some(ours)) => break (ours, theirs),
            _ => return wrong("the two sides do not finish together"),
        }
    };
    let [ours, theirs] = [&ours.0, &ours.1].map(|outcome| outcome.key().map_or(&[][..], |key| key.expose()));
    same("the client's key", ours, theirs)?;
    Ok((messages, ours.to_vec()))
}

struct OneUser {
    authcid: String,
    credential: Credential,
    seed: SecretBytes,
}

impl CredentialStore for OneUser {
    fn lookup(&self, _: &MechanismName, authcid: &str) -> Result<Option<Credential>> {
        Ok((authcid == self.authcid).then(|| self.credential.clone()))
    }

    fn simulation_seed(&self) -> &SecretBytes {
        &self.seed
    }
}

/// A generator that gives out the octets it was made from.
pub(super) struct Given(Vec<u8>);

impl Given {
    pub(super) fn new(octets: &[&[u8]]) -> Self {
        Self(octets.concat())
    }
}

impl rand_core::TryRng for Given {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Self::Error> {
        let mut octets = [0; 4];
        self.try_fill_bytes(&mut octets).map(|()| u32::from_le_bytes(octets))
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Self::Error> {
        let mut octets = [0; 8];
        self.try_fill_bytes(&mut octets).map(|()| u64::from_le_bytes(octets))
    }

    /// Octets of 1 when nothing is left: they make a scalar on every curve here, so nobody draws for ever.
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> std::result::Result<(), Self::Error> {
        out.fill(1);
        let given = self.0.len().min(out.len());
        out[..given].copy_from_slice(&self.0[..given]);
        self.0.drain(..given);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Given {}

#[cfg(test)]
pub(super) mod document {
    //! The examples as the document shows them, and the test that writes both.

    use std::fmt::Write;
    use std::fs;
    use std::sync::Mutex;

    use serde_json::{Map, Value, json};

    /// Columns of the document's examples.
    const WIDTH: usize = 96;

    /// Tests may read and write one document at the same time.
    static WRITING: Mutex<()> = Mutex::new(());

    /// A file of examples and the place in a document that shows them.
    pub(in crate::vectors) struct Place {
        pub(in crate::vectors) file: &'static str,
        pub(in crate::vectors) document: &'static str,
        pub(in crate::vectors) begin: &'static str,
        pub(in crate::vectors) end: &'static str,
    }

    impl Place {
        fn path(name: &str) -> String {
            format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
        }

        pub(in crate::vectors) fn check(&self) {
            let _one_at_a_time = WRITING.lock().unwrap();
            let file = fs::read_to_string(Self::path(self.file)).unwrap();
            let file = serde_json::from_str::<Value>(&file).unwrap();
            let document = fs::read_to_string(Self::path(self.document)).unwrap();
            let (_, rest) = document.split_once(self.begin).unwrap();
            let (shown, _) = rest.split_once(self.end).unwrap();
            assert!(shown == render(file["cases"].as_array().unwrap()), "run the test `regenerate`");
        }

        pub(in crate::vectors) fn write(&self, cases: &[Value], method: &str) {
            let _one_at_a_time = WRITING.lock().unwrap();
            let document = fs::read_to_string(Self::path(self.document)).unwrap();
            let (before, rest) = document.split_once(self.begin).unwrap();
            let (_, after) = rest.split_once(self.end).unwrap();
            let document = [before, self.begin, &render(cases), self.end, after].concat();
            fs::write(Self::path(self.document), document).unwrap();
            let file = json!({
                "source": format!("computed for this project: the examples of {}", self.document),
                "derived": true,
                "verification": { "recomputed": true, "method": method },
                "count": cases.len(),
                "cases": cases,
            });
            fs::write(Self::path(self.file), serde_json::to_string_pretty(&file).unwrap() + "\n").unwrap();
        }
    }

    /// The inputs that all examples share, with the mechanism's own after them.
    pub(in crate::vectors) fn inputs(name: &str, mechanism: &str, own: &[(&str, String)]) -> Value {
        let mut case = json!({
            "name": name,
            "mechanism": mechanism,
            "password": "correct horse battery staple",
            "authcid": "alice@wonderland.example",
            "authzid": "",
            "initiator": "alice@wonderland.example/phone",
            "responder": "bob@home.example/laptop",
            "mechanisms": ["OPAQUE-R255-PLUS", "SPAKE2PLUS-P256-PLUS"],
            "binding_types": ["tls-exporter"],
            "offers": ["offer of the initiator", "offer of the responder"],
            "cb_type": "tls-exporter",
            "cb_data": hex(&[0xcb; 32]),
        });
        let map = case.as_object_mut().unwrap();
        map.extend(own.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
        case
    }

    pub(in crate::vectors) fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    fn render(cases: &[Value]) -> String {
        cases.iter().map(|case| render_case(case.as_object().unwrap())).collect()
    }

    fn render_case(case: &Map<String, Value>) -> String {
        let mut out = format!("\n### Example: {}\n\n```text\n", case["name"].as_str().unwrap());
        for (name, value) in case.iter().filter(|(name, _)| *name != "name") {
            match value {
                Value::Array(list) => writeln!(out, "{name} = {}", Value::from(list.clone())).unwrap(),
                Value::String(text) if is_text(name) => writeln!(out, "{name} = \"{text}\"").unwrap(),
                Value::String(text) => render_octets(&mut out, name, text),
                other => panic!("{other}"),
            }
        }
        out + "```\n\n"
    }

    fn is_text(name: &str) -> bool {
        ["mechanism", "password", "authcid", "authzid", "initiator", "responder", "cb_type"].contains(&name)
    }

    fn render_octets(out: &mut String, name: &str, digits: &str) {
        if name.len() + 3 + digits.len() <= WIDTH {
            writeln!(out, "{name} = {digits}").unwrap();
            return;
        }
        writeln!(out, "{name} =").unwrap();
        for line in digits.as_bytes().chunks(64) {
            writeln!(out, "    {}", std::str::from_utf8(line).unwrap()).unwrap();
        }
    }
}
