//! Owns a connection to the Redis ([`Link`]): commands out, replies in, each with a deadline.
//! Never tries twice: whoever has it does.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::resp::{self, Reply};

/// What is wrong with the Redis.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Trouble {
    /// It cannot be reached, or has closed the connection.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It does not answer in time.
    #[error("it does not answer")]
    Slow,
    /// It answers with an error: user and password are wrong, or its memory is full.
    #[error("it answers: {0}")]
    Refused(String),
    /// What answers there is no Redis.
    #[error("what answers there does not speak its protocol")]
    Unreadable,
}

impl Trouble {
    fn of(error: &io::Error) -> Self {
        let slow = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
        match slow.contains(&error.kind()) {
            true => Self::Slow,
            false => Self::Unreachable(error.to_string()),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    /// What has come and is no whole reply yet.
    bytes: Vec<u8>,
}

impl Link {
    /// Connects and signs in.
    pub(crate) fn connect(address: &Address, patience: Duration) -> Result<Self, Trouble> {
        let until = Instant::now() + patience;
        let unreachable = |error: io::Error| Trouble::of(&error);
        let found = (address.host.as_str(), address.port).to_socket_addrs();
        let mut why = Trouble::Unreachable("its name has no address".to_owned());
        for found in found.map_err(unreachable)? {
            match TcpStream::connect_timeout(&found, left(until)) {
                Ok(stream) => return Self::sign_in(stream, address, until),
                Err(error) => why = Trouble::of(&error),
            }
        }
        Err(why)
    }

    fn sign_in(stream: TcpStream, address: &Address, until: Instant) -> Result<Self, Trouble> {
        stream
            .set_nodelay(true)
            .map_err(|error| Trouble::of(&error))?;
        let mut link = Self {
            stream,
            bytes: Vec::new(),
        };
        let mut commands = Vec::new();
        let mut count = 1;
        if let Some(password) = &address.password {
            match &address.user {
                Some(user) => resp::put(
                    &mut commands,
                    &[b"AUTH", user.as_bytes(), password.as_bytes()],
                ),
                None => resp::put(&mut commands, &[b"AUTH", password.as_bytes()]),
            }
            count += 1;
        }
        if address.database > 0 {
            let database = address.database.to_string();
            resp::put(&mut commands, &[b"SELECT", database.as_bytes()]);
            count += 1;
        }
        resp::put(&mut commands, &[b"PING"]);
        for reply in link.call(&commands, count, until)? {
            if let Reply::Error(why) = reply {
                return Err(Trouble::Refused(why));
            }
        }
        Ok(link)
    }

    /// Sends commands and waits for as many replies. After an error the connection is of no use.
    pub(crate) fn call(
        &mut self,
        commands: &[u8],
        count: usize,
        until: Instant,
    ) -> Result<Vec<Reply>, Trouble> {
        let failed = |error: io::Error| Trouble::of(&error);
        let stream = &mut self.stream;
        stream
            .set_write_timeout(Some(left(until)))
            .map_err(failed)?;
        stream.write_all(commands).map_err(failed)?;
        let mut replies = Vec::with_capacity(count);
        while replies.len() < count {
            replies.push(self.reply(until)?);
        }
        Ok(replies)
    }

    fn reply(&mut self, until: Instant) -> Result<Reply, Trouble> {
        let mut chunk = [0; 32 * 1024];
        loop {
            match resp::read(&self.bytes) {
                Ok(Some((reply, len))) => {
                    self.bytes.drain(..len);
                    return Ok(reply);
                }
                Ok(None) => {}
                Err(resp::Unreadable) => return Err(Trouble::Unreadable),
            }
            let failed = |error: io::Error| Trouble::of(&error);
            if until <= Instant::now() {
                return Err(Trouble::Slow);
            }
            let timeout = Some(left(until));
            self.stream.set_read_timeout(timeout).map_err(failed)?;
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    return Err(Trouble::Unreachable(
                        "it has closed the connection".to_owned(),
                    ));
                }
                Ok(len) => self.bytes.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

/// What is left until then; the operating system takes no zero.
fn left(until: Instant) -> Duration {
    let left = until.saturating_duration_since(Instant::now());
    left.max(Duration::from_millis(1))
}
