//! Owns what the resolver of a program says: which addresses a name has, changed at any time.
//! Never asks or answers over the network, and changes nothing for any other program.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};
use std::{env, fs, process};

use crate::retter::command;

/// The name that has the addresses.
pub const NAME: &str = "app.test";

/// Debian's libnss-wrapper: the C library's look-ups, from a file.
const WRAPPER: &str = "libnss_wrapper.so";

/// A file in place of `/etc/hosts`, which is all that the program knows of names.
#[derive(Debug)]
pub struct Names {
    hosts: PathBuf,
    /// The wrapper reads the file again when its whole second of change is another one.
    changed: SystemTime,
}

impl Names {
    /// [`NAME`] with these addresses.
    ///
    /// # Panics
    /// If the file cannot be written.
    #[must_use]
    pub fn new(addresses: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("retter-names-{}-{number}", process::id());
        let mut names = Self {
            hosts: env::temp_dir().join(name),
            changed: SystemTime::now(),
        };
        names.are(addresses);
        names
    }

    /// From now on these are its addresses; without any, there is no such name.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn are(&mut self, addresses: &[&str]) {
        // Empty files are not read.
        let mut hosts = "192.0.2.1 other.test\n".to_owned();
        for address in addresses {
            hosts.extend([address, " ", NAME, "\n"]);
        }
        self.changed += Duration::from_secs(1);
        // Nobody reads half of it.
        let new = self.hosts.with_extension("new");
        fs::write(&new, hosts).expect("a new file");
        let file = fs::File::options().append(true).open(&new);
        file.and_then(|file| file.set_modified(self.changed))
            .expect("it is ours");
        fs::rename(new, &self.hosts).expect("in the same folder");
    }

    /// A command that runs `program` with these names.
    ///
    /// # Panics
    /// Without the wrapper, that every look-up would go to the machine's own names.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let with_names = |program: &str| {
            let mut command = command(program);
            command
                .env("LD_PRELOAD", WRAPPER)
                .env("NSS_WRAPPER_HOSTS", &self.hosts);
            command
        };
        // The loader tells of a library that is not there, and goes on without it.
        let told = with_names("true").output().expect("it runs").stderr;
        let told = String::from_utf8_lossy(&told);
        assert!(
            told.is_empty(),
            "{told}: install libnss-wrapper, as tests/run.sh does"
        );
        with_names(program)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.hosts);
    }
}
