//! SCRAM.
/// A stored record.
#[derive(Clone, Debug)]
pub struct StoredCredential;
