//! GnuTLS: TLS-SRP handshakes in memory, since its own SRP functions are not exported, and its verifier.

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;
use std::time::Duration;

use countersign::srp::Group;

use super::{Operation, PASSWORD, SALT, USER, ours, time};

/// The side that is measured.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Client,
    Server,
}

type Session = *mut c_void;
type Credentials = *mut c_void;
type Push = unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> isize;
type Pull = unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> isize;
type SrpLookup =
    unsafe extern "C" fn(Session, *const c_char, *mut Datum, *mut Datum, *mut Datum, *mut Datum) -> c_int;
type PskLookup = unsafe extern "C" fn(Session, *const c_char, *mut Datum) -> c_int;

/// `gnutls_datum_t`.
#[repr(C)]
struct Datum {
    data: *mut u8,
    size: c_uint,
}

const GNUTLS_SERVER: c_uint = 1;
const GNUTLS_CLIENT: c_uint = 2;
const GNUTLS_CRD_SRP: c_int = 3;
const GNUTLS_CRD_PSK: c_int = 4;
const GNUTLS_PSK_KEY_RAW: c_int = 0;
const GNUTLS_E_AGAIN: c_int = -28;
const EAGAIN: c_int = 11;

#[link(name = "gnutls")]
unsafe extern "C" {
    static gnutls_malloc: unsafe extern "C" fn(usize) -> *mut c_void;
    static gnutls_free: unsafe extern "C" fn(*mut c_void);

    fn gnutls_init(session: *mut Session, flags: c_uint) -> c_int;
    fn gnutls_deinit(session: Session);
    fn gnutls_priority_set_direct(
        session: Session,
        priorities: *const c_char,
        error: *mut *const c_char,
    ) -> c_int;
    fn gnutls_credentials_set(session: Session, kind: c_int, credentials: Credentials) -> c_int;
    fn gnutls_transport_set_ptr(session: Session, pointer: *mut c_void);
    fn gnutls_transport_set_push_function(session: Session, push: Push);
    fn gnutls_transport_set_pull_function(session: Session, pull: Pull);
    fn gnutls_transport_set_errno(session: Session, error: c_int);
    fn gnutls_handshake(session: Session) -> c_int;
    fn gnutls_srp_set_prime_bits(session: Session, bits: c_uint);
    fn gnutls_srp_allocate_client_credentials(credentials: *mut Credentials) -> c_int;
    fn gnutls_srp_allocate_server_credentials(credentials: *mut Credentials) -> c_int;
    fn gnutls_srp_set_client_credentials(
        credentials: Credentials,
        user: *const c_char,
        password: *const c_char,
    ) -> c_int;
    fn gnutls_srp_set_server_credentials_function(credentials: Credentials, lookup: SrpLookup);
    fn gnutls_psk_allocate_client_credentials(credentials: *mut Credentials) -> c_int;
    fn gnutls_psk_allocate_server_credentials(credentials: *mut Credentials) -> c_int;
    fn gnutls_psk_set_client_credentials(
        credentials: Credentials,
        user: *const c_char,
        key: *const Datum,
        format: c_int,
    ) -> c_int;
    fn gnutls_psk_set_server_credentials_function(credentials: Credentials, lookup: PskLookup);
    fn gnutls_srp_verifier(
        user: *const c_char,
        password: *const c_char,
        salt: *const Datum,
        generator: *const Datum,
        prime: *const Datum,
        verifier: *mut Datum,
    ) -> c_int;
}

/// What a lookup gives: a copy that GnuTLS frees.
fn given(octets: &[u8]) -> Datum {
    // SAFETY: as much memory as is written.
    let data = unsafe {
        let data = gnutls_malloc(octets.len()).cast::<u8>();
        assert!(!data.is_null());
        data.copy_from_nonoverlapping(octets.as_ptr(), octets.len());
        data
    };
    Datum { data, size: octets.len() as c_uint }
}

/// What GnuTLS only reads.
fn lent(octets: &[u8]) -> Datum {
    Datum { data: octets.as_ptr().cast_mut(), size: octets.len() as c_uint }
}

fn text(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

fn good(code: c_int) {
    assert_eq!(code, 0, "GnuTLS");
}

/// One end of a connection in memory.
struct End {
    session: Session,
    received: *mut VecDeque<u8>,
    sent: *mut VecDeque<u8>,
}

impl Drop for End {
    fn drop(&mut self) {
        // SAFETY: the only owner.
        unsafe { gnutls_deinit(self.session) }
    }
}

unsafe extern "C" fn push(end: *mut c_void, octets: *const c_void, len: usize) -> isize {
    // SAFETY: `end` is what `connect` set, and both it and its buffers live as long as the session.
    unsafe {
        let sent = &mut *(*end.cast::<End>()).sent;
        sent.extend(std::slice::from_raw_parts(octets.cast::<u8>(), len));
    }
    len as isize
}

unsafe extern "C" fn pull(end: *mut c_void, octets: *mut c_void, len: usize) -> isize {
    // SAFETY: as in `push`.
    unsafe {
        let end = &mut *end.cast::<End>();
        let received = &mut *end.received;
        if received.is_empty() {
            gnutls_transport_set_errno(end.session, EAGAIN);
            return -1;
        }
        let len = len.min(received.len());
        for (i, octet) in received.drain(..len).enumerate() {
            octets.cast::<u8>().add(i).write(octet);
        }
        len as isize
    }
}

thread_local! {
    /// What the server looks up: the group and the verifier.
    static RECORD: std::cell::RefCell<Option<(Group, Vec<u8>)>> = const { std::cell::RefCell::new(None) };
}

unsafe extern "C" fn look_up_verifier(
    _: Session,
    _: *const c_char,
    salt: *mut Datum,
    verifier: *mut Datum,
    generator: *mut Datum,
    prime: *mut Datum,
) -> c_int {
    RECORD.with_borrow(|record| {
        let (group, v) = record.as_ref().expect("it was set");
        // SAFETY: GnuTLS gives four places to fill.
        unsafe {
            salt.write(given(&SALT));
            verifier.write(given(v));
            generator.write(given(&[group.generator()]));
            prime.write(given(group.modulus()));
        }
    });
    0
}

unsafe extern "C" fn look_up_key(_: Session, _: *const c_char, key: *mut Datum) -> c_int {
    // SAFETY: GnuTLS gives a place to fill.
    unsafe { key.write(given(&SALT)) };
    0
}

/// How two sides authenticate each other: the same credentials for all handshakes.
#[derive(Clone, Copy)]
struct Method {
    priorities: &'static CStr,
    kind: c_int,
    client: Credentials,
    server: Credentials,
}

fn srp() -> Method {
    let (mut client, mut server) = (null_mut(), null_mut());
    // SAFETY: two new structures, which live as long as the process; the strings are copied.
    unsafe {
        good(gnutls_srp_allocate_client_credentials(&raw mut client));
        good(gnutls_srp_set_client_credentials(client, text(USER).as_ptr(), text(PASSWORD).as_ptr()));
        good(gnutls_srp_allocate_server_credentials(&raw mut server));
        gnutls_srp_set_server_credentials_function(server, look_up_verifier);
    }
    Method { priorities: c"NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+SRP", kind: GNUTLS_CRD_SRP, client, server }
}

fn psk() -> Method {
    let (mut client, mut server) = (null_mut(), null_mut());
    // SAFETY: two new structures, which live as long as the process; name and key are copied.
    unsafe {
        good(gnutls_psk_allocate_client_credentials(&raw mut client));
        let key = lent(&SALT);
        good(gnutls_psk_set_client_credentials(
            client,
            text(USER).as_ptr(),
            &raw const key,
            GNUTLS_PSK_KEY_RAW,
        ));
        good(gnutls_psk_allocate_server_credentials(&raw mut server));
        gnutls_psk_set_server_credentials_function(server, look_up_key);
    }
    Method { priorities: c"NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+PSK", kind: GNUTLS_CRD_PSK, client, server }
}

fn connect(role: c_uint, method: Method, received: *mut VecDeque<u8>, sent: *mut VecDeque<u8>) -> Box<End> {
    let mut end = Box::new(End { session: null_mut(), received, sent });
    let credentials = if role == GNUTLS_SERVER { method.server } else { method.client };
    let pointer = (&raw mut *end).cast();
    // SAFETY: a new session, with credentials that outlive it; the box keeps its place.
    unsafe {
        good(gnutls_init(&raw mut end.session, role));
        good(gnutls_priority_set_direct(end.session, method.priorities.as_ptr(), null_mut()));
        good(gnutls_credentials_set(end.session, method.kind, credentials));
        gnutls_srp_set_prime_bits(end.session, 2048);
        gnutls_transport_set_ptr(end.session, pointer);
        gnutls_transport_set_push_function(end.session, push);
        gnutls_transport_set_pull_function(end.session, pull);
    }
    end
}

/// The time that one side spends in a whole handshake.
fn handshake(method: Method, measured: Side) -> Duration {
    let mut buffers = [VecDeque::new(), VecDeque::new()];
    let [to_server, to_client] = buffers.each_mut().map(|buffer| &raw mut *buffer);
    let (client, start) = time(|| connect(GNUTLS_CLIENT, method, to_client, to_server));
    let (server, other) = time(|| connect(GNUTLS_SERVER, method, to_server, to_client));
    let mut spent = [start, other];
    let mut done = [false; 2];
    while done != [true; 2] {
        for (i, session) in [client.session, server.session].into_iter().enumerate() {
            if !done[i] {
                // SAFETY: the session lives.
                let (code, more) = time(|| unsafe { gnutls_handshake(session) });
                assert!(code == 0 || code == GNUTLS_E_AGAIN, "GnuTLS: {code}");
                done[i] = code == 0;
                spent[i] += more;
            }
        }
    }
    match measured {
        Side::Client => spent[0],
        Side::Server => spent[1],
    }
}

pub(crate) fn login(group: Group, measured: Side) -> Operation {
    let (srp, psk) = (srp(), psk());
    let v = ours::record(group).expose().to_vec();
    Box::new(move || {
        RECORD.set(Some((group, v.clone())));
        handshake(srp, measured).saturating_sub(handshake(psk, measured))
    })
}

pub(crate) fn verifier(group: Group) -> Operation {
    let (user, password) = (text(USER), text(PASSWORD));
    Box::new(move || {
        let mut verifier = Datum { data: null_mut(), size: 0 };
        let (salt, generator) = (lent(&SALT), [group.generator()]);
        let (generator, prime) = (lent(&generator), lent(group.modulus()));
        // SAFETY: all inputs live and are only read; the result is new.
        let (code, spent) = time(|| unsafe {
            gnutls_srp_verifier(
                user.as_ptr(),
                password.as_ptr(),
                &raw const salt,
                &raw const generator,
                &raw const prime,
                &raw mut verifier,
            )
        });
        good(code);
        // SAFETY: the only owner, and GnuTLS's own way to free it.
        unsafe { gnutls_free(verifier.data.cast()) };
        spent
    })
}
