//! Owns the deterministic simulation of the whole program: its real drive loop and sessions over a
//! simulated network, clock, origin and clients, all of it decided by one seed.
//! Never opens a socket or reads a clock: a seed is a world, and the same world every time.
//!
//! A seed chooses settings and faults (`swarm`); the world runs for a number of events, is then left
//! in peace, examined, and asked to end. The `oracle` judges every answer from the outside.

mod answers;
mod attempts;
mod chance;
mod circuits;
mod clients;
mod copies;
mod disk;
mod doors;
mod host;
mod ledger;
mod net;
mod oracle;
mod origin;
mod requests;
mod seen;
mod sent;
mod sessions;
mod swarm;
mod trace;
mod visitors;
mod world;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

pub use oracle::Tally;

/// What a world was like in the end.
#[derive(Debug)]
pub struct Outcome {
    /// The hash of everything that happened.
    pub hash: u64,
    /// Events.
    pub steps: u64,
    /// Answers by their source.
    pub tally: Tally,
    /// What happened, a line each, if that was asked for.
    pub trace: String,
    /// The first thing that broke the contract.
    pub violation: Option<String>,
}

/// One world in so many has a crowd, beside which the others are what they were.
const CROWDED_IN: u64 = 8;

/// Runs the world of `seed` for this many events before its end begins.
#[must_use]
pub fn run(seed: u64, steps: u64, readable: bool) -> Outcome {
    let mut chance = chance::Chance::new(seed);
    let mut settings = swarm::settings(&mut chance);
    let mut swarm = swarm::Swarm::new(&mut chance);
    if chance.hits(250) {
        swarm.be_of_sessions(&mut settings, &mut chance);
    }
    if seed % CROWDED_IN == 1 {
        swarm.be_crowded(&mut settings);
    }
    let trace = trace::Trace::new(readable);
    let net = Rc::new(RefCell::new(net::Net::new(chance, swarm, trace)));
    if readable {
        let net = &mut *net.borrow_mut();
        let swarm = net.swarm.clone();
        net.note(format_args!("{settings:?}"));
        net.note(format_args!("{swarm:?}"));
    }
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut world = world::World::new(Rc::clone(&net), settings, seed);
        world.run(steps);
        world.end()
    }));
    let mut net = net.borrow_mut();
    let (tally, steps, violation) = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        (
            Tally::default(),
            0,
            Some(format!("panic: {}", text.unwrap_or_default())),
        )
    });
    Outcome {
        hash: net.trace.hash(),
        steps,
        tally,
        trace: net.trace.take_text(),
        violation,
    }
}
