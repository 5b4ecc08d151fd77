//! SRP: exchanges in every dialect, the groups, what must be refused, and files of verifiers.

use sha2::Digest;

use super::fields::{Checked, Fault, Fields, from_hex, same, wrong};
use crate::error::{Result, Rule};
use crate::secret::SecretBytes;
use crate::srp::group::minimal;
use crate::srp::trace::{Inputs, Trace, exponent};
use crate::srp::{Client, Dialect, Group, Hash, KeyRule, Legacy, Parameters, Prehash, Server, Width, rules};

/// `srp6a_*`: exchanges with fixed exponents.
pub(super) fn exchange(case: &Fields<'_>) -> Checked {
    if case.has("variants") { leading_zeros(case) } else { published(case) }
}

/// `srp_*`: groups, refused values, verifier files.
pub(super) fn other(case: &Fields<'_>) -> Checked {
    if case.has("mechanism") {
        super::srp_plus::check(case)
    } else if case.has("tool") {
        super::srp_files::check(case)
    } else if case.has("safe_prime") {
        group(case)
    } else if case.has("group") {
        refused_share(case)
    } else {
        refused_group(case)
    }
}

struct Case {
    group: Group,
    hash: Hash,
    username: String,
    password: SecretBytes,
    salt: Vec<u8>,
    a: Vec<u8>,
    b: Vec<u8>,
}

impl Case {
    fn read(case: &Fields<'_>) -> Checked<Self> {
        let username = match case.optional("I_utf8_hex", Fields::octets)? {
            Some(octets) => String::from_utf8(octets).or_else(|_| wrong("I_utf8_hex is not UTF-8"))?,
            None => case.text("I")?.to_owned(),
        };
        let password = match case.optional("P_hex", Fields::octets)? {
            Some(octets) => octets,
            None => case.text("P")?.as_bytes().to_vec(),
        };
        Ok(Self {
            group: named_group(case)?,
            hash: hash(case.text("hash")?)?,
            username,
            password: SecretBytes::new(password),
            salt: case.octets("s")?,
            a: case.octets("a")?,
            b: case.octets("b")?,
        })
    }

    /// Runs both sides, step by step and through their states, and gives all values.
    fn run(&self, dialect: Dialect) -> Checked<Trace> {
        let parameters =
            Parameters { dialect: dialect.with_hash(self.hash), group: self.group, prehash: Prehash::None };
        let trace = Inputs {
            parameters,
            username: &self.username,
            password: &self.password,
            salt: &self.salt,
            a: &self.a,
            b: &self.b,
            appended: [&[], &[]],
        }
        .trace()?;
        same("the S of the server", &trace.server_secret, &trace.client_secret)?;
        self.run_states(parameters, &trace)?;
        Ok(trace)
    }

    fn run_states(&self, parameters: Parameters, trace: &Trace) -> Checked {
        let client = Client::with(parameters, exponent(&self.a));
        let server = Server::with(parameters.dialect, trace.verifier.clone(), exponent(&self.b))?;
        let (a, b) = (client.public_value().to_vec(), server.public_value().to_vec());
        let client = client.respond(&self.username, &self.password, &self.salt, &b)?;
        same("the client's M1", client.proof(), &trace.m1)?;
        let (m2, accepted) = server.receive(&self.username, &a)?.finish(client.proof())?;
        same("the server's M2", &m2, &trace.m2)?;
        let confirmed = client.finish(&m2)?;
        same("the server's K", accepted.key().expose(), &trace.key)?;
        same("the client's K", confirmed.key().expose(), &trace.key)
    }
}

/// RFC 5054 appendix B and Mozilla's PiCL.
fn published(case: &Fields<'_>) -> Checked {
    let inputs = Case::read(case)?;
    let picl = case.has("P_hex");
    let trace = inputs.run(if picl { Dialect::PICL } else { Dialect::RFC5054 })?;
    for (name, computed) in [
        ("k", &trace.k[..]),
        ("x", &trace.x),
        ("v", trace.verifier.expose()),
        ("A", &trace.a),
        ("B", &trace.b),
        ("u", &trace.u),
        ("S", &trace.client_secret),
    ] {
        case.expect(name, computed)?;
    }
    if picl {
        case.expect("K", &trace.key)?;
        case.expect("M1", &trace.m1)?;
        return case.expect("M2_computed", &trace.m2);
    }
    case.expect("K_H_S_computed", &trace.key)?;
    case.expect("M1_computed", &trace.m1)?;
    case.expect("M2_computed", &trace.m2)?;
    let interleaved = inputs.run(Dialect { key: KeyRule::Interleaved, ..Dialect::RFC5054 })?;
    case.expect("K_interleave_rfc2945_computed", &interleaved.key)
}

/// Values that begin with a zero octet, in four dialects each.
fn leading_zeros(case: &Fields<'_>) -> Checked {
    let inputs = Case::read(case)?;
    let variants = case.object("variants")?;
    for (name, dialect) in [
        ("rfc5054_u_minimal_ABS", Dialect::RFC5054),
        ("padded_everywhere", Dialect { shares: Width::Padded, secret: Width::Padded, ..Dialect::RFC5054 }),
        ("padded_g_in_M1_rustcrypto07", Dialect::RUSTCRYPTO_0_7),
        ("legacy_unpadded_u", Dialect { scrambler: Width::Minimal, ..Dialect::RFC5054 }),
    ] {
        let trace = inputs.run(dialect)?;
        let variant = variants.object(name)?;
        for (name, computed) in [
            ("u", &trace.u),
            ("S", &trace.client_secret),
            ("K", &trace.key),
            ("M1", &trace.m1),
            ("M2", &trace.m2),
        ] {
            same(name, computed, &number(&variant, name, computed.len())?)?;
        }
        variant.finish()?;
        if name != "rfc5054_u_minimal_ABS" {
            continue;
        }
        same("k", &trace.k, &number(case, "k", trace.k.len())?)?;
        same("x", &trace.x, &number(case, "x", trace.x.len())?)?;
        same("v", trace.verifier.expose(), &number(case, "v", trace.a.len())?)?;
        case.expect("A_padded", &trace.a)?;
        case.expect("B_padded", &trace.b)?;
        case.expect("S_padded", &trace.client_secret)?;
        let lengths = case.object("short_lengths")?;
        for (name, value) in [("A", &trace.a[..]), ("B", &trace.b), ("S", &trace.client_secret)] {
            let length = minimal(value).len() as u64;
            if lengths.number(name, u64::MAX)? != length {
                return wrong(format!("the short length of {name} is {length}"));
            }
        }
        lengths.finish()?;
    }
    variants.finish()
}

/// A number in hex, perhaps without leading zeros, as so many octets.
fn number(case: &Fields<'_>, name: &str, len: usize) -> Checked<Vec<u8>> {
    let text = case.text(name)?;
    from_hex(name, &format!("{text:0>width$}", width = 2 * len))
}

fn named_group(case: &Fields<'_>) -> Checked<Group> {
    let name = case.text("group")?;
    let bits = name.strip_prefix("rfc5054_").and_then(|bits| bits.parse().ok());
    let Some(bits) = bits else {
        return wrong(format!("{name} is no group of RFC 5054"));
    };
    Ok(Group::from_bits(bits, Legacy::Allowed)?)
}

fn hash(name: &str) -> Checked<Hash> {
    let found = Hash::ALL.into_iter().find(|hash| hash.name().replace('-', "").eq_ignore_ascii_case(name));
    found.map_or_else(|| wrong(format!("{name} is no hash of SRP here")), Ok)
}

/// A row of one of the two tables of groups.
fn group(case: &Fields<'_>) -> Checked {
    let bits = case.number("bits", 8192)?;
    let modulus = number(case, "N", case.text("N")?.len().div_ceil(2))?;
    let generator = case.number("g", 255)? as u8;
    let of_rfc5054 = match case.optional("same_as_rfc5054", Fields::flag)? {
        Some(same) => same,
        None => {
            case.expect_text("name", &format!("rfc5054_{bits}"))?;
            true
        }
    };
    if let Some(actual) = case.optional("actual_bits", |case, name| case.number(name, 8192))?
        && actual != 8 * modulus.len() as u64 - u64::from(modulus[0].leading_zeros())
    {
        return wrong("N does not have so many bits");
    }
    let refused = Group::find(&modulus, &[generator], Legacy::Refused);
    let allowed = Group::find(&modulus, &[generator], Legacy::Allowed);
    match bits {
        2048.. => same("N", refused?.modulus(), &modulus)?,
        1024.. => {
            must_be_refused(refused, &rules::GROUP_TOO_SMALL)?;
            same("N", allowed?.modulus(), &modulus)?;
        }
        _ => must_be_refused(allowed, &rules::GROUP_TOO_SMALL)?,
    }
    if of_rfc5054 != [1024, 1536, 2048, 3072, 4096, 6144, 8192].contains(&bits) {
        return wrong("same_as_rfc5054 is not so");
    }
    if case.has("k") {
        check_k(case, &modulus, generator)?;
        case.expect("N_sha256", &sha2::Sha256::digest(&modulus))?;
    }
    let (safe_prime, primitive_root) = crate::srp::group::is_safe_prime_with_root(&modulus, generator);
    if case.flag("safe_prime")? != safe_prime || case.flag("g_is_primitive_root")? != primitive_root {
        return wrong("N is no safe prime, or g does not generate the whole group");
    }
    Ok(())
}

fn check_k(case: &Fields<'_>, modulus: &[u8], generator: u8) -> Checked {
    let mut padded = vec![0; modulus.len() - 1];
    padded.push(generator);
    for (name, g) in [("k", &padded[..]), ("k_unpadded_g", &[generator])] {
        let stated = case.object(name)?;
        for hash in Hash::ALL {
            if let Some(k) = stated.optional(&hash.name().to_lowercase(), Fields::octets)? {
                same(name, &hash.digest(&[modulus, g]), &k)?;
            }
        }
        // Not a hash of ours; the file has it all the same.
        if let Some(k) = stated.optional("sha-224", Fields::octets)? {
            same(name, &sha2::Sha224::new().chain_update(modulus).chain_update(g).finalize(), &k)?;
        }
        stated.finish()?;
    }
    Ok(())
}

/// A value of A or B that no peer may send. The reason says which it is.
fn refused_share(case: &Fields<'_>) -> Checked {
    let group = named_group(case)?;
    let name = if case.has("A") { "A" } else { "B" };
    let value = number(case, name, case.text(name)?.len().div_ceil(2))?;
    let reason = case.text("reason")?;
    let stated = reason.split([',', ' ']).next().unwrap_or_default();
    let n = group.modulus();
    let (expected, rule) = match stated.strip_prefix(name) {
        Some("=0") => (vec![0], &rules::SHARE_ZERO),
        Some("=1") => (vec![1], &rules::SHARE_TRIVIAL),
        Some("=N-1") => (crate::srp::group::modulus_minus_one(group), &rules::SHARE_TRIVIAL),
        Some("=N") if reason.ends_with("with an extra leading zero octet") => {
            ([&[0], n].concat(), &rules::SHARE_TOO_LARGE)
        }
        Some("=N") => (n.to_vec(), &rules::SHARE_TOO_LARGE),
        Some("=2N") => (product(n, &[2]), &rules::SHARE_TOO_LONG),
        Some("=N^2") => (product(n, n), &rules::SHARE_TOO_LONG),
        _ => return wrong(format!("cannot tell what must be refused because of {reason}")),
    };
    same(name, &value, &expected)?;
    let dialect = Dialect::RFC5054;
    let parameters = Parameters { dialect, group, prehash: Prehash::None };
    let mut rng = crate::system_rng();
    if name == "B" {
        let password = SecretBytes::new(b"password".to_vec());
        let answer = Client::start(parameters, &mut rng).respond("alice", &password, &[1; 16], &value);
        return must_be_refused(answer, rule);
    }
    let verifier = crate::srp::Verifier::from_parts(&parameters, &[1; 16], &[2])?;
    must_be_refused(Server::start(dialect, verifier, &mut rng)?.receive("alice", &value), rule)
}

/// The product of two numbers, without leading zero octets.
fn product(a: &[u8], b: &[u8]) -> Vec<u8> {
    minimal(&crate::srp::group::client_exponent(&[], a, b)).to_vec()
}

fn refused_group(case: &Fields<'_>) -> Checked {
    let generator = case.number("g", 255)? as u8;
    let modulus = case.octets("N")?;
    let reason = case.text("reason")?;
    let rule = match reason {
        "not in the known-group list" | "g=1" | "known N with a different g" => &rules::UNKNOWN_GROUP,
        "1024 bits: below the minimum size" => &rules::GROUP_TOO_SMALL,
        _ => return wrong(format!("cannot tell what must be refused because of {reason}")),
    };
    let known = Group::ALL.into_iter().any(|group| group.modulus() == modulus);
    let consistent = match reason {
        "not in the known-group list" => !known,
        "g=1" => known && generator == 1,
        _ => known,
    };
    if !consistent {
        return wrong("the group is not what the reason says");
    }
    must_be_refused(Group::find(&modulus, &[generator], Legacy::Refused), rule)
}

pub(super) fn must_be_refused<T>(result: Result<T>, rule: &'static Rule) -> Checked {
    match result {
        Ok(_) => wrong(format!("accepted against the rule {}", rule.id)),
        Err(error) if error.is(rule) => Ok(()),
        Err(error) => Err(Fault::Wrong(format!("refused by another rule: {error}"))),
    }
}
