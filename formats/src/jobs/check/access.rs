//! Access lists (POSIX.1e, `acl(5)`): what they grant beyond the mode, and what the mode's group bits mean then.

use rustix::io::Errno;
use std::path::Path;

/// Whom an access list lets do something, by kind and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    User(u32),
    Group(u32),
}

/// An access list, with every entry cut down to what its mask lets through.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AccessList {
    /// What the file's own group may do; in the mode stands the mask instead.
    pub group: u32,
    /// What others than the owner, his group and everybody may do.
    named: Vec<(Who, u32)>,
}

/// As in a mode.
pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;

impl AccessList {
    /// Who besides `owner` and root may do something of what `counts`.
    pub fn granted(&self, owner: u32, counts: u32) -> Option<String> {
        let others = self.named.iter().filter(|(who, _)| ![Who::User(owner), Who::User(0)].contains(who));
        let granted: Vec<String> = others
            .filter(|(_, rights)| rights & counts != 0)
            .map(|(who, rights)| say(*who, rights & counts))
            .collect();
        (!granted.is_empty()).then(|| granted.join(", "))
    }
}

fn say(who: Who, rights: u32) -> String {
    let what = match rights {
        READ => "read",
        WRITE => "write",
        _ => "read and write",
    };
    match who {
        Who::User(id) => format!("user {id} may {what}"),
        Who::Group(id) => format!("group {id} may {what}"),
    }
}

/// Linux's `include/uapi/linux/posix_acl_xattr.h`.
const ATTRIBUTE: &str = "system.posix_acl_access";
const VERSION: u32 = 2;
/// No list is larger.
const LARGEST: usize = 64 * 1024;

/// The access list of a file or folder; `None` where it has none, or that can't be known.
pub(super) fn access_list(path: &Path) -> Option<AccessList> {
    let mut few = [0; 256];
    match rustix::fs::getxattr(path, ATTRIBUTE, &mut few[..]) {
        Ok(len) => parse(few.get(..len)?),
        Err(Errno::RANGE) => {
            let mut many = vec![0; LARGEST];
            let len = rustix::fs::getxattr(path, ATTRIBUTE, many.as_mut_slice()).ok()?;
            parse(many.get(..len)?)
        }
        Err(_) => None,
    }
}

fn parse(list: &[u8]) -> Option<AccessList> {
    let (version, entries) = list.split_first_chunk()?;
    if u32::from_le_bytes(*version) != VERSION {
        return None;
    }
    let (mut out, mut mask) = (AccessList::default(), 7);
    for entry in entries.chunks_exact(8) {
        let (tag, rest) = entry.split_first_chunk()?;
        let (rights, id) = rest.split_first_chunk()?;
        let rights = u32::from(u16::from_le_bytes(*rights));
        let id = u32::from_le_bytes(*id.first_chunk()?);
        match u16::from_le_bytes(*tag) {
            0x02 => out.named.push((Who::User(id), rights)),
            0x04 => out.group = rights,
            0x08 => out.named.push((Who::Group(id), rights)),
            0x10 => mask = rights,
            _ => {}
        }
    }
    out.group &= mask;
    out.named.iter_mut().for_each(|(_, rights)| *rights &= mask);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_cut_down_by_the_mask() {
        let entry = |tag: u16, rights: u16, id: u32| {
            [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let entries =
            [entry(1, 6, u32::MAX), entry(2, 6, 10), entry(4, 6, u32::MAX), entry(8, 7, 20), entry(16, 4, 0)];
        let list = [&2u32.to_le_bytes()[..], &entries.concat()].concat();
        let want = AccessList { group: 4, named: vec![(Who::User(10), 4), (Who::Group(20), 4)] };
        assert_eq!(parse(&list), Some(want));
        assert_eq!(parse(&list[..4]), Some(AccessList::default()));
        assert_eq!((parse(&list[1..]), parse(&[])), (None, None));
    }
}
