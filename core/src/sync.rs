//! Owns which locks and atomics threads of the core share where more than one of them have to
//! agree: those of the standard library, and with `cfg(loom)` those that try every interleaving.
//! Never owns a protocol: `admission`, `store` and `site` do.

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64},
};
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64},
};

/// Runs this once for every interleaving of its threads, and for every value that a relaxed load
/// may see; says how many there were. The number of forced switches is
/// bounded: more find nothing new and take hours.
#[cfg(all(test, loom))]
pub(crate) fn every_interleaving(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    use std::io::Write as _;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize as Count, Ordering};

    let count = Arc::new(Count::new(0));
    let counted = Arc::clone(&count);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        run();
    });
    let count = count.load(Ordering::Relaxed);
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    // Past the capture of the test runner: the number is the result.
    let _ = writeln!(std::io::stderr(), "{name}: {count} interleavings");
}
