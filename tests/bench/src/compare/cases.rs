//! Owns the list of what `wrk` measures: page, clients, and the state of the origin.
//! Never measures.

use super::wrk::Load;

/// The state of the origin while a case runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OriginIs {
    /// Its process is gone.
    Dead,
    /// It answers 500.
    Failing,
    /// It answers.
    Well,
}

/// Where the answers must come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AnswersFrom {
    /// From copies: the origin sees next to nothing.
    Copies,
    /// From the origin: it sees every request.
    Origin,
}

/// What the figure of a case is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// CPU microseconds for a request.
    Request,
    /// CPU microseconds for a MiB of body.
    Mebibyte,
}

impl Unit {
    /// In a table's heading.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "CPU µs/request",
            Self::Mebibyte => "CPU µs/MiB",
        }
    }
}

/// One row of what is measured.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name for `--scenario`.
    pub name: &'static str,
    /// What it is, for the reader of its table.
    pub text: &'static str,
    /// The load.
    pub load: Load<'static>,
    /// The state of the origin.
    pub origin: OriginIs,
    /// Where answers come from.
    pub from: AnswersFrom,
    /// What is counted.
    pub unit: Unit,
    /// Length of the body that every contender must answer with; without gzip.
    pub bytes: usize,
}

impl Case {
    const fn new(
        name: &'static str,
        path: &'static str,
        from: AnswersFrom,
        text: &'static str,
    ) -> Self {
        let load = Load {
            path,
            gzip: false,
            pipelined: 1,
            connections: 64,
            pages: 0,
            seconds: 3,
        };
        Self {
            name,
            text,
            load,
            origin: OriginIs::Well,
            from,
            unit: Unit::Request,
            bytes: 73,
        }
    }

    const fn large(mut self) -> Self {
        self.bytes = 10 << 10;
        self
    }

    const fn gzip(mut self) -> Self {
        self.load.gzip = true;
        self
    }

    const fn while_origin_is(mut self, origin: OriginIs) -> Self {
        self.origin = origin;
        self
    }
}

/// Everything that `wrk` measures.
#[must_use]
pub fn all() -> Vec<Case> {
    use AnswersFrom::{Copies, Origin};
    use OriginIs::{Dead, Failing};
    let mut pipelined = Case::new(
        "pipelined",
        "/hit/73",
        Copies,
        "16 pipelined hits of 73 bytes",
    );
    pipelined.load.pipelined = 16;
    let mut body = Case::new("body", "/body", Origin, "bodies of 100 MiB");
    body.load.connections = 4;
    body.unit = Unit::Mebibyte;
    body.bytes = super::responder::BODY_BYTES;
    vec![
        Case::new("hit-73", "/hit/73", Copies, "hit, 73 bytes"),
        Case::new("hit-10k", "/hit/10k", Copies, "hit, 10 KiB").large(),
        Case::new("hit-73-gzip", "/gzip/73", Copies, "hit, 73 bytes, gzip").gzip(),
        Case::new("hit-10k-gzip", "/gzip/10k", Copies, "hit, 10 KiB, gzip")
            .large()
            .gzip(),
        Case::new(
            "forward-73",
            "/forward/73",
            Origin,
            "forwarded, 73 bytes, `no-store`",
        ),
        Case::new(
            "forward-10k",
            "/forward/10k",
            Origin,
            "forwarded, 10 KiB, `no-store`",
        )
        .large(),
        Case::new(
            "renew-73",
            "/renew/73",
            Origin,
            "forwarded, 73 bytes; RETTER renews its copy",
        ),
        Case::new(
            "renew-10k",
            "/renew/10k",
            Origin,
            "forwarded, 10 KiB; RETTER renews its copy",
        )
        .large(),
        Case::new(
            "failing-73",
            "/rescue/73",
            Copies,
            "rescued, 73 bytes, the origin fails",
        )
        .while_origin_is(Failing),
        Case::new(
            "failing-10k",
            "/rescue/10k",
            Copies,
            "rescued, 10 KiB, the origin fails",
        )
        .large()
        .while_origin_is(Failing),
        Case::new(
            "dead-73",
            "/rescue/73",
            Copies,
            "rescued, 73 bytes, the origin is dead",
        )
        .while_origin_is(Dead),
        Case::new(
            "dead-10k",
            "/rescue/10k",
            Copies,
            "rescued, 10 KiB, the origin is dead",
        )
        .large()
        .while_origin_is(Dead),
        pipelined,
        body,
    ]
}
