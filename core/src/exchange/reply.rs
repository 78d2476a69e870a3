//! Owns what an exchange says to its client: values without a byte of any protocol in them.
//! Never knows which protocol the client speaks, or whether it listens.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::page::{SCRIPT_HASH, Tale, page};

use crate::breaker::State;
use crate::config::OwnPages;
use crate::message::{Fields, Line, RequestHead, ResponseHead};
use crate::report::Source;
use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::rules::label::{self, Handling};
use crate::rules::{coding, etag, forwarding};
use crate::site::{Answer, put_labels};
use crate::time::UnixTime;
use crate::waiting::Position;

/// The next part of an answer: any number of `Interim`, then one `Head`, then `Data`, then one
/// `End`. `Abort` may come in place of everything that is still missing.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The answer stays incomplete, and the client must be able to see that.
    Abort {
        /// Whether it ends because of what the client sent, or did not send.
        by_client: bool,
    },
    /// A piece of the content.
    Data(Data),
    /// The content is complete. In a tunnel: the origin has said all that it has to say.
    End {
        /// Whether all of the request was read: only then can another one follow it.
        is_read: bool,
        trailers: Fields,
    },
    /// The final head.
    Head(Box<Head>),
    /// A head before the final one (RFC 9110 §15.2).
    Interim(Box<ResponseHead>),
}

/// Content of an answer.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) bytes: Bytes,
    /// A copy holds it in memory as well.
    pub(crate) is_shared: bool,
}

impl From<Bytes> for Data {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes,
            is_shared: false,
        }
    }
}

/// What is known of the content before it comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Body {
    /// None comes.
    Empty,
    /// This many bytes come.
    Length(u64),
    /// Bytes of another protocol follow, both ways (RFC 9110 §7.8).
    Tunnel,
    /// Only its end will tell.
    Unknown,
}

/// A final head: what it is made from, and what is changed on the way.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) body: Body,
    /// Whether the client's connection may be kept, as far as the request is concerned.
    pub(crate) may_keep: bool,
    /// What the request is called, which the answer says.
    pub(super) request_id: Option<RequestId>,
    pub(crate) status: StatusCode,
    pub(super) made_from: MadeFrom,
}

#[derive(Debug)]
pub(super) enum MadeFrom {
    Copy(Answer<'static>),
    Nothing(Local),
    Response(Passed),
}

/// The head of an answer that is made here.
#[derive(Debug)]
pub(super) struct Local {
    circuit: State,
    date: UnixTime,
    /// What few answers have.
    extra: Option<Box<Extra>>,
    handling: Option<Handling>,
    /// Whether it has a form that leads to this site.
    has_form: bool,
    /// Of a page for a person.
    language: Option<&'static str>,
    /// Bytes of its content.
    length: u64,
    media_type: &'static str,
    /// The site whose script asks, as its browser says.
    origin: Option<Bytes>,
    retry_after_secs: Option<u64>,
}

/// Fields that few answers have that are made here.
#[derive(Debug)]
struct Extra {
    /// The value of `Set-Cookie`.
    cookie: Option<String>,
    /// The page to go on to.
    goes_to: Option<Bytes>,
    /// After how many seconds the page is loaded again, without a script.
    refresh_secs: Option<u64>,
}

/// The origin's head, and what is changed of it.
#[derive(Debug)]
pub(super) struct Passed {
    /// Where the origin told none.
    pub(super) date: Option<UnixTime>,
    /// It is coded here, or the client has what was.
    pub(super) codes_tag: bool,
    pub(super) gzip: bool,
    pub(super) head: Arc<ResponseHead>,
    pub(super) labels: (State, Handling),
    /// Whether a length without content is told.
    pub(super) tells_length: bool,
    /// Whether the form depends on which codings the client accepts.
    pub(super) varies: bool,
}

/// Takes the fields of a head in the order in which they are to be sent.
pub(crate) trait PutHead {
    /// All of these fields.
    fn fields(&mut self, fields: &Fields);

    /// Here is the place of what tells how the content is framed: the client's own fields, of
    /// which [`Head::body`] and [`Head::told_length`] are the substance.
    fn framing(&mut self, head: &Head);

    /// One field line.
    fn line(&mut self, line: Line<'_>);
}

impl Head {
    /// The reason phrase; empty where the usual one is meant.
    pub(crate) fn reason(&self) -> &[u8] {
        match &self.made_from {
            MadeFrom::Copy(_) | MadeFrom::Nothing(_) => b"",
            MadeFrom::Response(passed) => &passed.head.reason,
        }
    }

    /// The length of content that does not come: that which a GET would get (RFC 9110 §8.6).
    pub(crate) fn told_length(&self) -> Option<Cow<'_, [u8]>> {
        match &self.made_from {
            MadeFrom::Copy(answer) => {
                let length = answer.content_length()?;
                Some(Cow::Owned(length.to_string().into_bytes()))
            }
            MadeFrom::Nothing(local) => Some(Cow::Owned(local.length.to_string().into_bytes())),
            MadeFrom::Response(passed) if passed.tells_length => {
                passed.head.fields.get("content-length").map(Cow::Borrowed)
            }
            MadeFrom::Response(_) => None,
        }
    }

    /// The protocol to which a tunnel switches.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        match &self.made_from {
            MadeFrom::Copy(_) | MadeFrom::Nothing(_) => None,
            MadeFrom::Response(passed) => passed.head.fields.get("upgrade"),
        }
    }

    /// Gives all fields to `out`.
    pub(crate) fn put(&self, out: &mut impl PutHead) {
        match &self.made_from {
            MadeFrom::Copy(answer) => {
                match answer.unchanged() {
                    Some(fields) => out.fields(fields),
                    None => answer.put_kept(&mut |name, value| out.line(Line::new(name, value))),
                }
                answer.put_added(&mut |name, value| out.line(Line::new(name, value)));
                out.framing(self);
            }
            MadeFrom::Nothing(local) => local.put(self, out),
            MadeFrom::Response(passed) => passed.put(self, out),
        }
        if let Some(id) = &self.request_id {
            id.with(|text| out.line(Line::new(X_REQUEST_ID, text)));
        }
    }
}

impl Local {
    fn put(&self, head: &Head, out: &mut impl PutHead) {
        out.line(Line::new("date", self.date.to_string().as_bytes()));
        out.line(Line::new("content-type", self.media_type.as_bytes()));
        out.framing(head);
        out.line(Line::new("cache-control", b"no-store"));
        if matches!(head.status, StatusCode::METHOD_NOT_ALLOWED | StatusCode::OK) {
            let methods = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE";
            out.line(Line::new("allow", methods));
        }
        if let Some(secs) = self.retry_after_secs {
            let mut text = itoa::Buffer::new();
            out.line(Line::new("retry-after", text.format(secs).as_bytes()));
        }
        let mut put = |name: &str, value: &[u8]| out.line(Line::new(name, value));
        if let Some(extra) = &self.extra {
            extra.put(&mut put);
        }
        if let Some(language) = self.language {
            put("content-language", language.as_bytes());
            // It needs nothing but its own style, the one script that it may have, and its button.
            let forms = if self.has_form { "'self'" } else { "'none'" };
            let policy = format!(
                "default-src 'none'; style-src 'unsafe-inline'; script-src '{SCRIPT_HASH}'; \
                 base-uri 'none'; form-action {forms}"
            );
            put("content-security-policy", policy.as_bytes());
        }
        // Without it a script of another site could not read what went wrong, nor when to come back.
        if let Some(origin) = &self.origin {
            put("access-control-allow-origin", origin);
            put("access-control-allow-credentials", b"true");
            let exposed: &[u8] = match head.request_id {
                Some(_) => b"Retry-After, X-Circuit, X-Request-Id, X-Retter",
                None => b"Retry-After, X-Circuit, X-Retter",
            };
            put("access-control-expose-headers", exposed);
            put("vary", b"Origin");
        }
        match &self.handling {
            Some(handling) => put_labels(self.circuit, handling, None, &mut put),
            None => {
                put(label::X_RETTER, Source::NoCache.as_str().as_bytes());
                put(label::X_CIRCUIT, self.circuit.as_str().as_bytes());
            }
        }
    }
}

impl Extra {
    fn put(&self, put: &mut dyn FnMut(&str, &[u8])) {
        if let Some(page) = &self.goes_to {
            put("location", page);
        }
        if let Some(cookie) = &self.cookie {
            put("set-cookie", cookie.as_bytes());
        }
        if let Some(secs) = self.refresh_secs {
            put("refresh", secs.to_string().as_bytes());
        }
    }
}

impl Passed {
    fn put(&self, head: &Head, out: &mut impl PutHead) {
        let fields = &self.head.fields;
        forwarding::forward_response(&self.head, |line| {
            if self.codes_tag && line.is("etag") {
                out.line(line.with_value(&etag::coded(line.value)));
            } else if !(self.gzip && line.is("accept-ranges")
                || head.request_id.is_some() && line.is(X_REQUEST_ID))
            {
                out.line(line);
            }
        });
        if self.gzip {
            out.line(Line::new("content-encoding", b"gzip"));
        }
        if self.varies && !coding::varies_on(fields, "accept-encoding") {
            out.line(Line::new("vary", b"Accept-Encoding"));
        }
        if let Some(date) = self.date {
            out.line(Line::new("date", date.to_string().as_bytes()));
        }
        if head.body == Body::Tunnel {
            out.framing(head);
        }
        let (circuit, handling) = &self.labels;
        put_labels(*circuit, handling, None, &mut |name, value| {
            out.line(Line::new(name, value));
        });
        if head.body != Body::Tunnel {
            out.framing(head);
        }
    }
}

/// What is told to the client in an answer that is made here.
#[derive(Clone, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) circuit: State,
    /// The value of `Set-Cookie`.
    pub(crate) cookie: Option<&'a str>,
    /// The page to go on to.
    pub(crate) goes_to: Option<&'a Bytes>,
    /// The place in the waiting room that the client has.
    pub(crate) place: Option<&'a Position>,
    /// Where a button for what strangers are sent of the page leads to.
    pub(crate) public: Option<&'a str>,
    /// `None` where no copy was ever in question.
    pub(crate) handling: Option<Handling>,
    pub(crate) may_keep: bool,
    /// What an operator has to say instead.
    pub(crate) message: Option<&'a str>,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) retry_after_secs: Option<u64>,
    pub(crate) status: StatusCode,
    pub(crate) text: &'a str,
}

impl Told<'_> {
    fn extra(&self) -> Option<Box<Extra>> {
        if self.cookie.is_none() && self.goes_to.is_none() {
            return None;
        }
        Some(Box::new(Extra {
            cookie: self.cookie.map(ToOwned::to_owned),
            goes_to: self.goes_to.cloned(),
            refresh_secs: self.place.map(|place| place.again_secs.into()),
        }))
    }

    /// The whole answer to `request`, `None` for what is no request; a page from `own` where there is
    /// one for it.
    pub(crate) fn answer(
        &self,
        own: &OwnPages,
        request: Option<&RequestHead>,
        date: UnixTime,
    ) -> (Head, Bytes) {
        let page = page(
            &Tale {
                handling: self.handling,
                message: self.message,
                place: self.place,
                public: self.public,
                request_id: self.request_id.as_ref(),
                retry_after_secs: self.retry_after_secs,
                status: self.status,
                text: self.text,
            },
            own,
            request,
        );
        let length = page.content.len() as u64;
        let is_head = request.is_some_and(|request| request.method == Method::HEAD);
        let origin = request.and_then(|request| request.fields.get("origin"));
        let head = Head {
            body: if is_head {
                Body::Empty
            } else {
                Body::Length(length)
            },
            may_keep: self.may_keep,
            request_id: self.request_id.clone(),
            status: self.status,
            made_from: MadeFrom::Nothing(Local {
                circuit: self.circuit,
                date,
                extra: self.extra(),
                handling: self.handling,
                has_form: self.public.is_some(),
                language: page.language,
                length,
                media_type: page.media_type,
                origin: origin.map(Bytes::copy_from_slice),
                retry_after_secs: self.retry_after_secs,
            }),
        };
        (head, page.content)
    }
}

/// What the client has not pulled yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    interim: Option<Box<ResponseHead>>,
    head: Option<Box<Head>>,
    /// The next piece, so that one alone needs no queue.
    data: Option<Data>,
    more: Option<VecDeque<Data>>,
    last: Option<Last>,
    /// How many parts there are in all.
    parts: usize,
}

#[derive(Debug)]
enum Last {
    Abort { by_client: bool },
    End { is_read: bool, trailers: Fields },
}

impl Outbox {
    pub(super) fn put_interim(&mut self, head: ResponseHead) {
        debug_assert!(self.interim.is_none(), "one is pulled before the next");
        self.interim = Some(Box::new(head));
        self.parts += 1;
    }

    pub(super) fn put_head(&mut self, head: Box<Head>) {
        debug_assert!(self.head.is_none(), "the final head is the only one");
        self.head = Some(head);
        self.parts += 1;
    }

    pub(super) fn put_data(&mut self, data: Data) {
        if data.bytes.is_empty() {
            return;
        }
        self.parts += 1;
        if self.data.is_none() {
            self.data = Some(data);
        } else {
            self.more.get_or_insert_default().push_back(data);
        }
    }

    pub(super) fn put_end(&mut self, trailers: Fields, is_read: bool) {
        self.put_last(Last::End { is_read, trailers });
    }

    pub(super) fn put_abort(&mut self, by_client: bool) {
        self.put_last(Last::Abort { by_client });
    }

    fn put_last(&mut self, last: Last) {
        debug_assert!(self.last.is_none(), "an answer ends once");
        self.last = Some(last);
        self.parts += 1;
    }

    pub(super) fn pull(&mut self) -> Option<Reply> {
        self.parts = self.parts.checked_sub(1)?;
        if let Some(head) = self.interim.take() {
            return Some(Reply::Interim(head));
        }
        if let Some(head) = self.head.take() {
            return Some(Reply::Head(head));
        }
        if let Some(data) = self.data.take() {
            self.data = self.more.as_mut().and_then(VecDeque::pop_front);
            return Some(Reply::Data(data));
        }
        let last = self.last.take();
        debug_assert!(last.is_some(), "all parts are counted");
        last.map(|last| match last {
            Last::Abort { by_client } => Reply::Abort { by_client },
            Last::End { is_read, trailers } => Reply::End { is_read, trailers },
        })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.parts == 0
    }

    /// Bytes of content that nobody else holds in memory.
    pub(super) fn held(&self) -> usize {
        let own = |data: &Data| if data.is_shared { 0 } else { data.bytes.len() };
        let more = self.more.iter().flat_map(|more| more.iter());
        self.data.iter().chain(more).map(own).sum()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
