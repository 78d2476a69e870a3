//! Owns the settings of the core: plain [`Settings`] go in, a checked [`Config`] comes out.
//! Never reads an environment, a file or a command line; never lets zero mean "default".

mod check;
mod field_names;
mod listener;
mod own_pages;
mod paths;
mod site;
mod soft;
mod trusted;
mod values;

pub use check::{ConfigError, ConfigErrors};
pub use field_names::FieldNames;
pub use listener::ClientSettings;
pub use own_pages::{Blank, OwnPage, OwnPages, Template};
pub use paths::PathPatterns;
pub use site::{
    AdmissionSettings, BreakerSettings, CacheSettings, FreshMode, OriginSettings, RescueMode,
    SiteConfig, SiteSettings,
};
pub use soft::{FailTexts, SoftMode};
pub use trusted::TrustedProxies;
pub use values::{NamePatterns, StatusSet};

/// All settings of the core, with their defaults. Check them with [`Settings::validate`].
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What listens: the protocol toward clients.
    pub client: ClientSettings,
    /// What protects one application.
    pub site: SiteSettings,
}

/// Settings that were checked and can be trusted. Made only by [`Settings::validate`].
#[derive(Clone, Debug)]
pub struct Config {
    client: ClientSettings,
    site: SiteConfig,
}

impl Config {
    /// The protocol toward clients.
    #[must_use]
    pub const fn client(&self) -> &ClientSettings {
        &self.client
    }

    /// The application and its protection.
    #[must_use]
    pub const fn site(&self) -> &SiteConfig {
        &self.site
    }
}

impl Settings {
    /// Checks every setting.
    ///
    /// # Errors
    /// All settings that cannot work, at once.
    pub fn validate(self) -> Result<Config, ConfigErrors> {
        let Self { client, site } = self;
        let errors: Vec<_> = site.errors().chain(client.errors()).collect();
        let site = site.checked();
        ConfigErrors::or(errors, Config { client, site })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert!(Settings::default().validate().is_ok());
    }

    #[test]
    fn every_bad_setting_is_named_at_once() {
        let mut settings = Settings::default();
        settings.site.breaker.failure_rate = f64::NAN;
        settings.site.breaker.consecutive_failures = 0;
        settings.client.read_timeout = Duration::ZERO;
        settings.site.origin.path_prefix = "/a/".to_owned();
        let errors = settings.validate().unwrap_err();
        let named: Vec<_> = errors.iter().map(|error| error.setting).collect();
        assert_eq!(
            named,
            [
                "breaker.failure_rate",
                "origin.path_prefix",
                "breaker.consecutive_failures",
                "client.read_timeout"
            ]
        );
    }
}
