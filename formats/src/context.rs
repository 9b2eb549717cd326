//! What a reader or writer is handed besides bytes: passwords, options, a budget of work, randomness
//! and the clock. All of it comes from the caller, so decoders and encoders stay pure.

use crate::error::{Error, Kind, Result};
use crate::model::Password;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, VecDeque};
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
    pub keys: Arc<KeyCache>,
    /// Randomness.
    pub rng: Rng,
    /// The time, in milliseconds since 1970 (UTC).
    pub now_ms: i64,
}

impl Session {
    /// The system's randomness, the default budget, and the given time (milliseconds since 1970).
    pub fn new(now_ms: i64) -> Self {
        Session { budget: Budget::default(), keys: Arc::default(), rng: Rng::system(), now_ms }
    }

    /// For one store of many: its own share of the budget. What was derived is shared.
    pub fn part(&self) -> Session {
        Session {
            budget: self.budget.part(),
            keys: Arc::clone(&self.keys),
            rng: Rng::system(),
            now_ms: self.now_ms,
        }
    }
}

/// Bounds how much key derivation one command does, whatever the files ask for. Counted in rounds of the
/// inner hash; a scrypt of N, r, p counts as 2·N·r·p.
#[derive(Clone)]
pub struct Budget(Arc<Amounts>);

struct Amounts {
    per_parameter: u64,
    total: u64,
    left: AtomicU64,
    to_grant: AtomicU64,
    granted: AtomicU64,
    /// What is spent here is spent there too.
    within: Option<Budget>,
}

impl Budget {
    /// What one parameter may ask for: the JDK's own cap, which real files reach.
    pub const PER_PARAMETER: u64 = 5_000_000;
    /// What one command may spend.
    pub const TOTAL: u64 = 50_000_000;
    /// What it may spend besides on stores that a password has proved to be their owner's (see
    /// [`Budget::grant`]): ten times as much, as ten thousand trusted CAs of NSS ask for.
    pub const PROVEN: u64 = 10 * Self::TOTAL;
    /// What all stores of a tree may spend: so that no planted file stalls a scan.
    pub const TREE: u64 = 200 * Self::TOTAL;

    /// A budget of `per_parameter` rounds for each derivation and `total` for all.
    pub fn new(per_parameter: u64, total: u64) -> Self {
        Budget::made(per_parameter, total, None)
    }

    /// One store's share: as much as a command for this store alone may spend, and no more than there is left
    /// for all.
    pub fn part(&self) -> Budget {
        let total = self.0.per_parameter.saturating_mul(Self::TOTAL / Self::PER_PARAMETER).max(Self::TOTAL);
        Budget::made(self.0.per_parameter, total, Some(self.clone()))
    }

    fn made(per_parameter: u64, total: u64, within: Option<Budget>) -> Self {
        let to_grant = AtomicU64::new(total.saturating_mul(Self::PROVEN / Self::TOTAL));
        let (left, granted) = (AtomicU64::new(total), AtomicU64::new(0));
        Budget(Arc::new(Amounts { per_parameter, total, left, to_grant, granted, within }))
    }

    /// Allows `rounds` more, as far as the command may have more: for a store that was opened by a password,
    /// so that its owner has made it, and that asks for much work in many parts of usual size.
    pub fn grant(&self, rounds: u64) {
        let take = |left: u64| Some(left.saturating_sub(rounds));
        let before = self.0.to_grant.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
        let got = rounds.min(before);
        self.0.granted.fetch_add(got, Ordering::Relaxed);
        self.0.left.fetch_add(got, Ordering::Relaxed);
    }

    /// Whether one parameter may ask for so many rounds: for stores whose keys are opened later, so that a
    /// hostile one is refused when it is read.
    pub fn admit(&self, rounds: u64) -> Result<()> {
        if rounds > self.0.per_parameter {
            return Err(Error::too_large(format!(
                "asks for {rounds} rounds of key derivation, more than {} are refused",
                self.0.per_parameter
            ))
            .hint("if you trust the file, raise the bound with --max-iterations"));
        }
        Ok(())
    }

    /// Takes `rounds` out of the budget before they are worked off; an error when one parameter or the
    /// sum asks for too much. Nothing is taken when it fails.
    pub fn spend(&self, rounds: u64) -> Result<()> {
        self.admit(rounds)?;
        let take = |budget: &Budget| {
            budget.0.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(rounds))
        };
        take(self).map_err(|_| {
            Error::too_large(format!(
                "its keys ask for more than {} rounds of key derivation in all",
                self.0.total + self.0.granted.load(Ordering::Relaxed)
            ))
            .hint("if you trust the file, raise the bound with --max-iterations")
        })?;
        if let Some(all) = &self.0.within
            && take(all).is_err()
        {
            self.0.left.fetch_add(rounds, Ordering::Relaxed);
            return Err(Error::too_large(format!(
                "the {} rounds of key derivation for all stores together are spent",
                all.0.total
            ))
            .hint("raise the bound with --max-work"));
        }
        Ok(())
    }

    /// Rounds spent so far.
    pub fn spent(&self) -> u64 {
        self.0.total + self.0.granted.load(Ordering::Relaxed) - self.0.left.load(Ordering::Relaxed)
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
pub struct KeyCache(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// By a digest of all that determines them, so that passwords are not kept here.
    keys: HashMap<[u8; 32], Zeroizing<Vec<u8>>>,
    /// In the order of their coming.
    order: VecDeque<[u8; 32]>,
}

/// More would only hold memory: most stores have a few distinct salts, NSS's seven for each trusted CA.
const CACHED: usize = 1 << 16;

impl KeyCache {
    /// The key for `from`, deriving it with `derive` if it isn't known yet. `from` are the parts that
    /// determine it: the derivation's name and parameters, the password, the salt.
    pub fn get(
        &self,
        from: &[&[u8]],
        derive: impl FnOnce() -> Result<Zeroizing<Vec<u8>>>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        // Each part with its length before it, so that no two lists of parts look alike.
        let mut digest = Sha256::new();
        for part in from {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let name: [u8; 32] = digest.finalize().into();
        if let Some(hit) = self.lock().keys.get(&name) {
            return Ok(hit.clone());
        }
        // Not under the lock: other threads of a scan derive at the same time.
        let key = derive()?;
        let mut known = self.lock();
        if known.keys.insert(name, key.clone()).is_none() {
            known.order.push_back(name);
        }
        if known.order.len() > CACHED
            && let Some(oldest) = known.order.pop_front()
        {
            known.keys.remove(&oldest);
        }
        Ok(key)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
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
    fn what_is_granted_is_bounded_too() {
        let b = Budget::new(10, 25);
        b.grant(100);
        assert!((0..12).all(|_| b.spend(10).is_ok()));
        assert_eq!((b.spend(10).map_err(|e| e.kind()), b.spent()), (Err(Kind::TooLarge), 120));
        b.grant(u64::MAX);
        b.grant(u64::MAX);
        assert!((0..15).all(|_| b.spend(10).is_ok()));
        assert_eq!((b.spend(10).is_err(), b.spent()), (true, 270));
        // One part is bounded as before.
        assert_eq!(b.spend(11).map_err(|e| e.kind()), Err(Kind::TooLarge));
    }

    #[test]
    fn one_store_of_many_spends_what_all_have() {
        let session = Session::new(0);
        let session = Session { budget: Budget::new(10, 25), ..session };
        let (one, two) = (session.part(), session.part());
        assert!(one.budget.spend(10).is_ok() && one.budget.spend(10).is_ok());
        assert!(one.budget.spend(11).is_err(), "the bound of one part");
        let error = two.budget.spend(10).expect_err("everybody's bound");
        assert!(error.to_string().contains("25 rounds") && two.budget.spent() == 0, "{error}");
        assert!(two.budget.spend(5).is_ok());
        assert_eq!((session.budget.spent(), two.budget.spent()), (25, 5));
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
