//! Copies that outlive the process: append-only segments of checksummed records, as a write-behind
//! journal of what is in memory.
//!
//! No request reads the disk, and none waits for it but one that drops something: for the writer, and for
//! 25 milliseconds once where the disk does not answer. What a request drops is written before its answer
//! leaves; what it keeps is written a little later. A disk that is full, slow or gone costs copies.
//!
//! Five threads: the *writer* writes drops, then copies, and cleans up; the *syncer* makes sure each second
//! that they outlive a power cut; the *loader* reads, once, what an earlier process has left, newest
//! first; the *keeper* writes down what the site has found out of its visitors; and whoever answers requests
//! only notes what is to be done ([`Journal`]).
//!
//! Never reads a setting, and prints nothing.

mod archive;
mod cleaning;
mod folder;
mod frame;
mod index;
mod learnt;
mod loader;
mod scope;
mod seal;
mod secret;
mod segments;
mod shared;
mod state;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use retter_core::Site;
use retter_core::copies::Journal;
use retter_core::key::{CacheKey, Partition};

use crate::folder::{Directory, Folder};
use crate::shared::Shared;
use crate::state::number_of;
use crate::writer::Writer;

pub use crate::archive::{
    ArchiveError, ArchiveKey, ArchiveReader, ArchiveWriter, RECORD_BYTES_MAX, is_anybodys,
    is_exposed,
};
pub use crate::scope::Scope;
pub use crate::seal::Sealer;
pub use crate::secret::{Secret, SecretError};
pub use crate::shared::{Stats, Trouble};

/// How copies are kept on the disk.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where; the folder is made where there is none.
    pub folder: PathBuf,
    /// Bytes of all segments, about.
    pub bytes_max: u64,
    /// Which ones.
    pub scope: Scope,
    /// Of the site's clock.
    pub epoch: Instant,
}

/// The copies of a site on the disk.
pub struct Disk {
    scope: Scope,
    shared: Arc<Shared>,
}

impl Disk {
    /// Begins to keep the copies of `site`, and to bring back those of an earlier process. The site has
    /// to have the [seed](Secret::seed) of the same secret, and to know the wall clock.
    ///
    /// # Errors
    /// The operating system lets no thread begin. Whatever is wrong with the folder is
    /// [told](Self::stats), and tried again.
    pub fn start(site: &Site, secret: &Secret, options: Options) -> io::Result<Arc<Self>> {
        let folder = Arc::new(Directory::new(options.folder.clone()));
        Self::start_in(folder, site, secret, &options)
    }

    fn start_in(
        folder: Arc<dyn Folder>,
        site: &Site,
        secret: &Secret,
        options: &Options,
    ) -> io::Result<Arc<Self>> {
        let shared = Arc::new(Shared::new());
        let disk = Arc::new(Self {
            scope: options.scope,
            shared: Arc::clone(&shared),
        });
        // From now on nothing is dropped without a trace, also while there is no folder yet.
        site.set_journal(Arc::clone(&disk) as _);
        let sealer = match options.scope {
            Scope::All => Some(Sealer::new(&secret.seal())),
            Scope::Shared => None,
        };
        let writer = Writer::new(folder, site.clone(), Arc::clone(&shared), sealer, options);
        spawn("disk-writer", move || writer.run())?;
        spawn("disk-syncer", move || writer::sync(&shared))?;
        Ok(disk)
    }

    /// Waits until all that was dropped so far would outlive a power cut; `false` where that takes longer.
    #[must_use]
    pub fn flush(&self, patience: Duration) -> bool {
        self.shared.flush(patience)
    }

    /// What there is to count.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Writes what is not written yet, for so long at most, and ends.
    pub fn stop(&self, patience: Duration) {
        self.shared.stop(patience);
    }
}

impl Journal for Disk {
    fn takes(&self, partition: Partition) -> bool {
        self.scope.takes(partition)
    }

    fn changed(&self, key: &CacheKey) {
        let now = Instant::now();
        let wakes = self.shared.state().note_change(key, now);
        if wakes {
            self.shared.wake_writer();
        }
    }

    fn dropped(&self, keys: &[u64]) {
        let mut state = self.shared.state();
        if let Some(number) = state.note_drops(keys) {
            self.shared.wait_for_drop(state, number);
        }
    }

    fn dropped_partition(&self, partition: Partition) {
        if !self.takes(partition) {
            return;
        }
        let mut state = self.shared.state();
        if let Some(number) = state.note_partition(number_of(partition)) {
            self.shared.wait_for_drop(state, number);
        }
    }

    fn dropped_others(&self, kept: &[u64]) {
        let mut state = self.shared.state();
        if let Some(number) = state.note_others(kept) {
            self.shared.wait_for_drop(state, number);
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(run).map(drop)
}
