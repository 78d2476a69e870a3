//! Owns the policy's answers as values of the `http` crate, for programs that bring their own HTTP.
//! Never decides which answer is due, and never reads a body. Never knows on which connection a
//! request goes out: what a login by connection asks of who does is in the contract of
//! [`Retter`](super::Retter).

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH,
};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

use super::{Fetch, Refusal, Served, put_labels};
use crate::message::RequestHead;
use crate::report::Failure;
use crate::time::Instant;

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

impl Fetch {
    /// Makes the fields of a request to the origin ask by the conditions of the copy in place of
    /// the client's own, as [`validators`](Self::validators) wants. Without it a 304 to the client's
    /// conditions would be taken for one about the copy.
    pub fn condition(&self, fields: &mut HeaderMap) {
        let Some(validators) = self.validators() else {
            return;
        };
        fields.remove(IF_MODIFIED_SINCE);
        fields.remove(IF_NONE_MATCH);
        validators.put_conditions(|name, value| append(fields, name, value));
    }

    /// Appends what a forwarded response says of itself, as [`put_labels`](Self::put_labels) does.
    pub fn label(&self, fields: &mut HeaderMap) {
        self.put_labels(&mut |name, value| append(fields, name, value));
    }

    /// As [`on_failure`](Self::on_failure), with the whole answer: the copy, or 502 or 504. Only
    /// before a head was passed on.
    pub fn answer_failure(self: Box<Self>, failure: Failure, now: Instant) -> Response<Bytes> {
        let (circuit, handling) = (self.circuit(), self.failed(failure));
        let (request, status) = (self.request().clone(), self.error_status(failure));
        if let Some(served) = self.on_failure(failure, now) {
            return served.to_http(&request);
        }
        let mut response = sentence(status, &failure.to_string());
        let fields = response.headers_mut();
        put_labels(circuit, &handling, None, &mut |name, value| {
            append(fields, name, value);
        });
        response
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
    use crate::policy::{Decision, Retter, Verdict};

    fn fetch(retter: &Arc<Retter>, method: Method) -> (Arc<RequestHead>, Box<Fetch>) {
        let host = Fields::from_pairs([("host", &b"shop.example"[..])]);
        let request = Arc::new(RequestHead::new(method, "/", host));
        let Decision::Fetch(fetch) = retter.decide(&request, Instant::ZERO) else {
            panic!("the circuit is closed and nothing is fresh");
        };
        (request, fetch)
    }

    fn field<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
        let value = response.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn the_conditions_of_the_copy_replace_those_of_the_client() {
        let now = Instant::ZERO;
        let retter = Retter::new(Settings::default().validate().unwrap(), 1, now);
        let mut sent = HeaderMap::new();
        sent.insert(IF_NONE_MATCH, HeaderValue::from_static("\"theirs\""));
        let (_, mut good) = fetch(&retter, Method::GET);
        good.condition(&mut sent);
        assert_eq!(sent[IF_NONE_MATCH], "\"theirs\"", "there is no copy yet");
        let fields = Fields::from_pairs([("ETag", &b"\"ours\""[..])]);
        let head = ResponseHead::new(StatusCode::OK, fields);
        assert!(matches!(good.on_head(&head, now), Verdict::Forward));
        good.on_end(now);
        let (_, again) = fetch(&retter, Method::GET);
        again.condition(&mut sent);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[IF_NONE_MATCH], "\"ours\"");
        again.abandon(now);
    }

    #[test]
    fn what_was_passed_on_is_rescued_by_no_copy() {
        let now = Instant::ZERO;
        let retter = Retter::new(Settings::default().validate().unwrap(), 1, now);
        let head = ResponseHead::new(StatusCode::OK, Fields::default());
        let (_, mut good) = fetch(&retter, Method::GET);
        assert!(matches!(good.on_head(&head, now), Verdict::Forward));
        good.on_end(now);
        // The first bytes of another answer are out.
        let (_, mut passed) = fetch(&retter, Method::GET);
        assert!(passed.can_rescue());
        assert!(matches!(passed.on_head(&head, now), Verdict::Forward));
        assert!(passed.on_failure(Failure::Truncated, now).is_none());
        let (_, mut held) = fetch(&retter, Method::GET);
        assert!(matches!(held.on_head_held(&head, now), Verdict::Forward));
        assert!(held.on_failure(Failure::Truncated, now).is_some());
    }

    #[test]
    fn failures_copies_and_refusals_are_whole_answers() {
        let mut settings = Settings::default();
        settings.site.breaker.consecutive_failures = 2;
        let now = Instant::ZERO;
        let retter = Retter::new(settings.validate().unwrap(), 1, now);

        let (_, failing) = fetch(&retter, Method::GET);
        let answer = failing.answer_failure(Failure::Timeout, now);
        assert_eq!(answer.status(), 504);
        assert_eq!(field(&answer, "x-retter"), "no-cache");
        assert_eq!(
            field(&answer, "cache-status"),
            "retter; fwd=uri-miss; detail=timeout"
        );
        assert!(answer.body().starts_with(b"the application did not answer"));

        let (_, mut good) = fetch(&retter, Method::GET);
        let head = ResponseHead::new(StatusCode::OK, Fields::default());
        assert!(matches!(good.on_head(&head, now), Verdict::Forward));
        let mut fields = HeaderMap::new();
        good.label(&mut fields);
        assert_eq!(fields["x-retter"], "backend");
        good.on_data(b"hello", now);
        good.on_end(now);

        for (method, body) in [(Method::GET, &b"hello"[..]), (Method::HEAD, b"")] {
            let (_, failing) = fetch(&retter, method);
            let answer = failing.answer_failure(Failure::Connect, now);
            assert_eq!(
                (answer.status(), &answer.body()[..]),
                (StatusCode::OK, body)
            );
            assert_eq!(field(&answer, "content-length"), "5");
            assert_eq!(field(&answer, "x-retter"), "cache");
        }

        let other = Arc::new(RequestHead::new(Method::GET, "/other", Fields::default()));
        let Decision::Refuse(refusal) = retter.decide(&other, now) else {
            panic!("two connect failures in a row open the circuit");
        };
        let answer = refusal.to_http();
        assert_eq!(answer.status(), 503);
        assert_eq!(field(&answer, "x-circuit"), "OPEN");
        assert!(field(&answer, "retry-after").parse::<u32>().unwrap() >= 1);
    }
}
