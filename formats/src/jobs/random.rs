//! Passwords that nobody thought of.

use crate::context::Rng;
use crate::error::{Error, Result};
use crate::model::Password;
use zeroize::Zeroizing;

/// Letters and digits, in groups; every program takes them.
const PLAIN: [&[u8]; 3] = [b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"0123456789"];
/// What a strong one may have besides: no quotes, dollars or others that a shell or a file of settings would
/// take for its own.
const SPECIAL: &[u8] = b"%+,-./:=@_";
/// The shortest strong password.
pub const STRONG: usize = 14;
/// The longest that every format takes: a stash of the classic form holds no more.
pub const LONGEST: usize = 128;

/// A password of `length` characters, each drawn with the same chance.
///
/// `strong`: by the rule that GSKit 8 has for `-strong`: at least 14 characters, among them a lower-case and an
/// upper-case letter and a digit or special character; none more than three times; no more than two equal ones in
/// a row. So GSKCapiCmd's guide tells it, and so `GSKKM_CheckPasswordStrength` of GSKit 8.0.60.5 answers, which a
/// test asks about each part. `Kind::Refused` for a length that can't be.
pub fn password(length: usize, strong: bool, rng: &Rng) -> Result<Password> {
    let least = if strong { STRONG } else { 1 };
    if !(least..=LONGEST).contains(&length) {
        let what = if strong { "a strong password" } else { "a password" };
        return Err(Error::refused(format!("{what} has from {least} to {LONGEST} characters")));
    }
    let alphabet = [PLAIN.concat(), if strong { SPECIAL.to_vec() } else { Vec::new() }].concat();
    loop {
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        while out.len() < length {
            let next = draw(&alphabet, strong.then_some(&out), rng)?;
            out.push(next);
        }
        if !strong || is_strong(&out) {
            return Ok(Password::new(out.to_vec()));
        }
    }
}

/// One character; of a strong password, one that the rule lets follow on what there is.
fn draw(alphabet: &[u8], so_far: Option<&Zeroizing<Vec<u8>>>, rng: &Rng) -> Result<u8> {
    // Numbers above the last whole multiple would favour the first characters.
    let bound = 256 - 256 % alphabet.len();
    loop {
        let byte = usize::from(rng.bytes::<1>()?[0]);
        let Some(c) = alphabet.get(byte % alphabet.len()).filter(|_| byte < bound) else { continue };
        if so_far.is_none_or(|s| s.iter().filter(|b| *b == c).count() < 3 && !s.ends_with(&[*c, *c])) {
            return Ok(*c);
        }
    }
}

/// Whether GSKit's rule holds; of characters that are not of ASCII, which GSKit lets pass, none may be there.
pub fn is_strong(password: &[u8]) -> bool {
    let any = |is: &dyn Fn(&u8) -> bool| password.iter().any(is);
    password.len() >= STRONG
        && password.iter().all(|b| (0x20..0x7f).contains(b))
        && any(&u8::is_ascii_lowercase)
        && any(&u8::is_ascii_uppercase)
        && any(&|b| !b.is_ascii_alphabetic())
        && password.iter().all(|b| password.iter().filter(|c| *c == b).count() <= 3)
        && !password.windows(3).any(|w| w[0] == w[1] && w[1] == w[2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn strong_ones_obey_the_rule_at_every_length() {
        let mut all = BTreeSet::new();
        for seed in 0..200 {
            let rng = Rng::seeded([seed; 32]);
            for length in [STRONG, 20, LONGEST] {
                let made = password(length, true, &rng).expect("a password");
                assert!(made.bytes().len() == length && is_strong(made.bytes()));
                all.insert(made.bytes().to_vec());
            }
        }
        assert_eq!(all.len(), 600);
        let rng = Rng::system();
        assert!(password(13, true, &rng).is_err() && password(0, false, &rng).is_err());
        assert!(password(LONGEST + 1, false, &rng).is_err());
        // All that may occur does.
        let letters: BTreeSet<u8> =
            (0..100).flat_map(|_| password(100, false, &rng).expect("one").bytes().to_vec()).collect();
        assert_eq!(letters.len(), 62);
    }

    #[test]
    fn each_part_of_the_rule_counts() {
        assert!(is_strong(b"abcdefghijkL-n"));
        for weak in [
            &b"abcdefghijkL-"[..],
            b"abcdefghijkl-n",
            b"ABCDEFGHIJKL-N",
            b"abcdefghijkLmn",
            b"aaabcdefghijL1",
            b"abacadaefghiL1",
            b"abcdefghijkL1\xc3\xa4",
        ] {
            assert!(!is_strong(weak), "{}", String::from_utf8_lossy(weak));
        }
    }
}
