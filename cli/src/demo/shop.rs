//! Owns the sample application of the demo: a small shop that renders slowly, greets its
//! visitors by name, and can be made slow, failing or down.
//! Never knows that somebody stands in front of it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use crate::web::{Limits, Request, Response, Server};

/// Like the worker processes of a small PHP server: each serves one request at a time.
const WORKERS: usize = 4;
/// Below the ports that systems give to outgoing connections, so that nobody takes the port
/// while the shop is down.
const PORTS: std::ops::Range<u16> = 18_088..18_288;
const PRODUCTS: [(&str, &str); 6] = [
    ("Rope", "24 m, floats, does not rot"),
    ("Lifebuoy", "for one, or two who like each other"),
    ("Flare", "red, burns for a minute"),
    ("Whistle", "heard for a mile"),
    ("Lantern", "the sea may have it, it shines on"),
    ("Compass", "points north, mostly"),
];

/// How the shop is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Health {
    /// Refuses connections.
    Down,
    /// Answers most requests with 500 or 503.
    Failing,
    /// Answers as it should.
    Healthy,
    /// Takes far too long for each page.
    Slow,
}

impl Health {
    pub(crate) const ALL: [Self; 4] = [Self::Healthy, Self::Slow, Self::Failing, Self::Down];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Failing => "failing",
            Self::Healthy => "healthy",
            Self::Slow => "slow",
        }
    }

    fn from_index(index: u8) -> Self {
        let known = Self::ALL.get(usize::from(index));
        known.copied().unwrap_or(Self::Healthy)
    }

    fn index(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Slow => 1,
            Self::Failing => 2,
            Self::Down => 3,
        }
    }
}

/// The shop and the switch beside it, which works also while the shop is down.
pub(crate) struct Shop {
    pub(crate) addr: SocketAddr,
    pub(crate) switch_addr: SocketAddr,
    state: Arc<State>,
    /// The switch page.
    _switch: Server,
}

struct State {
    addr: SocketAddr,
    /// Orders taken, as a real shop must never take one twice.
    carts: AtomicU64,
    health: AtomicU8,
    requests: AtomicU64,
    /// Taken out while the shop is down.
    server: Mutex<Option<Server>>,
}

impl Shop {
    /// Opens the shop and the switch.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = bind_first_free()?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State {
            addr,
            carts: AtomicU64::new(0),
            health: AtomicU8::new(Health::Healthy.index()),
            requests: AtomicU64::new(0),
            server: Mutex::new(None),
        });
        state.open(listener)?;
        let switched = Arc::clone(&state);
        let handler = move |request: &Request| switched.switch_page(request);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let switch_addr = listener.local_addr()?;
        let switch = Server::start(listener, Limits::with_workers(WORKERS), Arc::new(handler))?;
        Ok(Self {
            addr,
            switch_addr,
            state,
            _switch: switch,
        })
    }

    /// How it is.
    pub(crate) fn health(&self) -> Health {
        self.state.health()
    }

    /// Makes it so.
    pub(crate) fn switch(&self, to: Health) -> io::Result<()> {
        self.state.switch(to)
    }
}

impl State {
    fn health(&self) -> Health {
        Health::from_index(self.health.load(Ordering::Acquire))
    }

    fn switch(self: &Arc<Self>, to: Health) -> io::Result<()> {
        self.health.store(to.index(), Ordering::Release);
        if to == Health::Down {
            // Dropped after the lock: it waits until nothing is accepted any more.
            let server = self.server().take();
            drop(server);
            return Ok(());
        }
        if self.server().is_none() {
            let listener = TcpListener::bind(self.addr)?;
            self.open(listener)?;
        }
        Ok(())
    }

    fn open(self: &Arc<Self>, listener: TcpListener) -> io::Result<()> {
        let state = Arc::clone(self);
        let handler = move |request: &Request| state.page(request);
        let server = Server::start(listener, Limits::with_workers(WORKERS), Arc::new(handler))?;
        *self.server() = Some(server);
        Ok(())
    }

    fn server(&self) -> std::sync::MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn page(self: &Arc<Self>, request: &Request) -> Response {
        if request.path == "/admin/switch" {
            return self.switch_page(request);
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        match self.health() {
            Health::Slow => sleep(Duration::from_millis(2_000)),
            // Three of four: a broken server still answers now and then.
            Health::Failing if !number.is_multiple_of(4) => {
                sleep(Duration::from_millis(15));
                let status = if number.is_multiple_of(2) { 500 } else { 503 };
                return Response::text(status, "Error establishing a database connection\n");
            }
            Health::Down | Health::Failing | Health::Healthy => {
                sleep(Duration::from_millis(25 + number % 4 * 10));
            }
        }
        self.render(request)
    }

    fn render(&self, request: &Request) -> Response {
        let path = request.path.as_str();
        if request.method == "POST" {
            let carts = self.carts.fetch_add(1, Ordering::Relaxed) + 1;
            return html(
                200,
                "Cart",
                &format!("<p>Order number {carts} is taken.</p>"),
            );
        }
        match path {
            "/" => html(
                200,
                "The Rescue Shop",
                "<p>Everything for those at sea.</p><p><a href=\"/products\">Our products</a></p>",
            ),
            "/account" => account(request),
            "/products" => {
                let items: Vec<_> = PRODUCTS
                    .iter()
                    .enumerate()
                    .map(|(index, (name, _))| {
                        format!("<li><a href=\"/product/{}\">{name}</a></li>", index + 1)
                    })
                    .collect();
                html(200, "Products", &format!("<ul>{}</ul>", items.concat()))
            }
            _ => {
                let number = path.strip_prefix("/product/");
                let index = number.and_then(|number| number.parse::<usize>().ok());
                let product = index.and_then(|number| PRODUCTS.get(number.checked_sub(1)?));
                match product {
                    Some((name, text)) => html(
                        200,
                        name,
                        &format!(
                            "<p>{text}</p><form method=\"post\" action=\"/cart\">\
                             <button>Into the cart</button></form>"
                        ),
                    ),
                    None => html(404, "Not here", "<p>We do not sell this.</p>"),
                }
            }
        }
    }

    fn switch_page(self: &Arc<Self>, request: &Request) -> Response {
        let asked = request.query.strip_prefix("to=");
        let to = Health::ALL
            .into_iter()
            .find(|health| Some(health.as_str()) == asked);
        if asked.is_some() && to.is_none() {
            return Response::text(400, "to= healthy, slow, failing or down\n");
        }
        let mut note = String::new();
        if let Some(to) = to {
            // Down closes the listener that this request may have come through: another thread.
            let state = Arc::clone(self);
            let switching = std::thread::Builder::new().spawn(move || state.switch(to));
            let result = switching.map(std::thread::JoinHandle::join);
            if !matches!(result, Ok(Ok(Ok(())))) {
                note = "<p>That did not work: the port is taken. Try again.</p>".to_owned();
            }
        }
        let now = self.health();
        let links: Vec<_> = Health::ALL
            .iter()
            .map(|health| {
                let word = health.as_str();
                if *health == now {
                    format!("<li><b>{word}</b></li>")
                } else {
                    format!("<li><a href=\"/admin/switch?to={word}\">{word}</a></li>")
                }
            })
            .collect();
        html(
            200,
            "The shop is",
            &format!("<ul>{}</ul>{note}", links.concat()),
        )
        .with("Cache-Control", "no-store")
    }
}

/// A page of one visitor, with the fields that PHP sends with a session.
fn account(request: &Request) -> Response {
    let cookies = request.field("cookie").split(';').map(str::trim);
    let session = cookies
        .filter_map(|cookie| cookie.strip_prefix("PHPSESSID="))
        .next();
    let name: String = session
        .unwrap_or("stranger")
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(20)
        .collect();
    let page = html(
        200,
        "Account",
        &format!("<p>Welcome back, <b>{name}</b>!</p>"),
    )
    .with("Cache-Control", "no-store, no-cache, must-revalidate")
    .with("Expires", "Thu, 19 Nov 1981 08:52:00 GMT")
    .with("Pragma", "no-cache");
    if session.is_some() {
        return page;
    }
    page.with("Set-Cookie", "PHPSESSID=visitor; path=/")
}

fn html(status: u16, title: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:18px/1.5 sans-serif;margin:3em auto;max-width:40em}}</style></head>\
         <body><h1>{title}</h1>{body}<hr><p><a href=\"/\">Home</a> \
         <a href=\"/products\">Products</a> <a href=\"/account\">Account</a></p></body></html>\n"
    );
    Response::new(status, "text/html; charset=utf-8", page)
}

fn bind_first_free() -> io::Result<TcpListener> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for port in PORTS {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Peer, Question, ask};

    #[test]
    fn the_shop_does_what_its_switch_says() {
        let shop = Shop::start().unwrap();
        let get = |addr: SocketAddr, path| {
            ask(Question {
                method: &http::Method::GET,
                to: Peer::Host("127.0.0.1", addr.port()),
                authority: "shop.example",
                path,
                content: b"",
                more: &[("Cookie", "PHPSESSID=Ada")],
                timeout: Duration::from_secs(10),
            })
        };
        let status = |addr, path| get(addr, path).map(|answer| answer.status).ok();
        assert_eq!(status(shop.addr, "/"), Some(200));
        assert_eq!(status(shop.addr, "/product/6"), Some(200));
        assert_eq!(status(shop.addr, "/product/0"), Some(404));
        let account = get(shop.addr, "/account").unwrap();
        assert!(account.field("cache-control").starts_with("no-store"));
        assert!(account.field("set-cookie").is_empty());
        assert_eq!(status(shop.addr, "/admin/switch?to=down"), Some(200));
        assert_eq!(shop.health(), Health::Down);
        assert_eq!(status(shop.addr, "/"), None);
        assert_eq!(
            status(shop.switch_addr, "/admin/switch?to=healthy"),
            Some(200)
        );
        assert_eq!(status(shop.addr, "/"), Some(200));
        assert_eq!(status(shop.switch_addr, "/admin/switch?to=odd"), Some(400));
    }
}
