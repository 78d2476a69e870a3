//! Owns a Redis for tests: its process on a free port, what a test asks it directly, and a man in the middle
//! between it and whoever asks.
//! Never keeps anything on the disk.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rustix::process::Signal;

use crate::DEADLINE;
use crate::port::Port;
use crate::program::Program;

/// A running Redis.
#[derive(Debug)]
pub struct Redis {
    more: Vec<String>,
    port: Port,
    program: Option<Program>,
}

impl Redis {
    /// Starts one, with these settings as its command line takes them.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn start(more: &[&str]) -> Self {
        let more = more.iter().map(|it| (*it).to_owned()).collect();
        let mut redis = Self {
            more,
            port: Port::reserve(),
            program: None,
        };
        redis.start_again();
        redis
    }

    /// Starts it on the same port, after it was [killed](Self::kill); with nothing in it.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start_again(&mut self) {
        let port = self.port.address().port().to_string();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "no", "--daemonize", "no"]);
        command.args(&self.more).current_dir(std::env::temp_dir());
        let program = Program::start(&mut command);
        program.wait_for("that it is ready", |line| {
            line.contains("Ready to accept connections").then_some(())
        });
        self.program = Some(program);
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// As a setting names it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(program) = self.program.take() {
            program.kill();
        }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it does not run.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let program = self.program.as_ref().expect("it runs");
        program.signal(signal);
    }

    /// Asks it, and gives its whole reply as it came.
    ///
    /// # Panics
    /// If it does not answer.
    #[track_caller]
    #[must_use]
    pub fn ask(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address()).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        stream.write_all(&command(parts)).expect("it reads");
        // Whatever it answers is followed by this.
        stream.write_all(b"QUIT\r\n").expect("it reads");
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).expect("it answers");
        let reply = reply.strip_suffix(b"+OK\r\n");
        reply.expect("its answer to the end").to_vec()
    }

    /// The same, as text.
    ///
    /// # Panics
    /// If it does not answer.
    #[track_caller]
    #[must_use]
    pub fn say(&self, words: &str) -> String {
        let parts: Vec<_> = words.split(' ').map(str::as_bytes).collect();
        String::from_utf8_lossy(&self.ask(&parts)).into_owned()
    }

    /// The names of all that is in it and has `part` in its name.
    ///
    /// # Panics
    /// If it does not answer.
    #[track_caller]
    #[must_use]
    pub fn names(&self, part: &str) -> Vec<String> {
        let said = self.say("KEYS *");
        let names = said.lines().filter(|line| line.contains(part));
        names.map(str::to_owned).collect()
    }

    /// The bytes under a name.
    ///
    /// # Panics
    /// If there are none.
    #[track_caller]
    #[must_use]
    pub fn get(&self, name: &str) -> Vec<u8> {
        let reply = self.ask(&[b"GET", name.as_bytes()]);
        let begin = reply.iter().position(|byte| *byte == b'\n');
        let begin = begin.expect("a line") + 1;
        reply[begin..reply.len() - 2].to_vec()
    }

    /// How often it was asked with a command since the start.
    ///
    /// # Panics
    /// If it does not answer.
    #[track_caller]
    #[must_use]
    pub fn calls(&self, command: &str) -> u64 {
        let said = self.say("INFO commandstats");
        let wanted = format!("cmdstat_{command}:calls=");
        let mut lines = said.lines();
        let found = lines.find_map(|line| line.strip_prefix(wanted.as_str()));
        let digits = found.and_then(|rest| rest.split(',').next());
        digits.map_or(0, |digits| digits.parse().expect("a number"))
    }
}

/// A command as it is sent.
#[must_use]
pub fn command(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", parts.len()).into_bytes();
    for part in parts {
        bytes.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        bytes.extend_from_slice(part);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Stands between a Redis and whoever asks it, and changes each value that goes by.
#[derive(Debug)]
pub struct Liar {
    address: SocketAddr,
}

impl Liar {
    /// Begins to stand before `redis`; `change` is given each text of more than 64 bytes in its replies.
    ///
    /// # Panics
    /// If there is no port.
    #[must_use]
    pub fn start(redis: SocketAddr, change: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let change = Arc::new(change);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(redis) else {
                    continue;
                };
                let change = Arc::clone(&change);
                let (mut from, mut to) = pair(&client, &server);
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
                thread::spawn(move || {
                    let _ = lie(&server, &client, &*change);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address }
    }

    /// As a setting names it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

fn pair(one: &TcpStream, other: &TcpStream) -> (TcpStream, TcpStream) {
    let clone = |stream: &TcpStream| stream.try_clone().expect("a second handle");
    (clone(one), clone(other))
}

fn lie(
    server: &TcpStream,
    mut client: &TcpStream,
    change: &dyn Fn(&mut [u8]),
) -> std::io::Result<()> {
    let mut server = BufReader::new(server);
    loop {
        let mut line = Vec::new();
        if server.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        client.write_all(&line)?;
        let len = line
            .strip_prefix(b"$")
            .and_then(|rest| std::str::from_utf8(rest).ok());
        let Some(len) = len.and_then(|len| len.trim().parse::<usize>().ok()) else {
            continue;
        };
        let mut text = vec![0; len + 2];
        server.read_exact(&mut text)?;
        if len > 64 {
            change(&mut text[..len]);
        }
        client.write_all(&text)?;
    }
}

/// Waits until `is_so`, asking again and again.
///
/// # Panics
/// If it never is.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < until, "{what} does not come");
        thread::yield_now();
    }
}
