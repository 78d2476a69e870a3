//! Owns what the resolver of a program says: which addresses a name has, changed at any time.
//! Never asks or answers over the network, and changes nothing for any other program.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use crate::retter::command;

/// The name that has the addresses.
pub const NAME: &str = "app.test";

/// A file in place of `/etc/hosts`, which is all that the program knows of names.
#[derive(Debug)]
pub struct Names(PathBuf);

impl Names {
    /// [`NAME`] with these addresses; `None` where this machine lets nobody have a file system of
    /// his own, as many containers do.
    ///
    /// # Panics
    /// If the files cannot be written.
    #[must_use]
    pub fn new(addresses: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("retter-names-{}-{number}", process::id());
        let names = Self(env::temp_dir().join(name));
        fs::create_dir(&names.0).expect("a new folder");
        fs::write(names.0.join(SWITCH), "hosts: files\n").expect("a new file");
        names.are(addresses);
        let mut probe = names.command("true");
        let probe = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
        probe.is_ok_and(|status| status.success()).then_some(names)
    }

    /// From now on these are its addresses; without any, there is no such name.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn are(&self, addresses: &[&str]) {
        let lines = addresses
            .iter()
            .map(|address| format!("{address} {NAME}\n"));
        let hosts = self.0.join(HOSTS);
        // In place: what is mounted is this file.
        fs::write(hosts, lines.collect::<String>()).expect("the file can be written");
    }

    /// A command that runs `program` with these names.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        const MOUNT: &str = "mount --bind \"$1/hosts\" /etc/hosts && \
                             mount --bind \"$1/nsswitch.conf\" /etc/nsswitch.conf && exec \"$0\"";
        let folder: &Path = &self.0;
        let mut command = command("unshare");
        command
            .args(["--map-root-user", "--mount", "sh", "-c", MOUNT, program])
            .arg(folder);
        command
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const HOSTS: &str = "hosts";
const SWITCH: &str = "nsswitch.conf";
