//! Owns the proof that a program with its own HTTP keeps the policy's contract: its clocks, a slow
//! handler, and a body that stalls. Time is the runtime's, and passes only when nothing else can.
//! Never opens a socket.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use retter_core::message::RequestHead;
use retter_core::{Instant, Settings};
use retter_tests::embed::guard::{Guard, GuardedBody};
use tokio::time::{Instant as Clock, sleep};

/// Runs `test` with time that passes by itself as soon as everybody waits.
fn in_paused_time(test: impl AsyncFnOnce(Guard)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let config = Settings::default().validate().expect("defaults are valid");
        test(Guard::new(config)).await;
    });
}

fn page(fields: &[(&str, &str)]) -> Response<Full<Bytes>> {
    let mut response = Response::builder();
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(Full::from("the page")).expect("a response")
}

/// Asks for `/`; the handler takes its time, then answers.
async fn visit<B: Body<Data = Bytes>>(
    guard: &Guard,
    takes: Duration,
    answer: Response<B>,
) -> Response<GuardedBody<B>> {
    let request = Request::get("http://shop.example/").body(()).expect("one");
    let request = Arc::new(RequestHead::from_http(&request));
    let ask = |_| async move {
        sleep(takes).await;
        Ok(answer)
    };
    guard.answer(request, None, HeaderMap::new(), ask).await
}

fn field<'a, B>(response: &'a Response<B>, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().expect("it is text"))
}

#[test]
fn expires_without_a_date_is_a_time_from_now() {
    in_paused_time(async |guard| {
        let now = SystemTime::now();
        let expires = httpdate(now + Duration::from_secs(3600));
        let first = visit(&guard, Duration::ZERO, page(&[("expires", &expires)])).await;
        let _ = first.into_body().collect().await;
        let copy = visit(&guard, Duration::ZERO, page(&[])).await;
        let told = field(&copy, "cache-status");
        let ttl: u64 = told
            .strip_prefix("retter; hit; ttl=")
            .and_then(|ttl| ttl.parse().ok())
            .unwrap_or_else(|| panic!("not a fresh copy: {told}"));
        assert!((3000..=3600).contains(&ttl), "{told}");
        assert!(!field(&copy, "date").contains("1970"), "{copy:?}");
    });
}

fn httpdate(time: SystemTime) -> String {
    let secs = time.duration_since(SystemTime::UNIX_EPOCH).expect("it is");
    retter_core::time::UnixTime(secs.as_secs()).to_string()
}

#[test]
fn a_handler_that_gets_slow_is_found_while_it_is() {
    const SLOW: Duration = Duration::from_secs(5);
    in_paused_time(async |guard| {
        for _ in 0..20 {
            let quick = visit(&guard, Duration::from_millis(10), page(&[])).await;
            let _ = quick.into_body().collect().await;
        }
        for number in 0..20 {
            let asked = Clock::now();
            let answer = visit(&guard, SLOW, page(&[])).await;
            let (took, told) = (asked.elapsed(), field(&answer, "cache-status"));
            let (by, within) = if number < 5 {
                ("detail=slow", Duration::from_millis(1_010))
            } else {
                ("detail=circuit-open", Duration::ZERO)
            };
            assert!(told.ends_with(by) && took <= within, "{took:?} {told}");
            assert_eq!(answer.status(), 200);
        }
    });
}

#[test]
fn a_slow_page_without_a_copy_is_waited_for() {
    in_paused_time(async |guard| {
        for _ in 0..20 {
            let own = page(&[("cache-control", "no-store")]);
            let quick = visit(&guard, Duration::from_millis(10), own).await;
            let _ = quick.into_body().collect().await;
        }
        let own = page(&[("cache-control", "no-store")]);
        let answer = visit(&guard, Duration::from_secs(5), own).await;
        assert_eq!(field(&answer, "x-retter"), "backend");
    });
}

/// One piece, and no end.
struct Stalls(bool);

impl Body for Stalls {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.0, true) {
            Poll::Pending
        } else {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"piece")))))
        }
    }
}

#[test]
fn a_body_that_stalls_gives_its_slot_back() {
    in_paused_time(async |guard| {
        let answer = visit(&guard, Duration::ZERO, Response::new(Stalls(false))).await;
        let in_flight = || guard.site().stats(Instant::ZERO).admission.in_flight;
        assert_eq!(in_flight(), 1);
        let asked = Clock::now();
        let mut body = answer.into_body();
        assert!(matches!(body.frame().await, Some(Ok(_))));
        assert!(matches!(body.frame().await, Some(Err(_))));
        let limit = guard.config().site().origin.body_timeout;
        assert!((limit..limit * 2).contains(&asked.elapsed()));
        assert_eq!(in_flight(), 0);
    });
}

#[test]
fn a_client_that_leaves_counts_for_nothing() {
    in_paused_time(async |guard| {
        let left = visit(&guard, Duration::MAX, page(&[]));
        let waited = tokio::time::timeout(Duration::from_secs(3), left).await;
        assert!(waited.is_err());
        let stats = guard.site().stats(Instant::ZERO);
        assert_eq!(stats.admission.in_flight, 0);
    });
}
