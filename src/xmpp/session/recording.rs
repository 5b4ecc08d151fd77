//! Whether the authentication of a session is written down for an audit. It never is unless a recorder was given.

#[cfg(feature = "dictionary")]
use crate::dictionary::{Recorder, View};
use crate::mechanism::{Mechanism, Side};

#[derive(Clone, Debug, Default)]
pub(super) struct Recording {
    #[cfg(feature = "dictionary")]
    to: Option<(Recorder, View)>,
}

impl Recording {
    #[cfg(feature = "dictionary")]
    pub(super) fn new(recorder: &Recorder, view: View) -> Self {
        Self { to: Some((recorder.clone(), view)) }
    }

    /// The exchange, with the recorder around it where there is one.
    pub(super) fn around(&self, exchange: Box<dyn Mechanism>, side: Side) -> Box<dyn Mechanism> {
        #[cfg(feature = "dictionary")]
        if let Some((recorder, view)) = &self.to {
            return recorder.record(exchange, side, *view);
        }
        let _ = side;
        exchange
    }
}
