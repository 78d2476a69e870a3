//! Owns whether somebody may be told to wait in the waiting room, and whether the place that is told is
//! one: of this visitor alone, behind all who came before, and kept as long as it is shown.
//! Never judges when somebody is let in: whoever is goes to the gate, as without a room.

use std::collections::BTreeMap;

use retter_core::time::Instant;

use crate::ledger::{Asked, Ledger};
use crate::requests::PAGE;
use crate::seen::{Seen, holds};
use crate::visitors::{ROOM, VisitorId};

/// The places that were given, by the cookie that proves them.
#[derive(Debug, Default)]
pub(super) struct Rooms(BTreeMap<String, Given>);

#[derive(Debug)]
struct Given {
    visitor: VisitorId,
    /// When it was first told.
    told_at: Instant,
}

/// Whether somebody looks at the page that comes.
pub(super) fn is_navigation(asked: &Asked) -> bool {
    asked.method == "GET" && asked.accept == PAGE && !asked.upgrades
}

impl Rooms {
    /// Judges an answer that tells its visitor to wait, and was told now. Whether it is a new place.
    pub(super) fn check(
        &mut self,
        asked: &Asked,
        seen: &Seen,
        now: Instant,
        ledger: &Ledger,
    ) -> Result<bool, String> {
        holds(is_navigation(asked), "a place for what is no page")?;
        let fields = &seen.head.fields;
        let again = fields.get("retry-after");
        holds(fields.get("refresh") == again, "it does not look again")?;
        let is_kept = fields.get("cache-control") == Some("no-store");
        holds(is_kept, "a place that may be kept for others")?;
        let lines = fields.get("set-cookie");
        let given = lines.and_then(|line| line.split(';').next());
        let given = given.filter(|pair| pair.starts_with(ROOM));
        let given = given.ok_or("no place")?;
        let visitor = asked.visitor.ok_or("a place for nobody")?;
        let shown = asked.room.as_deref();
        let shown = shown.filter(|room| self.0.contains_key(*room));
        let is_kept = shown.is_none_or(|shown| shown == given);
        holds(is_kept, "not the place that it had")?;
        // Of a page that broke off it may not have come.
        let told = place(&seen.body).or_else(|| (!seen.is_whole).then_some(1));
        let place = told.ok_or("no place on the page")?;
        let others = ledger.asked.iter().filter(|other| is_navigation(other));
        holds(
            (1..=others.count()).contains(&place),
            "a place behind more than came",
        )?;
        if let Some(known) = self.0.get(given) {
            holds(known.visitor == visitor, "another visitor's place")?;
            return Ok(false);
        }
        // The browser may have it of an answer that is still on its way. Numbers are written so that
        // their text grows with them.
        let is_shown = asked.room.as_deref() == Some(given);
        let sent_at = asked.sent_at.unwrap_or(now);
        let mut greater = self.0.range(given.to_owned()..);
        let is_behind = is_shown || greater.all(|(_, other)| other.told_at >= sent_at);
        holds(is_behind, "a place before one of those who came before")?;
        let told_at = now;
        self.0.insert(given.to_owned(), Given { visitor, told_at });
        Ok(true)
    }
}

/// The place that the page tells.
fn place(page: &[u8]) -> Option<usize> {
    let page = std::str::from_utf8(page).ok()?;
    let place = page.split("<strong>").nth(1)?.split('<').next()?;
    place.parse().ok()
}
