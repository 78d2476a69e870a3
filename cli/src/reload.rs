//! Owns the reload: settings are read again from where they came from, and those that can change
//! while the program runs do, all of them or none.
//! Never reads the environment anew: that of a process does not change.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use retter_core::breaker::State;
use serde::Serialize;

use crate::clock::Clock;
use crate::runtime::Gateway;
use crate::settings::{self, Given, Loaded, Problem, Sources};

/// What settings were, and where they can be read again.
pub(crate) struct Reload {
    clock: Clock,
    /// The texts that count, by which a change is told.
    counts: Mutex<Vec<Given>>,
    gateway: Arc<Gateway>,
    sources: Sources,
}

/// What a reload did.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Reloaded {
    /// What counts from now on.
    changed: Vec<Change>,
    /// Variables of settings that differ too, but count from the next start only.
    needs_restart: Vec<String>,
    /// Copies that nobody would find by the new settings.
    dropped_copies: usize,
}

/// A setting that changed.
#[derive(Debug, PartialEq, Serialize)]
struct Change {
    setting: String,
    from: String,
    to: String,
}

/// Why nothing was changed.
#[derive(Debug)]
pub(crate) enum NotReloaded {
    /// They cannot work.
    Bad(Vec<Problem>),
    /// There is nothing that could have changed.
    NoFile,
    /// The application is down, or pages of it are, and the change would drop the copies that stand
    /// in for them.
    WouldDropCopies,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed: Vec<_> = self.changed.iter().map(ToString::to_string).collect();
        match changed.is_empty() {
            true => f.write_str("nothing that counts at once has changed")?,
            false => f.write_str(&changed.join(", "))?,
        }
        if self.dropped_copies > 0 {
            let count = self.dropped_copies;
            write!(f, "; {count} copies dropped, as pages have other keys now")?;
        }
        if !self.needs_restart.is_empty() {
            let later = self.needs_restart.join(", ");
            write!(f, "; changed too, but only by a restart: {later}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.setting, self.from, self.to)
    }
}

impl fmt::Display for NotReloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(problems) => {
                let texts: Vec<_> = problems.iter().map(Problem::to_string).collect();
                let texts = texts.join("\n\n");
                write!(
                    f,
                    "the settings stay as they are, as these cannot work:\n\n{texts}"
                )
            }
            Self::NoFile => f.write_str(
                "there is nothing to reload: no settings file was named (--config or \
                 RETTER_CONFIG), and flags and environment need a restart",
            ),
            Self::WouldDropCopies => f.write_str(
                "the settings stay as they are: they change which pages are told apart, so that \
                 all copies would go, and the application or a page of it is down; wait until it is \
                 back, or POST /reload?drop-copies",
            ),
        }
    }
}

impl Reload {
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        clock: Clock,
        sources: Sources,
        loaded: &Loaded,
    ) -> Self {
        Self {
            clock,
            counts: Mutex::new(loaded.shown.clone()),
            gateway,
            sources,
        }
    }

    /// Reads the settings again and goes on by them. `drops_copies` says that copies may go though
    /// the application is down.
    pub(crate) fn run(&self, drops_copies: bool) -> Result<Reloaded, NotReloaded> {
        if !self.sources.names_file() {
            return Err(NotReloaded::NoFile);
        }
        let new = settings::load(&self.sources).map_err(NotReloaded::Bad)?;
        // One at a time: a second one would compare with what is being replaced.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reloaded = Reloaded::default();
        let mut next = counts.clone();
        for (old, new) in next.iter_mut().zip(&new.shown) {
            if old.text == new.text {
                continue;
            }
            if new.spec.is_live() {
                reloaded.changed.push(Change {
                    setting: new.spec.variable(),
                    from: new.spec.shown(&old.text).to_owned(),
                    to: new.spec.shown(&new.text).to_owned(),
                });
                *old = new.clone();
            } else {
                reloaded.needs_restart.push(new.spec.variable());
            }
        }
        // Settings that may not change yet can be at odds with those that may.
        let config = settings::config(&next).map_err(NotReloaded::Bad)?;
        let (site, now) = (self.gateway.site(), self.clock.now());
        let before = site.snapshot();
        let same_keys = before.config().cache.same_keys(&config.site().cache);
        let stats = site.stats(now);
        let is_down = stats.circuit != State::Closed || stats.paths_open > 0;
        if !same_keys && !drops_copies && is_down {
            return Err(NotReloaded::WouldDropCopies);
        }
        let later = site.reconfigure(config.site(), now);
        if !same_keys {
            reloaded.dropped_copies = stats.copies;
        }
        for given in &next {
            let spec = given.spec;
            let waits = later.contains(&spec.core);
            let variable = spec.variable();
            let changes = reloaded
                .changed
                .iter()
                .position(|change| change.setting == variable);
            if let (true, Some(at)) = (waits, changes) {
                reloaded.changed.remove(at);
                reloaded.needs_restart.push(variable);
            }
        }
        *counts = next;
        Ok(reloaded)
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}
