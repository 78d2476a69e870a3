//! Owns [`Notifier`]: the receivers of news of outages, each on a thread of its own.
//! Never makes the program wait for a receiver: what one does not take in time is dropped and
//! counted.

mod body;
mod policy;
mod send;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver as Messages, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use retter_core::time::Instant;

use crate::outage::{News, Outages};
use crate::telemetry::escape;
use policy::Policy;

pub(crate) use body::{Format, Message};
pub(crate) use send::Receiver;

/// Messages on their way to one receiver. There are two in an hour.
const WAITING_MAX: usize = 8;

/// Tells receivers of outages.
#[derive(Debug)]
pub(crate) struct Notifier {
    application: String,
    policy: Mutex<Policy>,
    receivers: Vec<Way>,
}

/// The way to one receiver.
#[derive(Debug)]
struct Way {
    counts: Arc<Counts>,
    sender: SyncSender<Message>,
    setting: &'static str,
}

/// What became of messages.
#[derive(Debug, Default)]
struct Counts {
    dropped: AtomicU64,
    failed: AtomicU64,
    sent: AtomicU64,
}

impl Notifier {
    /// Starts a thread for each receiver. It ends with the process.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn start(
        application: String,
        receivers: &[Receiver],
        after: Duration,
    ) -> std::io::Result<Self> {
        let receivers = receivers.iter().map(|receiver| {
            let (sender, messages) = sync_channel(WAITING_MAX);
            let counts = Arc::<Counts>::default();
            let (receiver, shared) = (receiver.clone(), Arc::clone(&counts));
            let setting = receiver.setting();
            std::thread::Builder::new()
                .name("notify".to_owned())
                .spawn(move || send_all(&messages, &receiver, &shared))?;
            Ok(Way {
                counts,
                sender,
                setting,
            })
        });
        Ok(Self {
            application,
            policy: Mutex::new(Policy::new(after)),
            receivers: receivers.collect::<std::io::Result<_>>()?,
        })
    }

    /// Tells of what is due; to be called about once a second, and with each piece of news.
    pub(crate) fn tick(&self, outages: &Outages, news: Option<&News>, now: Instant) {
        if self.receivers.is_empty() {
            return;
        }
        let over = match news {
            Some(News::Over(record)) => Some(record),
            Some(News::Back(_) | News::Began(_) | News::GoesOn(_)) | None => None,
        };
        let down = outages.lasts(now);
        let mut policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(kind) = policy.poll(down, over.is_some(), now) else {
            return;
        };
        let outage = over.cloned().or_else(|| outages.told(now).current);
        if let Some(outage) = outage {
            self.tell(&Message {
                application: self.application.clone(),
                kind,
                outage,
            });
        }
    }

    fn tell(&self, message: &Message) {
        for way in &self.receivers {
            if way.sender.try_send(message.clone()).is_err() {
                way.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// By receiver: what was sent, failed and was dropped.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, [(&'static str, u64); 3])> {
        self.receivers.iter().map(|way| {
            let Counts {
                dropped,
                failed,
                sent,
            } = &*way.counts;
            let counts = [("dropped", dropped), ("failed", failed), ("sent", sent)];
            let counts = counts.map(|(word, count)| (word, count.load(Ordering::Relaxed)));
            let to = match way.setting {
                "RETTER_NOTIFY_COMMAND" => "command",
                _ => "url",
            };
            (to, counts)
        })
    }
}

fn send_all(messages: &Messages<Message>, receiver: &Receiver, counts: &Counts) {
    while let Ok(message) = messages.recv() {
        let Err(failed) = receiver.send(&message) else {
            counts.sent.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        counts.failed.fetch_add(1, Ordering::Relaxed);
        let (setting, failed) = (receiver.setting(), failed.to_string());
        tracing::warn!(
            "a message of an outage did not arrive ({setting}): {}; `retter notify --test` tries again",
            escape(failed.as_bytes())
        );
    }
}
