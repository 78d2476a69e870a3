//! Owns the judgement of every answer that a client got, from the outside: by what was asked,
//! what the origin answered, and what the answer says of itself.
//! Never looks into the program, so that the program may be rewritten.

mod cause;
mod public;
mod rooms;

use retter_core::breaker::Transition;
use retter_core::config::Settings;
use retter_core::time::Instant;
use retter_strict::Head;

use crate::circuits::Circuits;
use crate::copies::Copies;
use crate::ledger::{ANSWER, Answer, Asked, AskedId, Ledger, UNSOLICITED};
use crate::net::{LinkId, Net};
use crate::seen::{
    Seen, basis, bodiless, cache_status, check_bodiless, check_body, detail, find_answer, holds,
    number, plain, status,
};
use rooms::Rooms;

/// How many answers came from where.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// From the origin.
    pub backend: u64,
    /// From copies.
    pub copies: u64,
    /// Those of them that a stranger was sent.
    pub public: u64,
    /// From the program itself.
    pub local: u64,
    /// From what another request brought.
    pub shared: u64,
    /// Connections that became tunnels.
    pub tunnels: u64,
    /// Answers that were cut short.
    pub cut: u64,
    /// Requests without an answer.
    pub unanswered: u64,
    /// Changes of circuits.
    pub transitions: u64,
    /// Sessions that were told to give way.
    pub leaving: u64,
    /// Losses of the program.
    pub restarts: u64,
    /// Places in the waiting room.
    pub placed: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.backend += other.backend;
        self.copies += other.copies;
        self.public += other.public;
        self.local += other.local;
        self.shared += other.shared;
        self.tunnels += other.tunnels;
        self.cut += other.cut;
        self.unanswered += other.unanswered;
        self.transitions += other.transitions;
        self.leaving += other.leaving;
        self.restarts += other.restarts;
        self.placed += other.placed;
    }
}

#[derive(Debug)]
pub(crate) struct Oracle {
    settings: Settings,
    circuits: Circuits,
    copies: Copies,
    rooms: Rooms,
    /// When the program last had no room at the origin.
    full_at: Option<Instant>,
    pub(crate) tally: Tally,
}

impl Oracle {
    pub(crate) fn new(settings: Settings, is_attended: bool) -> Self {
        Self {
            circuits: Circuits::new(settings.site.breaker.clone(), is_attended),
            copies: Copies::new(settings.site.cache.clone()),
            settings,
            rooms: Rooms::default(),
            full_at: None,
            tally: Tally::default(),
        }
    }

    /// Takes a change of a circuit.
    pub(crate) fn changed(&mut self, transition: &Transition, net: &mut Net, ledger: &mut Ledger) {
        net.note(format_args!("circuit {transition:?}"));
        self.tally.transitions += 1;
        if let Err(text) = self.circuits.note(transition) {
            ledger.violate(text);
        }
    }

    /// The program was lost, and has begun anew: with every circuit closed.
    pub(crate) fn restarted(&mut self, now: Instant) {
        self.tally.restarts += 1;
        self.circuits.restarted(now);
    }

    /// Takes note that sessions are told to give way.
    pub(crate) fn must_leave(&mut self, tasks: &[usize], net: &mut Net) {
        for task in tasks {
            self.tally.leaving += 1;
            net.note(format_args!("session {task} is to give way"));
        }
    }

    /// Takes note that there is no room at the origin.
    pub(crate) fn is_full(&mut self, now: Instant) {
        self.full_at = Some(now);
    }

    /// Judges that the origin got a request on this link.
    pub(crate) fn arrived(
        &mut self,
        id: AskedId,
        link: LinkId,
        net: &mut Net,
        ledger: &mut Ledger,
    ) {
        let Some(attempt) = net.carried(link) else {
            return ledger.violate(format!("request {id} comes on a connection of nobody"));
        };
        net.attempts.arrived(attempt, id);
        let asked = &ledger.asked[id];
        if let Err(text) = self
            .circuits
            .arrived(asked, attempt, (&net.attempts, ledger))
        {
            ledger.violate(format!("request {id} {text}"));
        }
    }

    /// Judges that a connection became a tunnel.
    pub(crate) fn upgraded(&mut self, id: AskedId, head: &Head, ledger: &mut Ledger) {
        self.tally.tunnels += 1;
        let answer = number(head, ANSWER).and_then(|answer| ledger.answers.get(answer));
        let is_right = answer.is_some_and(|answer| answer.asked == id && answer.status == 101);
        ledger.check(is_right, || format!("request {id} got another's tunnel"));
    }

    /// Judges that a connection ended without an answer.
    pub(crate) fn unanswered(
        &mut self,
        id: AskedId,
        is_excused: bool,
        net: &mut Net,
        ledger: &mut Ledger,
    ) {
        self.tally.unanswered += 1;
        net.note(format_args!("request {id} has no answer"));
        // To HTTP/1.0 only a reset tells that a body broke off; it may destroy the head on its way.
        let asked = &ledger.asked[id];
        let broke_off = asked.answers.iter().any(|answer| {
            let answer = &ledger.answers[*answer];
            !answer.is_sound || net.was_cut(answer.link)
        });
        ledger.check(is_excused || asked.http10 && broke_off, || {
            format!("request {id} got no answer")
        });
    }

    /// Judges an answer.
    pub(crate) fn judge(&mut self, id: AskedId, seen: &Seen, net: &mut Net, ledger: &mut Ledger) {
        let label = seen.head.fields.get("x-retter").unwrap_or_default();
        net.note(format_args!(
            "request {id} is answered by {label}: {} and {} bytes, whole {}",
            seen.head.start,
            seen.body.len(),
            seen.is_whole
        ));
        self.tally.cut += u64::from(!seen.is_whole);
        self.tally.shared += u64::from(cache_status(seen).contains("collapsed"));
        let verdict = match label {
            "backend" => self.judge_backend(id, seen, net, ledger),
            "cache" | "last-known-success" => self.judge_copy(id, seen, net, ledger),
            "no-cache" => self.judge_local(id, seen, net, ledger),
            _ => Err("it does not say where it comes from".to_owned()),
        };
        let is_origins = label == "backend" || cache_status(seen).contains("fwd-status=304");
        ledger.asked[id].came_well = seen.is_whole && is_origins && status(seen) == 200;
        if let Err(text) = verdict {
            ledger.violate(format!("request {id}: {text}: {:?}", seen.head));
        }
        let asked = &ledger.asked[id];
        let signs_out = asked.signs_out() && asked.is_known && !asked.is_bound;
        if let (true, Some(visitor), Some(at)) = (signs_out, asked.visitor, asked.sent_at) {
            let value = asked.started.clone();
            ledger
                .sessions
                .sign_out(visitor, value.as_deref(), at, net.now);
        }
        if seen.is_whole
            && let Some(answer) = basis(&seen.head)
            && let Some(answer) = ledger.answers.get_mut(answer)
        {
            answer.seen_at.get_or_insert(net.now);
        }
    }

    fn judge_backend(
        &mut self,
        id: AskedId,
        seen: &Seen,
        net: &Net,
        ledger: &Ledger,
    ) -> Result<(), String> {
        self.tally.backend += 1;
        let asked = &ledger.asked[id];
        if seen.head.start.ends_with(UNSOLICITED) {
            // On its way when the request was sent: nothing tells it from an answer.
            self.circuits.note_late(asked, net.now);
            return Ok(());
        }
        if cache_status(seen).contains("collapsed") {
            return self.judge_shared(asked, seen, net, ledger);
        }
        let answer = find_answer(seen, ledger)?;
        holds(answer.asked == id, "the origin's answer to another request")?;
        holds(status(seen) == answer.status, "not the origin's status")?;
        check_body(asked, &answer.page, seen)?;
        let came = answer
            .ends
            .is_some_and(|end| net.progress(answer.link).1 >= end);
        let was_sound = answer.is_sound && came && !net.was_cut(answer.link);
        holds(
            seen.is_whole || seen.is_excused || !was_sound,
            "a whole answer was cut short",
        )?;
        self.copies.note_wrong(asked, answer, net.now);
        Ok(())
    }

    /// An answer that another request brought while this one waited.
    fn judge_shared(
        &self,
        asked: &Asked,
        seen: &Seen,
        net: &Net,
        ledger: &Ledger,
    ) -> Result<(), String> {
        let sent = asked.sent_at.unwrap_or(net.now);
        self.judge_kept(asked, seen, ledger, |_, basis| {
            let is_new = basis.seen_at.is_none_or(|seen| seen >= sent);
            holds(is_new, "shared with a request that had its answer before")
        })
    }

    /// Whether a copy may answer this request at all, is what it says, and is right in the way of
    /// `judge`, which gets the answer that brought it, and the one that made it what it is now.
    fn judge_kept(
        &self,
        asked: &Asked,
        seen: &Seen,
        ledger: &Ledger,
        judge: impl Fn(&Answer, &Answer) -> Result<(), String>,
    ) -> Result<(), String> {
        if !matches!(status(seen), 304 | 416) {
            let answer = find_answer(seen, ledger)?;
            // Before anything that the answer says of itself: may its bytes be seen?
            let body = plain(asked, seen)?;
            let values = ledger.sessions.line(asked.started.as_deref());
            ledger
                .sent
                .check(asked.visitor, &asked.who, values, &answer.page, &body)?;
            let basis = basis(&seen.head).and_then(|id| ledger.answers.get(id));
            let basis = basis.ok_or("no answer of the origin")?;
            let is_strangers = answer.is_strangers || basis.is_strangers;
            holds(!is_strangers, "what a stranger was sent, and not said so")?;
            self.check_kept(asked, seen, (answer, basis), ledger)?;
            check_body(asked, &answer.page, seen)?;
            return judge(answer, basis);
        }
        check_bodiless(asked, seen)?;
        // It does not name the answers: some have to be what it says.
        let mut verdict = Err("no answer of the origin was of this page".to_owned());
        for pair in bodiless(seen, ledger) {
            verdict = self
                .check_kept(asked, seen, pair, ledger)
                .and_then(|()| judge(pair.0, pair.1));
            if verdict.is_ok() {
                break;
            }
        }
        verdict
    }

    /// Whether a copy that `answer` brought and `basis` made what it is may answer this request.
    fn check_kept(
        &self,
        asked: &Asked,
        seen: &Seen,
        (answer, basis): (&Answer, &Answer),
        ledger: &Ledger,
    ) -> Result<(), String> {
        let other = &ledger.asked[answer.asked];
        let of_200 = match status(seen) {
            206 | 416 => asked.range,
            304 => asked.if_none_match.is_some(),
            _ => false,
        };
        holds(
            status(seen) == answer.status || of_200 && answer.status == 200,
            "not the origin's status",
        )?;
        holds(answer.method == "GET", "a copy of the answer to a write")?;
        holds(!answer.is_tracked, "a copy of what only one link has asked")?;
        let sessions = &ledger.sessions;
        let is_same = self.copies.same_page(asked, other, answer, sessions);
        let is_same = is_same && basis.page == answer.page;
        holds(is_same, "a copy of another page, or another's")?;
        // Who asked gets what the origin says is right, whatever becomes of the copy.
        let is_own = ledger.asked[basis.asked].answers.last() == asked.answers.last();
        let sets_cookie = seen.head.fields.get("set-cookie").is_some();
        holds(is_own || !sets_cookie, "a copy that hands out a cookie")?;
        let may_keep = is_own && basis.status == 304 || self.copies.may_keep(asked, basis);
        holds(
            may_keep && self.copies.may_keep(asked, answer),
            "a copy of what must not be kept",
        )?;
        holds(seen.is_whole || seen.is_excused, "a copy was cut short")
    }

    fn judge_copy(
        &mut self,
        id: AskedId,
        seen: &Seen,
        net: &Net,
        ledger: &Ledger,
    ) -> Result<(), String> {
        self.tally.copies += 1;
        let asked = &ledger.asked[id];
        let sent = asked.sent_at.unwrap_or(net.now);
        holds(asked.is_read(), "a copy answers what is no read")?;
        if detail(cache_status(seen)) == Some("public") {
            self.tally.public += 1;
            return self.judge_public(id, seen, net, ledger);
        }
        if asked.who.is_empty() && status(seen) == 200 {
            self.check_shared(asked, sent, net, ledger)?;
        }
        self.judge_kept(asked, seen, ledger, |answer, basis| {
            let other = &ledger.asked[answer.asked];
            if let Some(done) = basis.seen_at {
                let resident = sent.saturating_since(done);
                let age = seen.head.fields.get("age").and_then(|age| age.parse().ok());
                let least = resident.as_secs();
                holds(age.is_some_and(|age: u64| age >= least), "a wrong Age")?;
            }
            let value = asked.started.as_deref();
            let is_over = asked.visitor.zip(basis.head_at);
            let is_over = is_over.is_some_and(|(visitor, head_at)| {
                ledger.sessions.is_over(visitor, value, head_at, sent)
            });
            holds(!is_over, "a copy of a session that was signed out of")?;
            let is_wrong = self.copies.is_wrong(asked, (answer, basis), other, sent);
            holds(!is_wrong, "a copy that was made wrong")?;
            self.judge_cause(id, (answer, basis), seen, net, ledger)
        })
    }
}
