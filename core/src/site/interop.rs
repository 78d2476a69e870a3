//! Owns a site's answers as values of the `http` crate, for programs that bring their own HTTP.
//! Never decides which answer is due, and never reads a body. Never knows on which connection a
//! request goes out: what a login by connection asks of who does is in the contract of
//! [`Site`](super::Site).

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH,
};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

use super::passing::Passing;
use super::refusal::Refusal;
use super::served::Served;
use crate::message::RequestHead;
use crate::rules::conditional::Validators;

impl Served {
    /// The whole answer to `request`, the one that was decided on. To HEAD it has no body.
    #[must_use]
    pub fn to_http(&self, request: &RequestHead) -> Response<Bytes> {
        let answer = self.answer(request);
        let body = if request.method == Method::HEAD {
            Bytes::new()
        } else {
            answer.body()
        };
        let mut response = Response::new(body);
        *response.status_mut() = answer.status();
        let fields = response.headers_mut();
        answer.put_fields(&mut |name, value| append(fields, name, value));
        if let Some(length) = answer.content_length() {
            fields.insert(CONTENT_LENGTH, length.into());
        }
        response
    }
}

impl Refusal {
    /// The whole answer: a sentence, and when asking again can help.
    #[must_use]
    pub fn to_http(&self) -> Response<Bytes> {
        let mut response = sentence(self.status(), self.text());
        let fields = response.headers_mut();
        self.put_fields(&mut |name, value| append(fields, name, value));
        response
    }
}

impl Validators<'_> {
    /// Makes the fields of a request to the origin ask by the conditions of the copy in place of
    /// the client's own. Without it a 304 to the client's conditions would be taken for one about
    /// the copy.
    pub fn condition(&self, fields: &mut HeaderMap) {
        fields.remove(IF_MODIFIED_SINCE);
        fields.remove(IF_NONE_MATCH);
        self.put_conditions(|name, value| append(fields, name, value));
    }
}

impl Passing {
    /// Appends what a forwarded response says of itself, as [`put_labels`](Self::put_labels) does.
    pub fn label(&self, fields: &mut HeaderMap) {
        self.put_labels(&mut |name, value| append(fields, name, value));
    }
}

fn sentence(status: StatusCode, text: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{text}\n")));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    fields.insert(CONTENT_TYPE, plain);
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Fields that the `http` crate refuses are left out, as in
/// [`Fields::to_header_map`](crate::message::Fields::to_header_map).
fn append(fields: &mut HeaderMap, name: &str, value: &[u8]) {
    let name = HeaderName::from_bytes(name.as_bytes());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
        fields.append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Settings;
    use crate::message::{Fields, ResponseHead};
    use crate::report::Failure;
    use crate::site::{Decision, Fetch, Site, Verdict};
    use crate::time::Instant;

    fn fetch(site: &Site, method: Method) -> (Arc<RequestHead>, Fetch) {
        let host = Fields::from_pairs([("host", &b"shop.example"[..])]);
        let request = Arc::new(RequestHead::new(method, "/", host));
        let Some(Decision::Fetch(fetch)) = site.decide(&request, Instant::ZERO).now() else {
            panic!("the circuit is closed and nothing is fresh");
        };
        (request, fetch)
    }

    /// The origin answers; what is passed on says so.
    fn complete(fetch: Fetch, head: &ResponseHead, body: &[u8]) {
        let Verdict::Forward(holding) = fetch.on_head(head, Instant::ZERO) else {
            panic!("the origin did not fail");
        };
        let mut passing = holding.pass_on();
        let mut fields = HeaderMap::new();
        passing.label(&mut fields);
        assert_eq!(fields["x-retter"], "backend");
        passing.on_data(body, Instant::ZERO);
        passing.on_end(Instant::ZERO);
    }

    fn field<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
        let value = response.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn the_conditions_of_the_copy_replace_those_of_the_client() {
        let now = Instant::ZERO;
        let site = Site::new(&Settings::default().validate().unwrap(), 1, now);
        let mut sent = HeaderMap::new();
        sent.insert(IF_NONE_MATCH, HeaderValue::from_static("\"theirs\""));
        let (_, good) = fetch(&site, Method::GET);
        assert!(good.validators().is_none(), "there is no copy yet");
        let fields = Fields::from_pairs([("ETag", &b"\"ours\""[..])]);
        let head = ResponseHead::new(StatusCode::OK, fields);
        complete(good, &head, b"");
        let (_, again) = fetch(&site, Method::GET);
        let validators = again.validators().expect("the copy has one");
        validators.condition(&mut sent);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[IF_NONE_MATCH], "\"ours\"");
        again.abandon(now);
    }

    #[test]
    fn failures_copies_and_refusals_are_whole_answers() {
        let mut settings = Settings::default();
        settings.site.breaker.consecutive_failures = 2;
        let now = Instant::ZERO;
        let site = Site::new(&settings.validate().unwrap(), 1, now);

        let (_, failing) = fetch(&site, Method::GET);
        let refusal = failing.on_failure(Failure::Timeout, now).unwrap_err();
        let answer = refusal.to_http();
        assert_eq!(answer.status(), 504);
        assert_eq!(field(&answer, "x-retter"), "no-cache");
        assert_eq!(
            field(&answer, "cache-status"),
            "retter; fwd=uri-miss; detail=timeout"
        );
        assert!(answer.body().starts_with(b"the application did not answer"));

        let (_, good) = fetch(&site, Method::GET);
        let head = ResponseHead::new(StatusCode::OK, Fields::default());
        complete(good, &head, b"hello");

        for (method, body) in [(Method::GET, &b"hello"[..]), (Method::HEAD, b"")] {
            let (request, failing) = fetch(&site, method);
            let served = failing.on_failure(Failure::Connect, now).unwrap();
            let answer = served.to_http(&request);
            assert_eq!(
                (answer.status(), &answer.body()[..]),
                (StatusCode::OK, body)
            );
            assert_eq!(field(&answer, "content-length"), "5");
            assert_eq!(field(&answer, "x-retter"), "cache");
        }

        let other = Arc::new(RequestHead::new(Method::GET, "/other", Fields::default()));
        let Some(Decision::Refuse(refusal)) = site.decide(&other, now).now() else {
            panic!("two connect failures in a row open the circuit");
        };
        let answer = refusal.to_http();
        assert_eq!(answer.status(), 503);
        assert_eq!(field(&answer, "x-circuit"), "OPEN");
        assert!(field(&answer, "retry-after").parse::<u32>().unwrap() >= 1);
    }
}
