//! What a reader or writer is handed besides bytes: passwords, options, a budget of work, randomness
//! and the clock. All of it comes from the caller, so decoders and encoders stay pure.

use crate::error::{Error, Kind, Result};
use crate::model::Password;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// Everything around one reading or writing of one store.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// The passwords of this store.
    pub secrets: &'a dyn Secrets,
    /// The formats' own options (`--p12-profile` and the like).
    pub options: &'a Options,
    /// What all stores of one command share.
    pub session: &'a Session,
}

/// The passwords of one store. Asked only for what a job needs; the program may prompt.
pub trait Secrets: Sync {
    /// The store's password; `None` when nobody gave one, or said that there is none.
    fn store(&self) -> Result<Option<Arc<Password>>>;

    /// Passwords given for the key (or contents) called `label`, most specific first. The store's own is
    /// not among them.
    fn key(&self, label: Option<&str>) -> Result<Vec<Arc<Password>>>;
}

/// No password at all.
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn store(&self) -> Result<Option<Arc<Password>>> {
        Ok(None)
    }
    fn key(&self, _: Option<&str>) -> Result<Vec<Arc<Password>>> {
        Ok(Vec::new())
    }
}

/// One password for a store and its keys.
pub struct OnePassword(pub Arc<Password>);

impl OnePassword {
    /// From text.
    pub fn new(text: &str) -> Self {
        OnePassword(Arc::new(Password::new(text.as_bytes().to_vec())))
    }
}

impl Secrets for OnePassword {
    fn store(&self) -> Result<Option<Arc<Password>>> {
        Ok(Some(Arc::clone(&self.0)))
    }
    fn key(&self, _: Option<&str>) -> Result<Vec<Arc<Password>>> {
        Ok(Vec::new())
    }
}

/// Values of the formats' own options, by name. The program builds its command line from
/// [`crate::Opt`] and hands the values over here, checked against the choices.
#[derive(Clone, Debug, Default)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Sets one option.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// The value of one option, if it was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// What all stores of one command share.
pub struct Session {
    /// Bounds the derivation work.
    pub budget: Budget,
    /// Keys derived so far.
    pub keys: KeyCache,
    /// Randomness.
    pub rng: Rng,
    /// The time, in milliseconds since 1970 (UTC).
    pub now_ms: i64,
}

impl Session {
    /// The system's randomness, the default budget, and the given time (milliseconds since 1970).
    pub fn new(now_ms: i64) -> Self {
        Session { budget: Budget::default(), keys: KeyCache::default(), rng: Rng::system(), now_ms }
    }
}

/// Bounds how much key derivation one command does, whatever the files ask for. Counted in rounds of the
/// inner hash; a scrypt of N, r, p counts as 2·N·r·p.
pub struct Budget {
    per_parameter: u64,
    total: u64,
    left: AtomicU64,
}

impl Budget {
    /// What one parameter may ask for: the JDK's own cap, which real files reach.
    pub const PER_PARAMETER: u64 = 5_000_000;
    /// What one command may spend.
    pub const TOTAL: u64 = 50_000_000;

    /// A budget of `per_parameter` rounds for each derivation and `total` for all.
    pub fn new(per_parameter: u64, total: u64) -> Self {
        Budget { per_parameter, total, left: AtomicU64::new(total) }
    }

    /// Whether one parameter may ask for so many rounds: for stores whose keys are opened later, so that a
    /// hostile one is refused when it is read.
    pub fn admit(&self, rounds: u64) -> Result<()> {
        if rounds > self.per_parameter {
            return Err(Error::too_large(format!(
                "asks for {rounds} rounds of key derivation, more than {} are refused",
                self.per_parameter
            ))
            .hint("if you trust the file, raise the bound with --max-iterations"));
        }
        Ok(())
    }

    /// Takes `rounds` out of the budget before they are worked off; an error when one parameter or the
    /// sum asks for too much. Nothing is taken when it fails.
    pub fn spend(&self, rounds: u64) -> Result<()> {
        self.admit(rounds)?;
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(rounds))
            .map(drop)
            .map_err(|_| {
                Error::too_large(format!(
                    "its keys ask for more than {} rounds of key derivation in all",
                    self.total
                ))
                .hint("if you trust the file, raise the bound with --max-iterations")
            })
    }

    /// Rounds spent so far.
    pub fn spent(&self) -> u64 {
        self.total - self.left.load(Ordering::Relaxed)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Budget::new(Self::PER_PARAMETER, Self::TOTAL)
    }
}

/// Derived keys by (derivation, password, salt, iterations), so that reading back what was just written
/// costs no second derivation. Wiped on drop.
#[derive(Default)]
pub struct KeyCache(Mutex<Vec<Derived>>);

struct Derived {
    from: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
}

/// More would only hold memory: most stores have a few distinct salts, NSS's one for each record.
const CACHED: usize = 4096;

impl KeyCache {
    /// The key for `from`, deriving it with `derive` if it isn't known yet. `from` are the parts that
    /// determine it: the derivation's name and parameters, the password, the salt.
    pub fn get(
        &self,
        from: &[&[u8]],
        derive: impl FnOnce() -> Result<Zeroizing<Vec<u8>>>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        // Each part with its length before it, so that no two lists of parts look alike.
        let size = from.iter().map(|p| p.len() + 8).sum();
        let mut joined = Zeroizing::new(Vec::with_capacity(size));
        for part in from {
            joined.extend_from_slice(&(part.len() as u64).to_be_bytes());
            joined.extend_from_slice(part);
        }
        if let Some(hit) = self.lock().iter().find(|d| *d.from == *joined) {
            return Ok(hit.key.clone());
        }
        // Not under the lock: other threads of a scan derive at the same time.
        let key = derive()?;
        let mut known = self.lock();
        if known.len() >= CACHED {
            known.remove(0);
        }
        known.push(Derived { from: joined, key: key.clone() });
        Ok(key)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Derived>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Randomness: the system's, or a seeded generator where the same bytes are wanted again.
pub struct Rng(Option<Mutex<ChaCha20Rng>>);

impl Rng {
    /// The system's generator.
    pub fn system() -> Self {
        Rng(None)
    }

    /// A generator that yields the same bytes for the same seed. Salts and vectors become predictable,
    /// so it is for reproducible builds of stores, never the default.
    pub fn seeded(seed: [u8; 32]) -> Self {
        Rng(Some(Mutex::new(ChaCha20Rng::from_seed(seed))))
    }

    /// Fills `out`.
    pub fn fill(&self, out: &mut [u8]) -> Result<()> {
        match &self.0 {
            Some(rng) => {
                rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(out);
                Ok(())
            }
            None => getrandom::fill(out).map_err(|e| {
                Error::new(Kind::Write, "the system gives no randomness").caused_by(std::io::Error::from(e))
            }),
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N]> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_refuses_one_and_all() {
        let b = Budget::new(10, 25);
        assert_eq!(b.spend(11).map_err(|e| e.kind()), Err(Kind::TooLarge));
        assert!(b.spend(10).is_ok() && b.spend(10).is_ok());
        assert_eq!(b.spend(10).map_err(|e| e.kind()), Err(Kind::TooLarge));
        assert!(b.spend(5).is_ok());
        assert_eq!(b.spent(), 25);
    }

    #[test]
    fn derived_once() {
        let c = KeyCache::default();
        let mut n = 0;
        for _ in 0..3 {
            let k = c.get(&[b"a", b"bc"], || {
                n += 1;
                Ok(Zeroizing::new(vec![1]))
            });
            assert_eq!(k.map(|k| k.to_vec()).ok(), Some(vec![1]));
        }
        let other = c.get(&[b"ab", b"c"], || Ok(Zeroizing::new(vec![2])));
        assert_eq!(other.map(|k| k.to_vec()).ok(), Some(vec![2]));
        assert_eq!(n, 1);
    }

    #[test]
    fn a_seed_repeats() {
        let a: Option<[u8; 40]> = Rng::seeded([7; 32]).bytes().ok();
        assert_eq!(a, Rng::seeded([7; 32]).bytes().ok());
        assert_ne!(a, Rng::seeded([8; 32]).bytes().ok());
    }
}
