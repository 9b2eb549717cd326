//! The options of the format, and what their values mean.

use super::layout::Version;
use super::stash::Form;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::Opt;
use crate::query::time::seconds;

const FORMAT: &str = "kdb-format";
const EXPIRES: &str = "password-expires";
const STASH: &str = "kdb-stash";

/// For the command line.
pub const OPTIONS: &[Opt] = &[
    Opt {
        name: FORMAT,
        values: &[
            ("3", "MD5 and 3DES: what GSKit 8's library makes by default"),
            ("4", "HMAC-SHA-1 and 3DES: what it makes in FIPS mode"),
            ("6", "HMAC-SHA-384 and AES-256: newer GSKit"),
        ],
        value_name: "N",
        default: "the current store's, else 4",
        help: "container format of a key database",
    },
    Opt {
        name: EXPIRES,
        values: &[],
        value_name: "WHEN",
        default: "as it was, else never",
        help: "when a key database's password expires: never, 90d, or a date as 2027-12-31",
    },
    Opt {
        name: STASH,
        values: &[
            ("1", "the classic form, which every GSKit reads"),
            ("2", "the form that current GSKit writes"),
            ("none", "no stash"),
        ],
        value_name: "FORM",
        default: "as it was, else 2",
        help: "stash (.sth) that is written with a key database's new password",
    },
];

/// Which stash goes with a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stash {
    /// None.
    None,
    /// In this form.
    Form(Form),
    /// In the form of the one that is there.
    AsBefore,
}

/// The container's format, if one is asked for.
pub fn version(ctx: &Ctx<'_>) -> Result<Option<Version>> {
    let Some(text) = ctx.options.get(FORMAT) else { return Ok(None) };
    let version = text.parse().ok().and_then(Version::by_number);
    version.map(Some).ok_or_else(|| Error::refused(format!("{FORMAT} is 3, 4 or 6")))
}

/// The stash that is asked for.
pub fn stash(ctx: &Ctx<'_>) -> Result<Stash> {
    match ctx.options.get(STASH) {
        None => Ok(Stash::AsBefore),
        Some("1") => Ok(Stash::Form(Form::One)),
        Some("2") => Ok(Stash::Form(Form::Two)),
        Some("none") => Ok(Stash::None),
        Some(_) => Err(Error::refused(format!("{STASH} is 1, 2 or none"))),
    }
}

/// The expiry that is asked for, in seconds since 1970; 0: never.
pub fn expires(ctx: &Ctx<'_>) -> Result<Option<u32>> {
    let Some(text) = ctx.options.get(EXPIRES) else { return Ok(None) };
    if text == "never" {
        return Ok(Some(0));
    }
    let now = ctx.session.now_ms / 1000;
    let days =
        text.strip_suffix('d').and_then(|n| n.parse::<u32>().ok()).map(|n| now + i64::from(n) * 86_400);
    let at = days.or_else(|| date(text)).and_then(|s| u32::try_from(s).ok()).filter(|s| *s != 0);
    at.map(Some).ok_or_else(|| {
        Error::refused(format!("{EXPIRES} is never, a number of days as in 90d, or a date as in 2027-12-31"))
    })
}

/// The end of a day: through it the password still opens.
fn date(text: &str) -> Option<i64> {
    let digits = [text.get(..4)?, text.get(5..7)?, text.get(8..10)?].concat();
    let shape = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
    shape.then(|| seconds(&crate::asn1::tlv(0x18, format!("{digits}235959Z").as_bytes())))?
}
