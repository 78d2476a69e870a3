//! Owns answers from copies: [`Served`] is the decision, [`Answer`] its form for one request.
//! Never changes a copy but for adding its compressed form.

use std::net::IpAddr;
use std::ops::{Deref, Range};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::errand::Errand;
use super::labels::put_labels;
use super::parts::Parts;
use super::snapshot::Snapshot;
use crate::breaker::State;
use crate::copies::StoredResponse;
use crate::key::CacheKey;
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::report::Source;
use crate::rules::label::Handling;
use crate::rules::range::{self, Cut};
use crate::rules::{coding, conditional, etag};
use crate::time::Instant;

/// The decision to answer from a copy.
#[derive(Debug)]
#[must_use]
pub struct Served {
    /// The circuit, as the answer shows it.
    pub circuit: State,
    /// Why a copy answers.
    pub handling: Handling,
    /// `cache` or `last-known-success`.
    pub source: Source,
    age_secs: u64,
    /// `Set-Cookie` lines of the 304 that this answer follows from: they are this client's.
    cookies: Fields,
    copy: Arc<StoredResponse>,
    key: CacheKey,
    resident: Duration,
    parts: Arc<Parts>,
    snapshot: Arc<Snapshot>,
}

/// A copy in the form that one request gets: whole, compressed, in parts, or 304.
#[derive(Debug)]
pub struct Answer<'a> {
    served: Whose<'a>,
    form: Form,
    varies: bool,
}

/// Whether an answer is a view of its decision, or takes it along.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once, into the answer that it is"
)]
enum Whose<'a> {
    Lent(&'a Served),
    Own(Served),
}

impl Deref for Whose<'_> {
    type Target = Served;

    fn deref(&self) -> &Served {
        match self {
            Self::Lent(served) => served,
            Self::Own(served) => served,
        }
    }
}

/// The form of an answer without the copy that it is of.
#[derive(Debug)]
pub(crate) struct Shape {
    form: Form,
    varies: bool,
}

#[derive(Debug)]
enum Form {
    Gzip(Bytes),
    /// Whether the client has what was coded here.
    NotModified {
        is_coded: bool,
    },
    /// `Content-Range` and the bytes.
    Part(String, Bytes),
    /// The media type, which names the boundary, and the bytes.
    Parts(String, Vec<Bytes>),
    Unsatisfiable,
    Whole,
}

impl Served {
    pub(super) fn new(
        parts: &Arc<Parts>,
        snapshot: &Arc<Snapshot>,
        key: CacheKey,
        copy: Arc<StoredResponse>,
        circuit: State,
        handling: Handling,
        now: Instant,
    ) -> Self {
        let resident = copy.resident(now);
        let source = handling.source(resident, snapshot.config().cache.ttl);
        let age_secs = copy.age(now).as_secs();
        Self {
            circuit,
            handling,
            source,
            age_secs,
            cookies: Fields::default(),
            copy,
            key,
            resident,
            parts: Arc::clone(parts),
            snapshot: Arc::clone(snapshot),
        }
    }

    /// The same, with the cookies that a 304 sets.
    pub(super) fn with_cookies_of(mut self, head: &ResponseHead) -> Self {
        let lines = head.fields.iter();
        self.cookies =
            Fields::from_pairs(lines.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")));
        self
    }

    /// Time since the copy was received.
    #[must_use]
    pub fn resident(&self) -> Duration {
        self.resident
    }

    /// The fields of the copy, as the origin sent them but for those that belong to a connection
    /// or a session.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        self.copy.fields()
    }

    /// Notes that `request` of `peer` was answered from this copy where the origin should have: it
    /// will be renewed in the background, and a circuit may be probed with it.
    ///
    /// Nothing is noted of a copy that is fresh, or while nobody
    /// [renews copies](super::Site::poll_refresh).
    pub fn want(&self, request: &Arc<RequestHead>, peer: IpAddr, now: Instant) {
        let due = match self.handling {
            Handling::Public { .. } => {
                // That of the next visitor is asked for by a stranger.
                if self.parts.renewals.is_attended() {
                    self.parts.ask_for(|asks| asks.want(&self.key, now));
                }
                return;
            }
            // Up to that age it is as good as new; see `CacheSettings::ttl`.
            Handling::CircuitOpen { .. } | Handling::Overload { .. } | Handling::Rescued { .. } => {
                self.copy.times().received + self.snapshot.config().cache.ttl
            }
            Handling::Behind { .. } => now,
            Handling::Collapsed { .. }
            | Handling::Failed { .. }
            | Handling::Forwarded { .. }
            | Handling::Fresh { .. }
            | Handling::MaxStale { .. }
            | Handling::NoCopy { .. }
            | Handling::Validated { .. } => return,
        };
        let mut request = Arc::clone(request);
        let keyer = self.snapshot.keyer();
        if keyer.has_ignored_query(&request) {
            // With those parameters the answer could not be kept.
            let target = keyer.without_ignored(request.path_and_query());
            Arc::make_mut(&mut request).target = Bytes::from(target);
        }
        let errand = Errand {
            key: self.key.clone(),
            peer,
            request,
        };
        self.parts.renewals.want(&errand, due, now);
    }

    /// The answer to `request`, the one that was decided on.
    #[must_use]
    pub fn answer(&self, request: &RequestHead) -> Answer<'_> {
        let (form, varies) = self.form(request);
        Answer {
            served: Whose::Lent(self),
            form,
            varies,
        }
    }

    /// The answer in a form that was [found before](Answer::into_shape).
    pub(crate) fn into_answer(self, shape: Shape) -> Answer<'static> {
        let Shape { form, varies } = shape;
        Answer {
            served: Whose::Own(self),
            form,
            varies,
        }
    }

    /// The form that `request` gets, and whether others would get another one by its coding.
    fn form(&self, request: &RequestHead) -> (Form, bool) {
        let varies = self.parts.gzip.is_some() && self.copy.is_compressible();
        let is_coded = varies && coding::accepts_gzip(&request.fields);
        let form = if let Some(form) = self.special_form(request, is_coded) {
            form
        } else if let (true, Some(pool)) = (is_coded, &self.parts.gzip) {
            let gzip = self.parts.copies.gzip(&self.key, &self.copy, pool);
            gzip.map_or(Form::Whole, |gzip| Form::Gzip(gzip.clone()))
        } else {
            Form::Whole
        };
        (form, varies)
    }

    /// RFC 9110 §13.2.2: conditions first, then ranges; both are about a 200. A client to which the
    /// whole goes compressed (`is_coded`) has had that form, and a date cannot tell the two apart.
    fn special_form(&self, request: &RequestHead, is_coded: bool) -> Option<Form> {
        let copy = &self.copy;
        if copy.status() != StatusCode::OK {
            return None;
        }
        if conditional::not_modified(&request.fields, copy.fields()) {
            let tag = copy.fields().get("etag");
            let is_coded = tag.is_some_and(|tag| etag::has_coded(&request.fields, tag));
            return Some(Form::NotModified { is_coded });
        }
        if request.method != Method::GET || is_coded && range::is_dated(&request.fields) {
            return None;
        }
        let body = copy.body();
        let content_range =
            |part: &Range<usize>| format!("bytes {}-{}/{}", part.start, part.end - 1, body.len());
        match range::cut(&request.fields, copy.fields(), body.len()) {
            Cut::Whole => None,
            Cut::Unsatisfiable => Some(Form::Unsatisfiable),
            Cut::Part(part) => Some(Form::Part(content_range(&part), body.slice(part))),
            Cut::Parts(parts) => {
                let boundary = boundary(body);
                let mut pieces = Vec::new();
                for part in parts {
                    let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
                    if let Some(media_type) = copy.fields().get("content-type") {
                        head.extend_from_slice(b"Content-Type: ");
                        head.extend_from_slice(media_type);
                        head.extend_from_slice(b"\r\n");
                    }
                    let range = format!("Content-Range: {}\r\n\r\n", content_range(&part));
                    head.extend_from_slice(range.as_bytes());
                    pieces.extend([Bytes::from(head), body.slice(part)]);
                }
                pieces.push(Bytes::from(format!("\r\n--{boundary}--\r\n")));
                let media_type = format!("multipart/byteranges; boundary={boundary}");
                Some(Form::Parts(media_type, pieces))
            }
        }
    }
}

/// A boundary that is not in the content (RFC 2046 §5.1.1).
fn boundary(body: &[u8]) -> String {
    let candidates = (0_u32..).map(|number| format!("retter-part-{number}"));
    let is_free = |text: &String| memchr::memmem::find(body, text.as_bytes()).is_none();
    // A body would have to hold every number: it is shorter than that.
    candidates.take(1 << 20).find(is_free).unwrap_or_default()
}

impl Answer<'_> {
    /// The form alone, for [`Served::into_answer`].
    pub(crate) fn into_shape(self) -> Shape {
        let Self { form, varies, .. } = self;
        Shape { form, varies }
    }

    /// That of the copy; 304 when the client has this representation already, 206 or 416 when it
    /// asked for parts.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.form {
            Form::NotModified { .. } => StatusCode::NOT_MODIFIED,
            Form::Part(..) | Form::Parts(..) => StatusCode::PARTIAL_CONTENT,
            Form::Unsatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
            Form::Gzip(_) | Form::Whole => self.served.copy.status(),
        }
    }

    /// The body; a HEAD request must not get it.
    #[must_use]
    pub fn body(&self) -> Bytes {
        match self.pieces() {
            [] => Bytes::new(),
            [body] => body.clone(),
            pieces => Bytes::from(pieces.concat()),
        }
    }

    /// The body in pieces; those of more than [`COPY_BYTES_SMALL`](crate::limits::COPY_BYTES_SMALL)
    /// are counted with the copy.
    pub(crate) fn pieces(&self) -> &[Bytes] {
        match &self.form {
            Form::Gzip(body) | Form::Part(_, body) => slice::from_ref(body),
            Form::Parts(_, pieces) => pieces,
            Form::NotModified { .. } | Form::Unsatisfiable => &[],
            Form::Whole => slice::from_ref(self.served.copy.body()),
        }
    }

    /// The value of `Content-Length`; 204 and 304 have none.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        match &self.form {
            Form::Gzip(_) | Form::Part(..) | Form::Parts(..) => Some(self.length()),
            Form::NotModified { .. } => None,
            Form::Unsatisfiable => Some(0),
            // RFC 9110 §8.6
            Form::Whole if self.served.copy.status() == StatusCode::NO_CONTENT => None,
            Form::Whole => Some(self.length()),
        }
    }

    fn length(&self) -> u64 {
        self.pieces().iter().map(|piece| piece.len() as u64).sum()
    }

    /// Writes all fields but those of the connection and `Content-Length`: those
    /// [of the copy](Self::put_kept), then [the others](Self::put_added).
    pub fn put_fields(&self, put: &mut dyn FnMut(&str, &[u8])) {
        self.put_kept(put);
        self.put_added(put);
    }

    /// The fields of the copy, where this answer has them all, and unchanged.
    #[must_use]
    pub fn unchanged(&self) -> Option<&Fields> {
        let fields = self.served.copy.fields();
        let is_unchanged = match self.form {
            Form::Gzip(_) => !fields.contains("etag") && !fields.contains("accept-ranges"),
            Form::Whole => true,
            Form::NotModified { .. } | Form::Part(..) | Form::Parts(..) | Form::Unsatisfiable => {
                false
            }
        };
        is_unchanged.then_some(fields)
    }

    /// Writes the fields of the copy that belong to this answer.
    pub fn put_kept(&self, put: &mut dyn FnMut(&str, &[u8])) {
        let fields = self.served.copy.fields();
        let codes_tag = matches!(
            self.form,
            Form::Gzip(_) | Form::NotModified { is_coded: true }
        );
        for (name, value) in fields.iter().filter(|(name, _)| self.keeps(name)) {
            if codes_tag && name.eq_ignore_ascii_case("etag") {
                put(name, &etag::coded(value));
            } else {
                put(name, value);
            }
        }
    }

    /// Writes the fields that this answer adds to those of the copy.
    pub fn put_added(&self, put: &mut dyn FnMut(&str, &[u8])) {
        let fields = self.served.copy.fields();
        match &self.form {
            Form::Gzip(_) => put("content-encoding", b"gzip"),
            Form::Part(range, _) => put("content-range", range.as_bytes()),
            Form::Parts(media_type, _) => put("content-type", media_type.as_bytes()),
            Form::Unsatisfiable => {
                let range = format!("bytes */{}", self.served.copy.body().len());
                put("content-range", range.as_bytes());
            }
            Form::NotModified { .. } | Form::Whole => {}
        }
        if self.varies && !coding::varies_on(fields, "accept-encoding") {
            put("vary", b"Accept-Encoding");
        }
        for (name, value) in self.served.cookies.iter() {
            put(name, value);
        }
        let mut age = itoa::Buffer::new();
        put("age", age.format(self.served.age_secs).as_bytes());
        put_labels(
            self.served.circuit,
            &self.served.handling,
            Some(self.served.source),
            put,
        );
    }

    /// Whether the answer carries the copy's field `name`.
    fn keeps(&self, name: &str) -> bool {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match self.form {
            Form::NotModified { .. } => conditional::kept_in_not_modified(name),
            Form::Part(..) => !is("content-range"),
            // The media type is that of each part.
            Form::Parts(..) => !is("content-range") && !is("content-type"),
            Form::Unsatisfiable => is("date") || is("via"),
            // Ranges are those of the other form.
            Form::Gzip(_) => !is("accept-ranges"),
            Form::Whole => true,
        }
    }
}
