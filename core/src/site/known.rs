//! Owns the words for what a site has found out of its visitors and their cookies ([`Fact`]).
//! Never finds anything out.

/// Something that was found out.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Fact {
    /// What it says.
    pub known: Known,
    /// Of what; it means the same to a site with the same seed.
    pub mark: u64,
    /// Until when it counts, in seconds since 1970, rounded up; [`Fact::EVER`] where that does not end.
    pub until: u64,
}

/// What a fact says of its mark.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Known {
    /// Nothing is shared of a page, as a stranger may not see it.
    Closed,
    /// A cookie value was given to one browser.
    Given,
    /// To several: it tells nobody apart.
    GivenToSeveral,
    /// A cookie is somebody's.
    Personal,
    /// A visitor was refused a page.
    Refused,
    /// A cookie has another value after each answer.
    Rolls,
    /// It has not.
    Stays,
    /// A visitor has written.
    Wrote,
}

impl Fact {
    /// What does not end by itself.
    pub const EVER: u64 = u64::MAX;
}

impl Known {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Closed,
        Self::Given,
        Self::GivenToSeveral,
        Self::Personal,
        Self::Refused,
        Self::Rolls,
        Self::Stays,
        Self::Wrote,
    ];
}
