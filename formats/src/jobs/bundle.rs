//! Bundles made and compared.

use super::list::sha256_hex;
use super::rebuild::usual_roles;
use super::{Input, Map, Set};
use crate::asn1::cert_fields;
use crate::bundle::{Distrusted, Manifest, Member, Role};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::by_name;
use crate::model::{Der, Entry, Item, Store};
use crate::place::{Source, Staging};
use crate::query::dn::{Pattern, rfc4514};
use crate::query::time;
use std::path::Path;

/// Certificates for a bundle, and what they are in it for.
pub struct Part<'a> {
    /// A store of any format; of its keys only the certificates count.
    pub input: Input<'a>,
    /// Their roles; `None`: what each certificate says of itself.
    pub roles: Option<Vec<Role>>,
}

/// The bundle before.
pub struct Base<'a> {
    /// Its certificates.
    pub input: Input<'a>,
    /// Its manifest, where it has one: roles, ends and serial go on.
    pub manifest: Option<&'a Manifest>,
}

/// What a bundle is to be.
pub struct Recipe<'a> {
    /// The bundle before.
    pub base: Option<Base<'a>>,
    /// What comes in.
    pub parts: Vec<Part<'a>>,
    /// What goes, by subject or by `sha256:HEX`; each must be there.
    pub remove: Vec<String>,
    /// What goes stays until then (RFC 3339), so that messages on their way can still be read.
    pub keep_until: Option<String>,
    /// Its serial; `None`: one more than the base's.
    pub serial: Option<u64>,
    /// When it was made, RFC 3339.
    pub date: String,
    /// When it is no longer to be believed, RFC 3339.
    pub expires: Option<String>,
    /// For whom it is; empty: as before.
    pub audience: Vec<String>,
    /// What must be nowhere, besides what the base distrusts.
    pub distrust: Vec<Distrusted>,
    /// Options and session for writing.
    pub ctx: Ctx<'a>,
}

/// A bundle that was made.
pub struct Created {
    /// The file: PEM, ordered by subject.
    pub bundle: Vec<u8>,
    /// What it is.
    pub manifest: Manifest,
    /// The certificates are those of the base, with the same roles and ends, and so is what is distrusted.
    pub same_as_base: bool,
}

/// Makes a bundle, the same bytes for the same recipe.
pub fn create(recipe: &Recipe<'_>) -> Result<Created> {
    let mut members: Vec<(Der, Member)> = Vec::new();
    if let Some(base) = &recipe.base {
        let known = base.manifest.map(|m| m.entries.iter().map(|e| (&*e.sha256, e)).collect::<Map<_, _>>());
        for certificate in certificates(&base.input)? {
            let mut member = member(&certificate, None)?;
            if let Some(before) = known.as_ref().and_then(|k| k.get(&*member.sha256)) {
                member.roles.clone_from(&before.roles);
                member.keep_until.clone_from(&before.keep_until);
            }
            members.push((certificate, member));
        }
    }
    let before = members.len();
    remove(recipe, &mut members)?;
    let mut places: Map<Der, usize> =
        members.iter().enumerate().map(|(at, (c, _))| (c.clone(), at)).collect();
    for part in &recipe.parts {
        for certificate in certificates(&part.input)? {
            let new = member(&certificate, part.roles.as_deref())?;
            match places.get(&certificate).and_then(|at| members.get_mut(*at)) {
                Some((_, there)) => {
                    there.roles.extend(new.roles);
                    there.keep_until = None;
                }
                None => {
                    places.insert(certificate.clone(), members.len());
                    members.push((certificate, new));
                }
            }
        }
    }
    let base = recipe.base.as_ref().and_then(|b| b.manifest);
    let mut distrust = base.map_or_else(Vec::new, |m| m.distrust.clone());
    distrust.extend(recipe.distrust.iter().filter(|d| base.is_none_or(|b| !b.distrusts(&d.sha256))).cloned());
    let banned: Set<&str> = distrust.iter().map(|d| &*d.sha256).collect();
    members.retain(|(_, m)| !banned.contains(&*m.sha256));
    for (_, member) in &mut members {
        member.roles.sort_unstable();
        member.roles.dedup();
    }
    members.sort_by(|(_, a), (_, b)| (&a.subject, &a.sha256).cmp(&(&b.subject, &b.sha256)));
    members.dedup_by(|(_, a), (_, b)| a.sha256 == b.sha256);
    if members.is_empty() {
        return Err(Error::refused("the bundle would hold no certificates"));
    }
    let (certificates, entries): (Vec<_>, Vec<_>) = members.into_iter().unzip();
    let bundle = pem(certificates, &recipe.ctx)?;
    let serial = recipe.serial.unwrap_or_else(|| base.map_or(1, |m| m.serial.saturating_add(1)));
    if base.is_some_and(|m| serial <= m.serial) {
        return Err(Error::refused(format!("serial {serial} is not above that of the bundle before")));
    }
    let mut manifest = Manifest::new(serial, recipe.date.clone(), &bundle, entries);
    manifest.expires.clone_from(&recipe.expires);
    manifest.audience = match (recipe.audience.is_empty(), base) {
        (true, Some(base)) => base.audience.clone(),
        _ => recipe.audience.clone(),
    };
    manifest.distrust = distrust;
    let same_as_base = match base {
        Some(base) => base.entries == manifest.entries && base.distrust == manifest.distrust,
        None => recipe.base.is_some() && before == manifest.count && recipe.parts.is_empty(),
    };
    Ok(Created { bundle, manifest, same_as_base })
}

/// Takes out, or puts an end to, what is to be removed.
fn remove(recipe: &Recipe<'_>, members: &mut Vec<(Der, Member)>) -> Result<()> {
    for what in &recipe.remove {
        let hash = what.strip_prefix("sha256:").map(str::to_ascii_lowercase);
        let pattern = match hash {
            Some(_) => None,
            None => Some(Pattern::parse(what, false)?),
        };
        let is_meant = |(certificate, member): &(Der, Member)| match (&hash, &pattern) {
            (Some(hash), _) => member.sha256 == *hash,
            (_, Some(pattern)) => cert_fields(certificate).is_ok_and(|f| pattern.matches(f.subject)),
            _ => false,
        };
        if !members.iter().any(is_meant) {
            return Err(Error::refused(format!("\"{what}\" is not in the bundle, so it can't be removed")));
        }
        match &recipe.keep_until {
            Some(end) => {
                let going = members.iter_mut().filter(|m| is_meant(m));
                going.for_each(|(_, member)| member.keep_until = Some(end.clone()));
            }
            None => members.retain(|m| !is_meant(m)),
        }
    }
    // Whose time is over, goes.
    let now = time::parse(&recipe.date).unwrap_or(0);
    members.retain(|(_, m)| m.keep_until.as_deref().and_then(time::parse).is_none_or(|end| now < end));
    Ok(())
}

/// All certificates of a store, those of keys and their chains as well.
fn certificates(input: &Input<'_>) -> Result<Vec<Der>> {
    let loaded = super::load(input)?;
    let path = input.source.path();
    if let Some(defect) = loaded.store.defects.first() {
        return Err(Error::malformed(format!("can't be read in full: {}", defect.message()))
            .in_format(loaded.format.name())
            .in_file(path));
    }
    let all = loaded.store.entries.iter().flat_map(|e| match &e.item {
        Item::Key { chain, .. } => chain.iter().map(|l| l.cert.clone()).collect(),
        _ => e.certificate().cloned().into_iter().collect::<Vec<_>>(),
    });
    Ok(all.collect())
}

fn member(certificate: &Der, roles: Option<&[Role]>) -> Result<Member> {
    let roles =
        roles.map_or_else(|| usual_roles(&Item::Cert(certificate.clone())).to_vec(), <[Role]>::to_vec);
    let subject = rfc4514(cert_fields(certificate)?.subject);
    Ok(Member { sha256: sha256_hex(certificate), subject, roles, keep_until: None })
}

/// The certificates as a PEM file.
fn pem(certificates: Vec<Der>, ctx: &Ctx<'_>) -> Result<Vec<u8>> {
    let pem = by_name("pem").ok_or_else(|| Error::unsupported("there is no PEM"))?;
    let entries = certificates.into_iter().map(|c| Entry::new(Item::Cert(c))).collect();
    let store = Store { entries, ..Store::default() };
    let mut staging = Staging::memory();
    pem.write(&store, None, &mut staging, ctx)?;
    let bytes = staging.into_memory().ok_or_else(|| Error::unsupported("nothing was written"))?;
    // What was written is what a reader gets.
    let source = Source::memory(Path::new("-"), bytes.to_vec());
    let back = pem.read(&source, ctx)?;
    if back.entries.len() != store.entries.len()
        || back.entries.iter().zip(&store.entries).any(|(a, b)| a.object() != b.object())
    {
        return Err(Error::new(crate::error::Kind::Write, "the bundle doesn't come back as it was written"));
    }
    Ok(bytes.to_vec())
}

/// A certificate in a comparison.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Changed {
    /// RFC 4514.
    pub subject: String,
    /// SHA-256 of the DER, lower-case hex.
    pub sha256: String,
    /// RFC 3339.
    pub not_after: Option<String>,
}

/// What one bundle has and another has not.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Difference {
    /// Subjects that come in.
    pub added: Vec<Changed>,
    /// Subjects that go.
    pub removed: Vec<Changed>,
    /// The same subject with another certificate: what it had, what it has.
    pub renewed: Vec<(Changed, Changed)>,
    /// How many certificates are in both.
    pub same: usize,
}

impl Difference {
    /// Both hold the same certificates.
    pub fn is_none(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.renewed.is_empty()
    }
}

/// Compares the certificates of two bundles, or of any stores.
pub fn diff(a: &Input<'_>, b: &Input<'_>) -> Result<Difference> {
    let (before, after) = (certificates(a)?, certificates(b)?);
    let (old, new): (Set<&Der>, Set<&Der>) = (before.iter().collect(), after.iter().collect());
    let mut gone: Map<&[u8], Vec<&Der>> = Map::default();
    let mut difference = Difference { same: old.intersection(&new).count(), ..Difference::default() };
    let mut seen = Set::default();
    for certificate in before.iter().filter(|c| !new.contains(c) && seen.insert(*c)) {
        gone.entry(cert_fields(certificate)?.subject).or_default().push(certificate);
    }
    for certificate in after.iter().filter(|c| !old.contains(c) && seen.insert(*c)) {
        let before = gone.get_mut(cert_fields(certificate)?.subject).and_then(Vec::pop);
        match before {
            Some(before) => difference.renewed.push((changed(before)?, changed(certificate)?)),
            None => difference.added.push(changed(certificate)?),
        }
    }
    for certificate in gone.into_values().flatten() {
        difference.removed.push(changed(certificate)?);
    }
    let by_subject = |c: &Changed| (c.subject.clone(), c.sha256.clone());
    difference.added.sort_by_key(by_subject);
    difference.removed.sort_by_key(by_subject);
    difference.renewed.sort_by_key(|(_, c)| by_subject(c));
    Ok(difference)
}

fn changed(certificate: &Der) -> Result<Changed> {
    let fields = cert_fields(certificate)?;
    Ok(Changed {
        subject: rfc4514(fields.subject),
        sha256: sha256_hex(certificate),
        not_after: time::seconds(fields.not_after).map(time::rfc3339),
    })
}
