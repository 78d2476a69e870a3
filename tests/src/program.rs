//! Owns a program that runs as a process: its start, what it prints, its signals and its end.
//! Never outlives its value: dropping it kills the process.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, kill_process, prlimit, waitid,
};

use crate::DEADLINE;
use crate::signal::Watched;

/// A running program.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    printed: Arc<Watched<Printed>>,
}

#[derive(Debug, Default)]
struct Printed {
    out: Vec<String>,
    err: Vec<String>,
    ended: usize,
    /// Nothing is read while it is so.
    is_held: bool,
    /// Outputs whose reading has come to a halt.
    halted: usize,
}

impl Program {
    /// Starts `command` with both outputs captured.
    ///
    /// # Panics
    /// If it cannot be started; the message says what to do.
    #[track_caller]
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot start {name} ({error}): `bash tests/run.sh` installs what is needed")
            });
        let printed = Arc::new(Watched::<Printed>::default());
        let out = child.stdout.take().expect("stdout is piped");
        let err = child.stderr.take().expect("stderr is piped");
        capture(out, Arc::clone(&printed), |printed| &mut printed.out);
        capture(err, Arc::clone(&printed), |printed| &mut printed.err);
        Self {
            name,
            child,
            printed,
        }
    }

    /// Waits until `find` finds something in a line of either output.
    ///
    /// # Panics
    /// If the program ends first, or never prints it; with all that it did print.
    #[track_caller]
    pub fn wait_for<R>(&self, what: &str, find: impl Fn(&str) -> Option<R>) -> R {
        let found = self.printed.wait(DEADLINE, |printed| {
            let mut lines = printed.err.iter().chain(&printed.out);
            match lines.find_map(|line| find(line)) {
                Some(found) => Some(Some(found)),
                None => (printed.ended == OUTPUTS).then_some(None),
            }
        });
        match found.flatten() {
            Some(found) => found,
            None => panic!("{} did not print {what}:\n{}", self.name, self.errors()),
        }
    }

    /// Reads neither output any more, and fills the pipe of `output`: the program's next write to
    /// it waits.
    ///
    /// # Panics
    /// If the pipe cannot be filled.
    #[track_caller]
    pub fn stall(&self, output: Output) {
        self.printed.change(|printed| printed.is_held = true);
        for number in [Output::Out, Output::Err] {
            // Opened anew, so that only this end does not wait.
            let path = format!("/proc/{}/fd/{}", self.child.id(), number as u8);
            let flags = OFlags::WRONLY | OFlags::NONBLOCK;
            let pipe = rustix::fs::open(path, flags, Mode::empty()).expect("a pipe of the child");
            let mut pipe = File::from(pipe);
            pipe.write_all(b"\n").expect("it is empty");
            let halted = self.printed.wait(DEADLINE, |printed| {
                (printed.halted > number as usize - 1).then_some(())
            });
            assert!(halted.is_some(), "reading comes to a halt");
            if number == output {
                while pipe.write(b"#").is_ok() {}
            }
        }
    }

    /// Reads on what [`stall`](Self::stall) left.
    pub fn read_on(&self) {
        self.printed.change(|printed| printed.is_held = false);
    }

    /// Waits for the end though nobody reads what it prints.
    ///
    /// # Panics
    /// If it does not end before the deadline.
    #[track_caller]
    pub fn end_unread(&mut self) -> ExitStatus {
        let (pid, ended) = (self.pid(), Arc::new(Watched::new(false)));
        let watched = Arc::clone(&ended);
        thread::spawn(move || {
            let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = waitid(WaitId::Pid(pid), how);
            watched.change(|ended| *ended = true);
        });
        let ended = ended.wait(DEADLINE, |ended| ended.then_some(()));
        assert!(ended.is_some(), "{} does not end", self.name);
        self.child.wait().expect("a child can be waited for")
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If the process is gone.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is there");
    }

    /// Waits for the end, at most `limit`; `None` when it still runs then.
    ///
    /// # Panics
    /// If the system cannot say.
    pub fn end_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.printed
            .wait(limit, |printed| (printed.ended == OUTPUTS).then_some(()))?;
        Some(self.child.wait().expect("a child can be waited for"))
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// If it does not end before the deadline.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        match self.end_within(DEADLINE) {
            Some(status) => status,
            None => panic!("{} does not end:\n{}", self.name, self.errors()),
        }
    }

    /// Kills it, as a crash would end it, and waits until it is gone.
    pub fn kill(mut self) {
        self.kill_and_wait();
    }

    /// All it printed to its standard output so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.printed.lock().out.join("\n")
    }

    /// All it printed to its standard error so far.
    #[must_use]
    pub fn errors(&self) -> String {
        self.printed.lock().err.join("\n")
    }

    /// The value in bytes of a `kB` line of `/proc/PID/status`, as `VmHWM`.
    ///
    /// # Panics
    /// If there is no such line.
    #[track_caller]
    #[must_use]
    pub fn memory(&self, line: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the process is there");
        status
            .lines()
            .find_map(|found| found.strip_prefix(line)?.strip_prefix(':'))
            .and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .map(|kib| kib * 1024)
            .expect("the line is there, in kB")
    }

    /// Lets it open files and sockets whose numbers are below `end` only; those it has stay open.
    ///
    /// # Panics
    /// If the system does not allow that.
    #[track_caller]
    pub fn limit_files(&self, end: u64) {
        // What a process has of it, its children have too.
        let maximum = getrlimit(Resource::Nofile).maximum;
        let current = Some(end);
        let limit = Rlimit { current, maximum };
        prlimit(Some(self.pid()), Resource::Nofile, limit).expect("a child can be limited");
    }

    fn pid(&self) -> Pid {
        let id = i32::try_from(self.child.id()).expect("process ids are positive i32");
        Pid::from_raw(id).expect("a child's id is not 0")
    }

    fn kill_and_wait(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.read_on();
        self.kill_and_wait();
    }
}

/// Standard output and standard error.
const OUTPUTS: usize = 2;

/// One of them, by its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Output {
    /// Standard output.
    Out = 1,
    /// Standard error.
    Err = 2,
}

fn capture(
    output: impl Read + Send + 'static,
    printed: Arc<Watched<Printed>>,
    lines: fn(&mut Printed) -> &mut Vec<String>,
) {
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            let is_held = printed.change(|printed| {
                lines(printed).push(line);
                printed.halted += usize::from(printed.is_held);
                printed.is_held
            });
            if is_held {
                let is_free = |printed: &mut Printed| (!printed.is_held).then_some(());
                while printed.wait(DEADLINE, is_free).is_none() {}
                printed.change(|printed| printed.halted -= 1);
            }
        }
        printed.change(|printed| printed.ended += 1);
    });
}
