//! What the targets of the store formats share: read a store from any bytes, open every key, then write it
//! back into the same format and read that. None of it may panic, hang, or ask for much memory.

use formats::model::Entry;
use formats::place::{Source, Staging};
use formats::{Budget, Ctx, NoSecrets, OnePassword, Options, Secrets, Session};

/// Reads `data` as `name`, under the password of its seeds. What was read must be readable again after it was written.
#[allow(dead_code, reason = "a folder has no bytes")]
pub fn read(name: &str, password: &str, data: &[u8]) {
    read_from(name, password, &Source::memory("fuzz", data.to_vec()));
}

/// The same from anywhere.
pub fn read_from(name: &str, password: &str, source: &Source) {
    through(name, &OnePassword::new(password), password, source);
}

/// The same without the password where it is read.
#[allow(dead_code, reason = "for formats that can be read without one")]
pub fn read_unproved(name: &str, password: &str, data: &[u8]) {
    through(name, &NoSecrets, password, &Source::memory("fuzz", data.to_vec()));
}

fn through(name: &str, from: &dyn Secrets, password: &str, source: &Source) {
    let format = formats::by_name(name).expect("a format of the table");
    let secrets = OnePassword::new(password);
    let options = Options::default();
    let mut session = Session::new(1_767_323_045_000);
    // Small, so that the time goes into decoding and not into derivations.
    session.budget = Budget::new(3_000, 30_000);
    let ctx = Ctx { secrets: &secrets, options: &options, session: &session };
    let unproved = Ctx { secrets: from, ..ctx };
    let Ok(store) = format.read(source, &unproved) else { return };
    for secret in store.entries.iter().filter_map(Entry::secret) {
        let _ = secret.open(&ctx);
    }
    let mut staging = Staging::memory();
    if format.write(&store, None, &mut staging, &ctx).is_ok()
        && let Ok(written) = staging.source()
    {
        let _ = format.read(&written, &ctx);
    }
}
