//! Owns where segments are: [`Folder`], and that of the file system ([`Directory`]).
//! Never knows what is in a segment.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, flock};

/// Where segments are, each by its number. A test has one that fails or hangs.
pub(crate) trait Folder: Send + Sync {
    /// Makes it ready; `false` while another process has it.
    fn open(&self) -> io::Result<bool>;

    /// The numbers of the segments that are there.
    fn list(&self) -> io::Result<Vec<u64>>;

    /// A new segment.
    fn create(&self, number: u64) -> io::Result<Box<dyn Segment>>;

    /// All bytes of a segment.
    fn read(&self, number: u64) -> io::Result<Vec<u8>>;

    fn remove(&self, number: u64) -> io::Result<()>;

    /// All bytes of the file of what was found out; `None` where there is none.
    fn read_learnt(&self) -> io::Result<Option<Vec<u8>>>;

    /// That file anew: it has these bytes, and would outlive a power cut, before it takes the place of the
    /// one before.
    fn replace_learnt(&self, bytes: &[u8]) -> io::Result<Box<dyn Segment>>;
}

/// A segment that is written.
pub(crate) trait Segment: Send + Sync {
    /// Writes at the end; after an error some of it may be there.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts it.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Returns when what was written would outlive a power cut.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the file system, which only its owner can read.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Locked as long as this process has the folder.
    lock: std::sync::OnceLock<File>,
}

impl Directory {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            lock: std::sync::OnceLock::new(),
        }
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:016x}{SUFFIX}"))
    }
}

const SUFFIX: &str = ".copies";

const LEARNT: &str = "learnt";

impl Folder for Directory {
    fn open(&self) -> io::Result<bool> {
        create_dir(&self.path)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(self.path.join("lock"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // Nobody else opens it.
                let _ = self.lock.set(lock);
                Ok(true)
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn list(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            let number = number.filter(|number| number.len() == 16);
            numbers.extend(number.and_then(|number| u64::from_str_radix(number, 16).ok()));
        }
        Ok(numbers)
    }

    fn create(&self, number: u64) -> io::Result<Box<dyn Segment>> {
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(0o600);
        Ok(Box::new(Appended {
            file: options.open(self.segment(number))?,
            folder: self.path.clone(),
            is_named: AtomicBool::new(false),
        }))
    }

    fn read(&self, number: u64) -> io::Result<Vec<u8>> {
        fs::read(self.segment(number))
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        match fs::remove_file(self.segment(number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn read_learnt(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path.join(LEARNT)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    fn replace_learnt(&self, bytes: &[u8]) -> io::Result<Box<dyn Segment>> {
        let new = self.path.join(format!("{LEARNT}.new"));
        let _ = fs::remove_file(&new);
        let mut options = OpenOptions::new();
        let file = options
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        (&file).write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&new, self.path.join(LEARNT))?;
        Ok(Box::new(Appended {
            file,
            folder: self.path.clone(),
            is_named: AtomicBool::new(false),
        }))
    }
}

/// Makes a folder that only its owner can read, where there is none.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[derive(Debug)]
struct Appended {
    file: File,
    folder: PathBuf,
    /// Its name would outlive a power cut.
    is_named: AtomicBool,
}

impl Segment for Appended {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        if !self.is_named.load(Ordering::Relaxed) {
            File::open(&self.folder)?.sync_all()?;
            self.is_named.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}
