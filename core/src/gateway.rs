//! Owns [`Gateway`]: what listens, the memory that all its clients share, and the site behind it.
//! Never decides what answers a request: [`Site`] does.

use std::sync::Arc;

use crate::config::{ClientSettings, Config};
use crate::message::Fields;
use crate::request_id::{RequestId, RequestIds};
use crate::reserve::Reserve;
use crate::site::Site;
use crate::time::Instant;

/// What all sessions share: how clients are spoken to, and the site that they come for.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    /// `None` where requests are called nothing here.
    ids: Option<RequestIds>,
    reserve: Reserve,
    site: Site,
}

impl Gateway {
    /// Builds a gateway and its site. `seed` must be unpredictable for clients: hashes and jitter
    /// come from it.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            ids: (config.client().request_ids).then(|| RequestIds::new(seed)),
            reserve: Reserve::new(config.client().send_bytes_max),
            site: Site::new(&config, seed, now),
            config,
        })
    }

    /// How clients are spoken to.
    #[must_use]
    pub const fn client(&self) -> &ClientSettings {
        self.config.client()
    }

    /// The settings of the start.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The site that clients come for.
    #[must_use]
    pub const fn site(&self) -> &Site {
        &self.site
    }

    /// Bytes that are held for peers that are slow to take them.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.reserve.used()
    }

    /// What a request that has come with these fields is called; the field that says so is taken out of
    /// them, and counts of a trusted proxy.
    pub(crate) fn receive_id(&self, fields: &mut Fields, is_trusted: bool) -> Option<RequestId> {
        let ids = self.ids.as_ref()?;
        Some(ids.receive(fields, is_trusted))
    }

    /// What a request that was not received is called.
    pub(crate) fn make_id(&self) -> Option<RequestId> {
        self.ids.as_ref().map(RequestIds::make)
    }

    /// The memory for what peers are slow to take.
    pub(crate) const fn reserve(&self) -> &Reserve {
        &self.reserve
    }
}
