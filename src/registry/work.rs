//! How much work a record makes of each guess.

/// The work factors of a record. What is not set is this crate's default, or does not exist for the mechanism.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    iterations: Option<u32>,
    #[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
    ksf: Option<crate::ksf::Ksf>,
    #[cfg(feature = "srp")]
    group: Option<crate::srp::Group>,
}

impl Work {
    /// With this iteration count for SCRAM.
    #[must_use]
    pub fn with_iterations(mut self, iterations: u32) -> Self {
        self.iterations = Some(iterations);
        self
    }

    /// With this password hash for SPAKE2+, OPAQUE and SRP.
    #[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
    #[must_use]
    pub fn with_ksf(self, ksf: crate::ksf::Ksf) -> Self {
        Self { ksf: Some(ksf), ..self }
    }

    /// In this group of SRP.
    #[cfg(feature = "srp")]
    #[must_use]
    pub fn with_group(self, group: crate::srp::Group) -> Self {
        Self { group: Some(group), ..self }
    }

    /// SCRAM's iteration count.
    #[must_use]
    pub fn iterations(&self) -> Option<u32> {
        self.iterations
    }

    /// The password hash of SPAKE2+, OPAQUE and SRP.
    #[cfg(any(feature = "opaque", feature = "spake2plus", feature = "srp"))]
    #[must_use]
    pub fn ksf(&self) -> Option<crate::ksf::Ksf> {
        self.ksf
    }

    /// SRP's group.
    #[cfg(feature = "srp")]
    #[must_use]
    pub fn group(&self) -> Option<crate::srp::Group> {
        self.group
    }
}

impl super::Credential {
    /// The work factors that the record has.
    #[must_use]
    pub fn work(&self) -> Work {
        let work = Work::default();
        match self {
            Self::Password(_) => work,
            #[cfg(feature = "scram")]
            Self::Scram(record) => work.with_iterations(record.iterations().get()),
            #[cfg(feature = "spake2plus")]
            Self::Spake2Plus(record) => work.with_ksf(record.ksf()),
            #[cfg(feature = "spake2plus")]
            Self::Spake2PlusEd25519(record) => work.with_ksf(record.ksf()),
            #[cfg(feature = "opaque")]
            Self::Opaque(record) => work.with_ksf(record.ksf()),
            #[cfg(feature = "srp")]
            Self::Srp(verifier) => {
                use crate::srp::Prehash;
                let work = work.with_group(verifier.group());
                match verifier.prehash() {
                    Prehash::None => work,
                    Prehash::Ksf(ksf) => work.with_ksf(ksf),
                    Prehash::Pbkdf2(iterations) => work.with_iterations(iterations),
                }
            }
        }
    }
}
