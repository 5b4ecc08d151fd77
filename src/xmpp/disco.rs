//! disco.
