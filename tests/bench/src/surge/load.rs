//! Owns the visitors: each request is sent when its time has come, whatever became of others, and
//! is given up when the visitor's patience ends.
//! Never waits for an answer before the next request: a load that does would spare what it tests.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::origin::now_millis;
use super::scenario::Arrival;
use crate::http::{Connection, Message};
use crate::visitors::Visitors;

/// How long a visitor waits.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// What became of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Nobody accepted, or the connection ended without an answer.
    Broken,
    /// An error.
    Error,
    /// The page.
    Good,
    /// Nothing within the visitor's patience.
    Late,
    /// A page, but another one than was asked for, or somebody else's.
    Wrong,
}

/// One request and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// When it was to be sent, from the start of the run.
    pub at: Duration,
    /// How much later it was sent: a machine that is busy with something else is late with all.
    pub lag: Duration,
    /// Its place among all arrivals.
    pub number: usize,
    /// Whether it was an order.
    pub is_post: bool,
    /// What became of it.
    pub answer: Answer,
    /// How long that took.
    pub took: Duration,
    /// When a good page was made, in milliseconds since 1970.
    pub version: u64,
}

/// Sends all `arrivals`, the first of them now, and returns when all are answered or
/// given up.
pub async fn run(visitors: Visitors, arrivals: &[Arrival]) -> Vec<Visit> {
    let visitors = Arc::new(visitors);
    let start = Instant::now();
    let mut running = JoinSet::new();
    let mut visits = Vec::with_capacity(arrivals.len());
    for (number, arrival) in arrivals.iter().enumerate() {
        sleep_until(start + arrival.at).await;
        running.spawn(visit(
            Arc::clone(&visitors),
            (number, arrival.clone()),
            start,
        ));
        while let Some(Ok(visit)) = running.try_join_next() {
            visits.push(visit);
        }
    }
    while let Some(Ok(visit)) = running.join_next().await {
        visits.push(visit);
    }
    visits.sort_by_key(|visit| visit.at);
    visits
}

/// Starts a session for each of this many users.
///
/// # Errors
/// When that fails.
pub async fn log_in(address: SocketAddr, users: usize) -> io::Result<()> {
    for user in 0..users {
        let mut connection = Connection::connect(address).await?;
        let request = format!(
            "POST /login?user={} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n",
            session(user)
        );
        let answer = connection.ask(request.as_bytes()).await?;
        if answer.field("set-cookie").is_none() {
            return Err(io::Error::other("no session was started"));
        }
    }
    Ok(())
}

/// What a session cookie holds.
fn session(user: usize) -> String {
    format!("u{user}-5d41402abc4b2a76b9719d911017c592")
}

async fn visit(
    visitors: Arc<Visitors>,
    (number, arrival): (usize, Arrival),
    start: Instant,
) -> Visit {
    let request = request(&visitors.address(), &arrival);
    let begin = Instant::now();
    let answered = timeout(PATIENCE, visitors.ask(arrival.visitor, request.as_bytes())).await;
    let took = begin.elapsed();
    let (answer, version) = match answered {
        Err(_) => (Answer::Late, 0),
        Ok(Err(_)) => (Answer::Broken, 0),
        Ok(Ok(message)) => judge(&message, &arrival),
    };
    Visit {
        at: arrival.at,
        lag: begin.saturating_duration_since(start + arrival.at),
        number,
        is_post: arrival.is_post,
        answer,
        took,
        version,
    }
}

fn request(host: &SocketAddr, arrival: &Arrival) -> String {
    let cookie = match arrival.user {
        Some(user) => format!("Cookie: session={}\r\n", session(user)),
        None => String::new(),
    };
    let path = &arrival.path;
    let fields = "User-Agent: bench\r\nAccept: text/html\r\n";
    if arrival.is_post {
        let body = format!("order of {path}");
        let length = body.len();
        return format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\n{fields}{cookie}\
             Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
        );
    }
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}{cookie}\r\n")
}

/// Whether it is the page that was asked for, and when that was made.
fn judge(message: &Message, arrival: &Arrival) -> (Answer, u64) {
    if message.status != 200 {
        return (Answer::Error, 0);
    }
    let body = String::from_utf8_lossy(&message.body);
    let user = arrival.user.map_or_else(|| "-".to_owned(), session);
    let version = body
        .strip_prefix(&format!("page={} user={user} version=", arrival.path))
        .and_then(|rest| rest.lines().next()?.parse().ok());
    let order = format!("order of {}", arrival.path);
    match version {
        Some(version) if version <= now_millis() => {
            if arrival.is_post && !body.contains(&order) {
                return (Answer::Wrong, 0);
            }
            (Answer::Good, version)
        }
        Some(_) | None => (Answer::Wrong, 0),
    }
}
