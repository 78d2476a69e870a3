//! Owns how commands speak to the instance that runs with the same settings: by its socket, or by
//! its admin address.
//! Never starts one, and never says what an answer means: `command` does.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::Method;

use crate::client::{self, Error, Peer, Question, Reply};
use crate::settings::Choice;
use crate::settings::{Layer, Listen, Loaded};
use crate::socket;

/// An instance on the same machine answers in no time.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why it was not reached.
#[derive(Debug)]
pub(crate) enum Unreached {
    /// It was looked for there, and this is what came of it.
    At(String, Error),
    /// The settings name neither a socket nor an address.
    Nowhere,
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(place, error) => write!(
                f,
                "the instance was not reached at {place}: {error}\n  Is it running, with the same \
                 RETTER_ADMIN_SOCKET and RETTER_ADMIN_LISTEN as this command?"
            ),
            Self::Nowhere => f.write_str(
                "these settings name neither a socket nor an admin address, so the instance cannot be \
                 asked; set RETTER_ADMIN_SOCKET or RETTER_ADMIN_LISTEN, for it and for this command",
            ),
        }
    }
}

/// What the instance is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) method: &'a Method,
    pub(crate) target: &'a str,
    pub(crate) content: &'a [u8],
    /// Further fields.
    pub(crate) more: &'a [(&'a str, &'a str)],
    /// Of the answer's content.
    pub(crate) bytes_max: usize,
}

/// Asks the instance.
///
/// # Errors
/// It was not reached.
pub(crate) fn ask(loaded: &Loaded, method: &Method, target: &str) -> Result<Reply, Unreached> {
    let told = Told {
        method,
        target,
        content: b"",
        more: &[],
        bytes_max: 1 << 20,
    };
    tell(loaded, told)
}

/// Tells the instance something.
///
/// # Errors
/// It was not reached.
pub(crate) fn tell(loaded: &Loaded, told: Told<'_>) -> Result<Reply, Unreached> {
    for path in sockets(loaded) {
        match by_socket(&path, told) {
            // Nobody is there any more, or it is another's: there may be another way.
            Err(Error::Connect(_)) if loaded.values.admin_socket == Choice::Auto => {}
            Err(error) => return Err(Unreached::At(path.display().to_string(), error)),
            Ok(answer) => return Ok(answer),
        }
    }
    by_address(loaded, told)
}

/// Sockets to try. An address without a socket means the instance there.
fn sockets(loaded: &Loaded) -> Vec<PathBuf> {
    let is_named = |key| {
        let mut given = loaded.shown.iter();
        given.any(|given| given.spec.key == key && given.layer != Layer::Default)
    };
    if is_named("admin.listen") && !is_named("admin.socket") {
        return Vec::new();
    }
    socket::places(&loaded.values.admin_socket, |name| std::env::var_os(name))
}

fn by_socket(path: &std::path::Path, told: Told<'_>) -> Result<Reply, Error> {
    question(Peer::Socket(path), "localhost", told)
}

fn question(to: Peer<'_>, authority: &str, told: Told<'_>) -> Result<Reply, Error> {
    let question = Question {
        method: told.method,
        to,
        authority,
        path: told.target,
        content: told.content,
        more: told.more,
        timeout: TIMEOUT,
    };
    client::ask_for(question, told.bytes_max)
}

fn by_address(loaded: &Loaded, told: Told<'_>) -> Result<Reply, Unreached> {
    let values = &loaded.values;
    let listen = values.admin.as_ref().ok_or(Unreached::Nowhere)?;
    let addr = address_of(listen).map_err(|error| {
        let place = "its admin address".to_owned();
        Unreached::At(place, Error::Resolve(error))
    })?;
    let token = values.admin_token.as_ref();
    let token = token.map(|token| format!("Bearer {}", token.reveal()));
    let more = token.iter().map(|token| ("Authorization", token.as_str()));
    let more: Vec<_> = more.chain(told.more.iter().copied()).collect();
    let told = Told {
        more: &more,
        ..told
    };
    let host = addr.ip().to_string();
    let answer = question(Peer::Host(&host, addr.port()), &addr.to_string(), told);
    answer.map_err(|error| Unreached::At(format!("its admin address {addr}"), error))
}

/// Where it is reached on this machine that listens so.
///
/// # Errors
/// Its name has no address.
pub(crate) fn address_of(listen: &Listen) -> io::Result<SocketAddr> {
    let addrs = listen.addrs()?;
    let first = addrs.first().copied();
    let mut addr = first.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    Ok(addr)
}
