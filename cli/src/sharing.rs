//! Owns the copies that instances share as the program has them ([`Sharing`]): where, which, and by which
//! secret.
//! Never stops the program: without a Redis it goes on as if it had none.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use retter_shared::{Address, Instances, Look, Options, PATIENCE, Scope, Secret};

use crate::clock::Clock;
use crate::runtime::Site;
use crate::settings::Values;

/// How long `retter check` waits.
const CHECK_PATIENCE: Duration = Duration::from_secs(2);

/// The first version that has streams.
const MAJOR_MIN: u32 = 5;

/// What the settings say of copies that instances share.
#[derive(Debug)]
pub(crate) struct Sharing {
    address: Address,
    scope: Scope,
    secret: Secret,
}

impl Sharing {
    /// `None` where none are shared.
    pub(crate) fn of(values: &Values) -> Option<Self> {
        let (address, secret) = values.shared.clone().zip(values.shared_secret.clone())?;
        Some(Self {
            address,
            scope: values.shared_scope,
            secret,
        })
    }

    /// By which keys are the same at all instances.
    pub(crate) fn seed(&self) -> u64 {
        self.secret.seed()
    }

    /// Begins to share the copies of a site.
    pub(crate) fn start(self, site: &Site, clock: Clock) -> io::Result<Arc<Instances>> {
        clock.tell(site);
        let options = Options {
            address: self.address,
            scope: self.scope,
            epoch: clock.epoch,
            patience: PATIENCE,
        };
        Instances::start(site, &self.secret, options)
    }
}

/// What `retter check` says of the Redis; `None` where no copies are shared.
pub(crate) fn inspect(values: &Values) -> Option<String> {
    let address = values.shared.as_ref()?;
    Some(match Look::at(address, CHECK_PATIENCE) {
        Ok(look) => format!("Redis at {address}: {}", words(&look)),
        Err(trouble) => format!(
            "Redis at {address}: {trouble}; look after it and RETTER_CACHE_SHARED (until then copies are \
             not shared, and nothing else is different)"
        ),
    })
}

fn words(look: &Look) -> String {
    let version = &look.version;
    if look.major().is_some_and(|major| major < MAJOR_MIN) {
        return format!("version {version} has no streams; RETTER needs {MAJOR_MIN}.0 or later");
    }
    let policy = &look.policy;
    let memory = match look.bytes_max {
        0 => {
            "its memory has no bound: set `maxmemory` and `maxmemory-policy allkeys-lru`".to_owned()
        }
        bytes if policy == "noeviction" => format!(
            "{} MiB, and no copies are taken when they are used (noeviction): set `maxmemory-policy \
             allkeys-lru`",
            bytes >> 20
        ),
        bytes => format!("{} MiB, {policy}", bytes >> 20),
    };
    format!("it answers; version {version}; {memory}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_told_what_is_to_be_done_at_the_redis() {
        let look = |version: &str, bytes_max, policy: &str| {
            words(&Look {
                version: version.to_owned(),
                bytes_max,
                policy: policy.to_owned(),
            })
        };
        assert_eq!(
            look("7.0.15", 64 << 20, "allkeys-lru"),
            "it answers; version 7.0.15; 64 MiB, allkeys-lru"
        );
        assert!(
            look("7.0.15", 64 << 20, "noeviction").ends_with("set `maxmemory-policy allkeys-lru`")
        );
        assert!(look("7.0.15", 0, "noeviction").contains("has no bound"));
        assert!(look("4.0.1", 0, "noeviction").contains("needs 5.0"));
    }
}
