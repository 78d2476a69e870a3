//! Owns the settings of what listens: the protocol toward clients.
//! Never knows a site.

use std::time::Duration;

use super::check::{Check, HEAD, HEAD_FIELDS, HEAD_FIELDS_WORDS, HEADS, RATE_MIN};
use super::{ConfigError, OwnPages, TrustedProxies};
use crate::limits::REQUEST_FIELDS_MAX;

/// Settings of the client side of a session.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Bytes of a request head, and of the request target in it.
    pub head_bytes_max: usize,
    /// Fields of a request head, and of a trailer section.
    pub head_fields_max: usize,
    /// Whether responses are compressed for clients that accept gzip.
    pub gzip: bool,
    /// Longest time for a whole request head, and between two pieces of a request body; also the
    /// most that quick pieces earn ahead of [`rate_min`](Self::rate_min).
    pub read_timeout: Duration,
    /// Longest time in which a client takes no byte of a pending response; up to four times as
    /// long for who took much before, as [`rate_min`](Self::rate_min) counts.
    pub write_timeout: Duration,
    /// Bytes held in all for those, clients or origin, who take slowly what is sent to them, beyond
    /// the 24 KiB that each may hold anyway. One alone gets a fifth of it.
    pub send_bytes_max: usize,
    /// Longest time an idle connection is kept.
    pub idle_timeout: Duration,
    /// Bytes a second that a request body, and a client taking its answer, must reach in the long
    /// run; `None` for no such rate.
    pub rate_min: Option<u32>,
    /// Path below which this program answers itself; what is there of the origin's nobody sees. Empty
    /// where there is nothing to answer.
    pub own_path: String,
    /// Whether each request has an identifier, `X-Request-Id`: in its answer, toward the origin, and
    /// in its report.
    pub request_ids: bool,
    /// An operator's pages in the place of this program's.
    pub own_pages: OwnPages,
    /// Whose word is taken on who asked, how, and for which host.
    pub trusted_proxies: TrustedProxies,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            head_bytes_max: 16 << 10,
            head_fields_max: REQUEST_FIELDS_MAX,
            gzip: true,
            read_timeout: Duration::from_secs(15),
            write_timeout: Duration::from_secs(15),
            send_bytes_max: 32 << 20,
            idle_timeout: Duration::from_secs(60),
            rate_min: Some(RATE_MIN),
            own_path: "/.retter".to_owned(),
            request_ids: true,
            own_pages: OwnPages::default(),
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

/// What a path of this program may be.
const OWN_PATH_WORDS: &str = "a path of letters, digits, `-`, `.`, `_`, `~` and `/` that begins with `/` and does not end so";

impl ClientSettings {
    fn has_valid_path(&self) -> bool {
        let path = &self.own_path;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        let is_one = path.starts_with('/') && !path.ends_with('/') && !path.starts_with("//");
        path.is_empty() || is_one && path.len() <= 64 && path.bytes().all(is_plain)
    }

    /// What cannot work.
    pub(super) fn errors(&self) -> impl Iterator<Item = ConfigError> {
        let checks = [
            Check::that(
                HEADS.contains(&self.head_bytes_max),
                "client.head_bytes_max",
                HEAD,
            ),
            Check::that(
                HEAD_FIELDS.contains(&self.head_fields_max),
                "client.head_fields_max",
                HEAD_FIELDS_WORDS,
            ),
            Check::that(self.has_valid_path(), "client.own_path", OWN_PATH_WORDS),
            Check::duration("client.read_timeout", self.read_timeout),
            Check::duration("client.write_timeout", self.write_timeout),
            Check::duration("client.idle_timeout", self.idle_timeout),
        ];
        checks.into_iter().filter_map(Check::error)
    }
}
