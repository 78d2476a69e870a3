//! Owns a loopback port that stays a test's own while nobody listens on it.
//! Never listens itself: a connect to a reserved port without a program is refused.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A reserved port. Programs that set `SO_REUSEADDR`, as servers do, may listen on it; the system
/// gives it to nobody else, neither to a listener on port 0 nor to an outgoing connection.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _bound: Socket,
}

impl Port {
    /// Reserves a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn reserve() -> Self {
        Self::reserve_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Reserves this one.
    ///
    /// # Panics
    /// If it is taken.
    #[must_use]
    pub fn reserve_at(address: SocketAddr) -> Self {
        let bind = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            let address = socket.local_addr()?.as_socket();
            Ok::<_, std::io::Error>((address.expect("it was bound to an address"), socket))
        };
        let (address, bound) = bind().expect("a free loopback port");
        Self {
            address,
            _bound: bound,
        }
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}
