//! Owns who has a connection in the simulated world, by the program's own register; and tells
//! sessions to give way also where no register would, in the middle of anything.
//! Never closes one: a session does that.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use retter_core::config::TrustedProxies;
use retter_core::connections::{Connections, Seat, Seats};
use retter_core::session::Standing;
use retter_core::time::Instant;

/// The register of all connections; its bells are the numbers of sessions.
pub(crate) struct Doors {
    connections: RefCell<Connections<usize>>,
    pushed: RefCell<BTreeSet<usize>>,
}

/// The seat of one session.
pub(crate) struct Pass {
    doors: Rc<Doors>,
    key: usize,
    seat: Arc<Seat>,
    task: usize,
}

impl Doors {
    pub(crate) fn new(total: usize) -> Rc<Self> {
        let seats = Seats {
            total,
            per_address: None,
        };
        Rc::new(Self {
            connections: RefCell::new(Connections::new(seats, TrustedProxies::default())),
            pushed: RefCell::default(),
        })
    }

    /// Takes a seat for a session, where there is one; with those that are to give way for it.
    pub(crate) fn enter(
        self: &Rc<Self>,
        address: IpAddr,
        task: usize,
        now: Instant,
    ) -> (Option<Pass>, Vec<usize>) {
        let mut leaving = Vec::new();
        let mut connections = self.connections.borrow_mut();
        let entered = connections.enter(address, task, &mut leaving, now);
        let pass = entered.ok().map(|(key, seat)| Pass {
            doors: Rc::clone(self),
            key,
            seat,
            task,
        });
        (pass, leaving)
    }

    /// Tells a session to give way, however it stands.
    pub(crate) fn push(&self, task: usize) {
        self.pushed.borrow_mut().insert(task);
    }
}

impl Pass {
    pub(crate) fn must_leave(&self) -> bool {
        self.seat.must_leave() || self.doors.pushed.borrow().contains(&self.task)
    }

    pub(crate) fn note(&self, standing: Standing) {
        self.seat.note(standing);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // While a failed run unwinds it may be borrowed: then nothing matters any more.
        if let Ok(mut connections) = self.doors.connections.try_borrow_mut() {
            connections.leave(self.key);
        }
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("task", &self.task).finish()
    }
}
