//! Owns what is special about one seed: its settings, and which faults it has how often.
//! Never draws a number after the start.

use std::rc::Rc;
use std::time::Duration;

use retter_core::config::{FreshMode, RescueMode, Settings};

use crate::chance::Chance;
use crate::visitors;

/// The weights of one seed. Some faults are absent, so that the others meet a program that has
/// not been stopped by them; the rest have wild weights.
#[derive(Clone, Debug)]
pub(crate) struct Swarm {
    pub(crate) latency_max: Duration,
    /// Transfers of a few bytes, per mille.
    pub(crate) chop: u32,
    /// Directions of links that are cut, per mille.
    pub(crate) cut: u32,
    /// Connections to the origin: as it is, refused, never answered, not begun as there is no
    /// socket.
    pub(crate) dials: [u32; 4],
    /// Kinds of the origin's answers, see `answers::Fault`.
    pub(crate) faults: [u32; 10],
    /// Kinds of the origin's health, see `origin::Health`.
    pub(crate) healths: [u32; 5],
    /// How long the origin stays as it is, at most.
    pub(crate) turn_max: Duration,
    /// Statuses: 200, 204, 501, 404, 302, 500, 503, 403, 410; see `answers::STATUSES`. A 304 is a
    /// 200 to a client that has it.
    pub(crate) statuses: [u32; 9],
    /// Kinds of cache directives, see `answers::DIRECTIVES`.
    pub(crate) directives: [u32; 10],
    /// Answers with `Vary`, with a session cookie, with another cookie, per mille.
    pub(crate) varies: u32,
    pub(crate) new_session: u32,
    pub(crate) new_cookie: u32,
    /// Answers that are a new version of their page, per mille.
    pub(crate) edits: u32,
    /// The most bytes of a body.
    pub(crate) body_max: usize,
    /// Time the origin takes for a head, at most.
    pub(crate) think_max: Duration,
    /// Kinds of requests: GET, HEAD, POST, DELETE, OPTIONS, upgrade, malformed.
    pub(crate) methods: [u32; 7],
    pub(crate) paths: usize,
    /// Requests with a parameter that chooses no page, per mille.
    pub(crate) tracked: u32,
    /// Visitors that come again, and new ones in their place, per mille.
    pub(crate) users: usize,
    pub(crate) newcomers: u32,
    /// Kinds of visitors, see `visitors::Kind`.
    pub(crate) kinds: [u32; 10],
    /// The field by which a proxy in front says who asks, where it is a made-up one.
    pub(crate) made_up: Rc<str>,
    /// Answers that hand out a cookie of this name to those whom the application does not know,
    /// and are personal already, per mille.
    pub(crate) started: &'static str,
    pub(crate) starts: u32,
    /// Pages that show a stranger the cookie that it has or is handed, per mille.
    pub(crate) shows: u32,
    /// Cookies that are handed out within one second are the same.
    pub(crate) same_second: bool,
    /// The application gives another cookie in the place of its own with each answer.
    pub(crate) rolls: bool,
    /// Answers with which somebody whom the application knows is somebody else from then on, per mille.
    pub(crate) logs_in: u32,
    /// Requests that sign out, per mille.
    pub(crate) signing_out: u32,
    /// Visitors whose pages a script counts, and who come with another's cookie, per mille.
    pub(crate) counting: u32,
    pub(crate) stealing: u32,
    /// Error pages that come with status 200, per mille.
    pub(crate) errors: u32,
    /// Requests sent ahead, clients that leave early, that read slowly, that send slowly, that
    /// close their half, per mille.
    pub(crate) pipelining: u32,
    pub(crate) leaving: u32,
    pub(crate) slow_reading: u32,
    pub(crate) slow_sending: u32,
    pub(crate) half_closing: u32,
    /// Time between two clients, at most.
    pub(crate) pause_max: Duration,
    /// Jumps of the wall clock.
    pub(crate) clock_jumps: bool,
    /// Copies are renewed in the background, if the settings allow it.
    pub(crate) is_attended: bool,
    /// Wakes without a reason, and sessions told to give way whatever they do, per mille of events.
    pub(crate) spurious: u32,
    pub(crate) pushing: u32,
    /// Connections that there may be; more push others out.
    pub(crate) places: usize,
    /// Visitors are people with browsers, who say that they want a page, or a script on it that it wants
    /// data; only they may wait in the waiting room.
    pub(crate) browses: bool,
}

impl Swarm {
    pub(crate) fn new(chance: &mut Chance) -> Self {
        let latency = *chance.pick(&[200, 2_000, 20_000, 120_000]);
        let pause = *chance.pick(&[20_000, 100_000, 400_000]);
        let starts = *chance.pick(&[0, 0, 300, 1_000]);
        let mut kinds = weights(chance, 16);
        if starts > 0 {
            // They are alike before their first answer, and no more after it.
            kinds[visitors::Kind::Odd as usize] = 16;
        }
        if chance.hits(200) {
            // Only where there are many are a connection's next request and its login two people's.
            kinds[visitors::Kind::Bound as usize] = 24;
        }
        Self {
            latency_max: Duration::from_micros(latency),
            chop: rate(chance, 500),
            cut: rate(chance, 150),
            dials: [20, rate(chance, 12), rate(chance, 6), rate(chance, 8)],
            faults: weights(chance, 40),
            healths: weights(chance, 8),
            turn_max: Duration::from_secs(*chance.pick(&[2, 10, 40])),
            statuses: weights(chance, 60),
            directives: weights(chance, 6),
            varies: rate(chance, 500),
            new_session: rate(chance, 120),
            new_cookie: rate(chance, 120),
            edits: rate(chance, 500),
            body_max: *chance.pick(&[200, 3_000, 30_000, 120_000]),
            think_max: Duration::from_millis(*chance.pick(&[1, 30, 600, 2_500])),
            methods: weights(chance, 60),
            paths: chance.within(1..12),
            users: chance.within(1..6),
            tracked: rate(chance, 300),
            newcomers: *chance.pick(&[0, 0, 200, 600]),
            made_up: made_up(chance),
            started: visitors::STARTS[chance.below(3)],
            starts,
            errors: *chance.pick(&[0, 0, 60, 300]),
            shows: *chance.pick(&[0, 0, 500, 1_000]),
            same_second: chance.hits(150),
            rolls: chance.hits(400),
            logs_in: *chance.pick(&[0, 0, 100, 300]),
            signing_out: *chance.pick(&[0, 20, 100]),
            counting: *chance.pick(&[0, 500, 1_000]),
            stealing: *chance.pick(&[0, 0, 300, 700]),
            kinds,
            pipelining: rate(chance, 500),
            leaving: rate(chance, 300),
            slow_reading: rate(chance, 300),
            slow_sending: rate(chance, 300),
            half_closing: rate(chance, 150),
            pause_max: Duration::from_micros(pause),
            clock_jumps: chance.hits(300),
            is_attended: chance.hits(750),
            spurious: rate(chance, 30),
            pushing: rate(chance, 10),
            places: *chance.pick(&[3, 12, 1_000, 1_000, 1_000, 1_000]),
            browses: false,
        }
    }
}

impl Swarm {
    /// Makes it a world in which more people want pages than the application can make.
    pub(crate) fn be_crowded(&mut self, settings: &mut Settings) {
        self.browses = true;
        (self.users, self.newcomers) = (self.users.max(5), self.newcomers.max(400));
        self.think_max = self.think_max.max(Duration::from_millis(600));
        let admission = &mut settings.site.admission;
        admission.in_flight_max = admission.in_flight_max.min(2);
        admission.in_flight_start = admission.in_flight_start.min(2);
        admission.queue_timeout = admission.queue_timeout.min(Duration::from_millis(500));
    }

    /// Makes it a world of sessions: there is time to find out how the application's cookies are, and
    /// little else goes wrong meanwhile than that they come into several hands.
    pub(crate) fn be_of_sessions(&mut self, settings: &mut Settings, chance: &mut Chance) {
        let cache = &mut settings.site.cache;
        (cache.rescue, cache.public) = (RescueMode::Session, true);
        cache.public_share = 1.0;
        cache.bytes_max = 64 << 20;
        (cache.object_bytes_max, cache.entries_max) = (60_000, 1_000);
        settings.site.admission.background_share = 1.0;
        settings.site.admission.in_flight_max = 64;
        (self.rolls, self.same_second) = (true, false);
        (self.starts, self.logs_in) = (1_000, 300);
        (self.users, self.newcomers) = (3, 100);
        (self.stealing, self.counting) = (600, 300);
        (self.is_attended, self.places) = (true, 1_000);
        self.paths = 2;
        // Pages that a stranger gets, and now and then an outage.
        self.healths = [10, 0, 0, *chance.pick(&[1, 2, 3]), 0];
        self.turn_max = Duration::from_secs(15);
        self.statuses = [60, 0, 0, 0, 0, 1, 0, 0, 0];
        self.faults = [60, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        self.methods = [60, 2, 1, 0, 0, 0, 0];
        (self.new_session, self.new_cookie, self.errors) = (0, 0, 0);
        self.shows = *chance.pick(&[0, 0, 0, 300]);
        (self.cut, self.varies, self.tracked) = (0, 0, 0);
        self.kinds = [16, 0, 0, 0, 4, 0, 0, 0, 0, 0];
        self.pause_max = Duration::from_secs(20);
        (self.leaving, self.slow_reading, self.slow_sending) = (0, 0, 0);
    }

    /// Whether a cookie is one by which the application will know its user.
    pub(crate) fn is_start(&self, cookie: &str) -> bool {
        let value = cookie.strip_prefix(self.started);
        // What `Answer::new_session` sets is gone again with the next answer.
        value.is_some_and(|value| value.starts_with('=') && !value.starts_with("=new"))
    }
}

/// The name of a field that nobody has a list of.
fn made_up(chance: &mut Chance) -> Rc<str> {
    let count = chance.within(2..9);
    let letters = (0..count).map(|_| *chance.pick(b"abdefghiklmnorstuvwyz"));
    let letters = letters.map(char::from).collect::<String>();
    format!("X-{letters}-Of").into()
}

/// Zero as often as not.
fn rate(chance: &mut Chance, max: usize) -> u32 {
    if chance.hits(500) {
        return 0;
    }
    u32::try_from(chance.size(max)).unwrap_or(0)
}

/// The first is what should happen; it never vanishes.
fn weights<const N: usize>(chance: &mut Chance, first: u32) -> [u32; N] {
    std::array::from_fn(|index| match index {
        0 => first,
        _ => rate(chance, 16),
    })
}

/// Settings in which a few simulated minutes are long, and a few requests many.
pub(crate) fn settings(chance: &mut Chance) -> Settings {
    let mut settings = Settings::default();
    let secs = Duration::from_secs;
    let admission = &mut settings.site.admission;
    admission.in_flight_max = *chance.pick(&[1, 2, 4, 8, 64]);
    admission.in_flight_start = admission.in_flight_max.min(*chance.pick(&[1, 8]));
    admission.in_flight_min = 1;
    admission.queue_timeout = Duration::from_millis(*chance.pick(&[50, 500, 2_000]));
    admission.parked_max = *chance.pick(&[0, 3, 256]);
    admission.restart_wait = secs(*chance.pick(&[0, 1, 5]));
    admission.background_share = *chance.pick(&[0.0, 0.2, 1.0]);
    let breaker = &mut settings.site.breaker;
    breaker.slow_rate = *chance.pick(&[None, Some(0.66)]);
    breaker.slow_min = Duration::from_millis(*chance.pick(&[100, 1_000]));
    breaker.window = secs(5);
    breaker.consecutive_failures = *chance.pick(&[2, 3, 5]);
    breaker.path_outcomes_min = 5;
    breaker.origin_outcomes_min = *chance.pick(&[6, 12]);
    breaker.origin_paths_min = 2;
    breaker.open_min = Duration::from_millis(500);
    breaker.open_max = secs(8);
    breaker.probe_lease = secs(3);
    breaker.origin_probes = *chance.pick(&[1, 3]);
    breaker.paths_max = *chance.pick(&[2, 64]);
    let cache = &mut settings.site.cache;
    cache.ttl = secs(*chance.pick(&[1, 5]));
    cache.fresh = *chance.pick(&[FreshMode::Off, FreshMode::Origin, FreshMode::Ttl]);
    cache.detect_query = chance.hits(800);
    cache.rescue = *chance.pick(&[
        RescueMode::Session,
        RescueMode::Session,
        RescueMode::Session,
        RescueMode::Strict,
        RescueMode::All,
    ]);
    cache.public = chance.hits(800);
    cache.public_share = *chance.pick(&[0.1, 1.0, 1.0]);
    cache.rescue_age_max = secs(*chance.pick(&[10, 60, 86_400]));
    cache.bytes_max = *chance.pick(&[20_000, 200_000, 64 << 20]);
    cache.object_bytes_max = cache.bytes_max.min(*chance.pick(&[2_000, 16_000, 60_000]));
    cache.entries_max = *chance.pick(&[8, 1_000]);
    let client = &mut settings.client;
    client.gzip = chance.hits(700);
    client.head_bytes_max = 4 << 10;
    client.read_timeout = secs(3);
    client.write_timeout = secs(3);
    client.send_bytes_max = *chance.pick(&[0, 8_000, 32 << 20]);
    client.idle_timeout = secs(6);
    let origin = &mut settings.site.origin;
    origin.authority = "origin.example".to_owned();
    origin.head_bytes_max = 4 << 10;
    origin.connect_timeout = secs(1);
    origin.head_timeout = secs(2);
    origin.wait_timeout = secs(*chance.pick(&[1, 4]));
    origin.body_timeout = secs(3);
    origin.tunnel_timeout = secs(10);
    settings
}
