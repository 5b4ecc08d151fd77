//! ibb.
