//! Owns who is at work in a worker, so that all can be told to end and waited for.
//! Never spawns or runs a task.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use slab::Slab;

/// How far the end of a worker has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub(crate) enum Stage {
    /// It accepts connections.
    Serving,
    /// It still does, but not for long.
    LastCall,
    /// It accepts none; what runs may finish.
    Draining,
    /// What still runs ends as it is.
    Cut,
}

/// The tasks of one worker.
#[derive(Debug)]
pub(crate) struct Tasks {
    /// Requests that were cut off.
    cut: AtomicUsize,
    members: Mutex<Members>,
    stage: AtomicU8,
}

#[derive(Debug)]
struct Members {
    /// One for each task.
    wakers: Slab<Waker>,
    /// The callers that wait for the last one.
    waiting: Option<Waker>,
}

impl Tasks {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            cut: AtomicUsize::new(0),
            members: Mutex::new(Members {
                wakers: Slab::new(),
                waiting: None,
            }),
            stage: AtomicU8::new(Stage::Serving as u8),
        })
    }

    /// Counts a task in until the member is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Member {
        let slot = self.lock().wakers.insert(Waker::noop().clone());
        Member {
            noted: Waker::noop().clone(),
            slot,
            tasks: Arc::clone(self),
        }
    }

    pub(crate) fn has_reached(&self, stage: Stage) -> bool {
        self.stage.load(Ordering::SeqCst) >= stage as u8
    }

    /// Moves on to `stage` and wakes every task to look at it.
    pub(crate) fn reach(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::SeqCst);
        let wakers: Vec<Waker> = self
            .lock()
            .wakers
            .iter()
            .map(|(_, waker)| waker.clone())
            .collect();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Counts a request that did not end by itself.
    pub(crate) fn count_cut(&self) {
        self.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub(crate) fn cut(&self) -> usize {
        self.cut.load(Ordering::Relaxed)
    }

    /// Waits until nobody is at work. One caller at a time.
    pub(crate) async fn all_ended(&self) {
        poll_fn(|cx| {
            let waker = cx.waker().clone();
            let mut members = self.lock();
            if members.wakers.is_empty() {
                return Poll::Ready(());
            }
            let old = members.waiting.replace(waker);
            drop(members);
            drop(old);
            Poll::Pending
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes one task.
#[derive(Clone, Debug)]
pub(crate) struct Bell {
    slot: usize,
    tasks: Arc<Tasks>,
}

impl Bell {
    /// Wakes the task, to look at what was told. Once it has ended this may wake another one,
    /// which does no harm.
    pub(crate) fn ring(&self) {
        let waker = self.tasks.lock().wakers.get(self.slot).cloned();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// One task's place among the others.
#[derive(Debug)]
pub(crate) struct Member {
    /// The waker that the others know, so that the lock is taken only when it changes.
    noted: Waker,
    slot: usize,
    tasks: Arc<Tasks>,
}

impl Member {
    /// What wakes the task.
    pub(crate) fn bell(&self) -> Bell {
        Bell {
            slot: self.slot,
            tasks: Arc::clone(&self.tasks),
        }
    }

    /// Runs `future` until the worker has reached `stage`; `None` when that came first.
    pub(crate) async fn until<F: Future>(&mut self, stage: Stage, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            // Before the look at the stage: whoever moves it on after the look finds the waker.
            self.note(cx);
            if self.tasks.has_reached(stage) {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    fn note(&mut self, cx: &Context<'_>) {
        if self.noted.will_wake(cx.waker()) {
            return;
        }
        self.noted.clone_from(cx.waker());
        let mut waker = self.noted.clone();
        if let Some(known) = self.tasks.lock().wakers.get_mut(self.slot) {
            std::mem::swap(known, &mut waker);
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut members = self.tasks.lock();
        let waker = members.wakers.try_remove(self.slot);
        let waiting = if members.wakers.is_empty() {
            members.waiting.take()
        } else {
            None
        };
        drop(members);
        drop(waker);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[track_caller]
    fn check<F: Future>(future: &mut std::pin::Pin<Box<F>>, count: &Arc<Count>, ready: bool) {
        let waker = Waker::from(Arc::clone(count));
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!(polled.is_ready(), ready);
    }

    #[test]
    fn all_are_told_and_the_last_is_waited_for() {
        let tasks = Tasks::new();
        let counts = [(); 3].map(|()| Arc::new(Count::default()));
        let woken = || {
            counts
                .each_ref()
                .map(|count| count.0.load(Ordering::SeqCst))
        };
        let [accepting, session, end] = &counts;
        let enter = |stage| {
            let mut member = tasks.enter();
            Box::pin(async move { member.until(stage, pending::<()>()).await })
        };
        let mut accept = enter(Stage::Draining);
        let mut serve = enter(Stage::Cut);
        let mut all_ended = Box::pin(tasks.all_ended());
        check(&mut accept, accepting, false);
        check(&mut serve, session, false);
        check(&mut all_ended, end, false);
        assert_eq!((tasks.lock().wakers.len(), woken()), (2, [0, 0, 0]));

        tasks.reach(Stage::Draining);
        assert_eq!(woken(), [1, 1, 0]);
        check(&mut accept, accepting, true);
        check(&mut serve, session, false);
        drop(accept);
        assert_eq!((tasks.lock().wakers.len(), woken()), (1, [1, 1, 0]));

        tasks.reach(Stage::Cut);
        check(&mut serve, session, true);
        drop(serve);
        assert_eq!((tasks.lock().wakers.len(), woken()), (0, [1, 2, 1]));
        check(&mut all_ended, end, true);
    }

    #[test]
    fn a_stage_is_never_left_backwards_and_late_comers_see_it() {
        let tasks = Tasks::new();
        tasks.reach(Stage::Cut);
        tasks.reach(Stage::Draining);
        let mut late = tasks.enter();
        let count = Arc::new(Count::default());
        let mut late = Box::pin(async move { late.until(Stage::Cut, pending::<()>()).await });
        check(&mut late, &count, true);
    }
}
