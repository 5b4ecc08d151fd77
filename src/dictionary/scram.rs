//! SCRAM: the slow hash in lanes, then the fewest compressions that lead to something known.
//!
//! A record holds ServerKey, which is one HMAC from SaltedPassword; StoredKey would be a hash more. Of an exchange the
//! server's signature is one hash nearer than the client's proof, but an impostor of the server never hears it.

use std::num::NonZeroU32;

use super::lanes::{Prf, pbkdf2_many};
use super::work::{GuessWork, Unit, blocks, hmac};
use super::{Found, Oracle, Situation, Transcript, batch, rules};
use crate::error::{Error, Result};
use crate::mechanism::Side;
use crate::prep::Preparation;
use crate::scram::wire::{ClientFinalMessage, ClientFirstMessage, ServerFinalMessage, ServerFirstMessage};
use crate::scram::{HashFunction, ITERATIONS_MAX, ScramMechanism, StoredCredential, pbkdf2};

const SERVER_KEY: &[u8] = b"Server Key";
const CLIENT_KEY: &[u8] = b"Client Key";

/// Candidates for each call: a multiple of every number of lanes.
const BATCH: usize = 64;

/// A stolen record.
pub(super) struct Record {
    slow: Slow,
    server_key: Vec<u8>,
}

impl Record {
    pub(super) fn new(record: &StoredCredential, preparation: Preparation) -> Self {
        let slow = Slow {
            hash: record.hash(),
            salt: record.salt().to_vec(),
            iterations: record.iterations(),
            preparation,
        };
        Self { slow, server_key: record.server_key().to_vec() }
    }
}

impl Oracle for Record {
    fn mechanism(&self) -> &str {
        self.slow.hash.scheme()
    }

    fn situation(&self) -> Situation {
        Situation::Thief
    }

    fn test(&self) -> &'static str {
        "ServerKey of the record"
    }

    fn work(&self) -> GuessWork {
        self.slow.work(self.slow.hmac(self.slow.hash.output_len(), SERVER_KEY.len()))
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn try_passwords(&self, candidates: &[&[u8]]) -> Result<Option<Found>> {
        let hash = self.slow.hash;
        self.slow.run(candidates, &self.server_key, |salted| hash.hmac(salted, SERVER_KEY))
    }
}

/// What was heard or told of an exchange.
pub(super) struct Exchange {
    mechanism: &'static str,
    situation: Situation,
    slow: Slow,
    auth_message: Vec<u8>,
    shown: Shown,
}

enum Shown {
    /// ClientKey XOR ClientSignature.
    Proof(Vec<u8>),
    Signature(Vec<u8>),
}

impl Exchange {
    /// # Errors
    /// [`rules::MESSAGES_DO_NOT_FIT`], [`rules::TOO_MANY_ITERATIONS`], and the grammar's.
    pub(super) fn new(transcript: &Transcript, preparation: Preparation) -> Result<Self> {
        let mechanism = ScramMechanism::try_from(transcript.mechanism())?;
        let unfit = || Error::new(&rules::MESSAGES_DO_NOT_FIT).about(transcript.mechanism().as_str());
        let (mut client, mut server) = (transcript.from(Side::Client), transcript.from(Side::Server));
        // A challenge without content may ask for the client's first message (RFC 4422 section 5).
        let mut server = server.by_ref().skip_while(|message| message.is_empty());
        let (Some(client_first), Some(client_final), None) = (client.next(), client.next(), client.next())
        else {
            return Err(unfit());
        };
        let server_first = server.next().ok_or_else(unfit)?;
        let first = ClientFirstMessage::parse(client_first)?;
        let challenge = ServerFirstMessage::parse(server_first)?;
        let last = ClientFinalMessage::parse(client_final)?;
        let hash = mechanism.hash();
        if !challenge.nonce.starts_with(first.nonce) || last.nonce != challenge.nonce {
            return Err(unfit());
        }
        if last.proof.len() != hash.output_len() {
            return Err(unfit());
        }
        let iterations = u32::try_from(challenge.iterations).ok().filter(|count| *count <= ITERATIONS_MAX);
        let iterations = iterations.and_then(NonZeroU32::new).ok_or_else(|| {
            Error::exceeds(&rules::TOO_MANY_ITERATIONS, challenge.iterations, ITERATIONS_MAX.into())
        })?;
        let auth_message =
            [first.bare.as_bytes(), b",", server_first, b",", last.without_proof.as_bytes()].concat();
        let shown = match server.next().map(ServerFinalMessage::parse).transpose()? {
            Some(ServerFinalMessage::Verifier(signature)) if signature.len() == hash.output_len() => {
                Shown::Signature(signature)
            }
            Some(ServerFinalMessage::Verifier(_)) => return Err(unfit()),
            // After a refusal the proof may be of a wrong password; it is tested all the same.
            Some(ServerFinalMessage::Error(_)) | None => Shown::Proof(last.proof),
        };
        Ok(Self {
            mechanism: if mechanism.is_plus() { plus(hash) } else { hash.scheme() },
            situation: transcript.view().situation(),
            slow: Slow { hash, salt: challenge.salt, iterations, preparation },
            auth_message,
            shown,
        })
    }
}

fn plus(hash: HashFunction) -> &'static str {
    match hash {
        HashFunction::Sha1 => "SCRAM-SHA-1-PLUS",
        HashFunction::Sha256 => "SCRAM-SHA-256-PLUS",
        HashFunction::Sha512 => "SCRAM-SHA-512-PLUS",
        HashFunction::Sha3_512 => "SCRAM-SHA3-512-PLUS",
    }
}

impl Oracle for Exchange {
    fn mechanism(&self) -> &str {
        self.mechanism
    }

    fn situation(&self) -> Situation {
        self.situation
    }

    fn test(&self) -> &'static str {
        match self.shown {
            Shown::Proof(_) => "ClientProof of the exchange",
            Shown::Signature(_) => "ServerSignature of the exchange",
        }
    }

    fn work(&self) -> GuessWork {
        let (slow, len) = (&self.slow, self.slow.hash.output_len());
        let signature = slow.hmac(len, self.auth_message.len());
        let key = slow.hmac(len, CLIENT_KEY.len());
        slow.work(match self.shown {
            Shown::Proof(_) => key + slow.digest(len) + signature,
            Shown::Signature(_) => key + signature,
        })
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn try_passwords(&self, candidates: &[&[u8]]) -> Result<Option<Found>> {
        let (hash, message) = (self.slow.hash, &self.auth_message);
        match &self.shown {
            Shown::Signature(signature) => self.slow.run(candidates, signature, |salted| {
                hash.hmac(hash.hmac(salted, SERVER_KEY).expose(), message)
            }),
            Shown::Proof(proof) => self.slow.run(candidates, proof, |salted| {
                let client_key = hash.hmac(salted, CLIENT_KEY);
                let stored_key = hash.digest(client_key.expose());
                client_key.xor(&hash.hmac(stored_key.expose(), message))
            }),
        }
    }
}

/// The part that every test of SCRAM begins with.
struct Slow {
    hash: HashFunction,
    salt: Vec<u8>,
    iterations: NonZeroU32,
    preparation: Preparation,
}

impl Slow {
    fn run<K: AsRef<[u8]>>(
        &self,
        candidates: &[&[u8]],
        expected: &[u8],
        finish: impl Fn(&[u8]) -> K,
    ) -> Result<Option<Found>> {
        batch::prepared(self.preparation, candidates, |passwords| {
            let mut salted = Vec::with_capacity(passwords.len());
            self.salted(passwords, &mut salted);
            let len = self.hash.output_len();
            let computed = salted.iter().map(|salted| finish(&salted[..len])).collect::<Vec<_>>();
            Ok(Found::among(&computed, expected))
        })
    }

    fn salted(&self, passwords: &[&[u8]], out: &mut Vec<[u8; 64]>) {
        let prf = match self.hash {
            HashFunction::Sha1 => Prf::HmacSha1,
            HashFunction::Sha256 => Prf::HmacSha256,
            HashFunction::Sha512 => Prf::HmacSha512,
            HashFunction::Sha3_512 => {
                out.extend(passwords.iter().map(|password| {
                    let mut salted = [0; 64];
                    pbkdf2(self.hash, password, &self.salt, self.iterations, &mut salted);
                    salted
                }));
                return;
            }
        };
        pbkdf2_many(prf, passwords, &self.salt, self.iterations.get(), out);
    }

    /// PBKDF2 and what comes after it: the key's two states, salt and counter, and two compressions for each iteration.
    fn work(&self, after: u64) -> GuessWork {
        let (unit, block) = match self.hash {
            HashFunction::Sha1 => (Unit::Sha1, 64),
            HashFunction::Sha256 => (Unit::Sha256, 64),
            HashFunction::Sha512 => (Unit::Sha512, 128),
            HashFunction::Sha3_512 => (Unit::Keccak, 72),
        };
        let first = match self.hash {
            HashFunction::Sha3_512 => keccak_hmac(self.salt.len() + 4),
            _ => hmac(0, self.salt.len() + 4, block),
        };
        GuessWork::new([(unit, first + 2 * u64::from(self.iterations.get() - 1) + after)])
    }

    fn hmac(&self, key: usize, message: usize) -> u64 {
        match self.hash {
            HashFunction::Sha1 | HashFunction::Sha256 => hmac(key, message, 64),
            HashFunction::Sha512 => hmac(key, message, 128),
            HashFunction::Sha3_512 => keccak_hmac(message),
        }
    }

    fn digest(&self, message: usize) -> u64 {
        match self.hash {
            HashFunction::Sha1 | HashFunction::Sha256 => blocks(message, 64),
            HashFunction::Sha512 => blocks(message, 128),
            HashFunction::Sha3_512 => message as u64 / 72 + 1,
        }
    }
}

/// Permutations of an HMAC-SHA3-512, whose blocks have 72 octets and end with at least one of padding.
fn keccak_hmac(message: usize) -> u64 {
    message as u64 / 72 + 4
}
