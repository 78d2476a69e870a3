//! What an outage costs, and how soon its end is found.

use std::time::Duration;

use super::rig::{CONNECT_ANEW, PAGE, Rig, body, field, get, of_call, status};
use crate::breaker::State;
use crate::config::Settings;
use crate::limits::RESTART_WAITING_MAX;
use crate::session::{CallTimer, Input, Side};

const POST: &str = "POST /order HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=b";
const DONE: &str = "HTTP/1.1 303 See Other\r\nLocation: /order\r\nContent-Length: 0\r\n\r\n";
const OOPS: &str = "HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nbad";

/// How long a new visitor may be without an answer once the origin is back.
const RETURN_MAX: Duration = Duration::from_secs(2);

const STEP: Duration = Duration::from_millis(20);

/// What the origin does with a request.
#[derive(Clone, Copy)]
enum Origin {
    Answers(&'static str),
    Hangs,
    Refuses,
}

const WELL: Origin = Origin::Answers(PAGE);

/// A server before an origin, with those for whom it is asked at the moment.
struct Server {
    rig: Rig,
    asking: Vec<Rig>,
    /// Those whose requests the origin has forgotten.
    forgotten: Vec<Rig>,
    origin: Origin,
}

impl Server {
    /// With a copy of `/` where there is to be one.
    fn new(settings: Settings, has_copy: bool) -> Self {
        let mut rig = Rig::with(settings);
        assert!(rig.attend().is_empty());
        if has_copy {
            rig.send(&get("/", "")).reply(PAGE);
            assert_eq!(status(&rig.received()), 200);
        }
        Self {
            rig,
            asking: Vec::new(),
            forgotten: Vec::new(),
            origin: WELL,
        }
    }

    fn another(&self) -> Rig {
        let mut client = self.rig.another();
        client.refuses = matches!(self.origin, Origin::Refuses);
        client
    }

    fn circuit(&self) -> State {
        self.rig.gateway.site().circuit(self.rig.now)
    }

    fn waiting(&self) -> usize {
        self.rig
            .gateway
            .site()
            .stats(self.rig.now)
            .admission
            .waiting
    }

    /// A client asks, and stays until it is answered.
    fn ask(&mut self, request: &str) {
        let mut client = self.another();
        client.send(request);
        self.asking.push(client);
        self.go_on();
    }

    /// Does what is due, and what the origin does.
    fn go_on(&mut self) {
        self.rig.refuses = matches!(self.origin, Origin::Refuses);
        self.asking.extend(self.rig.attend());
        for client in &mut self.asking {
            client.refuses = self.rig.refuses;
            client.wait(self.rig.now.saturating_since(client.now));
            if let Origin::Answers(text) = self.origin
                && !client.asked().is_empty()
            {
                client.reply(text);
            }
        }
        for client in &mut self.forgotten {
            client.wait(self.rig.now.saturating_since(client.now));
        }
        let is_answered = |client: &Rig| !client.client.is_empty() || client.session.is_done();
        self.asking.retain(|client| !is_answered(client));
        self.forgotten.retain(|client| !is_answered(client));
    }

    /// The origin will not answer what it has been asked so far, and closes no connection.
    fn forget(&mut self) {
        let asked = self
            .asking
            .extract_if(.., |client| !client.asked().is_empty());
        self.forgotten.extend(asked);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.rig.now + time;
        while self.rig.now < end {
            self.rig.now = self.rig.now + STEP;
            self.go_on();
        }
    }

    /// Whether a visitor whom nobody knows gets a page now.
    fn is_found(&self) -> bool {
        self.is_found_by("/new")
    }

    /// Whether one who asks for this page does.
    fn is_found_by(&self, page: &str) -> bool {
        let mut visitor = self.another();
        visitor.send(&get(page, ""));
        if visitor.asked().is_empty() || !matches!(self.origin, Origin::Answers(_)) {
            return false;
        }
        visitor.reply(PAGE);
        status(&visitor.received()) == 200
    }

    /// How long after the origin's return the first new visitor gets a page.
    fn return_time(&mut self) -> Duration {
        self.origin = WELL;
        let since = self.rig.now;
        self.go_on();
        while !self.is_found() {
            self.pass(STEP);
            let took = self.rig.now.saturating_since(since);
            assert!(took < 10 * RETURN_MAX, "it is never found");
        }
        self.rig.now.saturating_since(since)
    }

    /// No connection comes about any more, and the circuit is open.
    fn refuse(&mut self) {
        self.origin = Origin::Refuses;
        self.rig.refuses = true;
        for _ in 0..6 {
            // They give up at once.
            let mut lost = self.another();
            lost.send(&get("/none", ""));
            assert_eq!(lost.asked(), "");
        }
        assert_eq!(self.circuit(), State::Open);
    }
}

#[test]
fn an_origin_that_refused_is_found_soon_however_long_and_however_often_it_did() {
    for (has_copy, share) in [(true, 0.25), (false, 0.25), (true, 0.0)] {
        let mut settings = Settings::default();
        settings.site.admission.background_share = share;
        let mut server = Server::new(settings, has_copy);
        for seconds in [90.0, 90.0, 90.0, 90.0, 90.0, 1.5, 90.0, 1.5, 1.5, 1.5] {
            server.refuse();
            let end = server.rig.now + Duration::from_secs_f64(seconds);
            let requests = [POST.to_owned(), get("/page", ""), get("/", "")];
            for request in requests.iter().cycle() {
                server.ask(request);
                server.pass(Duration::from_millis(500));
                if server.rig.now >= end {
                    break;
                }
            }
            assert!(!server.is_found());
            let took = server.return_time();
            assert!(took <= RETURN_MAX, "{took:?} after {seconds} s, {has_copy}");
            let next = server.return_time();
            assert!(next <= 10 * STEP, "{next:?}");
        }
    }
}

#[test]
fn an_origin_that_hung_is_found_when_it_goes_on() {
    for (has_copy, seconds) in [(true, 14), (false, 14), (true, 90), (false, 90)] {
        let mut server = Server::new(Settings::default(), has_copy);
        for page in ["/", "/none", "/new"] {
            server.ask(&get(page, ""));
        }
        for _ in 0..5 {
            server.origin = Origin::Hangs;
            // Each visitor hangs until its time is up.
            for half in 0..2 * seconds {
                let page = ["/none", "/new", "/third"][half % 3];
                server.ask(&get(page, ""));
                server.pass(Duration::from_millis(500));
            }
            let stats = server.rig.gateway.site().stats(server.rig.now);
            assert!(stats.circuit != State::Closed || stats.paths_open > 0);
            let took = server.return_time();
            assert!(took <= RETURN_MAX, "{took:?} after {seconds} s, {has_copy}");
            server.pass(Duration::from_secs(1));
        }
    }
}

#[test]
fn an_origin_that_forgot_what_it_was_asked_is_found_when_it_goes_on() {
    /// It takes a second to see that the last probe hangs, and the circuit is open for two at most.
    const RETURN_MAX: Duration = Duration::from_secs(3);
    for (has_copy, seconds) in [(true, 5), (false, 5), (true, 14), (false, 14), (true, 90)] {
        let mut server = Server::new(Settings::default(), has_copy);
        for page in ["/", "/none", "/new"] {
            server.ask(&get(page, ""));
        }
        for _ in 0..5 {
            server.origin = Origin::Hangs;
            for tenth in 0..10 * seconds {
                let page = ["/none", "/new", "/third", "/fourth"][tenth % 4];
                server.ask(&get(page, ""));
                server.pass(Duration::from_millis(100));
            }
            server.forget();
            server.origin = WELL;
            let since = server.rig.now;
            // Others wait in the queue meanwhile.
            while !server.is_found_by("/unseen") {
                server.ask(&get("/other", ""));
                server.pass(Duration::from_millis(100));
            }
            let took = server.rig.now.saturating_since(since);
            assert!(took <= RETURN_MAX, "{took:?} after {seconds} s, {has_copy}");
            server.pass(Duration::from_secs(1));
        }
    }
}

#[test]
fn what_was_not_sent_waits_for_a_restart_and_is_sent_once() {
    let mut server = Server::new(Settings::default(), true);
    server.origin = Origin::Refuses;
    let mut clients: Vec<Rig> = Vec::new();
    for number in 0..20 {
        let mut client = server.another();
        client.send(if number % 2 == 0 { POST } else { "" });
        client.send(&get(&format!("/page/{number}"), ""));
        clients.push(client);
    }
    // Whoever has a copy is answered from it.
    let mut rescued = server.another();
    rescued.send(&get("/", ""));
    assert_eq!(body(&rescued.received()), "good");
    assert_eq!(server.waiting(), 20);
    server.pass(Duration::from_millis(1_500));
    server.origin = WELL;
    server.pass(Duration::from_millis(500));
    for (number, client) in clients.iter_mut().enumerate() {
        client.refuses = false;
        client.wait(server.rig.now.saturating_since(client.now));
        if number % 2 == 0 {
            let asked = client.asked();
            assert_eq!(asked.matches("POST /order").count(), 1, "{asked}");
            assert!(asked.ends_with("\r\n\r\na=b"));
            client.reply(DONE);
            assert!(client.received().starts_with("HTTP/1.1 303"));
        }
        assert_eq!(client.asked().matches("GET /page/").count(), 1);
        client.reply(PAGE);
        assert_eq!(status(&client.received()), 200);
    }
}

#[test]
fn a_client_that_waits_for_a_restart_waits_until_some_time_after_the_first_refusal() {
    let mut server = Server::new(Settings::default(), false);
    server.origin = Origin::Refuses;
    let mut first = server.another();
    first.send(POST);
    assert_eq!(first.session.poll_timer(), of_call(CallTimer::OriginRoom));
    server.pass(Duration::from_secs(3));
    let mut second = server.another();
    second.send(&get("/", ""));
    server.pass(Duration::from_secs(2));
    for client in [&mut first, &mut second] {
        client.wait(server.rig.now.saturating_since(client.now));
        let received = client.received();
        assert_eq!(status(&received), 502);
        assert!(body(&received).contains("no connection to the application"));
        assert_eq!(client.asked(), "");
    }
    assert_eq!(server.waiting(), 0);
    let mut third = server.another();
    third.send(POST);
    assert_eq!(
        status(&third.received()),
        502,
        "later ones are told at once"
    );
}

#[test]
fn only_some_wait_for_a_restart_and_none_where_that_is_set() {
    let waits = |rig: &Rig| {
        let mut client = rig.another();
        client.refuses = true;
        client.send(POST);
        let is_answered = !client.received().is_empty();
        (!is_answered).then_some(client)
    };
    let server = Server::new(Settings::default(), false);
    let waiting: Vec<_> = (0..RESTART_WAITING_MAX)
        .map(|_| waits(&server.rig))
        .collect();
    assert!(waiting.iter().all(Option::is_some));
    assert!(waits(&server.rig).is_none());
    drop(waiting);
    assert!(waits(&server.rig).is_some(), "who leaves makes room");

    let mut settings = Settings::default();
    settings.site.admission.restart_wait = Duration::ZERO;
    assert!(waits(&Server::new(settings, false).rig).is_none());
    assert!(waits(&Rig::new()).is_none(), "nobody would find out");
}

#[test]
fn a_write_that_was_sent_may_have_arrived_and_is_not_sent_again() {
    let texts = |request: &str| {
        let mut rig = Server::new(Settings::default(), false).rig;
        rig.send(request);
        assert!(!rig.asked().is_empty());
        rig.end_of(Side::Origin);
        let received = rig.received();
        assert_eq!((status(&received), rig.asked().as_str()), (502, ""));
        body(&received).contains("may have arrived")
    };
    assert!(texts(POST));
    assert!(texts(&POST.replace("POST", "PUT")));
    assert!(!texts(&get("/", "")));
    let mut rig = Server::new(Settings::default(), false).rig;
    rig.send(POST).wait(Duration::from_secs(15));
    let received = rig.received();
    assert_eq!(status(&received), 504);
    assert!(body(&received).contains("may have arrived"), "{received}");
}

#[test]
fn the_next_page_of_who_has_written_goes_through() {
    for has_copy in [false, true] {
        let mut server = Server::new(Settings::default(), has_copy);
        let fails = [Input::ReadFailed(Side::Origin); 7];
        // The pages fail, and what is written does not.
        for (number, input) in fails.into_iter().cycle().take(30).enumerate() {
            let mut visitor = server.another();
            visitor.send(&get(&format!("/page/{}", number % 7), ""));
            if !visitor.asked().is_empty() {
                visitor.input(input);
            }
        }
        assert_eq!(server.circuit(), State::Open);
        let mut writer = server.another();
        writer.send(POST);
        assert!(writer.took().contains(&CONNECT_ANEW));
        writer.reply(DONE);
        writer.received();
        writer.asked();
        writer.send(&get("/order", ""));
        server.pass(3 * STEP);
        writer.wait(3 * STEP);
        assert!(writer.asked().starts_with("GET /order"), "{has_copy}");
        writer.reply(PAGE);
        assert_eq!(field(&writer.received(), "x-retter"), Some("backend"));
    }
}

#[test]
fn an_origin_that_said_it_would_be_away_is_found_when_it_is_back() {
    let away = "HTTP/1.1 503 Away\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n";
    for (has_copy, seconds) in [(true, 5), (false, 5), (true, 60), (false, 60)] {
        let mut server = Server::new(Settings::default(), has_copy);
        server.origin = Origin::Answers(away);
        for _ in 0..2 * seconds {
            for page in ["/new", "/b", "/c"] {
                server.ask(&get(page, ""));
            }
            server.pass(Duration::from_millis(500));
        }
        let mut visitor = server.another();
        visitor.send(&get("/new", ""));
        assert_eq!(status(&visitor.received()), 503);
        let took = server.return_time();
        assert!(took <= Duration::from_secs(5), "{took:?}");
    }
}

#[test]
fn a_restart_begins_with_as_many_as_before_and_eight_at_most() {
    for (before, after) in [(100, 8), (5, 5)] {
        let mut settings = Settings::default();
        settings.site.admission.in_flight_start = before;
        settings.site.breaker.origin_probes = 1;
        let mut server = Server::new(settings, false);
        let limit = |server: &Server| server.rig.gateway.site().gate().limit();
        for _ in 0..20 {
            server.refuse();
        }
        assert_eq!(
            limit(&server),
            before,
            "nothing is learnt from an origin that is not there"
        );
        server.return_time();
        assert_eq!(limit(&server), after);
    }
}

#[test]
fn an_origin_that_fails_though_it_takes_connections_is_not_waited_for() {
    let mut server = Server::new(Settings::default(), true);
    server.refuse();
    let mut visitor = server.another();
    visitor.send(&get("/new", ""));
    assert_eq!(visitor.received(), "", "it waits");
    server.origin = Origin::Answers(OOPS);
    server.pass(Duration::from_secs(1));
    visitor.wait(server.rig.now.saturating_since(visitor.now));
    assert_eq!(status(&visitor.received()), 503);
    // Nor is a client that has gone.
    let mut server = Server::new(Settings::default(), false);
    server.origin = Origin::Refuses;
    let mut client = server.another();
    client.send(POST);
    assert_eq!(server.waiting(), 1);
    client.input(Input::ReadFailed(Side::Client));
    assert!(client.session.is_done());
    assert_eq!(server.waiting(), 0);
}
