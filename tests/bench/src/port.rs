//! Owns free loopback ports for programs that must be told where to listen.
//! Never listens itself: a connect to a reserved port without a program is refused.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A port that the system gives to nobody else. Programs that set `SO_REUSEADDR`, as servers do,
/// may listen on it.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _bound: Socket,
}

impl Port {
    /// Reserves a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is none.
    pub fn reserve() -> io::Result<Self> {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        bound.set_reuse_address(true)?;
        bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let address = bound.local_addr()?.as_socket();
        Ok(Self {
            address: address.ok_or_else(|| io::Error::other("no address was bound"))?,
            _bound: bound,
        })
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}
