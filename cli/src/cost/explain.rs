//! What a line of the report means for the choice of a mechanism and of its work factor.

use countersign::dictionary::{GuessWork, Situation, Unit};

/// One paragraph for a mechanism in a situation in which guesses can be tested.
pub(crate) fn guesses(mechanism: &str, situation: Situation, work: &GuessWork) -> &'static str {
    let slow =
        work.parts().iter().any(|(unit, _)| matches!(unit, Unit::Argon2id { .. } | Unit::Scrypt { .. }));
    match situation {
        _ if mechanism == "TLS13-PSK" => {
            "One ClientHello is enough, whether or not anybody answers it, and Diffie-Hellman does not help: the binder is \
             made before it. No iteration count slows this down. Use a PSK only with 128 random bits; for a password, let a \
             PAKE make the PSK, or run one above TLS."
        }
        _ if mechanism == "TLS12-PSK" => {
            "A listener needs the whole handshake, and only plain PSK gives it to him; with DHE or ECDHE he must pose as the \
             server once, and then has the same. Use a PSK only with 128 random bits."
        }
        Situation::Listener => {
            "Outside TLS everybody on the way gets this for every login. The iteration count is all that slows him, and costs \
             the honest client as much for each login: choose -PLUS inside TLS, or a PAKE, before a higher count."
        }
        Situation::Impostor => {
            "Whoever gets a client to talk to him once, with any certificate that the client lets pass, has this for good; the \
             channel binding stops the login but not the guessing. The iteration count is all that slows him. Only a PAKE \
             leaves him nothing."
        }
        _ if mechanism.starts_with("SRP") && !slow => {
            "The exponentiation protects nothing: g and N are public, so the powers of g are computed once for all users, and a \
             guess is a few multiplications. Timing g^x on one core overstates the cost many times. Stretch the password first, \
             as SRP-SHA-256-PLUS does with Argon2id."
        }
        _ if slow => {
            "The password hash is all there is to a guess; the group operations after it do not count. Its memory is what keeps \
             graphics cards from being as far ahead as with PBKDF2: raise memory before passes."
        }
        _ => {
            "The iteration count is all that slows a thief. It costs him less than the server: many passwords fill the lanes of a \
             processor that a single login leaves idle. Choose the highest count that logins can bear (cost calibrate), or a \
             mechanism with Argon2id."
        }
    }
}
