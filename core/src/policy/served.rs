//! Owns answers from copies: [`Served`] is the decision, [`Answer`] its form for one request.
//! Never changes a copy but for adding its compressed form.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::copy::StoredResponse;
use super::wants::Errand;
use super::{Retter, put_labels};
use crate::breaker::State;
use crate::key::CacheKey;
use crate::message::{Fields, RequestHead};
use crate::report::Source;
use crate::rules::label::Handling;
use crate::rules::{coding, conditional};
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
    copy: Arc<StoredResponse>,
    key: CacheKey,
    resident: Duration,
    retter: Arc<Retter>,
}

/// A copy in the form that one request gets: whole, compressed, or 304.
#[derive(Debug)]
pub struct Answer<'a> {
    served: &'a Served,
    form: Form,
    varies: bool,
}

#[derive(Debug)]
enum Form {
    Gzip(Bytes),
    NotModified,
    Whole,
}

impl Served {
    pub(super) fn new(
        retter: &Arc<Retter>,
        key: CacheKey,
        copy: Arc<StoredResponse>,
        circuit: State,
        handling: Handling,
        now: Instant,
    ) -> Self {
        let resident = copy.resident(now);
        let source = handling.source(resident, retter.config.cache.ttl);
        let age_secs = copy.age(now).as_secs();
        Self {
            circuit,
            handling,
            source,
            age_secs,
            copy,
            key,
            resident,
            retter: Arc::clone(retter),
        }
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
    /// [renews copies](Retter::poll_refresh).
    pub fn want(&self, request: &Arc<RequestHead>, peer: IpAddr, now: Instant) {
        let due = match self.handling {
            // Up to that age it is as good as new; see `CacheSettings::ttl`.
            Handling::CircuitOpen { .. } | Handling::Overload { .. } | Handling::Rescued { .. } => {
                self.copy.received() + self.retter.config.cache.ttl
            }
            Handling::Collapsed { .. }
            | Handling::Failed { .. }
            | Handling::Forwarded { .. }
            | Handling::Fresh { .. }
            | Handling::NoCopy { .. } => return,
        };
        let errand = Errand {
            key: self.key.clone(),
            peer,
            request: Arc::clone(request),
        };
        self.retter.want(&errand, due, now);
    }

    /// The answer to `request`, the one that was decided on.
    #[must_use]
    pub fn answer(&self, request: &RequestHead) -> Answer<'_> {
        let varies = self.retter.config.client.gzip && self.copy.is_compressible();
        let form = if conditional::not_modified(&request.fields, self.copy.fields()) {
            Form::NotModified
        } else if varies && coding::accepts_gzip(&request.fields) {
            let (gzip, added) = self.copy.gzip(&self.retter.gzip);
            if added > 0 {
                self.retter.store.grew(&self.key, &self.copy, added);
            }
            gzip.map_or(Form::Whole, |gzip| Form::Gzip(gzip.clone()))
        } else {
            Form::Whole
        };
        Answer {
            served: self,
            form,
            varies,
        }
    }
}

impl Answer<'_> {
    /// 200, or 304 when the client has this representation already.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self.form {
            Form::NotModified => StatusCode::NOT_MODIFIED,
            Form::Gzip(_) | Form::Whole => StatusCode::OK,
        }
    }

    /// The body; a HEAD request must not get it.
    #[must_use]
    pub fn body(&self) -> Bytes {
        match &self.form {
            Form::Gzip(body) => body.clone(),
            Form::NotModified => Bytes::new(),
            Form::Whole => self.served.copy.body().clone(),
        }
    }

    /// The value of `Content-Length`; a 304 has none.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        match &self.form {
            Form::Gzip(body) => Some(body.len() as u64),
            Form::NotModified => None,
            Form::Whole => Some(self.served.copy.body().len() as u64),
        }
    }

    /// Writes all fields but those of the connection and `Content-Length`.
    pub fn put_fields(&self, put: &mut dyn FnMut(&str, &[u8])) {
        let fields = self.served.copy.fields();
        let is_gzip = matches!(self.form, Form::Gzip(_));
        let is_304 = matches!(self.form, Form::NotModified);
        for (name, value) in fields.iter() {
            if is_304 && !conditional::kept_in_not_modified(name) {
                continue;
            }
            if is_gzip && name.eq_ignore_ascii_case("etag") {
                put(name, &coding::weaken_etag(value));
            } else {
                put(name, value);
            }
        }
        if is_gzip {
            put("content-encoding", b"gzip");
        }
        if self.varies && !coding::varies_on(fields, "accept-encoding") {
            put("vary", b"Accept-Encoding");
        }
        put("age", self.served.age_secs.to_string().as_bytes());
        put_labels(
            self.served.circuit,
            &self.served.handling,
            Some(self.served.source),
            put,
        );
    }
}
