//! Other users' rights: taken by a thread for a look into a home, by a worker for good.

use formats::{Error, Kind};
use nix::unistd::{Gid as NixGid, Uid as NixUid, User, getgrouplist};
use rustix::process::{Gid, Uid, getegid, geteuid, getgid, getuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

/// A user, by numbers: with or without an entry in the system's database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
    /// The other groups.
    pub groups: Vec<u32>,
    pub name: Option<String>,
    pub home: PathBuf,
}

impl Owner {
    /// The user `uid`, with the groups that the system's database gives. Where it doesn't know the user, the group
    /// is that of `folder`, which only root and the user can have given to it.
    pub fn of(uid: u32, folder_gid: u32, folder: &Path) -> formats::Result<Owner> {
        let unknown = |e: nix::Error| {
            Error::new(Kind::Read, format!("user {uid} can't be looked up")).caused_by(e).in_file(folder)
        };
        let Some(user) = User::from_uid(NixUid::from_raw(uid)).map_err(unknown)? else {
            if folder_gid == 0 {
                return Err(Error::refused(format!(
                    "belongs to user {uid}, whom the system doesn't know, and to root's group"
                ))
                .hint("give it a group of that user's")
                .in_file(folder));
            }
            let home = folder.to_owned();
            return Ok(Owner { uid, gid: folder_gid, groups: Vec::new(), name: None, home });
        };
        let name = CString::new(user.name.as_str()).unwrap_or_default();
        let groups = getgrouplist(&name, user.gid).map_err(unknown)?;
        let home = if user.dir.is_absolute() { user.dir } else { folder.to_owned() };
        Ok(Owner {
            uid,
            gid: user.gid.as_raw(),
            groups: groups.into_iter().map(NixGid::as_raw).collect(),
            name: Some(user.name),
            home,
        })
    }

    /// Makes this process the user's for good. Only while it has one thread: the system counts rights by threads.
    ///
    /// As no program is started on the way, the user can neither debug it nor see its environment.
    pub fn become_for_good(&self) -> std::io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        self.take_groups()?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        if [getuid(), geteuid()] != [uid; 2] || [getgid(), getegid()] != [gid; 2] {
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        Ok(())
    }

    /// Gives this thread the user's rights. It stays root's own as others see it, so that the user can't signal the
    /// process.
    fn lend(&self) -> std::io::Result<()> {
        self.take_groups()?;
        set_thread_res_gid(None::<Gid>, Gid::from_raw(self.gid), None::<Gid>)?;
        Ok(set_thread_res_uid(None::<Uid>, Uid::from_raw(self.uid), None::<Uid>)?)
    }

    fn take_groups(&self) -> std::io::Result<()> {
        let groups: Vec<_> = self.groups.iter().map(|g| Gid::from_raw(*g)).collect();
        Ok(set_thread_groups(&groups)?)
    }

    /// Does `what` with the user's rights, and waits for it.
    pub fn lends<T: Send>(&self, what: impl FnOnce() -> T + Send) -> std::io::Result<T> {
        let did = std::thread::scope(|s| s.spawn(|| self.lend().map(|()| what())).join());
        did.unwrap_or_else(|_| Err(std::io::Error::other("the look was broken off")))
    }

    /// Does `what` with the user's rights, in a thread of its own that may be left behind.
    pub fn does<T: Send + 'static>(
        self,
        limit: Duration,
        what: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<T> {
        within(limit, move || self.lend().map(|()| what()))?
    }
}

/// Does `what` in a thread of its own, which is left behind where it takes longer than `limit`: a folder of a server
/// that is gone holds whoever looks into it.
pub fn within<T: Send + 'static>(
    limit: Duration,
    what: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    let (sender, answer) = channel();
    std::thread::Builder::new().spawn(move || drop(sender.send(what())))?;
    answer.recv_timeout(limit).map_err(|_| std::io::ErrorKind::TimedOut.into())
}
