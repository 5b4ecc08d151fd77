//! OPAQUE: the vectors of RFC 9807 on ristretto255, real and for unknown users, and our SASL example.

use std::sync::Arc;

use curve25519_dalek::scalar::Scalar;
use rand_core::Rng as _;

use super::example::{Example, Given, run};
use super::fields::{Checked, Fault, Fields, same, wrong};
use super::opaque_3dh::{self as formulas, Key, NPK, Schedule, Stored};
use crate::ksf::{ENCODED_LEN, Ksf};
use crate::opaque::{
    ClientLogin, ClientRegistration, Draws, KE1_LEN, NOBODY, OpaqueClient, OpaqueServer, Parties, Record,
    ServerKeys, ServerLogin,
};
use crate::registry::Credential;

/// What the RFC calls the configuration, apart from the group and `Fake`.
const CONFIGURATION: [(&str, &str); 12] = [
    ("Hash", "SHA512"),
    ("KDF", "HKDF-SHA512"),
    ("KSF", "Identity"),
    ("MAC", "HMAC-SHA512"),
    ("Name", "3DH"),
    ("Nh", "64"),
    ("Nm", "64"),
    ("Nok", "32"),
    ("Npk", "32"),
    ("Nsk", "32"),
    ("Nx", "64"),
    ("OPRF", "ristretto255-SHA512"),
];

/// The groups of the RFC that we do not have.
const OTHER_GROUPS: [&str; 2] = ["curve25519", "P256_XMD:SHA-256_SSWU_RO_"];

pub(super) fn check(case: &Fields<'_>) -> Checked {
    if case.has("mechanism") {
        return sasl(case);
    }
    let (config, inputs, outputs) = (case.object("config")?, case.object("inputs")?, case.object("outputs")?);
    match config.text("Group")? {
        "ristretto255" => {}
        other if OTHER_GROUPS.contains(&other) => {
            return Err(Fault::Unsupported("this build does not implement the group"));
        }
        other => return wrong(format!("the RFC has no group {other}")),
    }
    for (name, value) in CONFIGURATION {
        config.expect_text(name, value)?;
    }
    let protocol = Protocol {
        context: config.octets("Context")?,
        client: inputs.optional("client_identity", Fields::octets)?,
        server: inputs.optional("server_identity", Fields::octets)?,
        name: inputs.octets("credential_identifier")?,
    };
    let intermediates = case.object("intermediates")?;
    match config.text("Fake")? {
        "False" => {
            protocol.real(&inputs, &outputs)?;
            protocol.inside(&inputs, &intermediates, &outputs)?;
        }
        "True" => protocol.fake(&inputs, &outputs)?,
        other => return wrong(format!("Fake is {other}")),
    }
    config.finish()?;
    inputs.finish()?;
    intermediates.finish()?;
    outputs.finish()
}

struct Protocol {
    context: Vec<u8>,
    client: Option<Vec<u8>>,
    server: Option<Vec<u8>>,
    name: Vec<u8>,
}

impl Protocol {
    fn parties(&self) -> Parties<'_> {
        Parties { context: &self.context, client: self.client.as_deref(), server: self.server.as_deref() }
    }

    /// Registration and login of a known user, both sides.
    fn real(&self, inputs: &Fields<'_>, outputs: &Fields<'_>) -> Checked {
        let (parties, password) = (self.parties(), inputs.octets("password")?);
        let keys = keys(inputs, &NOBODY)?;

        let mut rng = Given::new(&[&blind(inputs, "blind_registration")?, &inputs.octets("envelope_nonce")?]);
        let (client, request) = ClientRegistration::start(&password, &mut rng)?;
        outputs.expect("registration_request", &request)?;
        let response = keys.respond(&request, &self.name)?;
        outputs.expect("registration_response", &response)?;
        inputs.expect("server_public_key", &response[32..])?;
        let registered = client.finish(&response, &parties, Ksf::IDENTITY, &mut rng)?;
        outputs.expect("registration_upload", &*registered.upload)?;
        outputs.expect("export_key", registered.export_key.expose())?;
        let record = Record::new(keys.clone(), Ksf::IDENTITY, &registered.upload)?;

        let mut rng = Given::new(&[
            &blind(inputs, "blind_login")?,
            &inputs.octets("client_keyshare_seed")?,
            &inputs.octets("client_nonce")?,
        ]);
        let (client, ke1) = ClientLogin::start(&password, &mut rng)?;
        outputs.expect("KE1", &ke1)?;
        // The masking key of a stand-in record is drawn for known users too.
        let mut rng = Given::new(&[&[0; 64], &server_draws(inputs)?]);
        let (server, ke2) = ServerLogin::start(&keys, Some(&record), &ke1, &self.name, &parties, &mut rng)?;
        outputs.expect("KE2", &ke2)?;
        let (ke3, ours, export_key) = client.finish(&ke2, &parties, Ksf::IDENTITY)?;
        outputs.expect("KE3", &ke3)?;
        outputs.expect("export_key", export_key.expose())?;
        outputs.expect("session_key", ours.into_key().expose())?;
        outputs.expect("session_key", server.finish(&ke3, &parties)?.into_key().expose())
    }

    /// The same by the formulas alone, with what never leaves a party.
    fn inside(&self, inputs: &Fields<'_>, intermediates: &Fields<'_>, outputs: &Fields<'_>) -> Checked {
        let inside = Inside::compute(&Formulas {
            protocol: self,
            ksf: Ksf::IDENTITY,
            password: &inputs.octets("password")?,
            inputs,
            registration_request: outputs.array("registration_request")?,
            ke1: outputs.array("KE1")?,
            masking_nonce: inputs.array("masking_nonce")?,
            server_keyshare_seed: inputs.array("server_keyshare_seed")?,
            server_nonce: inputs.array("server_nonce")?,
        })?;
        intermediates.expect("oprf_key", inside.oprf_key.as_bytes())?;
        intermediates.expect("randomized_password", &inside.randomized_password)?;
        intermediates.expect("masking_key", &inside.stored.masking_key)?;
        intermediates.expect("auth_key", &inside.stored.auth_key)?;
        intermediates.expect("client_public_key", &inside.client_public_key)?;
        intermediates.expect("envelope", &inside.envelope)?;
        intermediates.expect("handshake_secret", &inside.schedule.handshake_secret)?;
        intermediates.expect("server_mac_key", &inside.schedule.server_mac_key)?;
        intermediates.expect("client_mac_key", &inside.schedule.client_mac_key)?;
        outputs.expect("registration_response", &inside.registration_response())?;
        outputs.expect("registration_upload", &inside.registration_upload())?;
        outputs.expect("export_key", &inside.stored.export_key)?;
        outputs.expect("KE2", &inside.ke2())?;
        outputs.expect("KE3", &inside.ke3())?;
        outputs.expect("session_key", &inside.schedule.session_key)
    }

    /// The answer for an unknown user.
    fn fake(&self, inputs: &Fields<'_>, outputs: &Fields<'_>) -> Checked {
        let ke1 = inputs.array::<KE1_LEN>("KE1")?;
        let rng = &mut Given::new(&[&[1; 64], &inputs.octets("client_keyshare_seed")?]);
        let (_, other) = ClientLogin::start(b"any", rng)?;
        same("the client's key share", &other[64..], &ke1[64..])?;
        let unknown = inputs.array("client_public_key")?;
        same("client_public_key", &public_key(inputs, "client_private_key")?, &unknown)?;
        inputs.expect("server_public_key", &public_key(inputs, "server_private_key")?)?;
        let mut rng = Given::new(&[&inputs.octets("masking_key")?, &server_draws(inputs)?]);
        let keys = keys(inputs, &unknown)?;
        let (_, ke2) = ServerLogin::start(&keys, None, &ke1, &self.name, &self.parties(), &mut rng)?;
        outputs.expect("KE2", &ke2)
    }
}

/// What the formulas take; the rest is in the fields of `inputs`.
struct Formulas<'a, 'f> {
    protocol: &'a Protocol,
    ksf: Ksf,
    password: &'a [u8],
    inputs: &'a Fields<'f>,
    registration_request: [u8; NPK],
    ke1: [u8; KE1_LEN],
    masking_nonce: [u8; NPK],
    server_keyshare_seed: [u8; NPK],
    server_nonce: [u8; NPK],
}

/// What the formulas give for a registration and a login.
struct Inside {
    oprf_key: Scalar,
    evaluated: [u8; NPK],
    oprf_output: Key,
    stretched: Key,
    randomized_password: Key,
    stored: Stored,
    client_public_key: [u8; NPK],
    server_public_key: [u8; NPK],
    envelope: Vec<u8>,
    server_keyshare: [u8; NPK],
    /// KE2 without the server's MAC.
    inner: Vec<u8>,
    preamble: Vec<u8>,
    ikm: Vec<u8>,
    schedule: Schedule,
    server_mac: Key,
}

impl Inside {
    fn compute(given: &Formulas<'_, '_>) -> Checked<Self> {
        let Formulas { protocol, inputs, ke1, masking_nonce, .. } = given;
        let oprf_key = formulas::oprf_key(&inputs.array("oprf_seed")?, &protocol.name)?;
        let evaluated = formulas::diffie_hellman(&oprf_key, &given.registration_request)?;
        let blind = Scalar::from_bytes_mod_order(inputs.array("blind_registration")?);
        let oprf_output = formulas::oprf_output(given.password, &blind, &evaluated)?;
        let stretched = formulas::stretched(given.ksf, &oprf_output)?;
        let randomized_password = formulas::randomized_password(&oprf_output, &stretched);
        let nonce = inputs.array("envelope_nonce")?;
        let stored = Stored::new(&randomized_password, &nonce)?;

        let server_private_key = Scalar::from_bytes_mod_order(inputs.array("server_private_key")?);
        let server_public_key = formulas::public_key(&server_private_key);
        let client_public_key = formulas::public_key(&stored.client_private_key);
        let client = protocol.client.as_deref().unwrap_or(&client_public_key);
        let server = protocol.server.as_deref().unwrap_or(&server_public_key);
        let envelope = stored.envelope(&nonce, &server_public_key, server, client);

        let request = ke1.first_chunk().expect("KE1 begins with the blinded element");
        let client_share = formulas::diffie_hellman_key(&inputs.octets("client_keyshare_seed")?);
        let server_share = formulas::diffie_hellman_key(&given.server_keyshare_seed);
        let (client_keyshare, server_keyshare) =
            (formulas::public_key(&client_share), formulas::public_key(&server_share));
        same("the client's key share", &client_keyshare, &ke1[KE1_LEN - NPK..])?;
        let response = [&server_public_key[..], &envelope].concat();
        let inner = [
            &formulas::diffie_hellman(&oprf_key, request)?[..],
            masking_nonce,
            &formulas::masked(&stored.masking_key, masking_nonce, &response)?,
            &given.server_nonce,
            &server_keyshare,
        ]
        .concat();
        let preamble = formulas::preamble(&protocol.context, client, ke1, server, &inner);
        let ikm = [
            formulas::diffie_hellman(&client_share, &server_keyshare)?,
            formulas::diffie_hellman(&client_share, &server_public_key)?,
            formulas::diffie_hellman(&stored.client_private_key, &server_keyshare)?,
        ]
        .concat();
        let schedule = Schedule::new(&ikm, &preamble)?;
        let server_mac = formulas::transcript_mac(&schedule.server_mac_key, &preamble);
        Ok(Self {
            oprf_key,
            evaluated,
            oprf_output,
            stretched,
            randomized_password,
            stored,
            client_public_key,
            server_public_key,
            envelope,
            server_keyshare,
            inner,
            preamble,
            ikm,
            schedule,
            server_mac,
        })
    }

    fn registration_response(&self) -> Vec<u8> {
        [self.evaluated, self.server_public_key].concat()
    }

    fn registration_upload(&self) -> Vec<u8> {
        [&self.client_public_key[..], &self.stored.masking_key, &self.envelope].concat()
    }

    fn ke2(&self) -> Vec<u8> {
        [&self.inner[..], &self.server_mac].concat()
    }

    fn ke3(&self) -> Key {
        let transcript = [&self.preamble[..], &self.server_mac].concat();
        formulas::transcript_mac(&self.schedule.client_mac_key, &transcript)
    }
}

fn keys(inputs: &Fields<'_>, unknown: &[u8; 32]) -> Checked<Arc<ServerKeys>> {
    let (seed, private) = (inputs.array::<64>("oprf_seed")?, inputs.array::<32>("server_private_key")?);
    let mut bytes = [0; ServerKeys::LEN];
    bytes[..64].copy_from_slice(&seed);
    bytes[64..96].copy_from_slice(&private);
    bytes[96..].copy_from_slice(unknown);
    Ok(Arc::new(ServerKeys::from_bytes(&bytes)?))
}

/// The public key of a private key, which a registration response shows.
fn public_key(inputs: &Fields<'_>, name: &str) -> Checked<Vec<u8>> {
    let mut bytes = [0; ServerKeys::LEN];
    bytes[64..96].copy_from_slice(&inputs.array::<32>(name)?);
    bytes[96..].copy_from_slice(&NOBODY);
    let response = ServerKeys::from_bytes(&bytes)?.respond(&NOBODY, b"any")?;
    Ok(response[32..].to_vec())
}

/// A scalar as it is drawn: 64 octets, little-endian, to be reduced.
fn blind(inputs: &Fields<'_>, name: &str) -> Checked<[u8; 64]> {
    let mut drawn = [0; 64];
    drawn[..32].copy_from_slice(&inputs.array::<32>(name)?);
    Ok(drawn)
}

fn server_draws(inputs: &Fields<'_>) -> Checked<Vec<u8>> {
    let names = ["masking_nonce", "server_keyshare_seed", "server_nonce"];
    let draws = names.into_iter().map(|name| inputs.octets(name)).collect::<Checked<Vec<_>>>()?;
    Ok(draws.concat())
}

/// A SASL exchange with everything that can be seen of it.
fn sasl(case: &Fields<'_>) -> Checked {
    for (name, octets) in computed(case)? {
        case.expect(name, &octets)?;
    }
    Ok(())
}

/// Every value, in the order in which it comes up.
fn computed(case: &Fields<'_>) -> Checked<Vec<(&'static str, Vec<u8>)>> {
    let example = Example::read(case)?;
    let ksf = Ksf::from_bytes(&case.array("ksf")?)?;
    let password = example.prepared_password()?;
    let (keys, name) = (keys(case, &NOBODY)?, example.authcid.as_bytes());

    let drawn = [&blind(case, "blind_registration")?[..], &case.array::<32>("envelope_nonce")?];
    let parties = Parties { context: &[], client: Some(name), server: None };
    let (client, request) = ClientRegistration::start(password.expose(), &mut Given::new(&drawn[..1]))?;
    let response = keys.respond(&request, name)?;
    let registered = client.finish(&response, &parties, ksf, &mut Given::new(&drawn[1..]))?;
    let record = Record::new(keys.clone(), ksf, &registered.upload)?;
    let rng = &mut Given::new(&drawn);
    let (enrolled, export_key) = Record::enroll(keys, &example.authcid, password.expose(), ksf, rng)?;
    same("the record made in one go", &enrolled.to_bytes(), &record.to_bytes())?;
    same("its export key", export_key.expose(), registered.export_key.expose())?;

    let mut rng = Given::new(&[
        &blind(case, "blind_login")?,
        &case.array::<32>("client_keyshare_seed")?,
        &case.array::<32>("client_nonce")?,
    ]);
    let mut client = OpaqueClient::new(example.client(), &mut rng)?;
    let seed = case.array::<32>("server_seed")?;
    let server = example.server(Credential::Opaque(record));
    let mut server = OpaqueServer::new(server, &mut Given::new(&[&seed]))?;
    let (messages, session_key) = run(&mut client, &mut server)?;
    let [client_exchange, server_exchange, client_confirm] = &messages[..] else {
        return wrong("not three messages");
    };
    let mut draws = Draws::new(&mut Given::new(&[&seed]));
    let (mut stand_in, mut masking_nonce, mut server_keyshare_seed, mut server_nonce) =
        ([0; 64], [0; NPK], [0; NPK], [0; NPK]);
    for drawn in [&mut stand_in[..], &mut masking_nonce, &mut server_keyshare_seed, &mut server_nonce] {
        draws.fill_bytes(drawn);
    }

    let channel = example.channel_identifier();
    let context = crate::opaque::context(&channel, ksf);
    let Some(ke1) = client_exchange.last_chunk::<KE1_LEN>() else { return wrong("KE1 is too short") };
    let (ke2, ke3) = (&server_exchange[2 + ENCODED_LEN..], &client_confirm[2..]);
    let protocol =
        Protocol { context: context.clone(), client: Some(name.to_vec()), server: None, name: name.to_vec() };
    let inside = Inside::compute(&Formulas {
        protocol: &protocol,
        ksf,
        password: password.expose(),
        inputs: case,
        registration_request: request,
        ke1: *ke1,
        masking_nonce,
        server_keyshare_seed,
        server_nonce,
    })?;
    same("registration_response", &inside.registration_response(), &response)?;
    same("registration_upload", &inside.registration_upload(), &registered.upload[..])?;
    same("export_key", &inside.stored.export_key, registered.export_key.expose())?;
    same("KE2", &inside.ke2(), ke2)?;
    same("KE3", &inside.ke3(), ke3)?;
    same("session_key", &inside.schedule.session_key, &session_key)?;
    Ok(vec![
        ("context_digest", example.context.digest().to_vec()),
        ("channel_identifier", channel),
        ("context", context),
        ("server_public_key", inside.server_public_key.to_vec()),
        ("registration_request", request.to_vec()),
        ("oprf_key", inside.oprf_key.to_bytes().to_vec()),
        ("registration_response", response.to_vec()),
        ("oprf_output", inside.oprf_output.to_vec()),
        ("stretched", inside.stretched.to_vec()),
        ("randomized_password", inside.randomized_password.to_vec()),
        ("masking_key", inside.stored.masking_key.to_vec()),
        ("auth_key", inside.stored.auth_key.to_vec()),
        ("export_key", inside.stored.export_key.to_vec()),
        ("client_private_key", inside.stored.client_private_key.to_bytes().to_vec()),
        ("client_public_key", inside.client_public_key.to_vec()),
        ("envelope", inside.envelope.clone()),
        ("registration_upload", registered.upload.to_vec()),
        ("KE1", ke1.to_vec()),
        ("client_exchange", client_exchange.clone()),
        ("masking_nonce", masking_nonce.to_vec()),
        ("server_keyshare_seed", server_keyshare_seed.to_vec()),
        ("server_nonce", server_nonce.to_vec()),
        ("server_keyshare", inside.server_keyshare.to_vec()),
        ("preamble", inside.preamble.clone()),
        ("ikm", inside.ikm.clone()),
        ("handshake_secret", inside.schedule.handshake_secret.to_vec()),
        ("server_mac_key", inside.schedule.server_mac_key.to_vec()),
        ("server_mac", inside.server_mac.to_vec()),
        ("KE2", ke2.to_vec()),
        ("server_exchange", server_exchange.clone()),
        ("client_mac_key", inside.schedule.client_mac_key.to_vec()),
        ("KE3", ke3.to_vec()),
        ("client_confirm", client_confirm.clone()),
        ("session_key", session_key),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::example::document::{Place, hex, inputs};
    use super::*;

    const PLACE: Place = Place {
        file: "vectors/opaque_sasl.json",
        document: "docs/sasl-pake.md",
        begin: "<!-- examples of OPAQUE: written by a test, do not edit -->\n",
        end: "<!-- end of the examples of OPAQUE -->\n",
    };

    #[test]
    fn the_document_shows_the_vectors() {
        PLACE.check();
    }

    #[test]
    #[ignore = "writes vectors/opaque_sasl.json and its example in the document"]
    fn regenerate() {
        let octets = |from: u8, count: u8| hex(&(from..from + count).collect::<Vec<_>>());
        let scalar = |from: u8| octets(from, 31) + "0f";
        let mut case = inputs(
            "OPAQUE with Argon2id",
            "OPAQUE-R255-PLUS",
            &[
                ("ksf", hex(&Ksf::argon2id(64, 1, 1).unwrap().to_bytes())),
                ("oprf_seed", octets(0x40, 64)),
                ("server_private_key", scalar(0x20)),
                ("blind_registration", scalar(0x30)),
                ("envelope_nonce", octets(0xd0, 32)),
                ("blind_login", scalar(0x10)),
                ("client_keyshare_seed", octets(0xc0, 32)),
                ("client_nonce", octets(0xa0, 32)),
                ("server_seed", octets(0x80, 32)),
            ],
        );
        let map = case.as_object_mut().unwrap();
        let computed = computed(&Fields::new(map)).unwrap();
        map.extend(computed.into_iter().map(|(name, octets)| (name.to_owned(), json!(hex(&octets)))));
        PLACE.write(
            &[case],
            "both sides of this library, on the crate opaque-ke; the formulas of RFC 9807, computed apart from it, agree",
        );
    }
}
