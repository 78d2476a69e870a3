//! Owns what of a request beside its URI names a copy: the fields that shape a page, and the kind of
//! answer that is asked for; and which of its fields identify who asks.
//! Never reads cookies: they are `partition`'s.

use smallvec::SmallVec;

use super::Kind;
use super::fields::{Meaning, Meanings};
use crate::message::known::{Is, SHAPING};
use crate::message::{Fields, Line, RequestHead};

/// What a kind that has no parameters takes in a key, at most.
pub(super) const KIND_BYTES: usize = 2;

/// Which of the fields that shape a page name it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Those of the request. What only repeats its own target or method is left out.
    Asked,
    /// Those that other requests for the same resource may have or not.
    Of { others: bool, of_its_request: bool },
}

impl Shape {
    /// Those in which the copies of one client may have been asked for.
    pub(super) const ALL: [Self; 4] = {
        const fn of(others: bool, of_its_request: bool) -> Shape {
            Shape::Of {
                others,
                of_its_request,
            }
        }
        [
            of(true, false),
            of(true, true),
            of(false, false),
            of(false, true),
        ]
    };
}

/// The fields of a request, by what they mean to copies; read once.
#[derive(Debug)]
pub(super) struct Read<'a> {
    accept: Option<&'a [u8]>,
    destination: Option<&'a [u8]>,
    /// Whether there are more lines of these two: which of them counts is not known.
    repeats: bool,
    /// Whether an Android program's web view says what it is.
    by_program: bool,
    fields: &'a Fields,
    /// Numbers of fields and places of lines.
    fragment: SmallVec<[(u8, u16); 4]>,
    has_forwarded: bool,
    /// Places of lines.
    identity: SmallVec<[u16; 8]>,
    shaping: SmallVec<[(u8, u16); 4]>,
}

impl<'a> Read<'a> {
    #[inline]
    pub(super) fn of(meanings: &Meanings, fields: &'a Fields) -> Self {
        let mut read = Self {
            destination: None,
            fields,
            fragment: SmallVec::new(),
            accept: None,
            repeats: false,
            by_program: false,
            has_forwarded: false,
            identity: SmallVec::new(),
            shaping: SmallVec::new(),
        };
        for (at, name) in (0..).zip(fields.names()) {
            match meanings.of(name) {
                Meaning::Harmless => {}
                Meaning::Accept => {
                    read.repeats |= read.accept.is_some();
                    read.accept = read.accept.or_else(|| value(fields, at));
                }
                Meaning::Destination => {
                    read.repeats |= read.destination.is_some();
                    read.destination = read.destination.or_else(|| value(fields, at));
                }
                Meaning::Forwarded => read.has_forwarded = true,
                Meaning::Fragment(number) => {
                    match fields.line(usize::from(at)).is_some_and(is_fragment) {
                        true => read.fragment.push((number, at)),
                        false => read.by_program = true,
                    }
                }
                Meaning::Identity => read.identity.push(at),
                Meaning::Shaping(number) => read.shaping.push((number, at)),
            }
        }
        read
    }

    /// The lines that identify who asks.
    pub(super) fn identity(&self) -> impl Iterator<Item = Line<'a>> {
        self.identity
            .iter()
            .filter_map(|&at| self.fields.line(usize::from(at)))
    }

    pub(super) fn kind(&self) -> Kind {
        match self.repeats || !self.fragment.is_empty() {
            true => Kind::Fragment,
            false => Kind::of(self.destination, self.accept),
        }
    }

    /// Appends the values of shaping fields: line feed, number of the field, value.
    pub(super) fn put_shaping(&self, shape: Shape, request: &RequestHead, bytes: &mut Vec<u8>) {
        for &(number, at) in &self.shaping {
            let value = value(self.fields, at).unwrap_or_default();
            let repeats = || !request.method.is_safe() || value == request.path_and_query();
            let known = SHAPING.get(number);
            let is_of_its_request = known.is_some_and(|known| known.is(Is::OfItsRequest));
            let names = match (shape, is_of_its_request) {
                (Shape::Asked, true) => !repeats(),
                (Shape::Asked, false) => true,
                (Shape::Of { of_its_request, .. }, true) => of_its_request,
                (Shape::Of { others, .. }, false) => others,
            };
            if names {
                put_field(number, value, bytes);
            }
        }
        if matches!(shape, Shape::Of { others: false, .. }) {
            return;
        }
        if self.by_program {
            bytes.extend_from_slice(b"\n&");
        }
        if !self.has_forwarded {
            return;
        }
        let pairs = self
            .fields
            .get_all("forwarded")
            .flat_map(|value| value.split(|b| b",;".contains(b)));
        for pair in pairs.map(<[u8]>::trim_ascii).filter(|pair| shapes(pair)) {
            bytes.extend_from_slice(b"\n%");
            bytes.extend_from_slice(pair);
        }
    }

    /// Appends `kind`, where it is not the usual one, and which fragment is asked for.
    pub(super) fn put_kind(&self, kind: Kind, bytes: &mut Vec<u8>) {
        match kind {
            Kind::Any => {}
            Kind::Asset => bytes.extend_from_slice(b"\n!"),
            Kind::Data => bytes.extend_from_slice(b"\n\""),
            Kind::Document => bytes.extend_from_slice(b"\n$"),
            Kind::Fragment => {
                bytes.extend_from_slice(b"\n#");
                for line in self.fields.values("accept") {
                    bytes.extend_from_slice(b"\n,");
                    bytes.extend_from_slice(line);
                }
                if let Some(destination) = self.destination {
                    bytes.extend_from_slice(b"\n*");
                    bytes.extend_from_slice(destination);
                }
                for &(number, at) in &self.fragment {
                    put_field(number, value(self.fields, at).unwrap_or_default(), bytes);
                }
            }
        }
    }
}

fn value(fields: &Fields, at: u16) -> Option<&[u8]> {
    fields.line(usize::from(at)).map(|line| line.value)
}

/// A line feed is in no URI and no value, and no number of a field is one.
fn put_field(number: u8, value: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&[b'\n', b'0' + number]);
    bytes.extend_from_slice(value);
}

/// Scripts send `X-Requested-With: XMLHttpRequest` and the like for a part of a page; Android's web
/// views send the name of their program in it, as `com.example.browser`, which changes nothing.
fn is_fragment(line: Line<'_>) -> bool {
    !line.value.contains(&b'.') || !line.is("x-requested-with") && !line.is("x_requested_with")
}

/// RFC 7239 §5: whether a pair of `Forwarded` tells something else than who asked (`for`) and who
/// forwarded (`by`), which differ with each client.
fn shapes(pair: &[u8]) -> bool {
    let name = pair
        .split(|&byte| byte == b'=')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    !pair.is_empty() && !name.eq_ignore_ascii_case(b"for") && !name.eq_ignore_ascii_case(b"by")
}
