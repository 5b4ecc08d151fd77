//! OPAQUE.
