//! What OpenSSL has and the `openssl` crate does not: TLS 1.3 external PSKs, TLS-SRP, KeyUpdate.
//!
//! The one unsafe module of the tunnel. What each call relies on:
//!
//! - References of the `openssl` crate point at live objects of OpenSSL's; no pointer taken from one is kept.
//! - OpenSSL calls back only while one of its functions runs on that connection, and passes the connection itself. What
//!   the callback needs hangs on the connection, put there by [`attach`], and lives as long as it.
//! - No panic crosses into C: [`guarded`] catches it, and the handshake fails.
//! - What OpenSSL takes over is given up here ([`Session::into_raw`]); what it copies stays ours.
#![allow(unsafe_code, reason = "OpenSSL is a C library; every block below states why it is sound")]

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uchar, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::bn::BigNum;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslContextBuilder, SslRef, SslStream};
use openssl_sys as sys;
use zeroize::Zeroizing;

use super::psk::Suite;
use crate::secret::SecretBytes;

type UseSession = unsafe extern "C" fn(
    *mut sys::SSL,
    *const sys::EVP_MD,
    *mut *const c_uchar,
    *mut usize,
    *mut *mut sys::SSL_SESSION,
) -> c_int;
type FindSession =
    unsafe extern "C" fn(*mut sys::SSL, *const c_uchar, usize, *mut *mut sys::SSL_SESSION) -> c_int;
type GivePassword = unsafe extern "C" fn(*mut sys::SSL, *mut c_void) -> *mut c_char;
type TakeUsername = unsafe extern "C" fn(*mut sys::SSL, *mut c_int, *mut c_void) -> c_int;

unsafe extern "C" {
    fn SSL_set_psk_use_session_callback(ssl: *mut sys::SSL, callback: Option<UseSession>);
    fn SSL_set_psk_find_session_callback(ssl: *mut sys::SSL, callback: Option<FindSession>);
    fn SSL_SESSION_new() -> *mut sys::SSL_SESSION;
    fn SSL_SESSION_set1_master_key(session: *mut sys::SSL_SESSION, key: *const c_uchar, len: usize) -> c_int;
    fn SSL_SESSION_set_cipher(session: *mut sys::SSL_SESSION, cipher: *const sys::SSL_CIPHER) -> c_int;
    fn SSL_SESSION_set_protocol_version(session: *mut sys::SSL_SESSION, version: c_int) -> c_int;
    fn SSL_CIPHER_find(ssl: *mut sys::SSL, id: *const c_uchar) -> *const sys::SSL_CIPHER;
    fn SSL_CIPHER_get_protocol_id(cipher: *const sys::SSL_CIPHER) -> u16;
    fn SSL_get_pending_cipher(ssl: *const sys::SSL) -> *const sys::SSL_CIPHER;
    fn SSL_key_update(ssl: *mut sys::SSL, kind: c_int) -> c_int;
    fn SSL_group_to_name(ssl: *mut sys::SSL, id: c_int) -> *const c_char;

    fn SSL_CTX_set_srp_username(context: *mut sys::SSL_CTX, name: *mut c_char) -> c_int;
    fn SSL_CTX_set_srp_strength(context: *mut sys::SSL_CTX, bits: c_int) -> c_int;
    fn SSL_CTX_set_srp_client_pwd_callback(
        context: *mut sys::SSL_CTX,
        callback: Option<GivePassword>,
    ) -> c_int;
    fn SSL_CTX_set_srp_username_callback(context: *mut sys::SSL_CTX, callback: Option<TakeUsername>)
    -> c_int;
    fn SSL_get_srp_username(ssl: *mut sys::SSL) -> *mut c_char;
    fn SSL_get_srp_N(ssl: *mut sys::SSL) -> *mut sys::BIGNUM;
    fn SSL_set_srp_server_param(
        ssl: *mut sys::SSL,
        modulus: *const sys::BIGNUM,
        generator: *const sys::BIGNUM,
        salt: *const sys::BIGNUM,
        verifier: *const sys::BIGNUM,
        info: *mut c_char,
    ) -> c_int;
    fn CRYPTO_strdup(text: *const c_char, file: *const c_char, line: c_int) -> *mut c_char;
}

const SSL_KEY_UPDATE_REQUESTED: c_int = 1;
const SSL_CTRL_SET_MAX_SEND_FRAGMENT: c_int = 52;
const SSL_CTRL_GET_NEGOTIATED_GROUP: c_int = 134;
const SSL_AD_INTERNAL_ERROR: c_int = 80;
const SSL_ERROR_NONE: c_int = 0;
const SSL3_AL_FATAL: c_int = 2;

/// What OpenSSL asks while it shakes hands. An answer of `None` ends the handshake.
pub(super) trait Answers: Send + Sync {
    /// TLS 1.3, client: identity and key.
    fn offer(&self) -> Option<(&[u8], &SecretBytes, Suite)> {
        None
    }

    /// Server: the key of that identity; where nobody has it, a key that nobody has.
    fn find(&self, _identity: &[u8], _suite: Suite) -> Option<SecretBytes> {
        None
    }

    /// SRP, client: the password as SASLprep gave it.
    fn password(&self) -> Option<&SecretBytes> {
        None
    }

    /// SRP, server: the record of that user; where nobody has that name, one that is made up.
    fn record(&self, _username: &[u8]) -> Option<SrpRecord> {
        None
    }
}

/// N, g, salt and v, big-endian.
pub(super) struct SrpRecord {
    pub(super) modulus: Vec<u8>,
    pub(super) generator: u8,
    pub(super) salt: Vec<u8>,
    pub(super) verifier: SecretBytes,
}

/// Where the answers hang on a connection.
fn index() -> Result<Index<Ssl, Arc<dyn Answers>>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Arc<dyn Answers>>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    // Of two threads that come here together one wastes a number.
    let index = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| index))
}

/// Hangs the answers on a connection, for the callbacks to find.
pub(super) fn attach(ssl: &mut SslRef, answers: Arc<dyn Answers>) -> Result<(), ErrorStack> {
    ssl.set_ex_data(index()?, answers);
    Ok(())
}

/// The answers that hang on a connection.
pub(super) fn attached(ssl: &SslRef) -> Option<Arc<dyn Answers>> {
    ssl.ex_data(index().ok()?).cloned()
}

/// Runs a callback's body; a panic and `None` give `failed`.
pub(super) fn guarded<T>(failed: T, body: impl FnOnce() -> Option<T>) -> T {
    // A panic in the middle of an answer ends the handshake; what it left half done is not looked at again.
    catch_unwind(AssertUnwindSafe(body)).ok().flatten().unwrap_or(failed)
}

/// Makes a TLS 1.3 client offer the PSK that [`Answers::offer`] gives.
pub(super) fn offer_psk(ssl: &mut SslRef) {
    // SAFETY: the connection is live, the callback has the type that OpenSSL wants and asks only `attached`.
    unsafe { SSL_set_psk_use_session_callback(ssl.as_ptr(), Some(use_session)) }
}

unsafe extern "C" fn use_session(
    ssl: *mut sys::SSL,
    _after_retry: *const sys::EVP_MD,
    identity_out: *mut *const c_uchar,
    identity_len: *mut usize,
    session_out: *mut *mut sys::SSL_SESSION,
) -> c_int {
    guarded(0, || {
        // SAFETY: OpenSSL passes the connection that it works on.
        let connection = unsafe { SslRef::from_ptr(ssl) };
        let answers = attached(connection)?;
        let (identity, key, suite) = answers.offer()?;
        let session = Session::new(connection, key, suite)?;
        // SAFETY: the three places are OpenSSL's to be written. It copies the identity as soon as we return, and the
        // identity lives in the answers, which hang on the connection.
        unsafe {
            *identity_out = identity.as_ptr();
            *identity_len = identity.len();
            *session_out = session.into_raw();
        }
        Some(1)
    })
}

/// Makes a TLS 1.3 server ask [`Answers::find`] for PSKs.
pub(super) fn find_psk(ssl: &mut SslRef) {
    // SAFETY: as in `offer_psk`.
    unsafe { SSL_set_psk_find_session_callback(ssl.as_ptr(), Some(find_session)) }
}

unsafe extern "C" fn find_session(
    ssl: *mut sys::SSL,
    identity: *const c_uchar,
    identity_len: usize,
    session_out: *mut *mut sys::SSL_SESSION,
) -> c_int {
    guarded(0, || {
        // SAFETY: OpenSSL passes the connection that it works on.
        let connection = unsafe { SslRef::from_ptr(ssl) };
        // SAFETY: the octets live for the time of this call; a null pointer comes with length 0 at most.
        let identity = unsafe { octets(identity, identity_len) };
        let suite = pending_suite(connection)?;
        let key = attached(connection)?.find(identity, suite)?;
        let session = Session::new(connection, &key, suite)?;
        // SAFETY: OpenSSL's place for the session, which it frees.
        unsafe { *session_out = session.into_raw() };
        Some(1)
    })
}

/// # Safety
/// `start` points at `len` octets that live as long as the result is used, or `len` is 0.
unsafe fn octets<'a>(start: *const c_uchar, len: usize) -> &'a [u8] {
    if start.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start, len) }
}

/// The hash of the cipher suite that the server has just chosen.
fn pending_suite(ssl: &SslRef) -> Option<Suite> {
    // SAFETY: the connection is live; ciphers are static tables of OpenSSL's.
    let id = unsafe {
        let cipher = SSL_get_pending_cipher(ssl.as_ptr());
        if cipher.is_null() {
            return None;
        }
        SSL_CIPHER_get_protocol_id(cipher)
    };
    Some(if id.to_be_bytes() == Suite::Tls13Sha384.first_cipher() {
        Suite::Tls13Sha384
    } else {
        Suite::Tls13Sha256
    })
}

/// A session that stands for an external PSK; freed on drop, which wipes the key.
struct Session(NonNull<sys::SSL_SESSION>);

impl Session {
    fn new(ssl: &SslRef, key: &SecretBytes, suite: Suite) -> Option<Self> {
        // SAFETY: takes nothing.
        let session = Self(NonNull::new(unsafe { SSL_SESSION_new() })?);
        let raw = session.0.as_ptr();
        let id = suite.first_cipher();
        // SAFETY: session and connection are live, the id has the two octets that are read, the cipher is static,
        // and the key is copied.
        let done = unsafe {
            let cipher = SSL_CIPHER_find(ssl.as_ptr(), id.as_ptr());
            !cipher.is_null()
                && SSL_SESSION_set1_master_key(raw, key.expose().as_ptr(), key.len()) == 1
                && SSL_SESSION_set_cipher(raw, cipher) == 1
                && SSL_SESSION_set_protocol_version(raw, sys::TLS1_3_VERSION) == 1
        };
        done.then_some(session)
    }

    /// Gives it to OpenSSL.
    fn into_raw(self) -> *mut sys::SSL_SESSION {
        let raw = self.0.as_ptr();
        std::mem::forget(self);
        raw
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: `new` made it, and this is its only owner.
        unsafe { sys::SSL_SESSION_free(self.0.as_ptr()) }
    }
}

/// Queues a KeyUpdate that asks the peer for its own; the next call that writes sends it.
pub(super) fn request_key_update<S>(stream: &mut SslStream<S>) -> Result<(), ErrorStack> {
    // SAFETY: the connection is live, and borrowed by nobody else.
    done(unsafe { SSL_key_update(stream.ssl().as_ptr(), SSL_KEY_UPDATE_REQUESTED) })
}

/// Whether TLS 1.2 runs with extended master secret (RFC 7627).
pub(super) fn has_extended_master_secret(ssl: &SslRef) -> bool {
    // SAFETY: the connection is live; the function only reads.
    unsafe { sys::SSL_get_extms_support(ssl.as_ptr()) == 1 }
}

/// The name of the group of the key exchange, as OpenSSL writes it.
pub(super) fn group(ssl: &SslRef) -> Option<String> {
    // SAFETY: the connection is live, the calls only read; the name is a static text.
    unsafe {
        let id = sys::SSL_ctrl(ssl.as_ptr(), SSL_CTRL_GET_NEGOTIATED_GROUP, 0, ptr::null_mut());
        let name = SSL_group_to_name(ssl.as_ptr(), c_int::try_from(id).ok()?);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// Bits of the group of an SRP handshake.
pub(super) fn srp_bits(ssl: &SslRef) -> Option<u32> {
    // SAFETY: the connection is live; the number belongs to it and is only read.
    unsafe {
        let modulus = SSL_get_srp_N(ssl.as_ptr());
        (!modulus.is_null()).then(|| u32::try_from(sys::BN_num_bits(modulus)).ok())?
    }
}

/// Sets the most octets of plaintext in one record, 512 to 16384.
pub(super) fn set_max_fragment(ssl: &mut SslRef, octets: u16) -> Result<(), ErrorStack> {
    // SAFETY: the connection is live, and the command takes a number alone.
    let code = unsafe {
        sys::SSL_ctrl(ssl.as_ptr(), SSL_CTRL_SET_MAX_SEND_FRAGMENT, c_long::from(octets), ptr::null_mut())
    };
    done(c_int::from(code == 1))
}

/// Makes a client's context log in by SRP under that name, with the password that [`Answers::password`] gives, and
/// refuse groups with fewer bits.
pub(super) fn srp_client(
    context: &mut SslContextBuilder,
    username: &CStr,
    least_bits: u16,
) -> Result<(), ErrorStack> {
    let raw = context.as_ptr();
    // SAFETY: the context is live; the name is copied; the callback has the type that OpenSSL wants.
    unsafe {
        done(SSL_CTX_set_srp_username(raw, username.as_ptr().cast_mut()))?;
        done(SSL_CTX_set_srp_strength(raw, c_int::from(least_bits)))?;
        done(SSL_CTX_set_srp_client_pwd_callback(raw, Some(give_password)))
    }
}

unsafe extern "C" fn give_password(ssl: *mut sys::SSL, _: *mut c_void) -> *mut c_char {
    guarded(ptr::null_mut(), || {
        // SAFETY: OpenSSL passes the connection that it works on.
        let answers = attached(unsafe { SslRef::from_ptr(ssl) })?;
        let text = Zeroizing::new(CString::new(answers.password()?.expose()).ok()?.into_bytes_with_nul());
        // SAFETY: the text ends in a zero octet and is copied by OpenSSL's allocator; OpenSSL wipes and frees the copy.
        Some(unsafe { CRYPTO_strdup(text.as_ptr().cast(), c"".as_ptr(), 0) })
    })
}

/// Makes a server's context ask [`Answers::record`] for who logs in by SRP.
pub(super) fn srp_server(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    // SAFETY: the context is live; the callback has the type that OpenSSL wants.
    done(unsafe { SSL_CTX_set_srp_username_callback(context.as_ptr(), Some(take_username)) })
}

unsafe extern "C" fn take_username(ssl: *mut sys::SSL, alert: *mut c_int, _: *mut c_void) -> c_int {
    let answered = guarded(false, || {
        // SAFETY: OpenSSL passes the connection that it works on.
        let connection = unsafe { SslRef::from_ptr_mut(ssl) };
        // SAFETY: the name belongs to the connection, which does not change it during this call.
        let username = unsafe {
            let name = SSL_get_srp_username(connection.as_ptr());
            (!name.is_null()).then(|| CStr::from_ptr(name).to_bytes().to_vec())?
        };
        let record = attached(connection)?.record(&username)?;
        Some(set_record(connection, &record).is_ok())
    });
    if answered {
        return SSL_ERROR_NONE;
    }
    // SAFETY: OpenSSL's place for an alert.
    unsafe { *alert = SSL_AD_INTERNAL_ERROR };
    SSL3_AL_FATAL
}

fn set_record(ssl: &mut SslRef, record: &SrpRecord) -> Result<(), ErrorStack> {
    let modulus = BigNum::from_slice(&record.modulus)?;
    let generator = BigNum::from_slice(&[record.generator])?;
    let salt = BigNum::from_slice(&record.salt)?;
    let mut verifier = BigNum::from_slice(record.verifier.expose())?;
    // SAFETY: connection and numbers are live; the numbers are copied, and no information is given.
    let code = unsafe {
        SSL_set_srp_server_param(
            ssl.as_ptr(),
            modulus.as_ptr(),
            generator.as_ptr(),
            salt.as_ptr(),
            verifier.as_ptr(),
            ptr::null_mut(),
        )
    };
    verifier.clear();
    done(code)
}

/// These functions give 1 for success; the reason of a failure waits in the thread's queue.
fn done(code: c_int) -> Result<(), ErrorStack> {
    if code == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_callback_is_a_failed_answer() {
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let answer = guarded(7, || panic!("must not reach C"));
        std::panic::set_hook(quiet);
        assert_eq!(answer, 7);
        assert_eq!(guarded(7, || None), 7);
        assert_eq!(guarded(7, || Some(1)), 1);
    }
}
