//! Owns the loss of the program at any moment ([`Restarts`]), and that it begins anew with what is on its disk.
//! Never says goodbye to anybody: connections break off, and what was in memory is gone.

use std::sync::Arc;
use std::time::Duration;

use retter_core::Gateway;
use retter_core::config::Config;

use super::{REFRESHER, World};
use crate::chance::Chance;
use crate::disk::Disk;
use crate::net::Event;
use crate::swarm::Swarm;

/// One seed in this many has a program that is lost now and then.
const ONE_IN: u64 = 4;

/// Between two losses, at most.
const APART: Duration = Duration::from_secs(40);

/// When the program is lost, and what it begins with again.
pub(crate) struct Restarts {
    /// Of its own, so that the worlds in which nothing is lost are what they were.
    chance: Chance,
    config: Config,
    disk: Arc<Disk>,
    seed: u64,
}

impl Restarts {
    /// Those of a world: not where its wall clock jumps, by which copies are as old as they are.
    pub(crate) fn of(world: u64, swarm: &Swarm, config: &Config, seed: u64) -> Option<Self> {
        if world % ONE_IN != ONE_IN - 1 || swarm.clock_jumps {
            return None;
        }
        let mut chance = Chance::new(!world);
        let disk = Arc::new(Disk::new(chance.hits(500)));
        Some(Self {
            chance,
            config: config.clone(),
            disk,
            seed,
        })
    }

    pub(super) const fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    pub(super) fn next(&mut self) -> Duration {
        self.chance.time(APART)
    }

    /// Whether what has changed is written now: it may take its time.
    pub(super) fn writes(&mut self) -> bool {
        self.chance.hits(50)
    }
}

impl World {
    /// The program is gone from one moment to the next, and another begins.
    pub(super) fn restart(&mut self) {
        let Some(restarts) = &mut self.restarts else {
            return;
        };
        let now = {
            let net = &mut *self.net.borrow_mut();
            if net.is_calm || self.hub.draining.get() {
                return;
            }
            let wait = restarts.next();
            net.after(wait, Event::Restarts);
            net.lose_program();
            net.now
        };
        let facts = self.gateway.site().facts(now);
        restarts.disk.tear(&mut restarts.chance);
        // Connections, pools and whoever waits for something: a new process knows none of them.
        self.tasks.iter_mut().for_each(|task| drop(task.take()));
        self.hub.lose(now);
        self.gateway = Gateway::new(restarts.config.clone(), restarts.seed, now);
        self.set_clock();
        let site = self.gateway.site();
        if let Some(restarts) = &self.restarts {
            site.set_journal(Arc::clone(&restarts.disk) as _);
            let back = restarts.disk.bring_back(&facts, site, now);
            let count = facts.len();
            self.net.borrow_mut().note(format_args!(
                "begins anew with {back} copies, {count} facts"
            ));
        }
        self.oracle.restarted(now);
        self.refreshes_at = None;
        self.hub.queue.push(REFRESHER);
    }
}
