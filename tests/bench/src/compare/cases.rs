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

    /// As few connections as RETTER lets in at first: of more, some would share what others fetch.
    const fn few(mut self) -> Self {
        self.load.connections = 8;
        self
    }

    const fn gzip(mut self) -> Self {
        self.load.gzip = true;
        self
    }
}

/// A hit of 73 bytes.
#[must_use]
pub const fn hit() -> Case {
    Case::new("hit-73", "/hit/73", AnswersFrom::Copies, "hit, 73 bytes")
}

/// A request of 73 bytes that is forwarded.
#[must_use]
pub const fn forward() -> Case {
    let text = "forwarded, 73 bytes, `no-store`";
    Case::new("forward-73", "/forward/73", AnswersFrom::Origin, text)
}

/// Everything that `wrk` measures.
#[must_use]
pub fn all() -> Vec<Case> {
    use AnswersFrom::{Copies, Origin};
    let gzip_73 = Case::new("hit-73-gzip", "/gzip/73", Copies, "hit, 73 bytes, gzip");
    let gzip_10k = Case::new("hit-10k-gzip", "/gzip/10k", Copies, "hit, 10 KiB, gzip");
    let text = "forwarded, 10 KiB, `no-store`";
    let forward_10k = Case::new("forward-10k", "/forward/10k", Origin, text);
    let text = "forwarded, 73 bytes; RETTER renews its copy";
    let renew_73 = Case::new("renew-73", "/renew/73", Origin, text);
    let text = "forwarded, 10 KiB; RETTER renews its copy";
    let renew_10k = Case::new("renew-10k", "/renew/10k", Origin, text);
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
    let mut all = vec![
        hit(),
        Case::new("hit-10k", "/hit/10k", Copies, "hit, 10 KiB").large(),
        gzip_73.gzip(),
        gzip_10k.large().gzip(),
        forward(),
        forward_10k.large(),
        renew_73.few(),
        renew_10k.large().few(),
    ];
    all.extend(rescued());
    all.extend([pipelined, body]);
    all
}

fn rescued() -> [Case; 4] {
    use AnswersFrom::Copies;
    [
        (
            "failing-73",
            "/rescue/73",
            73,
            "rescued, 73 bytes, the origin fails",
        ),
        (
            "failing-10k",
            "/rescue/10k",
            10 << 10,
            "rescued, 10 KiB, the origin fails",
        ),
        (
            "dead-73",
            "/rescue/73",
            73,
            "rescued, 73 bytes, the origin is dead",
        ),
        (
            "dead-10k",
            "/rescue/10k",
            10 << 10,
            "rescued, 10 KiB, the origin is dead",
        ),
    ]
    .map(|(name, path, bytes, text)| Case {
        origin: if name.starts_with("dead") {
            OriginIs::Dead
        } else {
            OriginIs::Failing
        },
        bytes,
        ..Case::new(name, path, Copies, text)
    })
}
