//! Owns a program that is measured: its start, what `/proc` says of it and its children, its end.
//! Never outlives its value, and dies with the bench: `setpriv` asks the kernel for that.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::{Result, error};

/// How long a program may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running program, with everything that it forked.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` with its output in the file `log`, and waits until `address` accepts.
    ///
    /// # Errors
    /// When it cannot be started, ends, or does not listen; with what it printed.
    pub fn start(command: &Command, log: &Path, address: SocketAddr) -> Result<Self> {
        let output = File::create(log)?;
        let mut wrapped = Command::new("setpriv");
        // Settings of RETTER come from the bench alone, so that a run can be repeated.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RETTER_")) {
            wrapped.env_remove(name);
        }
        let child = wrapped
            .args(["--pdeathsig", "TERM", "--"])
            .arg(command.get_program())
            .args(command.get_args())
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut process = Self { child };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let ended = process.child.try_wait()?.is_some();
            if ended || Instant::now() > deadline {
                let name = command.get_program().to_string_lossy();
                let printed = fs::read_to_string(log)?;
                return Err(error(format!(
                    "{name} does not listen on {address}:\n{printed}"
                )));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(process)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// User and system time of it and all its descendants so far.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn cpu(&self) -> Result<Duration> {
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        let ticks = self.tree()?.iter().map(|stat| stat.ticks).sum::<u64>();
        Ok(Duration::from_nanos(
            ticks * 1_000_000_000 / ticks_per_second,
        ))
    }

    /// Memory in bytes that it and all its descendants hold, each shared page counted once
    /// (proportional set size).
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn memory(&self) -> Result<u64> {
        let mut kib = 0;
        for stat in self.tree()? {
            let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", stat.id))?;
            kib += rollup
                .lines()
                .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"))
                .and_then(|value| value.trim().parse::<u64>().ok())
                .ok_or_else(|| error("smaps_rollup without Pss"))?;
        }
        Ok(kib * 1024)
    }

    /// The process ids of it and all its descendants.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn ids(&self) -> Result<Vec<u32>> {
        Ok(self.tree()?.iter().map(|stat| stat.id).collect())
    }

    fn tree(&self) -> Result<Vec<Stat>> {
        let mut all = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            // One that ends between the two reads is not there any more.
            if let Some(id) = name.to_str().and_then(|name| name.parse().ok()) {
                all.extend(Stat::read(id));
            }
        }
        let mut tree: Vec<Stat> = Vec::new();
        let mut parents = vec![self.child.id()];
        while let Some(id) = parents.pop() {
            tree.extend(all.iter().filter(|stat| stat.id == id));
            parents.extend(
                all.iter()
                    .filter(|stat| stat.parent == id)
                    .map(|stat| stat.id),
            );
        }
        if tree.is_empty() {
            return Err(error("a contender has ended"));
        }
        Ok(tree)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        let grace = Timespec {
            tv_sec: 3,
            tv_nsec: 0,
        };
        // Readable when it has ended.
        if let Some(end) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) {
            let _ = poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&grace));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What matters of `/proc/PID/stat`, see proc(5).
#[derive(Clone, Copy)]
struct Stat {
    id: u32,
    parent: u32,
    ticks: u64,
}

impl Stat {
    fn read(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name in parentheses may hold spaces; field 3 follows it.
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            id,
            parent: u32::try_from(field(4)?).ok()?,
            ticks: field(14)? + field(15)?,
        })
    }
}
