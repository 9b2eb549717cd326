//! What happens at each step of a swap: nothing, except in test builds where tests ask for a crash.

use formats::storeset::Step;

/// What workers get of the environment for it.
#[cfg(debug_assertions)]
pub const VARIABLES: &[&str] = &["KEYFERRY_FAILPOINT"];
/// What workers get of the environment for it: nothing.
#[cfg(not(debug_assertions))]
pub const VARIABLES: &[&str] = &[];

/// The hook for `on_step`. In builds with debug assertions `KEYFERRY_FAILPOINT=STEP[:N]` (the step's name
/// in lower case) aborts the process the Nth time that the step is about to be done.
#[cfg(debug_assertions)]
pub fn on_step() -> impl Fn(Step) -> formats::Result<()> {
    let wanted = std::env::var("KEYFERRY_FAILPOINT").ok();
    let left = std::cell::Cell::new(0u32);
    if let Some(n) = wanted.as_deref().map(|w| w.split_once(':').map_or("1", |(_, n)| n)) {
        left.set(n.parse().unwrap_or(1));
    }
    move |step| {
        let name = wanted.as_deref().and_then(|w| w.split(':').next()).unwrap_or_default();
        if format!("{step:?}").to_lowercase() == name {
            left.set(left.get().saturating_sub(1));
            if left.get() == 0 {
                std::process::abort();
            }
        }
        Ok(())
    }
}

/// The hook for `on_step`: nothing.
#[cfg(not(debug_assertions))]
pub fn on_step() -> impl Fn(Step) -> formats::Result<()> {
    |_| Ok(())
}
