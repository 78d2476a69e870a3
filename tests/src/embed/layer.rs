//! Owns [`RescueLayer`]: the policy as a `tower` layer around the handlers of an application.
//! Never sees a socket; how long a handler may take is the policy's setting for the origin.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use retter_core::message::RequestHead;
use retter_core::report::Failure;
use tower::{Layer, Service};

use super::guard::{Guard, GuardedBody, NoAnswer};

/// Wraps services in [`Rescue`].
#[derive(Clone, Debug)]
pub struct RescueLayer(Guard);

impl RescueLayer {
    /// All services that this layer makes share the policy of `guard`.
    #[must_use]
    pub const fn new(guard: Guard) -> Self {
        Self(guard)
    }
}

impl<S> Layer<S> for RescueLayer {
    type Service = Rescue<S>;

    fn layer(&self, inner: S) -> Rescue<S> {
        Rescue {
            guard: self.0.clone(),
            inner,
        }
    }
}

/// Answers with the last known good response of `inner` while that fails or takes too long.
#[derive(Clone, Debug)]
pub struct Rescue<S> {
    guard: Guard,
    inner: S,
}

impl<S, Q, B> Service<Request<Q>> for Rescue<S>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    Q: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
{
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;
    type Response = Response<GuardedBody<B>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        // The one that is ready answers, its clone waits for the next request.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let guard = self.guard.clone();
        Box::pin(async move {
            let limit = guard.config().site().origin.head_timeout;
            let head = Arc::new(RequestHead::from_http(&request));
            let fields = std::mem::take(request.headers_mut());
            let ask = |fields| async {
                *request.headers_mut() = fields;
                match tokio::time::timeout(limit, inner.call(request)).await {
                    Ok(Ok(response)) => Ok(response),
                    Ok(Err(_)) => Err(NoAnswer::Failed(Failure::Reset)),
                    Err(_) => Err(NoAnswer::Failed(Failure::Timeout)),
                }
            };
            // Who asks is known to whoever accepts connections.
            Ok(guard.answer(head, None, fields, ask).await)
        })
    }
}
