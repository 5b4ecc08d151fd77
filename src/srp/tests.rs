//! The protocol in every dialect.
