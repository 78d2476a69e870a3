//! Owns a network namespace with one wire to this machine: a client in it comes from another
//! address than loopback.
//! Never outlives its value: dropping it takes the namespace and the wire away.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{self, Command};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network of its own, of two addresses.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    wire: String,
    here: Ipv4Addr,
    there: Ipv4Addr,
}

impl Namespace {
    /// Makes one. `number`, below 64, tells apart those of one test program.
    ///
    /// # Panics
    /// If the system does not allow that: it takes root, and Debian's `iproute2`.
    #[track_caller]
    #[must_use]
    pub fn new(number: u8) -> Self {
        let id = process::id();
        // 198.18.0.0/15 is for tests of network devices (RFC 2544): nobody else is there.
        let [third, ..] = id.to_le_bytes();
        let address = |last: u8| Ipv4Addr::new(198, 18, third, number * 4 + last);
        let namespace = Self {
            name: format!("retter-{id}-{number}"),
            wire: format!("rt{id}.{number}"),
            here: address(1),
            there: address(2),
        };
        let Self { name, wire, .. } = &namespace;
        let (here, there) = (namespace.here, namespace.there);
        for command in [
            format!("netns add {name}"),
            format!("link add {wire} type veth peer name eth0 netns {name}"),
            format!("address add {here}/30 dev {wire}"),
            format!("link set {wire} up"),
            format!("-n {name} address add {there}/30 dev eth0"),
            format!("-n {name} link set eth0 up"),
        ] {
            ip(&command).unwrap_or_else(|why| {
                panic!(
                    "no network namespace can be made: `ip {command}`: {why}\nThis test needs root \
                     (CAP_NET_ADMIN, CAP_SYS_ADMIN) and Debian's `iproute2`."
                )
            });
        }
        namespace
    }

    /// The address by which this machine is reached from inside.
    #[must_use]
    pub const fn here(&self) -> Ipv4Addr {
        self.here
    }

    /// The address that clients inside come from.
    #[must_use]
    pub const fn there(&self) -> Ipv4Addr {
        self.there
    }

    /// Does something inside.
    ///
    /// # Panics
    /// If that panics, or it is not allowed to be there.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name);
        let inside = || {
            let namespace = File::open(path).expect("the namespace was made");
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).expect("it may be entered");
            act()
        };
        // The thread ends there, and nobody else was moved.
        thread::scope(|scope| scope.spawn(inside).join().expect("it went well inside"))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The wire first: its end inside would live as long as a connection there.
        let _ = ip(&format!("link delete {}", self.wire));
        let _ = ip(&format!("netns delete {}", self.name));
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .map_err(|error| error.to_string())?;
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    output.status.success().then_some(()).ok_or(told)
}
