//! Signatures over manifests: minisign's files, so that its own program makes and verifies them as well.

use super::signing_key;
use crate::error::{Error, Kind, Result};
use crate::model::Password;
use minisign::{KeyPair, PublicKey as Key, SignatureBox};
use std::io::Cursor;
use zeroize::Zeroizing;

/// What the signature of `FILE` is called: `FILE` and this.
pub const SIGNATURE_SUFFIX: &str = ".minisig";

/// Who may sign.
#[derive(Clone)]
pub struct PublicKey(Key);

impl PublicKey {
    /// A public key as minisign prints it: the base64 line (`RW…`), or the whole file with its comment.
    pub fn parse(text: &str) -> Result<Self> {
        let line = text.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or_default();
        Key::from_base64(line).map(PublicKey).map_err(|_| {
            Error::malformed("not a public key of minisign").hint("it is one line that begins with RW")
        })
    }

    /// That `signature` (a `.minisig` file) is this key's over `data`. Returns its trusted comment.
    ///
    /// `Kind::Malformed` where it is no signature, `Kind::Refused` where it is not this key's or data's.
    pub fn verify(&self, data: &[u8], signature: &str) -> Result<String> {
        let parsed = SignatureBox::from_string(signature)
            .map_err(|_| Error::malformed("not a signature of minisign"))?;
        // No output, and no older signatures over the data itself.
        minisign::verify(&self.0, &parsed, Cursor::new(data), true, false, false).map_err(|_| {
            Error::refused("the signature is not by the key that is trusted, or not over this manifest")
                .hint("nothing of the bundle was believed")
        })?;
        parsed.trusted_comment().map_err(|_| Error::malformed("not a signature of minisign"))
    }

    /// Its base64 line.
    pub fn text(&self) -> String {
        self.0.to_base64()
    }
}

/// Signs `data` with a secret key (a file of minisign's, with the password that protects it; `None` where it has
/// none). `comment` is signed, too.
///
/// `Kind::Password` where the password is wrong or missing.
pub fn sign(data: &[u8], key_file: &str, password: Option<&Password>, comment: &str) -> Result<String> {
    let key = signing_key::open(key_file, password)?;
    minisign::sign(None, &key, Cursor::new(data), Some(comment), Some("signed with keyferry"))
        .map(SignatureBox::into_string)
        .map_err(|e| Error::new(Kind::Write, "can't be signed").caused_by(e))
}

/// A new pair of keys: the public file, and the secret one, protected by `password` where there is one.
pub fn generate(password: Option<&Password>) -> Result<(String, Zeroizing<String>)> {
    let failed = |e| Error::new(Kind::Write, "no key pair can be made").caused_by(e);
    let pair = KeyPair::generate_unencrypted_keypair().map_err(failed)?;
    Ok((pair.pk.to_box().map_err(failed)?.into_string(), signing_key::seal(&pair.sk, password)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_key_and_data() -> Result<()> {
        let (public, secret) = generate(None)?;
        let (other, _) = generate(None)?;
        let signature = sign(b"manifest", &secret, None, "serial 7")?;
        let key = PublicKey::parse(&public)?;
        assert_eq!(key.verify(b"manifest", &signature)?, "serial 7");
        let refused = |e: Result<String>| e.map_err(|e| e.kind()) == Err(Kind::Refused);
        assert!(refused(key.verify(b"Manifest", &signature)));
        assert!(refused(PublicKey::parse(&other)?.verify(b"manifest", &signature)));
        assert!(refused(key.verify(b"manifest", &signature.replace("serial 7", "serial 8"))));
        assert_eq!(key.verify(b"manifest", "x").map_err(|e| e.kind()), Err(Kind::Malformed));
        assert_eq!(PublicKey::parse(&key.text())?.text(), key.text());
        Ok(())
    }
}
