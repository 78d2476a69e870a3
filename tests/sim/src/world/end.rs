//! Owns the end of a simulated world: peace, an examination, a drain, and the check that nothing is
//! left of anything.
//! Never makes anything go wrong.

use std::collections::VecDeque;
use std::time::Duration;

use retter_core::breaker::State;

use super::World;
use crate::ledger::Asked;
use crate::oracle::Tally;

/// How long a world may need to come to rest. All its time limits together are shorter.
const REST_MAX: Duration = Duration::from_secs(400);

/// How often every page is asked for in the examination: often enough for all probes.
const ROUNDS: usize = 6;

impl World {
    /// Leaves the world in peace, lets time pass, examines the program and ends it.
    pub(crate) fn end(mut self) -> (Tally, u64, Option<String>) {
        let acts: [fn(&mut Self); 4] =
            [Self::calm, Self::examine, Self::drain_all, Self::check_end];
        for act in acts {
            if self.ledger.violation.is_none() {
                act(&mut self);
            }
        }
        (self.oracle.tally, self.steps, self.ledger.violation)
    }

    /// From here on nothing goes wrong any more.
    fn calm(&mut self) {
        self.net.borrow_mut().is_calm = true;
        for client in &mut self.clients {
            client.retire();
        }
        self.turn();
        self.rest("after its last requests");
    }

    /// Waits until no client is left.
    fn rest(&mut self, when: &str) {
        let until = self.net.borrow().now + REST_MAX;
        while self.ledger.violation.is_none() && !self.is_at_rest() {
            if self.net.borrow().now > until {
                let tasks = self.tasks.iter().flatten().count();
                self.ledger
                    .violate(format!("{tasks} sessions have not ended {when}"));
            }
            self.step();
        }
    }

    fn is_at_rest(&self) -> bool {
        self.clients.iter().all(|client| client.closed) && self.tasks.iter().all(Option::is_none)
    }

    /// Lets time pass with all that happens in it.
    fn wait(&mut self, time: Duration) {
        let until = self.net.borrow().now + time;
        while self.net.borrow().now < until && self.ledger.violation.is_none() && self.step() {}
    }

    /// Lets time pass at once, as when a machine slept.
    fn pass(&mut self, time: Duration) {
        {
            let net = &mut *self.net.borrow_mut();
            net.now = net.now + time;
            self.clock_error = 0;
        }
        self.set_clock();
        self.tick();
        self.wake_all();
        self.settle();
    }

    /// With a healthy origin every page comes from it, and every circuit closes.
    fn examine(&mut self) {
        self.hub.draining.set(false);
        // What is due in the background is found out again, too.
        self.pass(Duration::from_secs(3_600));
        for _ in 0..ROUNDS {
            self.examine_once();
        }
        // A connection that ends late may just have been taken for a slow answer.
        for _ in 0..ROUNDS {
            if !self.is_well() {
                self.examine_once();
            }
        }
        let stats = self.gateway.site().stats(self.net.borrow().now);
        let is_well = self.is_well();
        self.ledger.check(is_well, || {
            format!("a circuit never closes again: {stats:?}")
        });
        let first = self.ledger.asked.len();
        self.examine_once();
        let last = self.ledger.asked[first..].iter();
        let stale = last
            .filter(|asked| asked.method == "GET" && !asked.is_strangers)
            .find(|asked| !asked.came_well)
            .cloned();
        self.ledger.check(stale.is_none(), || {
            format!("a healthy origin is not asked: {stale:?}")
        });
    }

    fn examine_once(&mut self) {
        let paths = self.net.borrow().swarm.paths;
        // Heads have circuits of their own.
        let all = (0..paths).flat_map(|path| [(path, "HEAD"), (path, "GET")]);
        for (path, method) in all {
            let asked = Asked {
                method,
                host: "shop.example",
                target: format!("/{path}"),
                no_cache: true,
                ..Asked::default()
            };
            self.accept(Some(VecDeque::from([asked])));
            self.rest("in its examination");
        }
        self.wait(Duration::from_secs(3));
    }

    fn is_well(&self) -> bool {
        let stats = self.gateway.site().stats(self.net.borrow().now);
        stats.circuit == State::Closed && stats.paths_open == 0
    }

    fn drain_all(&mut self) {
        self.drain();
        self.rest("while it is drained");
    }

    /// Nothing is left of anything.
    fn check_end(&mut self) {
        self.pass(Duration::from_secs(3_600));
        let now = self.net.borrow().now;
        self.hub.pool.borrow_mut().expire(now);
        let stats = self.gateway.site().stats(now);
        let open = self.net.borrow().open_sockets();
        let ledger = &mut self.ledger;
        let admission = &stats.admission;
        let inside = admission.in_flight as usize + admission.waiting + admission.following;
        let inside = inside + stats.refresh.running as usize;
        ledger.check(inside == 0, || format!("slots are lost: {stats:?}"));
        ledger.check(open == 0, || format!("{open} sockets are left open"));
        let held = stats.collecting_bytes + stats.leaving_bytes + self.gateway.queued_bytes();
        ledger.check(held == 0, || format!("memory is lost: {stats:?}"));
        if let Err(text) = self.gateway.site().validate() {
            ledger.violate(format!("the store is broken: {text}"));
        }
        self.check_bounds();
    }
}
