//! Owns the words for whether a request could be rescued before there is anything to rescue it from:
//! by which [`Way`], or which [`Obstacle`] is in it; and their counts.
//! Never judges a request: a site does.

/// By which copy a GET could be answered if the origin failed at that moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// By one that all share who come without anything that identifies.
    Bare,
    /// By one of its own session, which is followed from one cookie value to the next.
    Chain,
    /// By one of its own: whoever sends the same cookies and fields.
    Own,
    /// By what the origin sent to a stranger.
    Public,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bare, Self::Chain, Self::Own, Self::Public];

    /// One lower-case word, for labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Chain => "chain",
            Self::Own => "own",
            Self::Public => "public",
        }
    }
}

/// Why no copy could answer a GET if the origin failed at that moment: of several reasons the one that
/// has to go first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Obstacle {
    /// Its client has signed in by its connection (NTLM).
    Bound,
    /// A stranger may not see the page, so nothing of it is shared.
    Closed,
    /// It has content, which an application may read.
    Content,
    /// Fields of the answer hold credentials.
    Credentials,
    /// It asks for data or for a part of a page, for which no stranger asks.
    Data,
    /// Directives of the answer do not let it be kept, or be used when it is stale.
    Directives,
    /// There was a copy, which gave way to others.
    Evicted,
    /// The settings exclude its path.
    Excluded,
    /// A field says who asks, and that client has no copy of the page.
    Identity,
    /// The page holds a value that was handed out with it, so that it is one client's.
    InBody,
    /// It says in its target that its session ends.
    Logout,
    /// The origin has not been asked for the page as a stranger yet.
    NotAsked,
    /// Nobody who could share the copy has had the page, and no stranger asks.
    NotSeen,
    /// Its client is signed in, and has no copy of the page.
    Personal,
    /// Its client was refused the page within the last hour.
    Refused,
    /// Its cookie has a value that several clients were given.
    Several,
    /// The answer sets a cookie that counts.
    SetsCookie,
    /// The answer is larger than a copy may be, or than the memory that is left for it.
    TooLarge,
    /// The copy is older than one may be.
    TooOld,
    /// A stranger does not ask for such a page: its target says that it does something or is meant for
    /// one person, or it sends its visitors on.
    Unasked,
    /// No key names it: its target is too long, or fields of it are missing.
    Unnamed,
    /// The answer varies by something that differs from client to client.
    Vary,
    /// Its client is signed in, has written lately, and has no copy of the page since.
    Written,
}

impl Obstacle {
    /// How many there are.
    const COUNT: usize = 23;

    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Bound,
        Self::Closed,
        Self::Content,
        Self::Credentials,
        Self::Data,
        Self::Directives,
        Self::Evicted,
        Self::Excluded,
        Self::Identity,
        Self::InBody,
        Self::Logout,
        Self::NotAsked,
        Self::NotSeen,
        Self::Personal,
        Self::Refused,
        Self::Several,
        Self::SetsCookie,
        Self::TooLarge,
        Self::TooOld,
        Self::Unasked,
        Self::Unnamed,
        Self::Vary,
        Self::Written,
    ];

    /// One word in lower case, with hyphens, for labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bound => "login-by-connection",
            Self::Closed => "not-for-strangers",
            Self::Content => "content",
            Self::Credentials => "credentials",
            Self::Data => "data",
            Self::Directives => "directives",
            Self::Evicted => "evicted",
            Self::Excluded => "excluded",
            Self::Identity => "identity-field",
            Self::InBody => "holds-session",
            Self::Logout => "logout",
            Self::NotAsked => "not-asked-yet",
            Self::NotSeen => "not-seen-yet",
            Self::Personal => "personal",
            Self::Refused => "refused",
            Self::Several => "shared-value",
            Self::SetsCookie => "sets-cookie",
            Self::TooLarge => "too-large",
            Self::TooOld => "too-old",
            Self::Unasked => "never-asked",
            Self::Unnamed => "no-key",
            Self::Vary => "vary",
            Self::Written => "since-write",
        }
    }
}

/// What GETs were counted as, over some time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CoverageCounts {
    /// Those that could not be rescued, by [`Obstacle`].
    obstacles: [u64; Obstacle::COUNT],
    /// Those that could not, and that the origin answered with no page: a redirect, or that there is
    /// none.
    pub no_page: u64,
    /// Those that could, by [`Way`].
    ways: [u64; Way::ALL.len()],
}

impl CoverageCounts {
    /// How many could be rescued in this way.
    #[must_use]
    pub const fn by(&self, way: Way) -> u64 {
        self.ways[way as usize]
    }

    /// How many could not, for this reason.
    #[must_use]
    pub const fn without(&self, obstacle: Obstacle) -> u64 {
        self.obstacles[obstacle as usize]
    }

    /// How many could be rescued.
    #[must_use]
    pub fn rescuable(&self) -> u64 {
        self.ways.iter().sum()
    }

    /// All that asked for a page, as far as is known.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.rescuable() + self.obstacles.iter().sum::<u64>()
    }

    /// The share that could be rescued of those that asked for a page, 0 to 1; `None` where there was
    /// none.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a share, of counts below 2^53")]
        let share = |part: u64, all: u64| part as f64 / all as f64;
        let all = self.all();
        (all > 0).then(|| share(self.rescuable(), all))
    }

    /// The reason that most have of those that could not be rescued.
    #[must_use]
    pub fn worst(&self) -> Option<(Obstacle, u64)> {
        let counts = Obstacle::ALL.map(|obstacle| (obstacle, self.without(obstacle)));
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        most.filter(|(_, count)| *count > 0)
    }

    /// Adds `count` to what `number` names: ways first, then obstacles, then what is no page.
    pub(crate) fn add(&mut self, number: usize, count: u64) {
        let all = self.ways.iter_mut().chain(&mut self.obstacles);
        if let Some(place) = all.chain([&mut self.no_page]).nth(number) {
            *place += count;
        }
    }

    /// How many numbers there are.
    pub(crate) const NUMBERS: usize = Way::ALL.len() + Obstacle::COUNT + 1;

    /// The number of a way, or of an obstacle.
    pub(crate) const fn number(of: Result<Way, Obstacle>) -> usize {
        match of {
            Ok(way) => way as usize,
            Err(obstacle) => Way::ALL.len() + obstacle as usize,
        }
    }

    /// The number of what is no page.
    pub(crate) const NO_PAGE: usize = Self::NUMBERS - 1;
}

/// Whether GETs could be answered if the origin failed at that moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CoverageStats {
    /// In the last hour.
    pub hour: CoverageCounts,
    /// Since start.
    pub total: CoverageCounts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_and_each_obstacle_has_a_count_of_its_own() {
        let ways = Way::ALL.map(Ok);
        let obstacles = Obstacle::ALL.map(Err);
        let mut counts = CoverageCounts::default();
        for (count, of) in (1..).zip(ways.into_iter().chain(obstacles)) {
            counts.add(CoverageCounts::number(of), count);
        }
        counts.add(CoverageCounts::NO_PAGE, 99);
        counts.add(CoverageCounts::NUMBERS, 7);
        let ways = Way::ALL.map(|way| counts.by(way));
        let obstacles = Obstacle::ALL.map(|obstacle| counts.without(obstacle));
        let found: Vec<_> = ways.into_iter().chain(obstacles).collect();
        let expected: Vec<u64> = (1..=27).collect();
        assert_eq!(found, expected);
        assert_eq!(counts.no_page, 99);
        assert_eq!(counts.worst(), Some((Obstacle::Written, 27)));
    }

    #[test]
    fn a_ratio_is_of_pages_and_of_some() {
        let mut counts = CoverageCounts::default();
        counts.add(CoverageCounts::NO_PAGE, 5);
        assert_eq!((counts.ratio(), counts.worst()), (None, None));
        counts.add(CoverageCounts::number(Ok(Way::Own)), 3);
        counts.add(CoverageCounts::number(Err(Obstacle::Vary)), 1);
        assert_eq!(counts.ratio(), Some(0.75));
    }
}
