//! Owns a session's timer on any runtime.
//! Never decides when it is due.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use retter_core::drive;
use retter_core::time::Instant;

use crate::runtime::Runtime;

/// A timer that is armed anew only when its deadline comes earlier: most move later.
pub(crate) struct Alarm<R> {
    armed: Option<Armed>,
    runtime: Arc<R>,
}

struct Armed {
    deadline: Instant,
    sleep: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<R> Alarm<R> {
    pub(crate) fn new(runtime: Arc<R>) -> Self {
        Self {
            armed: None,
            runtime,
        }
    }
}

impl<R: Runtime> drive::Alarm for Alarm<R> {
    fn poll_at(&mut self, deadline: Instant, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let armed = match &mut self.armed {
                Some(armed) if armed.deadline <= deadline => armed,
                armed => armed.insert(Armed {
                    deadline,
                    sleep: Box::pin(self.runtime.sleep(deadline.saturating_since(now))),
                }),
            };
            ready!(armed.sleep.as_mut().poll(cx));
            let was_moved = armed.deadline < deadline;
            self.armed = None;
            if !was_moved {
                return Poll::Ready(());
            }
        }
    }
}
