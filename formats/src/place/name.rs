//! Paths as text. A path is bytes, and need not be UTF-8.

use crate::hex::hex;
use std::borrow::Cow;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path for people and JSON. Bytes that aren't UTF-8 are written `\xff`, so that different files have different
/// names, which a shell takes back as `$'…'`.
pub fn path_text(path: &Path) -> Cow<'_, str> {
    if let Some(text) = path.to_str() {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        out.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| {
            let _ = write!(out, "\\x{byte:02x}");
        });
    }
    Cow::Owned(out)
}

/// The bytes of a path in lower-case hex, where it isn't UTF-8 and [`path_text`] could be another's text.
pub fn path_hex(path: &Path) -> Option<String> {
    path.to_str().is_none().then(|| hex(path.as_os_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn what_is_no_text_can_be_told_apart() {
        let of = |bytes: &'static [u8]| Path::new(OsStr::from_bytes(bytes));
        assert_eq!(path_text(of("/a/é.jks".as_bytes())), "/a/é.jks");
        assert_eq!(path_text(of(b"a\xff\xc3.jks\xe2\x82")), r"a\xff\xc3.jks\xe2\x82");
        assert_eq!(path_hex(of(b"a\xff")).as_deref(), Some("61ff"));
        // The same text, and other bytes.
        assert_eq!((path_text(of(br"a\xff")), path_hex(of(br"a\xff"))), (r"a\xff".into(), None));
    }
}
