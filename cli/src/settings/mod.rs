//! Owns the settings of the program: from flags, environment, file and defaults to checked
//! [`Values`], with every bad value named at once.
//! Never starts anything.

mod choice;
mod layers;
mod parse;
mod problem;
mod secret;
mod show;
mod spec;
mod table;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use retter_core::config::Config;
use tracing::level_filters::LevelFilter;

use crate::notify::{Format, Receiver};
use crate::runtime::Seats;

pub(crate) use choice::Choice;
pub(crate) use layers::{Given, Layer, Sources, config, load};
pub(crate) use parse::{BaseUrl, Listen, duration};
pub(crate) use problem::Problem;
pub(crate) use secret::Secret;
pub(crate) use show::{effective, markdown};
pub(crate) use table::specs;

/// The variable, and with it the flag `--config`, that names the settings file.
pub(crate) const CONFIG_VARIABLE: &str = "RETTER_CONFIG";

/// All settings as values, before the core has checked its part.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    pub(crate) access: Option<AccessFormat>,
    pub(crate) admin: Option<Listen>,
    /// Names that the admin address may be asked by.
    pub(crate) admin_hosts: Vec<String>,
    pub(crate) admin_socket: Choice,
    pub(crate) admin_token: Option<Secret>,
    pub(crate) core: retter_core::config::Settings,
    pub(crate) disk: DiskMode,
    pub(crate) disk_bytes: usize,
    pub(crate) drain_timeout: Duration,
    /// A folder of pages.
    pub(crate) error_pages: Option<PathBuf>,
    /// Over all workers.
    pub(crate) idle_connections: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) listen: Listen,
    pub(crate) log_json: bool,
    pub(crate) log_level: LevelFilter,
    pub(crate) notify: Notify,
    pub(crate) origin: BaseUrl,
    pub(crate) outages: Choice,
    pub(crate) seats: Seats,
    /// Where copies are shared with other instances.
    pub(crate) shared: Option<retter_shared::Address>,
    pub(crate) shared_scope: retter_shared::Scope,
    pub(crate) shared_secret: Option<retter_shared::Secret>,
    /// Where that is kept which outlives the program.
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) workers: usize,
}

impl Values {
    /// The table's defaults; a test holds the table to it.
    fn defaults() -> Self {
        let text = |key| {
            let spec = specs().find(|spec| spec.key == key);
            spec.map_or("", |spec| spec.default)
        };
        let expected = "the defaults of the table are accepted by their own parsers";
        let mut values = Self {
            access: None,
            admin: None,
            admin_hosts: Vec::new(),
            admin_socket: Choice::Off,
            admin_token: None,
            core: retter_core::config::Settings::default(),
            disk: DiskMode::Off,
            disk_bytes: 0,
            drain_timeout: Duration::ZERO,
            error_pages: None,
            idle_connections: 0,
            idle_timeout: Duration::ZERO,
            listen: Listen::parse(text("server.listen")).expect(expected),
            log_json: false,
            log_level: LevelFilter::INFO,
            notify: Notify::default(),
            origin: BaseUrl::parse(text("backend.baseurl")).expect(expected),
            outages: Choice::Off,
            seats: Seats {
                total: 1,
                per_address: None,
            },
            shared: None,
            shared_scope: retter_shared::Scope::Shared,
            shared_secret: None,
            state_dir: None,
            workers: 1,
        };
        for spec in specs() {
            (spec.apply)(&mut values, spec.default).expect(expected);
        }
        values
    }
}

/// Who is told of outages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notify {
    pub(crate) after: Duration,
    pub(crate) command: Option<Vec<String>>,
    pub(crate) format: Option<Format>,
    pub(crate) url: Option<BaseUrl>,
}

impl Notify {
    pub(crate) fn receivers(&self) -> Vec<Receiver> {
        let command = self.command.clone().map(Receiver::Command);
        let format = self.format.unwrap_or(Format::Generic);
        let url = self.url.clone().map(|url| Receiver::Url(url, format));
        command.into_iter().chain(url).collect()
    }
}

/// Settings that can be trusted.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The core's part, checked.
    pub(crate) config: Config,
    /// Each setting's text and where it came from, in the order of the table.
    pub(crate) shown: Vec<Given>,
    pub(crate) values: Values,
    /// What is odd but stops nothing, as an unknown variable.
    pub(crate) warnings: Vec<String>,
}

/// Which copies outlive the program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DiskMode {
    /// Those of sessions too.
    All,
    /// None.
    Off,
    /// Those that everybody may see.
    Shared,
}

impl DiskMode {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "all" => Ok(Self::All),
            "off" => Ok(Self::Off),
            "shared" => Ok(Self::Shared),
            other => Err(format!("`{other}` is none of them")),
        }
    }
}

/// The form of the access log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AccessFormat {
    /// Common, with referrer and user agent.
    Combined,
    /// The Common Log Format.
    Common,
    /// One JSON object a line.
    Json,
}

impl AccessFormat {
    fn parse(text: &str) -> Result<Option<Self>, String> {
        match text.trim() {
            "off" => Ok(None),
            "combined" => Ok(Some(Self::Combined)),
            "common" => Ok(Some(Self::Common)),
            "json" => Ok(Some(Self::Json)),
            other => Err(format!("`{other}` is none of them")),
        }
    }
}
