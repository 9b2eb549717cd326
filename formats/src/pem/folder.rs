//! A folder of PEM and DER files as one store, as OpenSSL's certificate directories and certbot's are.

use super::decode;
use crate::asn1::shape::shape;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::Match;
use crate::loose::Pile;
use crate::place::Source;
use std::collections::HashSet;
use std::path::Path;

/// Adds what the files of a folder hold. A file that can't be read is a defect; one that is no
/// certificate file at all is only told. Links to a file, and copies of a certificate, count once.
pub(super) fn read(folder: &Source, pile: &mut Pile, ctx: &Ctx<'_>) -> Result<()> {
    let mut seen = HashSet::new();
    for path in folder.members()? {
        pile.in_file(&path);
        if let Err(e) = file(&path, pile, &mut seen, ctx) {
            pile.defect(e);
        }
    }
    pile.without_copies();
    if pile.found_nothing() {
        return Err(Error::malformed("no file in this folder holds a certificate or key"));
    }
    Ok(())
}

fn file(path: &Path, pile: &mut Pile, seen: &mut HashSet<(u64, u64)>, ctx: &Ctx<'_>) -> Result<()> {
    let source = Source::open(path)?;
    if source.identity().is_some_and(|id| !seen.insert((id.device, id.inode))) {
        return Ok(());
    }
    let probe = source.probe()?;
    if super::looks_like(probe.head) != Match::No {
        return decode::file(&source, pile, ctx);
    }
    if shape(probe.head).is_some_and(|s| s != crate::asn1::shape::Shape::Pkcs12) {
        pile.objects(source.bytes()?);
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    pile.warn(format!("{name} is neither PEM nor DER and is left aside"));
    Ok(())
}
