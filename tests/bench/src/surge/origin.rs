//! Owns the fragile application: a pool of eight connections, pages that take longer the more is
//! in flight, errors when that is too much, and outages on command.
//! Never notices that a visitor has left, as most applications do not: the page is made for nobody.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::http::{Connection, Message};

/// How many requests are worked on at one time.
pub const POOL: u32 = 8;
/// Time for a page when nothing else is in flight.
pub const SERVICE: Duration = Duration::from_millis(20);
/// A page takes twice as long with this many in flight, five times as long with twice as many.
pub const IN_FLIGHT_DOUBLE: f64 = 32.0;
/// What is in flight beyond this is answered with an error.
pub const IN_FLIGHT_MAX: u32 = 256;
/// The same of one that was told to be strict.
pub const IN_FLIGHT_STRICT: u32 = 12;
/// How long a poll waits; it keeps nothing busy.
pub const POLL: Duration = Duration::from_secs(25);
/// Length of a page.
const PAGE_BYTES: usize = 4 << 10;

/// Pages a second when the pool is just full, the most that it can do.
#[must_use]
pub fn capacity() -> f64 {
    f64::from(POOL) / service(POOL).as_secs_f64()
}

fn service(in_flight: u32) -> Duration {
    let load = f64::from(in_flight) / IN_FLIGHT_DOUBLE;
    SERVICE.mul_f64(1.0 + load * load)
}

/// How the application is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Failing,
    Hanging,
    /// It bears few at one time; with `true` it says so with status 200.
    Strict(bool),
    Well,
}

struct Shared {
    pool: Semaphore,
    mode: watch::Sender<Mode>,
    state: Mutex<State>,
}

struct State {
    in_flight: u32,
    /// Pages since that was asked last.
    made: u64,
    /// The orders that came, each with how often.
    orders: BTreeMap<String, u32>,
    peak: u32,
    /// When each connection of the pool is or was free.
    free: Vec<Instant>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves pages at `address` and obeys at `control`, for ever: `/dead`, `/failing`, `/hanging`
/// `/strict`, `/strict-soft` and `/well` say how it is from now on, `/peak` asks for the most requests in
/// flight since that was asked last, `/made` for how many pages were, `/orders` for each order that came
/// and how often.
///
/// # Errors
/// When it cannot listen.
pub async fn serve(address: SocketAddr, control: SocketAddr) -> io::Result<()> {
    let shared = Arc::new(Shared {
        pool: Semaphore::new(POOL as usize),
        mode: watch::Sender::new(Mode::Well),
        state: Mutex::new(State {
            in_flight: 0,
            made: 0,
            orders: BTreeMap::new(),
            peak: 0,
            free: vec![Instant::now(); POOL as usize],
        }),
    });
    let mut serving = open(address, &shared)?;
    let control = listen(control)?;
    loop {
        let mut connection = Connection::new(control.accept().await?.0);
        while let Ok(Some(request)) = connection.request().await {
            let mut answer = String::new();
            match request.target.as_str() {
                "/dead" => {
                    serving.abort();
                    // Its listener and all connections are gone when it has ended.
                    let _ = (&mut serving).await;
                }
                "/failing" => _ = shared.mode.send_replace(Mode::Failing),
                "/hanging" => _ = shared.mode.send_replace(Mode::Hanging),
                "/made" => {
                    let made = std::mem::take(&mut shared.state().made);
                    answer = made.to_string();
                }
                "/orders" => {
                    let orders = shared.state();
                    let lines = orders.orders.iter();
                    answer = lines
                        .map(|(path, times)| format!("{path} {times}\n"))
                        .collect();
                }
                "/strict" => _ = shared.mode.send_replace(Mode::Strict(false)),
                "/strict-soft" => _ = shared.mode.send_replace(Mode::Strict(true)),
                "/peak" => {
                    let mut state = shared.state();
                    answer = state.peak.to_string();
                    state.peak = state.in_flight;
                }
                _ => {
                    shared.mode.send_replace(Mode::Well);
                    if serving.is_finished() {
                        serving = open(address, &shared)?;
                    }
                }
            }
            let length = answer.len();
            let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{answer}");
            let _ = connection.send(reply.as_bytes()).await;
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

/// Accepts until the task is aborted; with it go all connections.
fn open(address: SocketAddr, shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let listener = listen(address)?;
    let shared = Arc::clone(shared);
    Ok(tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                connections.spawn(talk(Connection::new(stream), Arc::clone(&shared)));
            }
            while connections.try_join_next().is_some() {}
        }
    }))
}

async fn talk(mut connection: Connection, shared: Arc<Shared>) {
    while connection.is_open
        && let Ok(Some(request)) = connection.request().await
    {
        let reply = answer(&request, &shared).await;
        if connection.send(&reply).await.is_err() {
            return;
        }
    }
}

async fn answer(request: &Message, shared: &Shared) -> Vec<u8> {
    if request.target.starts_with("/poll") {
        sleep(POLL).await;
        return page(request);
    }
    if request.target.contains("boom=") {
        return error("no such page");
    }
    if request.method == "POST" {
        let mut state = shared.state();
        *state.orders.entry(request.target.clone()).or_default() += 1;
    }
    let in_flight = InFlight::enter(shared);
    let arrived = Instant::now();
    if in_flight.count() > IN_FLIGHT_MAX {
        return error("too many connections");
    }
    let mut mode = shared.mode.subscribe();
    // The sender is in `shared`: it is not dropped.
    let _ = mode.wait_for(|mode| *mode != Mode::Hanging).await;
    let is = *mode.borrow();
    match is {
        Mode::Failing => return error("the database is away"),
        Mode::Strict(is_soft) if in_flight.count() > IN_FLIGHT_STRICT => {
            return if is_soft {
                soft()
            } else {
                error("too many connections")
            };
        }
        Mode::Hanging | Mode::Strict(_) | Mode::Well => {}
    }
    let _permit = shared.pool.acquire().await;
    // Timers are late by up to a millisecond: the next page begins when this one should have
    // ended, or the application would be slower than it says.
    let free = {
        let mut state = shared.state();
        let first = (0..state.free.len()).min_by_key(|place| state.free[*place]);
        first.map(|place| state.free.swap_remove(place))
    };
    let busy = Busy {
        shared,
        until: free.unwrap_or(arrived).max(arrived) + service(in_flight.count()),
    };
    sleep_until(busy.until).await;
    shared.state().made += 1;
    page(request)
}

/// A request in flight.
struct InFlight<'a>(&'a Shared);

impl<'a> InFlight<'a> {
    fn enter(shared: &'a Shared) -> Self {
        let mut state = shared.state();
        state.in_flight += 1;
        state.peak = state.peak.max(state.in_flight);
        Self(shared)
    }

    fn count(&self) -> u32 {
        self.0.state().in_flight
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}

/// A connection of the pool in use.
struct Busy<'a> {
    shared: &'a Shared,
    until: Instant,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.shared.state().free.push(self.until);
    }
}

/// An error page, as WordPress sends it, but with status 200 as other applications do.
fn soft() -> Vec<u8> {
    let text = "<h1>Error establishing a database connection</h1>";
    let length = text.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{text}")
        .into_bytes()
}

fn error(text: &str) -> Vec<u8> {
    let length = text.len();
    format!(
        "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\n\r\n{text}"
    )
    .into_bytes()
}

/// A page says which it is, for whom, and when it was made; `POST /login` starts a session.
fn page(request: &Message) -> Vec<u8> {
    let cookie = request.field("cookie").unwrap_or_default();
    let user = cookie.strip_prefix("session=").unwrap_or("-");
    let mut body = format!(
        "page={} user={user} version={}\n",
        request.target,
        now_millis()
    );
    if request.method == "POST" {
        body.push_str(&String::from_utf8_lossy(&request.body));
    }
    let login = match request.target.strip_prefix("/login?user=") {
        Some(name) => format!("Set-Cookie: session={name}; Path=/; HttpOnly\r\n"),
        None => String::new(),
    };
    body.extend(std::iter::repeat_n(
        '.',
        PAGE_BYTES.saturating_sub(body.len()),
    ));
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n{login}\r\n{body}"
    )
    .into_bytes()
}

/// Milliseconds since 1970, on the clock that origin and load share.
#[must_use]
pub fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_best_when_the_pool_is_just_full() {
        assert_eq!(capacity().round(), 376.0);
        assert_eq!(service(32), SERVICE * 2);
        assert_eq!(service(64), SERVICE * 5);
    }

    #[test]
    fn a_page_says_which_it_is_and_for_whom() {
        let request = Message {
            method: "POST".to_owned(),
            target: "/order/1".to_owned(),
            fields: vec![("cookie".to_owned(), "session=u1".to_owned())],
            body: b"two of them".to_vec(),
            ..Message::default()
        };
        let page = String::from_utf8(page(&request)).expect("pages are text");
        assert!(
            page.contains("\r\n\r\npage=/order/1 user=u1 version="),
            "{page}"
        );
        assert!(
            page.contains("two of them") && !page.contains("Set-Cookie"),
            "{page}"
        );
    }
}
