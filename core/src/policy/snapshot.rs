//! Owns [`Snapshot`]: the settings of a site at one moment, with the keys that they shape.
//! Never changes: what began with it ends with it, whatever the site is told meanwhile.

use crate::config::SiteConfig;
use crate::key::Keyer;

/// The settings by which one exchange is treated from its beginning to its end.
#[derive(Debug)]
pub struct Snapshot {
    config: SiteConfig,
    keyer: Keyer,
}

impl Snapshot {
    /// The same `seed` gives the same keys.
    pub(super) fn new(config: SiteConfig, seed: u64) -> Self {
        let keyer = Keyer::new(&config.cache, seed);
        Self { config, keyer }
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &SiteConfig {
        &self.config
    }

    /// Who may see which copy.
    #[must_use]
    pub const fn keyer(&self) -> &Keyer {
        &self.keyer
    }
}
