//! Owns the simulated world: its sessions, and the order in which everything happens.
//! Never decides what an actor does, nor whether the program did right.

mod end;
mod restart;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use retter_core::config::Settings;
use retter_core::drive::{Drive, Host as _};
use retter_core::event;
use retter_core::limits::RECV_CHUNK;
use retter_core::site::ConnectProbe;
use retter_core::time::Instant;
use retter_core::{Gateway, Session};

use crate::answers::unix;
use crate::clients::Client;
use crate::doors::Pass;
use crate::host::{Hub, Reach, SessionHost, SimDial, SimSocket};
use crate::ledger::{Asked, Ledger};
use crate::net::{Actor, Event, Net};
use crate::oracle::Oracle;
use crate::origin::{Health, Origin};
use crate::requests::Memory;

use restart::Restarts;

/// Polls of sessions between two events beyond which they keep waking each other for nothing.
const POLLS_MAX: usize = 20_000;

/// By so much both queues of a session may exceed what they may hold: a read, and what frames it.
const PIECES_BYTES: usize = 4 * RECV_CHUNK;

/// Clients at one time.
const CLIENTS_MAX: usize = 40;

/// The task that renews copies in the background.
const REFRESHER: usize = usize::MAX;

pub(crate) struct World {
    hub: Rc<Hub>,
    net: Rc<RefCell<Net>>,
    gateway: Arc<Gateway>,
    tasks: Vec<Option<Task>>,
    /// One for each session; some runtimes give another at each poll.
    wakers: Vec<Waker>,
    /// When the refresher is to be woken.
    refreshes_at: Option<Instant>,
    clients: Vec<Client>,
    memory: Memory,
    origin: Origin,
    oracle: Oracle,
    ledger: Ledger,
    /// Seconds that the program's wall clock is off.
    clock_error: i64,
    /// Where the program is lost now and then.
    restarts: Option<Restarts>,
    steps: u64,
}

/// What runs.
enum Task {
    /// A connection that is closed again, to find out whether the origin takes any.
    Connects(Pin<Box<SimDial>>, ConnectProbe),
    Serves(Box<Drive<SessionHost>>),
}

impl World {
    pub(crate) fn new(net: Rc<RefCell<Net>>, settings: Settings, world: u64) -> Self {
        let is_attended = net.borrow().swarm.is_attended;
        let oracle = Oracle::new(settings.clone(), is_attended);
        let config = settings.validate().expect("simulated settings are valid");
        let (seed, now) = {
            let mut net = net.borrow_mut();
            (net.chance.seed(), net.now)
        };
        let restarts = Restarts::of(world, &net.borrow().swarm, &config, seed);
        let gateway = Gateway::new(config, seed, now);
        let hub = Rc::new(Hub::new(Rc::clone(&net)));
        let mut world = Self {
            hub,
            net,
            gateway,
            tasks: Vec::new(),
            wakers: Vec::new(),
            refreshes_at: None,
            clients: Vec::new(),
            memory: Memory::default(),
            origin: Origin::default(),
            oracle,
            ledger: Ledger::default(),
            clock_error: 0,
            restarts,
            steps: 0,
        };
        world.set_clock();
        world.hub.queue.push(REFRESHER);
        if let Some(restarts) = &mut world.restarts {
            world
                .gateway
                .site()
                .set_journal(Arc::clone(restarts.disk()) as _);
            let wait = restarts.next();
            world.net.borrow_mut().after(wait, Event::Restarts);
        }
        {
            let net = &mut *world.net.borrow_mut();
            net.at(net.now, Event::Connects);
            net.at(net.now, Event::Ticks);
            let turn = net.chance.time(net.swarm.turn_max);
            net.after(turn, Event::OriginTurns);
            if net.swarm.clock_jumps {
                net.after(Duration::from_secs(5), Event::ClockJumps);
            }
            if net.chance.hits(250) {
                let wait = net.chance.time(Duration::from_secs(30));
                net.after(wait, Event::Drains);
            }
        }
        world
    }

    /// Lets this many events happen.
    pub(crate) fn run(&mut self, steps: u64) {
        while self.steps < steps && self.ledger.violation.is_none() {
            if !self.step() {
                return;
            }
        }
    }

    /// Takes one event; `false` when nothing is to come.
    fn step(&mut self) -> bool {
        self.settle();
        let event = self.net.borrow_mut().next_event();
        let Some(event) = event else { return false };
        self.steps += 1;
        self.handle(event);
        self.settle();
        if let Some(restarts) = &mut self.restarts
            && restarts.writes()
        {
            restarts.disk().write(self.gateway.site());
        }
        true
    }

    fn handle(&mut self, event: Event) {
        self.disturb();
        match event {
            Event::Arrives(link, at_retter) => {
                let actor = self.net.borrow_mut().arrived(link, at_retter);
                if let Some(actor) = actor {
                    self.act(actor);
                }
            }
            Event::ClockJumps => self.jump(),
            Event::Connects => self.connect(),
            Event::Drains if self.net.borrow().is_calm => {}
            Event::Drains => self.drain(),
            Event::LookedUp => self.looked_up(),
            Event::OriginTurns => self.turn(),
            Event::Restarts => self.restart(),
            Event::Steps(actor) => self.act(actor),
            Event::Ticks => self.tick(),
            Event::Wakes(task) => self.hub.queue.push(task),
        }
    }

    /// Polls sessions until none wants to be.
    fn settle(&mut self) {
        for _ in 0..POLLS_MAX {
            let net = Rc::clone(&self.net);
            let choose = |count| net.borrow_mut().chance.below(count);
            let Some(task) = self.hub.queue.take(choose) else {
                return;
            };
            if task == REFRESHER {
                self.refresh();
                continue;
            }
            let Some(Some(_)) = self.tasks.get(task) else {
                continue;
            };
            if net.borrow_mut().chance.hits(100) {
                self.wakers[task] = self.hub.waker(task);
            }
            let is_over = self.poll(task);
            self.take_notes(task, is_over);
            for (session, origin) in self.hub.detached.take() {
                let place = self.host(None);
                self.serve(Drive::background(place, Some(origin), session));
            }
        }
        self.ledger
            .violate("sessions wake each other for ever".to_owned());
    }

    /// Polls a task; says whether it is over.
    fn poll(&mut self, task: usize) -> bool {
        let cx = &mut Context::from_waker(&self.wakers[task]);
        let Some(running) = self.tasks[task].take() else {
            return true;
        };
        self.tasks[task] = match running {
            Task::Serves(mut drive) => {
                let is_over = drive.poll(cx).is_ready();
                (!is_over).then_some(Task::Serves(drive))
            }
            Task::Connects(mut dial, probe) => match dial.as_mut().poll(cx) {
                Poll::Pending => Some(Task::Connects(dial, probe)),
                Poll::Ready(dialled) => {
                    let now = self.net.borrow().now;
                    match dialled {
                        Ok(_) => probe.on_connected(now),
                        Err(_) => probe.on_failed(now),
                    }
                    None
                }
            },
        };
        self.tasks[task].is_none()
    }

    /// Takes what the program has told since.
    fn take_notes(&mut self, task: usize, is_done: bool) {
        let net = &mut *self.net.borrow_mut();
        net.note(format_args!("session {task} done {is_done}"));
        let gate = self.gateway.site().gate();
        // A kind of page that nobody knows leaves some places to others; where some only wait at the
        // origin, there may be no room for more of them.
        let (busy, limit) = (gate.in_flight(), gate.limit());
        if busy + limit / 4 >= limit || gate.stats(net.now).parked > 0 {
            self.oracle.is_full(net.now);
        }
        while let Some(event) = self.gateway.site().poll_event(net.now) {
            if let event::Event::Circuit(transition) = event {
                self.oracle.changed(&transition, net, &mut self.ledger);
            }
        }
        for report in self.hub.reports.borrow_mut().drain(..) {
            let status = report.status.map(|status| status.as_u16());
            let (source, end) = (report.source, report.end);
            net.note(format_args!("report {source} {status:?} {end:?}"));
        }
    }

    /// Asks the origin in the background for what the site wants renewed, and connects to one that
    /// takes no connections, as adapters do.
    fn refresh(&mut self) {
        if !self.net.borrow().swarm.is_attended || self.hub.draining.get() {
            return;
        }
        let now = self.net.borrow().now;
        self.gateway
            .site()
            .set_refresh_waker(&self.hub.waker(REFRESHER));
        if let Some(probe) = self.gateway.site().poll_connect(now) {
            self.net.borrow_mut().note(format_args!("connects"));
            let dial = Box::pin(self.host(None).dial());
            self.run_task(Task::Connects(dial, probe));
        }
        while let Some(refresh) = self.gateway.site().poll_refresh(now) {
            self.net.borrow_mut().note(format_args!("refresh"));
            let session = Session::background(Arc::clone(&self.gateway), refresh, now);
            let place = self.host(None);
            self.serve(Drive::background(place, None, session));
        }
        let next = self.gateway.site().poll_refresh_timeout(now);
        self.net
            .borrow_mut()
            .note(format_args!("refresher looks again at {next:?}"));
        if let Some(at) = next
            && self
                .refreshes_at
                .is_none_or(|armed| at < armed || armed <= now)
        {
            self.refreshes_at = Some(at);
            self.net.borrow_mut().at(at, Event::Wakes(REFRESHER));
        }
    }

    /// The place of the next session.
    fn host(&self, pass: Option<Pass>) -> SessionHost {
        SessionHost::new(&self.hub, self.tasks.len(), pass)
    }

    fn serve(&mut self, drive: Drive<SessionHost>) {
        self.run_task(Task::Serves(Box::new(drive)));
    }

    fn run_task(&mut self, running: Task) {
        let task = self.tasks.len();
        self.wakers.push(self.hub.waker(task));
        self.tasks.push(Some(running));
        self.hub.queue.push(task);
    }

    fn act(&mut self, actor: Actor) {
        let net = &mut *self.net.borrow_mut();
        match actor {
            Actor::Client(id) => {
                let (ledger, oracle) = (&mut self.ledger, &mut self.oracle);
                self.clients[id].step(net, ledger, oracle, &mut self.memory);
            }
            Actor::Origin(link) => {
                for asked in self.origin.step(link, net, &mut self.ledger) {
                    self.oracle.arrived(asked, link, net, &mut self.ledger);
                }
            }
        }
    }

    /// Wakes somebody who has no reason to wake, or tells somebody to give way.
    fn disturb(&mut self) {
        let net = &mut *self.net.borrow_mut();
        if net.chance.hits(net.swarm.spurious) && !self.tasks.is_empty() {
            self.hub.queue.push(net.chance.below(self.tasks.len()));
        }
        if net.chance.hits(net.swarm.pushing) && !net.is_calm && !self.tasks.is_empty() {
            let task = net.chance.below(self.tasks.len());
            self.hub.doors.push(task);
            self.oracle.must_leave(&[task], net);
            self.hub.queue.push(task);
        }
    }

    fn connect(&mut self) {
        let open = self.clients.iter().filter(|client| !client.closed).count();
        if !self.net.borrow().is_calm {
            let net = &mut *self.net.borrow_mut();
            let wait = net.chance.time(net.swarm.pause_max);
            net.after(wait, Event::Connects);
        }
        if open < CLIENTS_MAX && !self.hub.draining.get() && !self.net.borrow().is_calm {
            self.accept(None);
        }
    }

    fn accept(&mut self, script: Option<VecDeque<Asked>>) {
        let id = self.clients.len();
        let octet = u8::try_from(id % 250).unwrap_or(0);
        let peer = SocketAddr::from(([192, 0, 2, octet], 4711));
        let now = self.net.borrow().now;
        let (pass, leaving) = self.hub.doors.enter(peer.ip(), self.tasks.len(), now);
        self.oracle.must_leave(&leaving, &mut self.net.borrow_mut());
        for task in leaving {
            self.hub.queue.push(task);
        }
        let Some(pass) = pass else { return };
        let link = {
            let net = &mut *self.net.borrow_mut();
            let link = net.connect(Some(Actor::Client(id)));
            let mut client = Client::new(id, link, net, &mut self.memory.visitors);
            if let Some(script) = script {
                client.follow(script, net);
            }
            self.clients.push(client);
            net.at(net.now, Event::Steps(Actor::Client(id)));
            link
        };
        let session = Session::new(Arc::clone(&self.gateway), peer, now);
        let socket = SimSocket::new(&self.net, link);
        let place = self.host(Some(pass));
        self.serve(Drive::new(place, socket, session));
    }

    fn jump(&mut self) {
        let net = &mut *self.net.borrow_mut();
        let jump = i64::try_from(net.chance.size(90_000)).unwrap_or(0);
        self.clock_error = if net.chance.hits(500) { jump } else { -jump };
        net.note(format_args!("wall clock is off by {} s", self.clock_error));
        if !net.is_calm {
            let wait = net.chance.time(Duration::from_secs(60));
            net.after(wait, Event::ClockJumps);
        }
    }

    fn set_clock(&self) {
        let now = self.net.borrow().now;
        let (secs, nanos) = (unix(now).0, now.as_nanos() % 1_000_000_000);
        let secs = secs.saturating_add_signed(self.clock_error);
        let since_1970 = Duration::from_secs(secs) + Duration::from_nanos(nanos);
        self.gateway.site().set_wall_clock(since_1970, now);
    }

    /// The program is told to end; when it has, the next one begins with the same site.
    fn drain(&self) {
        self.net.borrow_mut().note(format_args!("drain"));
        self.hub.draining.set(true);
        self.wake_all();
    }

    fn wake_all(&self) {
        for task in 0..self.tasks.len() {
            self.hub.queue.push(task);
        }
        self.hub.queue.push(REFRESHER);
    }

    fn looked_up(&self) {
        let net = &mut *self.net.borrow_mut();
        let answer = if net.is_calm || net.chance.hits(900) {
            let count = net.chance.within(1..4);
            let address = |last| SocketAddr::from(([198, 51, 100, last], 80));
            Ok((0..3).take(count).map(address).collect())
        } else {
            Err("no name service".to_owned())
        };
        let told = self.hub.addresses.borrow_mut().found(answer, net.now);
        net.note(format_args!("looked up, told {told:?}"));
        for waker in self.hub.waiting.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    fn turn(&mut self) {
        let net = &mut *self.net.borrow_mut();
        self.origin.turn(net);
        *self.hub.origin.borrow_mut() = match self.origin.health {
            Health::Failing | Health::Slow | Health::Up => Reach::Open,
            Health::Lost => Reach::Lost,
            Health::Refusing => Reach::Refused,
        };
        if !net.is_calm {
            let wait = net.chance.time(net.swarm.turn_max);
            net.after(wait, Event::OriginTurns);
        }
    }

    fn tick(&mut self) {
        self.set_clock();
        let now = self.net.borrow().now;
        self.hub.pool.borrow_mut().expire(now);
        {
            let net = &mut *self.net.borrow_mut();
            for client in &mut self.clients {
                client.tick(net, &mut self.ledger);
            }
            net.after(Duration::from_secs(1), Event::Ticks);
        }
        self.check_bounds();
        let is_over = self.tasks.iter().all(Option::is_none);
        if self.hub.draining.get() && is_over && !self.net.borrow().is_calm {
            self.net.borrow_mut().note(format_args!("drained"));
            self.hub.draining.set(false);
            self.hub.queue.push(REFRESHER);
        }
    }

    fn check_bounds(&mut self) {
        let stats = self.gateway.site().stats(self.net.borrow().now);
        let config = self.gateway.config();
        let limits = config.site().admission.in_flight_min..=config.site().admission.in_flight_max;
        // Renewals may have their share also where the rest is used up.
        let background = stats.refresh.running.max(1) + 1;
        let sessions = self.tasks.iter().flatten().count();
        let holds = stats.copies_bytes <= config.site().cache.bytes_max
            && stats.copies <= config.site().cache.entries_max
            && stats.admission.in_flight <= config.site().admission.in_flight_max + background
            && limits.contains(&stats.admission.limit)
            && stats.collecting_bytes <= config.site().cache.bytes_max / 2
            // What was there when the last large one was collected, and a whole store since.
            && stats.leaving_bytes <= config.site().cache.bytes_max / 2 + config.site().cache.bytes_max
            && self.gateway.queued_bytes() <= config.client().send_bytes_max + sessions * PIECES_BYTES;
        self.ledger
            .check(holds, || format!("a bound is broken: {stats:?}"));
    }
}
