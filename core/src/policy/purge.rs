//! Owns which copies an operator wants gone ([`Purge`]), and their going.
//! Never decides who may ask for it: that is the embedder's.

use super::Retter;
use crate::key::{CacheKey, Partition};
use crate::message::Fields;

/// Copies to drop, in every partition but where one is named. Host names compare without case.
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

impl Retter {
    /// Drops copies; returns how many there were. Looks at every key but for a session.
    pub fn purge(&self, purge: &Purge) -> usize {
        let of_host = |key: &CacheKey, host: &Option<String>| {
            let is_it = |host: &String| host.as_bytes().eq_ignore_ascii_case(key.authority());
            host.as_ref().is_none_or(is_it)
        };
        match purge {
            Purge::All => self.purge_where(&|_| true),
            Purge::Prefix { host, path } => self.purge_where(&|key| {
                of_host(key, host) && key.path_and_query().starts_with(path.as_bytes())
            }),
            Purge::Session { cookie } => {
                let request = Fields::from_pairs([("cookie", cookie.as_bytes())]);
                match self.keyer.partition(&request) {
                    // What everybody sees is no session's.
                    Partition::Shared => 0,
                    own @ (Partition::Cookies(_) | Partition::Session(_)) => {
                        self.changes.note_partition(own);
                        self.wants().forget_partition(own);
                        self.store.drop_partition(own)
                    }
                }
            }
            Purge::Url {
                host,
                path_and_query,
            } => {
                let wanted = self.keyer.path_and_query_of(path_and_query.as_bytes());
                self.purge_where(&|key| of_host(key, host) && key.path_and_query() == wanted)
            }
        }
    }

    fn purge_where(&self, chosen: &dyn Fn(&CacheKey) -> bool) -> usize {
        // First what is on its way: it may be as old as the copies.
        self.changes.note_all();
        self.wants().forget_where(chosen);
        self.store.remove_where(chosen)
    }
}
