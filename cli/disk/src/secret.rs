//! Owns what has to stay secret and the same from one start to the next ([`Secret`]): from what keys are
//! hashed with, and what seals records.
//! Never shows it.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::folder::create_dir;

/// The name of its file in the folder of the state.
const FILE: &str = "secret";

const BYTES: usize = 8 + SEAL_BYTES;
pub(crate) const SEAL_BYTES: usize = 32;

/// What the process keeps for itself.
#[derive(Clone)]
pub struct Secret {
    bytes: [u8; BYTES],
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is not what was written.
    #[error("{0} is damaged; delete it, and the copies beside it that it belongs to")]
    Damaged(String),
    /// Others could read it.
    #[error("others than its owner can read {0}; `chmod 600` it")]
    Exposed(String),
    /// The operating system said no.
    #[error("{0}: {1}")]
    Io(String, io::Error),
}

impl Secret {
    /// Reads that of a folder, or makes one.
    ///
    /// # Errors
    /// Why there is none.
    pub fn open(folder: &Path) -> Result<Self, SecretError> {
        let path = folder.join(FILE);
        let shown = path.display().to_string();
        let failed = |error| SecretError::Io(shown.clone(), error);
        create_dir(folder).map_err(failed)?;
        if !path.try_exists().map_err(failed)? {
            create(folder, &path).map_err(failed)?;
        }
        if fs::metadata(&path).map_err(failed)?.mode() & 0o077 != 0 {
            return Err(SecretError::Exposed(shown));
        }
        let bytes = fs::read(&path).map_err(failed)?;
        let bytes = bytes.try_into();
        let bytes = bytes.map_err(|_| SecretError::Damaged(shown.clone()))?;
        Ok(Self { bytes })
    }

    /// The seed of a site: with the same one keys are the same.
    #[must_use]
    pub fn seed(&self) -> u64 {
        let (seed, _) = self.bytes.split_first_chunk().unwrap_or((&[0; 8], &[]));
        u64::from_le_bytes(*seed)
    }

    /// What seals records.
    pub(crate) fn seal(&self) -> [u8; SEAL_BYTES] {
        let (_, seal) = self
            .bytes
            .split_last_chunk()
            .unwrap_or((&[], &[0; SEAL_BYTES]));
        *seal
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// Makes a secret. It gets its name when it is whole, and only where no other process was first.
fn create(folder: &Path, path: &Path) -> io::Result<()> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let whole = folder.join(format!("{FILE}.{}", std::process::id()));
    let _ = fs::remove_file(&whole);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&whole)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    let named = fs::hard_link(&whole, path);
    fs::remove_file(&whole)?;
    match named {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        named => named,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_the_same_at_the_next_start_and_nobody_else_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let first = Secret::open(&state).unwrap();
        let second = Secret::open(&state).unwrap();
        assert_eq!((first.seed(), first.seal()), (second.seed(), second.seal()));
        assert_ne!(first.seal(), [0; SEAL_BYTES]);
        assert_eq!(format!("{first:?}"), "(not shown)");
        let file = state.join(FILE);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1);

        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Secret::open(&state), Err(SecretError::Exposed(_))));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, b"short").unwrap();
        assert!(matches!(Secret::open(&state), Err(SecretError::Damaged(_))));
        let other = folder.path().join("other");
        assert_ne!(Secret::open(&other).unwrap().seed(), first.seed());
    }
}
