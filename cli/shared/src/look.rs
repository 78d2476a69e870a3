//! Owns what an operator is told of a Redis before anything depends on it ([`Look`]).
//! Never writes to it.

use std::time::{Duration, Instant};

use crate::address::Address;
use crate::link::{Link, Trouble};
use crate::resp::{self, Reply};

/// What a Redis says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Look {
    /// As `7.0.15`.
    pub version: String,
    /// Bytes that it may use; 0 for any number.
    pub bytes_max: u64,
    /// What it does when they are used: the name of a policy.
    pub policy: String,
}

impl Look {
    /// Connects, signs in and asks.
    ///
    /// # Errors
    /// What is wrong.
    pub fn at(address: &Address, patience: Duration) -> Result<Self, Trouble> {
        let mut link = Link::connect(address, patience)?;
        let mut commands = Vec::new();
        resp::put(&mut commands, &[b"INFO"]);
        let replies = link.call(&commands, 1, Instant::now() + patience)?;
        match replies.into_iter().next() {
            Some(Reply::Bytes(said)) => Ok(Self::read(&String::from_utf8_lossy(&said))),
            Some(Reply::Error(why)) => Err(Trouble::Refused(why)),
            _ => Err(Trouble::Unreadable),
        }
    }

    /// The first number of its version, where it says one.
    #[must_use]
    pub fn major(&self) -> Option<u32> {
        self.version.split('.').next()?.parse().ok()
    }

    fn read(said: &str) -> Self {
        let find = |name: &str| {
            let mut lines = said.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_default().to_owned()
        };
        Self {
            version: find("redis_version"),
            bytes_max: find("maxmemory").parse().unwrap_or(0),
            policy: find("maxmemory_policy"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_redis_says_of_itself_is_read() {
        let said = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nmaxmemory:1048576\r\n\
                    maxmemory_human:1.00M\r\nmaxmemory_policy:noeviction\r\n";
        let look = Look::read(said);
        assert_eq!(look.version, "7.0.15");
        assert_eq!(look.major(), Some(7));
        assert_eq!(look.bytes_max, 1 << 20);
        assert_eq!(look.policy, "noeviction");
        assert_eq!(Look::read("").major(), None);
    }
}
