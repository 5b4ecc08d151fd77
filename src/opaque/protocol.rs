//! The protocol of RFC 9807 alone, on the crate opaque-ke: registration and login, each side in its states.
//!
//! What opaque-ke compares in constant time reaches the rest of this crate only as evidence for that comparison.

use std::sync::Arc;

use opaque_ke::errors::{InternalError, ProtocolError};
use opaque_ke::generic_array::{ArrayLength, GenericArray};
use opaque_ke::{
    CipherSuite, ClientLoginFinishParameters, ClientRegistrationFinishParameters, CredentialFinalization,
    CredentialRequest, CredentialResponse, Identifiers, RegistrationRequest, RegistrationResponse,
    RegistrationUpload, Ristretto255, ServerLoginParameters, TripleDh,
};
use rand_core::CryptoRng;
use sha2_010::Sha512;
use zeroize::{Zeroize as _, Zeroizing};

use super::rng::{Draws, OldRng};
use super::{INPUT_MAX, KE1_LEN, KE2_LEN, KE3_LEN, REQUEST_LEN, RESPONSE_LEN, Record, UPLOAD_LEN, rules};
use crate::error::{Error, Result};
use crate::ksf::{self, Ksf};
use crate::secret::{ProofVerified, SecretBytes, SessionKey, verified_by};

/// ristretto255-SHA512, 3DH, HKDF-SHA-512, HMAC-SHA-512: the first configuration of RFC 9807 section 7.
pub(super) struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = Stretch;
}

/// The KSF as RFC 9807 section 7 has it: a salt of 16 zero octets, because the OPRF has already salted.
#[derive(Default)]
pub(super) struct Stretch(Ksf);

impl opaque_ke::ksf::Ksf for Stretch {
    fn hash<L: ArrayLength<u8>>(
        &self,
        input: GenericArray<u8, L>,
    ) -> std::result::Result<GenericArray<u8, L>, InternalError> {
        let input = Zeroizing::new(input.to_vec());
        let mut output = GenericArray::default();
        self.0.stretch_into(&input, &[0; 16], &mut output).map_err(|_| InternalError::KsfError)?;
        Ok(output)
    }
}

/// Who logs in and about what. Both sides must have the same.
///
/// An identity that is `None` is the public key of its side.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "the RFC's list")]
pub struct Parties<'a> {
    /// Context: the application and everything else both sides must agree on. Not part of registration.
    pub context: &'a [u8],
    /// client_identity, as in registration.
    pub client: Option<&'a [u8]>,
    /// server_identity, as in registration.
    pub server: Option<&'a [u8]>,
}

impl<'a> Parties<'a> {
    fn identifiers(&self) -> Identifiers<'a> {
        Identifiers { client: self.client, server: self.server }
    }

    fn server_parameters(&self) -> ServerLoginParameters<'a, 'a> {
        ServerLoginParameters { context: Some(self.context), identifiers: self.identifiers() }
    }
}

/// The server's long-term secrets: the OPRF seed and a key pair, and the public key that unknown users seem to have.
///
/// One may serve all users of a server, or each record may have its own. Changing it makes its records useless.
#[derive(Clone)]
pub struct ServerKeys(opaque_ke::ServerSetup<Suite>);

impl ServerKeys {
    /// Octets of [`ServerKeys::to_bytes`].
    pub const LEN: usize = 128;

    /// Draws new ones.
    #[must_use]
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(opaque_ke::ServerSetup::new(&mut OldRng(rng)))
    }

    /// The OPRF seed (64 octets), the private key and the public key of unknown users (32 octets each).
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialize().to_vec())
    }

    /// The reverse of [`ServerKeys::to_bytes`].
    ///
    /// # Errors
    /// [`rules::BAD_RECORD`].
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self> {
        opaque_ke::ServerSetup::deserialize(bytes).map(Self).map_err(|_| Error::new(&rules::BAD_RECORD))
    }

    /// Answers a registration request: 32 octets in, 64 out. Keeps nothing.
    ///
    /// `credential_identifier` names the user to the OPRF and must never be used for another.
    ///
    /// # Errors
    /// [`rules::BAD_ELEMENT`].
    pub fn respond(
        &self,
        request: &[u8; REQUEST_LEN],
        credential_identifier: &[u8],
    ) -> Result<[u8; RESPONSE_LEN]> {
        let request = RegistrationRequest::deserialize(request).map_err(bad_element)?;
        opaque_ke::ServerRegistration::start(&self.0, request, credential_identifier)
            .map(|started| array(&started.message.serialize()))
            .map_err(refused)
    }
}

impl std::fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerKeys(redacted)")
    }
}

/// The client between its registration request and the server's response.
///
/// # Security
/// Registration needs a channel that is confidential and where both sides are already known: RFC 9807 section 5.
pub struct ClientRegistration {
    state: opaque_ke::ClientRegistration<Suite>,
    password: SecretBytes,
}

/// What registration leaves with the client.
#[non_exhaustive]
pub struct Registered {
    /// The record for the server: to be sent over the confidential channel.
    pub upload: Zeroizing<[u8; UPLOAD_LEN]>,
    /// 64 octets that only who knows the password can get back, at each login.
    pub export_key: SecretBytes,
}

impl ClientRegistration {
    /// Blinds the password; gives the request, 32 octets.
    ///
    /// # Errors
    /// [`rules::BAD_INPUT`].
    pub fn start(password: &[u8], rng: &mut dyn CryptoRng) -> Result<(Self, [u8; REQUEST_LEN])> {
        check_password(password)?;
        let started = opaque_ke::ClientRegistration::start(&mut OldRng(rng), password).map_err(refused)?;
        Ok((Self { state: started.state, password: password.into() }, array(&started.message.serialize())))
    }

    /// Takes the server's response and makes the record.
    ///
    /// # Errors
    /// [`rules::BAD_ELEMENT`], [`rules::REFLECTED`], [`rules::BAD_INPUT`], [`ksf::rules::NO_MEMORY`].
    pub fn finish(
        self,
        response: &[u8; RESPONSE_LEN],
        parties: &Parties<'_>,
        ksf: Ksf,
        rng: &mut dyn CryptoRng,
    ) -> Result<Registered> {
        let response = RegistrationResponse::deserialize(response).map_err(bad_element)?;
        let stretch = Stretch(ksf);
        let parameters = ClientRegistrationFinishParameters::new(parties.identifiers(), Some(&stretch));
        let mut finished = self
            .state
            .finish(&mut OldRng(rng), self.password.expose(), response, parameters)
            .map_err(refused)?;
        Ok(Registered {
            upload: Zeroizing::new(array(&finished.message.serialize())),
            export_key: SecretBytes::new(taken(&mut finished.export_key)),
        })
    }
}

/// The server's copy of a user's record.
pub(super) fn parse_upload(upload: &[u8; UPLOAD_LEN]) -> Result<opaque_ke::ServerRegistration<Suite>> {
    RegistrationUpload::deserialize(upload)
        .map(opaque_ke::ServerRegistration::finish)
        .map_err(|_| Error::new(&rules::BAD_RECORD))
}

/// The client between KE1 and KE2.
pub struct ClientLogin {
    state: opaque_ke::ClientLogin<Suite>,
    password: SecretBytes,
}

/// A login whose peer has proven itself.
#[derive(Debug)]
pub struct Confirmed {
    key: SessionKey,
    proof: ProofVerified,
}

impl Confirmed {
    fn new(key: &mut [u8], proof: ProofVerified) -> Self {
        Self { key: SessionKey::new(taken(key)), proof }
    }

    /// The session key, 64 octets.
    #[must_use]
    pub fn into_key(self) -> SessionKey {
        self.key
    }

    pub(super) fn into_parts(self) -> (ProofVerified, SessionKey) {
        (self.proof, self.key)
    }
}

impl ClientLogin {
    /// Blinds the password; gives KE1.
    ///
    /// # Errors
    /// [`rules::BAD_INPUT`].
    pub fn start(password: &[u8], rng: &mut dyn CryptoRng) -> Result<(Self, [u8; KE1_LEN])> {
        check_password(password)?;
        let started = opaque_ke::ClientLogin::start(&mut OldRng(rng), password).map_err(refused)?;
        Ok((Self { state: started.state, password: password.into() }, array(&started.message.serialize())))
    }

    /// Takes KE2; gives KE3, to be sent, what was established, and the export key of registration.
    ///
    /// # Errors
    /// [`rules::WRONG_CONFIRMATION`], [`rules::BAD_ELEMENT`], [`rules::REFLECTED`], [`rules::BAD_INPUT`],
    /// [`ksf::rules::NO_MEMORY`].
    pub fn finish(
        self,
        ke2: &[u8; KE2_LEN],
        parties: &Parties<'_>,
        ksf: Ksf,
    ) -> Result<([u8; KE3_LEN], Confirmed, SecretBytes)> {
        let ke2 = CredentialResponse::deserialize(ke2).map_err(bad_element)?;
        let stretch = Stretch(ksf);
        let parameters =
            ClientLoginFinishParameters::new(Some(parties.context), parties.identifiers(), Some(&stretch));
        // The generator is there for the signing key exchanges; 3DH draws nothing here.
        let mut rng = Draws::new(&mut crate::system_rng());
        let finished = self.state.finish(&mut OldRng(&mut rng), self.password.expose(), ke2, parameters);
        let (mut finished, proof) = verified_by(finished).map_err(refused)?;
        let confirmed = Confirmed::new(&mut finished.session_key, proof);
        let export_key = SecretBytes::new(taken(&mut finished.export_key));
        Ok((array(&finished.message.serialize()), confirmed, export_key))
    }
}

/// The server between KE2 and KE3. Gives out no key.
pub struct ServerLogin(opaque_ke::ServerLogin<Suite>);

impl ServerLogin {
    /// Takes KE1; gives KE2. Without a record the same work is done on a stand-in that no password opens.
    ///
    /// # Errors
    /// [`rules::BAD_ELEMENT`], [`rules::BAD_INPUT`].
    pub fn start(
        keys: &ServerKeys,
        record: Option<&Record>,
        ke1: &[u8; KE1_LEN],
        credential_identifier: &[u8],
        parties: &Parties<'_>,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, [u8; KE2_LEN])> {
        let started = opaque_ke::ServerLogin::start(
            &mut OldRng(rng),
            &keys.0,
            record.map(|record| record.registration().clone()),
            CredentialRequest::deserialize(ke1).map_err(bad_element)?,
            credential_identifier,
            parties.server_parameters(),
        )
        .map_err(refused)?;
        Ok((Self(started.state), array(&started.message.serialize())))
    }

    /// Takes KE3.
    ///
    /// # Errors
    /// [`rules::WRONG_CONFIRMATION`].
    pub fn finish(self, ke3: &[u8; KE3_LEN], parties: &Parties<'_>) -> Result<Confirmed> {
        let ke3 = CredentialFinalization::deserialize(ke3).map_err(bad_element)?;
        let (mut finished, proof) =
            verified_by(self.0.finish(ke3, parties.server_parameters())).map_err(refused)?;
        Ok(Confirmed::new(&mut finished.session_key, proof))
    }
}

/// A record made on one machine, both sides together, and its export key.
pub(super) fn enroll(
    keys: Arc<ServerKeys>,
    credential_identifier: &[u8],
    parties: &Parties<'_>,
    password: &[u8],
    ksf: Ksf,
    rng: &mut dyn CryptoRng,
) -> Result<(Record, SecretBytes)> {
    let (client, request) = ClientRegistration::start(password, rng)?;
    let response = keys.respond(&request, credential_identifier)?;
    let Registered { upload, export_key } = client.finish(&response, parties, ksf, rng)?;
    Ok((Record::new(keys, ksf, &upload)?, export_key))
}

/// Whether a login with this password would succeed, both sides on one machine.
pub(super) fn opens(
    record: &Record,
    credential_identifier: &[u8],
    parties: &Parties<'_>,
    password: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<bool> {
    let (client, ke1) = ClientLogin::start(password, rng)?;
    let (server, ke2) =
        ServerLogin::start(record.keys(), Some(record), &ke1, credential_identifier, parties, rng)?;
    match client.finish(&ke2, parties, record.ksf()) {
        Ok((ke3, ..)) => server.finish(&ke3, parties).map(|_| true),
        Err(error) if error.is(&rules::WRONG_CONFIRMATION) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A key out of opaque-ke's result, which does not wipe it.
fn taken(key: &mut [u8]) -> Vec<u8> {
    let taken = key.to_vec();
    key.zeroize();
    taken
}

/// opaque-ke looks at the other inputs itself, at this one only when it is too late to say no.
fn check_password(password: &[u8]) -> Result<()> {
    if (1..=INPUT_MAX).contains(&password.len()) { Ok(()) } else { Err(Error::new(&rules::BAD_INPUT)) }
}

fn array<const LEN: usize>(message: &[u8]) -> [u8; LEN] {
    message.try_into().expect("the lengths are those of the ciphersuite")
}

/// Whatever is wrong with a message of fixed length is wrong with an element in it.
fn bad_element(_: ProtocolError) -> Error {
    Error::new(&rules::BAD_ELEMENT)
}

/// What is wrong with the rest.
fn refused(error: ProtocolError) -> Error {
    Error::new(match error {
        ProtocolError::InvalidLoginError => &rules::WRONG_CONFIRMATION,
        ProtocolError::ReflectedValueError => &rules::REFLECTED,
        ProtocolError::LibraryError(InternalError::KsfError) => &ksf::rules::NO_MEMORY,
        // All messages have been parsed by now, so these are the lengths of our own inputs.
        ProtocolError::LibraryError(_)
        | ProtocolError::SerializationError
        | ProtocolError::SizeError { .. } => &rules::BAD_INPUT,
        ProtocolError::Custom(never) => match never {},
    })
}
