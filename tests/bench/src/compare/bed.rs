//! Owns what is set up for a measurement: the origin, the contenders in front of it, and the
//! questions that show that they do what the measurement claims.
//! Never reports.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::responder::{COUNT, FAIL};
use crate::contender::{Contender, Kind, Running};
use crate::port::Port;
use crate::process::Process;
use crate::{Result, error};

/// The origin and every contender, running.
#[derive(Debug)]
pub struct Bed {
    /// Where files of contenders and loads are.
    pub directory: PathBuf,
    /// The contenders in their order.
    pub contenders: Vec<(Contender, Running)>,
    origin: Option<Process>,
    port: Port,
}

impl Bed {
    /// Starts the origin and `contenders`.
    ///
    /// # Errors
    /// When one of them does not start.
    pub fn start(directory: &Path, contenders: &[Contender]) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let port = Port::reserve()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["responder", &port.address().to_string()]);
        let origin = Process::start(&command, &directory.join("origin.log"), port.address())?;
        let mut running = Vec::new();
        for contender in contenders {
            running.push((
                contender.clone(),
                contender.start(port.address(), directory)?,
            ));
        }
        Ok(Self {
            directory: directory.to_owned(),
            contenders: running,
            origin: Some(origin),
            port,
        })
    }

    /// How many pages the origin was asked for.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn asked(&self) -> Result<f64> {
        if self.origin.is_none() {
            return Ok(0.0);
        }
        let answer = ask(self.port.address(), COUNT, false)?;
        Ok(String::from_utf8_lossy(&answer.body).parse()?)
    }

    /// Makes the origin answer pages with 500.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn fail_origin(&self) -> Result<()> {
        ask(self.port.address(), FAIL, false).map(drop)
    }

    /// Ends the origin.
    pub fn kill_origin(&mut self) {
        self.origin = None;
    }
}

/// Asks a contender until its answers come from a copy although the origin is not well.
///
/// # Errors
/// When they never do.
pub fn settle(contender: &Contender, address: SocketAddr, path: &str) -> Result<()> {
    // Long enough for a copy of one second to become stale, and for the circuit to open.
    thread::sleep(Duration::from_millis(1500));
    for _ in 0..200 {
        let answer = ask(address, path, false)?;
        let is_open = answer.head.contains("x-circuit: open");
        if answer.status == 200 && (is_open || !matches!(contender.kind, Kind::Retter { .. })) {
            return Ok(());
        }
    }
    Err(error(format!("{} does not rescue", contender.name)))
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Status line and fields in lower case.
    pub head: String,
    /// Its content.
    pub body: Vec<u8>,
}

/// Asks for a page on a connection of its own.
///
/// # Errors
/// When there is no answer.
pub fn ask(address: SocketAddr, path: &str, gzip: bool) -> Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let accept = if gzip {
        "Accept-Encoding: gzip\r\n"
    } else {
        ""
    };
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\n{accept}Connection: close\r\n\r\n"
    )?;
    let mut bytes = Vec::new();
    // The responder keeps connections open whatever it is asked: its length says where it ends.
    let mut block = vec![0; 256 << 10];
    loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length: Option<usize> = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if let Some(length) = length
                && bytes.len() >= end + 4 + length
            {
                return parse(head, bytes.split_off(end + 4));
            }
        }
        match stream.read(&mut block)? {
            0 => break,
            count => bytes.extend_from_slice(&block[..count]),
        }
    }
    let end = memchr::memmem::find(&bytes, b"\r\n\r\n").ok_or_else(|| error("no head"))?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    parse(head, bytes.split_off(end + 4))
}

fn parse(head: String, body: Vec<u8>) -> Result<Answer> {
    let status = head.get(9..12).and_then(|digits| digits.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(|| error("no status"))?,
        head,
        body,
    })
}
