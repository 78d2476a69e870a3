//! Owns which copies an operator wants gone ([`Purge`]), and which keys that names.
//! Never decides who may ask for it: that is the embedder's.

use crate::key::{CacheKey, Keyer, canonical, plain};

/// Copies to drop, in every partition but where one is named. Host names compare without case, the
/// ports 80 and 443 and a dot at their end; paths however they are percent-encoded (RFC 3986 §6.2.2.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Purge {
    /// All of them.
    All,
    /// Those whose path and query begin so; of one host, or of every one.
    Prefix {
        /// As clients name it, with its port.
        host: Option<String>,
        /// Begins with `/`.
        path: String,
    },
    /// Those that a browser with this `Cookie` line sees and others do not.
    Session {
        /// The whole value of the `Cookie` field.
        cookie: String,
    },
    /// Those of one path and query, in all their variants; of one host, or of every one.
    Url {
        /// As clients name it, with its port.
        host: Option<String>,
        /// Path and query; parameters that are not part of keys may be there or not.
        path_and_query: String,
    },
}

/// The keys that a purge names, ready to be looked for.
#[derive(Clone, Debug)]
pub struct Purged {
    host: Option<Vec<u8>>,
    wanted: Wanted,
}

#[derive(Clone, Debug)]
enum Wanted {
    All,
    Prefix(Vec<u8>),
    Url(Vec<u8>),
}

impl Purge {
    /// The keys that it names; `None` for those of a session, which are a partition.
    #[must_use]
    pub fn keys(&self, keyer: &Keyer) -> Option<Purged> {
        let (host, wanted) = match self {
            Self::All => (&None, Wanted::All),
            Self::Prefix { host, path } => {
                let path = canonical(path.as_bytes());
                (host, Wanted::Prefix(path.to_vec()))
            }
            Self::Session { .. } => return None,
            Self::Url {
                host,
                path_and_query,
            } => {
                let wanted = keyer.path_and_query_of(path_and_query.as_bytes());
                (host, Wanted::Url(canonical(&wanted).to_vec()))
            }
        };
        let host = host.as_ref().map(|host| plain(host.as_bytes()).to_vec());
        Some(Purged { host, wanted })
    }
}

impl Purged {
    /// Whether `key` is among them.
    #[must_use]
    pub fn has(&self, key: &CacheKey) -> bool {
        let is_it = |host: &Vec<u8>| host.eq_ignore_ascii_case(plain(key.authority()));
        let is_of_host = self.host.as_ref().is_none_or(is_it);
        is_of_host
            && match &self.wanted {
                Wanted::All => true,
                Wanted::Prefix(path) => canonical(key.path_and_query()).starts_with(path),
                Wanted::Url(url) => canonical(key.path_and_query()) == *url,
            }
    }
}
