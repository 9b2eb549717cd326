//! The decoder of `kdb`, whose records nothing proves without a password, and that of stashes.
#![no_main]

use formats::model::Entry;
use formats::place::Source;
use formats::{Budget, Ctx, NoSecrets, OnePassword, Options, Session, stash};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = stash::read(data);
    let format = formats::by_name("kdb").expect("a format of the table");
    let (options, mut session) = (Options::default(), Session::new(1_767_323_045_000));
    session.budget = Budget::new(3_000, 30_000);
    // The seeds' password. A changed file does not pass its check, so it is read without.
    let password = OnePassword::new("secret1");
    let source = || Source::memory("fuzz", data.to_vec());
    let _ = format.read(&source(), &Ctx { secrets: &password, options: &options, session: &session });
    let ctx = Ctx { secrets: &NoSecrets, options: &options, session: &session };
    let Ok(store) = format.read(&source(), &ctx) else { return };
    let opened = Ctx { secrets: &password, ..ctx };
    for secret in store.entries.iter().filter_map(Entry::secret) {
        let _ = secret.open(&opened);
    }
});
