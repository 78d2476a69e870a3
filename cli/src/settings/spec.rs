//! Owns what a setting is: its names, its words, and how it is shown.
//! Never lists any: that is `table`.

use super::Values;

/// One setting.
#[derive(Debug)]
pub(crate) struct Spec {
    /// The key in a file, as `server.listen`; variable and flag derive from it.
    pub(crate) key: &'static str,
    /// The default, as a person would write it.
    pub(crate) default: &'static str,
    /// What is accepted, in words.
    pub(crate) accepted: &'static str,
    /// A value that works.
    pub(crate) example: &'static str,
    /// One line of help.
    pub(crate) help: &'static str,
    /// The field in the core's settings, as its errors name it; empty when it is ours alone.
    pub(crate) core: &'static str,
    /// Parses the text and sets the value.
    pub(crate) apply: fn(&mut Values, &str) -> Result<(), String>,
}

impl Spec {
    /// Whether its value is never shown.
    fn is_secret(&self) -> bool {
        // Addresses of messages have tokens in them, that of a Redis a password.
        matches!(
            self.key,
            "admin.token"
                | "cache.shared"
                | "cache.shared_secret"
                | "notify.command"
                | "notify.url"
        )
    }

    /// Whether it can change while the program runs: what protects the application can, but for
    /// the application's address and what is done with its connections outside of the core.
    pub(crate) fn is_live(&self) -> bool {
        let of_site = ["admission.", "breaker.", "cache.", "origin."];
        let is_fixed = matches!(self.key, "backend.baseurl" | "backend.timeout_connect");
        of_site.iter().any(|part| self.core.starts_with(part)) && !is_fixed
    }

    /// Its value as it may be shown.
    pub(crate) fn shown<'a>(&self, text: &'a str) -> &'a str {
        if self.is_secret() && !text.is_empty() && text != self.default {
            "(not shown)"
        } else {
            text
        }
    }

    /// The variable: `RETTER_SERVER_LISTEN`.
    pub(crate) fn variable(&self) -> String {
        format!("RETTER_{}", self.flat().to_ascii_uppercase())
    }

    /// The flag without its dashes: `server-listen`.
    pub(crate) fn flag(&self) -> String {
        self.flat().replace('_', "-")
    }

    /// The key with every separator an underscore: `server_listen`.
    pub(crate) fn flat(&self) -> String {
        self.key.replace('.', "_")
    }

    /// The group, as a heading: `Server`.
    pub(crate) fn heading(&self) -> &'static str {
        match self.key.split('.').next() {
            Some("admin") => "Admin",
            Some("backend") => "Backend (the application)",
            Some("breaker") => "Breaker",
            Some("cache") => "Cache (the copies)",
            Some("log") => "Log",
            Some("notify") => "Messages",
            Some("state") => "State",
            _ => "Server",
        }
    }
}
