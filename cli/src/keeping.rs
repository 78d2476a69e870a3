//! Owns the copies on a disk as the program keeps them ([`Keeping`]): where, which, and by which secret.
//! Never stops the program: without a disk it goes on as if it had none.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use retter_disk::{Disk, Options, Scope, Secret};

use crate::clock::Clock;
use crate::runtime::Site;
use crate::settings::{DiskMode, Values};

/// The folder of the copies in that of the state.
const COPIES: &str = "copies";

/// How long the start waits for the secret: a disk that hangs keeps nobody from being served.
const SECRET_PATIENCE: Duration = Duration::from_secs(2);

/// How long the end waits for what is not written yet.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Copies that outlive the process, where the settings ask for that and there is a secret.
pub(crate) struct Keeping {
    bytes_max: u64,
    folder: PathBuf,
    scope: Scope,
    secret: Secret,
}

impl Keeping {
    /// Reads the secret, or makes one; says in the log why there is none.
    pub(crate) fn prepare(values: &Values) -> Option<Self> {
        let folder = values.state_dir.clone()?;
        let scope = match values.disk {
            DiskMode::All => Scope::All,
            DiskMode::Off => return None,
            DiskMode::Shared => Scope::Shared,
        };
        match secret(&folder) {
            Ok(secret) => Some(Self {
                bytes_max: u64::try_from(values.disk_bytes).unwrap_or(u64::MAX),
                folder: folder.join(COPIES),
                scope,
                secret,
            }),
            Err(why) => {
                tracing::warn!(
                    "copies will not outlive this process: {why} (RETTER_STATE_DIR={})",
                    folder.display()
                );
                None
            }
        }
    }

    /// By which keys are the same as in an earlier process.
    pub(crate) fn seed(&self) -> u64 {
        self.secret.seed()
    }

    /// Begins to keep the copies of a site, and to load those of an earlier process.
    pub(crate) fn start(self, site: &Site, clock: Clock) -> io::Result<std::sync::Arc<Disk>> {
        clock.tell(site);
        let options = Options {
            folder: self.folder,
            bytes_max: self.bytes_max,
            scope: self.scope,
            epoch: clock.epoch,
        };
        Disk::start(site, &self.secret, options)
    }
}

impl fmt::Debug for Keeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeping")
            .field("folder", &self.folder)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

fn secret(folder: &Path) -> Result<Secret, String> {
    let (sender, receiver) = channel();
    let folder = folder.to_owned();
    let reading = std::thread::Builder::new().name("secret".to_owned());
    let reading = reading.spawn(move || {
        // Nobody listens any more where it took too long.
        let _ = sender.send(Secret::open(&folder));
    });
    reading.map_err(|error| error.to_string())?;
    match receiver.recv_timeout(SECRET_PATIENCE) {
        Ok(secret) => secret.map_err(|error| error.to_string()),
        Err(_) => Err("the disk does not answer".to_owned()),
    }
}

/// What `retter check` says of the folder: how full it is, and whether it can be written.
pub(crate) fn inspect(values: &Values) -> String {
    let Some(state) = &values.state_dir else {
        return "in memory only: no RETTER_STATE_DIR is set, and all are gone when the program ends"
            .to_owned();
    };
    if values.disk == DiskMode::Off {
        return "in memory only (RETTER_CACHE_DISK=off)".to_owned();
    }
    let folder = state.join(COPIES);
    let (count, bytes) = match used(&folder) {
        Ok(used) => used,
        Err(error) if error.kind() == io::ErrorKind::NotFound => (0, 0),
        Err(error) => return format!("{} cannot be read: {error}", folder.display()),
    };
    let mib = |bytes: u64| bytes >> 20;
    let max = u64::try_from(values.disk_bytes).unwrap_or(u64::MAX);
    let full = format!("{} MiB of {} MiB in {count} segments", mib(bytes), mib(max));
    match probe(state) {
        Ok(()) => format!("{}: {full}; it can be written", folder.display()),
        Err(error) => format!(
            "{}: {full}; this user cannot write there ({error}): the program's user has to",
            folder.display()
        ),
    }
}

/// Number and bytes of the segments.
fn used(folder: &Path) -> io::Result<(usize, u64)> {
    let mut used = (0, 0);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|it| it == "copies") {
            used.0 += 1;
            used.1 += entry.metadata()?.len();
        }
    }
    Ok(used)
}

/// Makes a file in the folder, or in the one that it would be made in, and removes it.
fn probe(folder: &Path) -> io::Result<()> {
    let there = folder.ancestors().find(|folder| folder.is_dir());
    let there = there.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let file = there.join(format!(".retter-check-{}", std::process::id()));
    fs::File::create_new(&file)?;
    fs::remove_file(&file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Sources, load};

    fn values(state: Option<&Path>, disk: &str) -> Values {
        let mut flags = Vec::new();
        if let Some(state) = state {
            flags.push(("state.dir", state.display().to_string()));
            flags.push(("cache.disk", disk.to_owned()));
        }
        let sources = Sources {
            flags,
            ..Sources::default()
        };
        load(&sources).unwrap().values
    }

    #[test]
    fn copies_are_kept_where_there_is_a_folder_and_the_secret_stays_the_same() {
        let folder = std::env::temp_dir().join(format!("retter-keeping-{}", std::process::id()));
        assert!(Keeping::prepare(&values(None, "shared")).is_none());
        assert!(Keeping::prepare(&values(Some(&folder), "off")).is_none());
        let first = Keeping::prepare(&values(Some(&folder), "shared")).unwrap();
        let second = Keeping::prepare(&values(Some(&folder), "all")).unwrap();
        assert_eq!(first.seed(), second.seed());
        assert_eq!((first.scope, second.scope), (Scope::Shared, Scope::All));
        let said = inspect(&values(Some(&folder), "shared"));
        assert!(
            said.ends_with("0 MiB of 256 MiB in 0 segments; it can be written"),
            "{said}"
        );
        assert!(inspect(&values(None, "shared")).starts_with("in memory only"));
        fs::write(folder.join("secret"), b"").unwrap();
        assert!(Keeping::prepare(&values(Some(&folder), "shared")).is_none());
        fs::remove_dir_all(&folder).unwrap();
    }
}
