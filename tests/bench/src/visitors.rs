//! Owns the connections of visitors, kept open and used again as browsers do.
//! Never waits for an idle connection: there is always another one.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use crate::http::{Connection, Message};

/// How many idle connections a browser keeps.
const IDLE_MAX: usize = 6;

/// All visitors of one address.
#[derive(Debug)]
pub struct Visitors {
    address: SocketAddr,
    /// Each comes from a network of its own, rather than all from one address.
    are_apart: bool,
    idle: Mutex<HashMap<usize, Vec<Connection>>>,
}

impl Visitors {
    /// Nobody is connected yet.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            are_apart: false,
            idle: Mutex::new(HashMap::new()),
        }
    }

    /// The same, each from a network (/24) of its own.
    #[must_use]
    pub fn apart(address: SocketAddr) -> Self {
        Self {
            are_apart: true,
            ..Self::new(address)
        }
    }

    /// Whom they ask.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request of `visitor` and reads its response.
    ///
    /// # Errors
    /// When nobody accepts, or the connection breaks.
    pub async fn ask(&self, visitor: usize, request: &[u8]) -> io::Result<Message> {
        // As browsers do: when a connection that was kept turns out closed, on another one.
        while let Some(mut connection) = self.take(visitor) {
            match connection.ask(request).await {
                Err(error) if error.kind() == ErrorKind::NotConnected => {}
                Err(error) => return Err(error),
                Ok(answer) => {
                    self.park(visitor, connection);
                    return Ok(answer);
                }
            }
        }
        let mut connection = match self.are_apart {
            true => Connection::connect_from(network(visitor), self.address).await?,
            false => Connection::connect(self.address).await?,
        };
        let answer = connection.ask(request).await?;
        self.park(visitor, connection);
        Ok(answer)
    }

    fn take(&self, visitor: usize) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.get_mut(&visitor)?.pop()
    }

    fn park(&self, visitor: usize, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let own = idle.entry(visitor).or_default();
        if connection.is_open && own.len() < IDLE_MAX {
            own.push(connection);
        }
    }
}

/// An address in a network of a visitor's own.
fn network(visitor: usize) -> Ipv4Addr {
    const FIRST: u32 = u32::from_be_bytes([127, 1, 0, 1]);
    let number = u32::try_from(visitor).unwrap_or_default();
    Ipv4Addr::from_bits(FIRST + (number << 8))
}
