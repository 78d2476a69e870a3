//! Owns what is done to a connected socket past the runtime, on its descriptor.
//! Never reads or writes, and never blocks.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::SockRef;

/// Closes the writing half. A socket that is gone is found gone by the next read.
pub fn shut_write(socket: &impl AsFd) {
    let _ = SockRef::from(socket).shutdown(Shutdown::Write);
}

/// Makes the coming close a reset. Failing to set it leaves an ordinary close.
pub fn reset_on_close(socket: &impl AsFd) {
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// Sends what is written at once: heads and bodies are already gathered. A socket that died
/// meanwhile ends at its first read.
pub(crate) fn send_at_once(socket: &impl AsFd) {
    let _ = SockRef::from(socket).set_tcp_nodelay(true);
}

/// Bounds what the kernel holds of an answer beyond what is on its way: a client that takes it
/// slowly costs this, not the megabytes that a quick start made the kernel offer, and its
/// progress shows in smaller steps. Where it cannot be set, all works.
#[cfg(target_os = "linux")]
pub(crate) fn bound_unsent(socket: &impl AsFd) {
    const UNSENT_BYTES_MAX: u32 = 128 * 1024;
    let _ = SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
}

/// Only Linux has such a bound.
#[cfg(not(target_os = "linux"))]
pub(crate) fn bound_unsent(_: &impl AsFd) {}

/// Whether an idle connection is still open and silent: a byte that nobody asked for makes it as
/// useless as its end does.
pub(crate) fn is_alive(socket: &impl AsFd) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    let peeked = SockRef::from(socket).peek(&mut byte);
    matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// The other end, while it is connected.
pub(crate) fn peer_of(socket: &impl AsFd) -> Option<SocketAddr> {
    SockRef::from(socket).peer_addr().ok()?.as_socket()
}
