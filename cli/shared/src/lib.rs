//! Copies that instances of RETTER share over the Redis protocol, and what makes copies wrong.
//!
//! The Redis is asked only where a request would be refused, wait or fail, for a moment at most; whatever is
//! written to it, or told by it, is no request's way. One that is slow, dead, full, emptied or lying costs the
//! copies that it would have given.
//!
//! Three threads, each with a connection: the *writer* tells what this instance has made wrong, beats, and writes
//! copies a second after they changed; the *listener* hears what others tell; the *asker* looks for copies where
//! requests wait. Requests only note what is to be done ([`Sharing`]).
//!
//! **Why it can be believed.** Whoever can write the Redis must not be able to plant pages, swap them, or bring
//! back what was dropped. So copies are sealed for their name, and say up to which place in the stream of events
//! their writer knew everything; whoever finds one drops it where a later event is about it, or where it is
//! from before what is remembered. Events are sealed, and numbered by whoever tells them, so that none can be
//! left out unnoticed: then older copies are in doubt, those shared are not used, those in memory only rescue
//! until the application confirms them. Nothing is ever flushed for doubt. Beats go the same way as events; an
//! instance whose own come back has heard what was told before, one whose own do not knows that it is behind.
//!
//! Never reads a setting, and prints nothing.

mod address;
mod asker;
mod asks;
mod form;
mod link;
mod listener;
mod log;
mod look;
mod names;
mod outbox;
mod peers;
mod resp;
mod secret;
mod shared;
mod state;
mod writer;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use retter_core::Site;
use retter_core::copies::{Invalidation, Sharing, Sought};
use retter_core::key::{CacheKey, Partition};

use crate::shared::{Counts, Handle, Shared};

pub use crate::address::{Address, AddressError};
pub use crate::link::Trouble;
pub use crate::look::Look;
pub use crate::secret::{SECRET_BYTES_MIN, Secret};
pub use crate::shared::Stats;
pub use retter_disk::Scope;

/// How long a request waits for a copy.
pub const PATIENCE: Duration = Duration::from_millis(20);

/// How copies are shared.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the Redis is.
    pub address: Address,
    /// Which ones.
    pub scope: Scope,
    /// Of the site's clock.
    pub epoch: Instant,
    /// How long a request waits for a copy; [`PATIENCE`] is enough on a network of one's own.
    pub patience: Duration,
}

/// The copies of a site that it shares with other instances.
pub struct Instances {
    shared: Handle,
}

impl Instances {
    /// Begins to share the copies of `site`, which has to have the [seed](Secret::seed) of the same secret, and
    /// to know the wall clock.
    ///
    /// # Errors
    /// The operating system lets no thread begin, or has no randomness. Whatever is wrong with the Redis is
    /// [told](Self::stats), and tried again.
    pub fn start(site: &Site, secret: &Secret, options: Options) -> io::Result<Arc<Self>> {
        let shared = Shared::new(site.clone(), secret.clone(), options);
        let shared = Arc::new(shared.map_err(io::Error::other)?);
        let instances = Arc::new(Self {
            shared: Arc::clone(&shared),
        });
        // From now on nothing is dropped without a trace, also while the Redis was not reached yet.
        site.set_sharing(Arc::clone(&instances) as _);
        for (name, run) in [
            ("shared-writer", writer::run as fn(&Handle)),
            ("shared-listener", listener::run),
            ("shared-asker", asker::run),
        ] {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.spawn(move || run(&shared))?;
        }
        Ok(instances)
    }

    /// Waits until all that was dropped so far is told in the Redis; `false` where that takes longer.
    #[must_use]
    pub fn flush(&self, patience: Duration) -> bool {
        self.shared.flush(patience)
    }

    /// What there is to count.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Tells and writes what is left, for so long at most, and ends.
    pub fn stop(&self, patience: Duration) {
        self.shared.stop(patience);
    }
}

impl Sharing for Instances {
    fn takes(&self, partition: Partition) -> bool {
        self.shared.options.scope.takes(partition)
    }

    fn changed(&self, key: &CacheKey) {
        let now = Instant::now();
        if !self.shared.state().note_change(key, now) {
            Counts::add(&self.shared.counts.lost, 1);
        }
    }

    fn invalidated(&self, invalidation: Invalidation) {
        self.shared.state().tell(invalidation);
        self.shared.wake_writer();
    }

    fn seek(&self, keys: Vec<CacheKey>, sought: Sought) -> Option<Duration> {
        let is_current = self.shared.is_current.load(Ordering::Relaxed);
        let is_asked = is_current && self.shared.asks.put(keys, sought, Instant::now());
        is_asked.then_some(self.shared.options.patience)
    }
}

impl fmt::Debug for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instances")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}
