//! rustls endpoints.
