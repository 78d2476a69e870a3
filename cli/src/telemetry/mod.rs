//! Owns what the program tells about itself: counters, recent times, the last state changes, log
//! lines and the access log.
//! Never changes what is answered, and never waits for whoever reads it.

mod access;
mod asked;
mod broken;
mod by_hand;
mod counters;
pub(crate) mod coverage;
mod disk;
mod events;
mod failures;
mod history;
mod instances;
mod lines;
mod log;
mod logins;
mod news;
mod overload;
mod page_circuits;
pub(crate) mod queries;
#[cfg(test)]
pub(crate) mod sample;
mod soft;
mod transitions;
mod trouble;
pub(crate) mod undeclared;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use retter_core::breaker::State;
use retter_core::event::{Event, OriginReport, Report};
use retter_core::report::Source;
use retter_core::time::Instant;
use retter_disk::Disk;
use retter_shared::Instances;

use crate::clock::Clock;
use crate::notify::Notifier;
use crate::outage::{News, Outages};
use crate::runtime::{Gateway, Observer, Site, Trouble};
use broken::{Broken, HeadLimits};
use disk::DiskNews;
use failures::Failures;
use history::History;
use instances::InstanceNews;
use logins::Logins;
use news::Line;
use overload::Overload;
use page_circuits::PageCircuits;
use soft::Soft;
use undeclared::Votes;

pub(crate) use access::AccessLog;
pub(crate) use counters::{AGE_BUCKETS, LATENCY_BUCKETS, Times, Totals};
pub(crate) use history::Answers;
pub(crate) use lines::Lines;
pub(crate) use log::Log;
pub(crate) use retter_log::escape;
pub(crate) use transitions::{Transitions, state_index, words};

/// Enough that each worker thread of a usual machine has a shard of its own.
pub(crate) const SHARDS: usize = 16;

/// Counts, keeps and logs. One for the whole program.
pub(crate) struct Telemetry {
    access: Option<AccessLog>,
    broken: Broken,
    by_hand: Mutex<by_hand::ByHand>,
    clock: Clock,
    connections_accepted: AtomicU64,
    connections_ended: AtomicU64,
    /// Whether a clock of the application that is behind was told of.
    clock_told: AtomicBool,
    /// The copies on a disk, where they are kept there.
    disk: Option<Arc<Disk>>,
    disk_news: Mutex<DiskNews>,
    /// The copies that are shared with other instances, where they are.
    instances: Option<Arc<Instances>>,
    instance_news: Mutex<InstanceNews>,
    /// Whether the end has begun: new visitors should go elsewhere.
    draining: AtomicBool,
    failures: Failures,
    history: Mutex<History>,
    logins: Logins,
    notifier: Notifier,
    outages: Outages,
    overload: Mutex<Overload>,
    page_circuits: Mutex<PageCircuits>,
    /// Reloads that were done, and that changed nothing because they could not work.
    reloads: [AtomicU64; 2],
    soft: Mutex<Soft>,
    /// Exchanges are counted by the thread that did them, so the locks are never contended.
    shards: Vec<Mutex<Totals>>,
    gateway: Arc<Gateway>,
    transitions: Mutex<Transitions>,
    troubles: AtomicU64,
    /// Of which parameters of queries it was told.
    idle_told: Mutex<Vec<String>>,
    /// Whether a proxy that is not declared was told of.
    undeclared_told: AtomicBool,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Counts for `retter`; writes access lines when there is a log for them.
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        clock: Clock,
        access: Option<AccessLog>,
        outages: Outages,
        notifier: Notifier,
    ) -> Self {
        Self {
            access,
            broken: Broken::default(),
            by_hand: Mutex::default(),
            clock,
            connections_accepted: AtomicU64::new(0),
            connections_ended: AtomicU64::new(0),
            clock_told: AtomicBool::new(false),
            disk: None,
            disk_news: Mutex::default(),
            instances: None,
            instance_news: Mutex::default(),
            draining: AtomicBool::new(false),
            failures: Failures::default(),
            history: Mutex::default(),
            logins: Logins::default(),
            notifier,
            outages,
            overload: Mutex::default(),
            page_circuits: Mutex::default(),
            reloads: Default::default(),
            soft: Mutex::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            gateway,
            transitions: Mutex::default(),
            troubles: AtomicU64::new(0),
            idle_told: Mutex::new(Vec::new()),
            undeclared_told: AtomicBool::new(false),
        }
    }

    /// The same, for a site of which copies are kept on a disk.
    pub(crate) fn with_disk(self, disk: Option<Arc<Disk>>) -> Self {
        Self { disk, ..self }
    }

    /// The same, for a site that shares copies with other instances.
    pub(crate) fn with_instances(self, instances: Option<Arc<Instances>>) -> Self {
        Self { instances, ..self }
    }

    /// Logs what has changed; to be called about once a second.
    pub(crate) fn tick(&self) {
        let now = self.clock.now();
        self.drain_events(now);
        let stats = self.gateway.site().stats(now);
        if let Some(behind) = stats.clock_behind
            && !self.clock_told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "the clock of the application is {} s behind by the Date of its answers: its pages are \
                 never fresh; the age of copies that rescue counts from when they came",
                behind.as_secs()
            );
        }
        self.note_history(now);
        self.tell(self.outages.tick(now), now);
        self.tell_of_pages(stats.paths_open, now);
        let holder = || self.gateway.site().gate().holder(now);
        let told = lock(&self.overload).note(&stats, holder, now);
        if let Some(text) = told {
            tracing::warn!("{text}");
        }
        let by_hand = self.gateway.site().by_hand(now);
        if let Some(text) = lock(&self.by_hand).note(by_hand, now) {
            tracing::info!("{text}");
        }
        self.tell_of_disk(now);
        self.tell_of_instances(now);
        self.tell_of_undeclared();
        self.tell_of_idle_parameters();
    }

    /// Each is told of once.
    fn tell_of_idle_parameters(&self) {
        let idle = self.gateway.site().idle_parameters();
        let mut told = lock(&self.idle_told);
        if idle.iter().all(|name| told.contains(name)) {
            return;
        }
        if let Some(text) = queries::words(&idle) {
            tracing::info!("{text}");
        }
        *told = idle;
    }

    /// Tells of an outage.
    fn tell(&self, news: Option<News>, now: Instant) {
        self.notifier.tick(&self.outages, news.as_ref(), now);
        match news {
            None => {}
            Some(news @ (News::Began(_) | News::GoesOn(_))) => tracing::warn!("{}", news.words()),
            Some(news @ (News::Back(_) | News::Over(_))) => tracing::info!("{}", news.words()),
        }
    }

    fn tell_of_disk(&self, now: Instant) {
        let stats = self.disk.as_ref().map(|disk| disk.stats());
        let news = stats.and_then(|stats| lock(&self.disk_news).note(&stats, now));
        news.iter().for_each(Line::log);
    }

    fn tell_of_instances(&self, now: Instant) {
        let stats = self.instances.as_ref().map(|instances| instances.stats());
        let news = stats.and_then(|stats| lock(&self.instance_news).note(&stats, now));
        news.iter().for_each(Line::log);
    }

    fn tell_of_pages(&self, open: usize, now: Instant) {
        if let Some(text) = lock(&self.page_circuits).tell(open, now) {
            tracing::info!("{text}");
        }
    }

    fn tell_of_undeclared(&self) {
        if self.undeclared_told.load(Ordering::Relaxed) {
            return;
        }
        if let Some((network, assignment)) = self.undeclared() {
            self.undeclared_told.store(true, Ordering::Relaxed);
            tracing::warn!("{}", undeclared::words(&network, &assignment));
        }
    }

    fn tell_of_broken(&self, report: &Report) {
        let of_requests = || {
            let client = self.gateway.client();
            HeadLimits::of_requests(client.head_bytes_max, client.head_fields_max)
        };
        let of_answers = || {
            let snapshot = self.gateway.site().snapshot();
            let origin = &snapshot.config().origin;
            HeadLimits::of_answers(origin.head_bytes_max, origin.head_fields_max)
        };
        match self.broken.note(report, of_requests, of_answers) {
            Some(told) if told.is_ours => tracing::warn!("{}", told.text),
            Some(told) => tracing::info!("{}", told.text),
            None => {}
        }
    }

    /// The network of a proxy in front that is not declared, if there seems to be one, and the
    /// setting that declares it.
    pub(crate) fn undeclared(&self) -> Option<(String, String)> {
        let mut sum = Votes::default();
        for shard in &self.shards {
            sum.add(&lock(shard).votes);
        }
        let network = sum.winner()?;
        let trusted = &self.gateway.client().trusted_proxies;
        Some((
            network.to_string(),
            undeclared::assignment(network, trusted),
        ))
    }

    /// Takes what happened from the site and logs it.
    pub(crate) fn drain_events(&self, now: Instant) {
        self.drain_into(&mut lock(&self.transitions), now);
    }

    /// Taken and kept under one lock, so that two threads cannot swap their order.
    fn drain_into(&self, transitions: &mut Transitions, now: Instant) {
        let mut soft = Vec::new();
        while let Some(event) = self.gateway.site().poll_event(now) {
            match event {
                Event::Circuit(transition) => {
                    tracing::debug!("{}", words(&transition));
                    lock(&self.page_circuits).note(&transition);
                    self.tell(self.outages.note(&transition), now);
                    transitions.push(transition);
                }
                Event::Limit { .. }
                | Event::Purged { .. }
                | Event::Refused(_)
                | Event::Renewed(_) => events::log(&event),
                Event::Soft(failure) => soft.push(failure),
            }
        }
        let told = lock(&self.soft).note(soft, now);
        if let Some(text) = told {
            tracing::warn!("{text}");
        }
    }

    /// From now on `/ready` says no.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Writes what is left of the access log, as far as somebody reads it.
    pub(crate) fn close(&self) {
        let now = self.clock.now();
        self.drain_events(now);
        self.tell_of_pages(self.site().stats(now).paths_open, now);
        self.outages.close(now);
        if let Some(access) = &self.access {
            access.flush();
        }
    }

    /// Whether the end has begun.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// What became of visitors in the last hour, in steps of half a minute, the newest last.
    pub(crate) fn history(&self) -> Vec<Answers> {
        self.note_history(self.clock.now());
        lock(&self.history).steps()
    }

    fn note_history(&self, now: Instant) {
        // Under its lock, so that no later counters are noted before.
        let mut history = lock(&self.history);
        let mut counters = Answers::default();
        for shard in &self.shards {
            counters.add(&lock(shard));
        }
        history.note(counters, now);
    }

    /// The receivers of them.
    pub(crate) fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Outages of the application.
    pub(crate) fn outages(&self) -> &Outages {
        &self.outages
    }

    fn count_outage(&self, report: &Report, shard: usize) {
        // It may be the first to tell that there is one.
        if self.outages.is_news(report)
            && let Ok(mut transitions) = self.transitions.try_lock()
        {
            self.drain_into(&mut transitions, self.clock.now());
        }
        if self.outages.is_on() {
            let snapshot = self.gateway.site().snapshot();
            self.outages.count(report, snapshot.keyer(), shard);
        }
    }

    /// All counters, over all threads.
    pub(crate) fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        let now = self.clock.now();
        for shard in &self.shards {
            sum.add(&lock(shard), now);
        }
        sum
    }

    /// State changes so far.
    pub(crate) fn transitions(&self) -> Transitions {
        let mut transitions = lock(&self.transitions);
        self.drain_into(&mut transitions, self.clock.now());
        transitions.clone()
    }

    /// Client connections: accepted since start, open now.
    pub(crate) fn connections(&self) -> (u64, u64) {
        // Read in this order, ended can never be above accepted.
        let ended = self.connections_ended.load(Ordering::Acquire);
        let accepted = self.connections_accepted.load(Ordering::Acquire);
        (accepted, accepted.saturating_sub(ended))
    }

    /// Troubles reported by the adapter since start.
    pub(crate) fn troubles(&self) -> u64 {
        self.troubles.load(Ordering::Relaxed)
    }

    /// Access log lines that were dropped because nobody took them in time.
    pub(crate) fn access_lines_dropped(&self) -> u64 {
        self.access.as_ref().map_or(0, AccessLog::dropped)
    }

    /// The program's clock.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Counts a reload.
    pub(crate) fn count_reload(&self, is_done: bool) {
        self.reloads[usize::from(!is_done)].fetch_add(1, Ordering::Relaxed);
    }

    /// Reloads that were done, and those that were not.
    pub(crate) fn reloads(&self) -> [u64; 2] {
        let [done, refused] = &self.reloads;
        [done, refused].map(|count| count.load(Ordering::Relaxed))
    }

    /// The copies on a disk, where they are kept there.
    pub(crate) fn disk(&self) -> Option<&Arc<Disk>> {
        self.disk.as_ref()
    }

    /// The copies that are shared with other instances, where they are.
    pub(crate) fn instances(&self) -> Option<&Arc<Instances>> {
        self.instances.as_ref()
    }

    /// What all sessions share.
    pub(crate) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The site behind it.
    pub(crate) fn site(&self) -> &Site {
        self.gateway.site()
    }
}

impl Observer for Telemetry {
    fn on_report(&self, report: Report) {
        let shard = shard_index();
        lock(&self.shards[shard]).count(&report);
        self.count_outage(&report, shard);
        // The access log tells of clients.
        if let Some(access) = &self.access
            && report.source != Source::Refresh
        {
            access.write(&report, self.gateway.site().snapshot().keyer(), self.clock);
        }
        for text in [self.failures.note(&report), self.logins.note(&report)]
            .into_iter()
            .flatten()
        {
            tracing::warn!("{text}");
        }
        self.tell_of_broken(&report);
        // What goes well changes no closed circuit, and touches nothing shared here. When another
        // thread is at it, it or the next tick takes ours too.
        if may_change_circuit(&report)
            && let Ok(mut transitions) = self.transitions.try_lock()
        {
            self.drain_into(&mut transitions, self.clock.now());
        }
    }

    fn on_connect(&self) {
        self.connections_accepted.fetch_add(1, Ordering::Release);
    }

    fn on_disconnect(&self) {
        self.connections_ended.fetch_add(1, Ordering::Release);
    }

    fn on_trouble(&self, trouble: &Trouble) {
        self.troubles.fetch_add(1, Ordering::Relaxed);
        tracing::warn!("{}", escape(trouble::words(trouble).as_bytes()));
    }
}

/// Whether something that the origin did may have changed a circuit.
fn may_change_circuit(report: &Report) -> bool {
    let is_well = |origin: &OriginReport| {
        let is_good = |status: StatusCode| status.as_u16() < 400;
        origin.failure.is_none() && origin.status.is_some_and(is_good)
    };
    let origin = report.origin.as_ref();
    origin.is_some_and(|origin| report.circuit != State::Closed || !is_well(origin))
}

/// The shard of this thread, the same for its whole life.
fn shard_index() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static INDEX: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    INDEX.with(|index| *index)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counters stay usable after a panic elsewhere.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
