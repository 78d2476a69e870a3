//! Owns listening sockets: one set for each worker, on the same addresses.
//! Never accepts.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel completes before they are accepted. A surge must not be turned
/// away before the program sees it; the kernel caps it at its own limit.
const BACKLOG: i32 = 4096;

/// Binds every address once for each worker. Port 0 is chosen once, for all workers.
pub(crate) fn bind(
    addresses: &[SocketAddr],
    workers: usize,
) -> io::Result<(Vec<Vec<TcpListener>>, Vec<SocketAddr>)> {
    let mut sets: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    let mut bound = Vec::with_capacity(addresses.len());
    for &wanted in addresses {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{wanted}: {error}"));
        if wanted.port() != 0 {
            // With SO_REUSEPORT a second instance would silently share the port: ask once
            // without it, so that "address in use" is told.
            drop(listener(wanted, false).map_err(named)?);
        }
        let mut address = wanted;
        for set in &mut sets {
            let listener = listener(address, true).map_err(named)?;
            address = listener.local_addr()?;
            set.push(listener);
        }
        bound.push(address);
    }
    Ok((sets, bound))
}

fn listener(address: SocketAddr, share_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // The wildcard takes IPv4 too.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
