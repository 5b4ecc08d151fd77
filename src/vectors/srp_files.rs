//! Lines of the verifier files of OpenSSL and GnuTLS, read and written back.

use super::fields::{Checked, Fields, same, wrong};
use crate::prep::Preparation;
use crate::secret::Password;
use crate::srp::files::{group_from_gnutls, group_to_gnutls};
use crate::srp::{Group, Legacy, Verifier};

pub(super) fn check(case: &Fields<'_>) -> Checked {
    let line = case.text("line")?;
    match case.text("tool")? {
        "openssl srp" => {
            let (name, verifier) = Verifier::from_openssl(line, Legacy::Allowed)?;
            case.expect_text("line", &verifier.to_openssl(&name)?)?;
            user(case, &name, &verifier)
        }
        "srptool (GnuTLS)" => {
            let (name, verifier) = Verifier::from_gnutls(line, None, Legacy::Allowed)?;
            case.expect_text("line", &verifier.to_gnutls(&name)?)?;
            let index = case.number("tpasswd_conf_index", 7)?;
            let conf = group_to_gnutls(verifier.group())?;
            if conf.split(':').next() != Some(&index.to_string()) {
                return wrong("the group has another index");
            }
            same(
                "the verifier by the file",
                Verifier::from_gnutls(line, Some(&conf), Legacy::Allowed)?.1.expose(),
                verifier.expose(),
            )?;
            user(case, &name, &verifier)
        }
        "srptool --create-conf" => {
            let (index, group) = group_from_gnutls(line, Legacy::Allowed)?;
            case.expect_text("line", &group_to_gnutls(group)?)?;
            if case.number("index", 7)? != u64::from(index)
                || case.number("g", 255)? != u64::from(group.generator())
            {
                return wrong("the line has another index or generator");
            }
            group_name(case, group)
        }
        other => wrong(format!("no tool {other} is known")),
    }
}

fn user(case: &Fields<'_>, name: &str, verifier: &Verifier) -> Checked {
    case.expect_text("username", name)?;
    case.expect("salt", verifier.salt())?;
    case.expect("verifier", verifier.expose())?;
    group_name(case, verifier.group())?;
    if verifier.check(name, &Password::new(case.text("password")?), Preparation::None)? {
        Ok(())
    } else {
        wrong("the verifier is not that of the password")
    }
}

fn group_name(case: &Fields<'_>, group: Group) -> Checked {
    case.expect_text("group", &format!("rfc5054_{group}"))
}
