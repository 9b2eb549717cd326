//! Work on many files at once, with results in the order of the files.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};

/// How far the fastest thread may be ahead of the output: results that wait take memory.
const WINDOW: usize = 256;

/// Calls `work` for 0..`count` on as many threads as there are processors, and `done` on this thread with
/// each result in order. Stops at the first error of `done`.
pub fn in_order<T: Send, E>(
    count: usize,
    work: impl Fn(usize) -> T + Sync,
    mut done: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    if threads <= 1 {
        return (0..count).try_for_each(|i| done(i, work(i)));
    }
    let next = AtomicUsize::new(0);
    let gate = Gate { open_below: Mutex::new(WINDOW), moved: Condvar::new() };
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (send, next, gate, work) = (send.clone(), &next, &gate, &work);
            scope.spawn(move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= count || !gate.pass(i) || send.send((i, work(i))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut waiting = BTreeMap::new();
        let mut emitted = 0;
        for (i, result) in receive {
            waiting.insert(i, result);
            while let Some(result) = waiting.remove(&emitted) {
                if let Err(e) = done(emitted, result) {
                    // Nobody waits for the rest: let every thread see the end.
                    next.store(count, Ordering::Relaxed);
                    gate.open(usize::MAX);
                    return Err(e);
                }
                emitted += 1;
                gate.open(emitted + WINDOW);
            }
        }
        Ok(())
    })
}

struct Gate {
    open_below: Mutex<usize>,
    moved: Condvar,
}

impl Gate {
    /// Waits until `i` may start; false: nothing may start any more.
    fn pass(&self, i: usize) -> bool {
        let mut below = self.open_below.lock().unwrap_or_else(PoisonError::into_inner);
        while i >= *below {
            below = self.moved.wait(below).unwrap_or_else(PoisonError::into_inner);
        }
        *below != usize::MAX
    }

    fn open(&self, below: usize) {
        *self.open_below.lock().unwrap_or_else(PoisonError::into_inner) = below;
        self.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        let mut seen = Vec::new();
        let slow_first = |i: usize| {
            if i.is_multiple_of(100) {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            i * 2
        };
        let end: Result<(), ()> = in_order(1000, slow_first, |i, r| {
            seen.push((i, r));
            Ok(())
        });
        assert!(end.is_ok());
        assert_eq!(seen, (0..1000).map(|i| (i, i * 2)).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_stops_the_work() {
        let started = AtomicUsize::new(0);
        let work = |i: usize| {
            started.fetch_add(1, Ordering::Relaxed);
            i
        };
        let end = in_order(100_000, work, |i, _| if i == 3 { Err("enough") } else { Ok(()) });
        assert_eq!(end, Err("enough"));
        assert!(started.load(Ordering::Relaxed) < 100_000);
    }
}
