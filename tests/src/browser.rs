//! Owns a user's browser, as far as RETTER can tell it from a script: cookies and gzip.
//! Never shares a cookie with another browser.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::client::{Client, Request, Response};

/// A browser of one user, with its cookies.
#[derive(Debug)]
pub struct Browser {
    address: SocketAddr,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// Makes one that visits `address`. It has the cookie of an analytics script already, as
    /// nearly every visitor of a site has.
    #[must_use]
    pub fn new(address: SocketAddr, visitor: &str) -> Self {
        Self {
            address,
            cookies: BTreeMap::from([("_ga".to_owned(), format!("GA1.1.{visitor}"))]),
        }
    }

    /// Gets a page.
    ///
    /// # Panics
    /// If there is no complete and correct response.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.ask(Request::get(target))
    }

    /// Posts a form.
    ///
    /// # Panics
    /// If there is no complete and correct response.
    #[track_caller]
    pub fn post(&mut self, target: &str, form: &str) -> Response {
        self.ask(Request::post(target, form))
    }

    /// Sets a cookie.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    #[track_caller]
    fn ask(&mut self, request: Request) -> Response {
        let pair = |(name, value)| format!("{name}={value}");
        let cookies: Vec<_> = self.cookies.iter().map(pair).collect();
        let request = request
            .field("Accept", "text/html")
            .field("Accept-Encoding", "gzip, deflate")
            .field("Cookie", &cookies.join("; "))
            .field("Connection", "close");
        let mut client = Client::connect(self.address);
        let response = client.ask(&request);
        client.expect_end();
        for line in response.fields.all("set-cookie") {
            let pair = line.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie has a value");
            if value.is_empty() || line.to_ascii_lowercase().contains("max-age=0") {
                self.cookies.remove(name);
            } else {
                self.set_cookie(name, value);
            }
        }
        response
    }
}
