//! Owns a reverse proxy on `hyper`, which brings its own HTTP/1.1 and takes the policy from core.
//! Never upgrades a connection: that takes `hyper::upgrade` and a copy of bytes both ways. Never
//! passes on a login that belongs to a connection: those of the pool are for everybody.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use retter_core::addresses::is_want;
use retter_core::message::{FieldsBuilder, RequestHead};
use retter_core::report::Failure;
use retter_core::rules::forwarded::View;
use retter_core::rules::{forwarding, login};
use tokio::net::{TcpListener, TcpStream};

use super::guard::{Guard, GuardedBody, NoAnswer};

/// A proxy before one application.
#[derive(Clone, Debug)]
pub struct Proxy {
    client: Client<HttpConnector, Incoming>,
    guard: Guard,
}

impl Proxy {
    /// Asks the application that the settings of the policy name.
    #[must_use]
    pub fn new(guard: Guard) -> Self {
        Self::with_connector(guard, HttpConnector::new())
    }

    /// As [`new`](Self::new), over the connections of `connector`.
    #[must_use]
    pub fn with_connector(guard: Guard, mut connector: HttpConnector) -> Self {
        let origin = &guard.config().site().origin;
        connector.set_connect_timeout(Some(origin.connect_timeout));
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            guard: guard.as_gateway(),
        }
    }

    /// Serves until accepting fails.
    ///
    /// # Errors
    /// What the listener says.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        loop {
            let (stream, peer) = listener.accept().await?;
            tokio::spawn(self.clone().serve_one(stream, peer));
        }
    }

    async fn serve_one(self, stream: TcpStream, peer: SocketAddr) {
        let service =
            service_fn(|request| async { Ok::<_, Infallible>(self.answer(request, peer).await) });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // A client that breaks off has nobody to tell.
        let _ = connection.await;
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<GuardedBody<Incoming>> {
        let mut head = RequestHead::from_http(&request);
        let config = self.guard.config();
        // Before anything looks at the fields: only what is believed is left of them.
        let view = View::receive(&mut head, peer.ip(), &config.client().trusted_proxies);
        let head = Arc::new(head);
        let origin = &config.site().origin;
        let mut fields = FieldsBuilder::default();
        let signs_in = login::binds_connection(&head.fields);
        forwarding::forward_request(&head, &view, &origin.authority, |line| {
            if !(signs_in && line.is("authorization")) {
                fields.push_line(line);
            }
        });
        let fields = fields.build().to_header_map();
        let ask = |fields| self.ask(&head, fields, request.into_body());
        let peer = Some(peer.ip());
        self.guard
            .answer(Arc::clone(&head), peer, fields, ask)
            .await
    }

    async fn ask(
        &self,
        head: &RequestHead,
        fields: HeaderMap,
        body: Incoming,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let origin = &self.guard.config().site().origin;
        let target = forwarding::origin_target(head, &origin.path_prefix);
        let target = String::from_utf8_lossy(&target);
        let uri = format!("http://{}{target}", origin.authority).parse::<Uri>();
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = uri.map_err(|_| NoAnswer::Failed(Failure::Protocol))?;
        *request.headers_mut() = fields;
        tokio::time::timeout(origin.head_timeout, self.client.request(request))
            .await
            .map_err(|_| NoAnswer::Failed(Failure::Timeout))?
            .map_err(|error| match error.is_connect() {
                true if is_for_want(&error) => NoAnswer::Unasked,
                true => NoAnswer::Failed(Failure::Connect),
                false => NoAnswer::Failed(Failure::Reset),
            })
    }
}

/// Whether this side had no socket to connect with: that is no fault of the application.
fn is_for_want(error: &(dyn Error + 'static)) -> bool {
    let is_it = error.downcast_ref().is_some_and(is_want);
    is_it || error.source().is_some_and(is_for_want)
}
