//! jingle.
