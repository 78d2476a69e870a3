//! Owns the bugs that are planted on purpose, so that a test can show that the simulation finds
//! such bugs, and fuzzing. Nothing is left of it but in tests and with the feature `canary`.
//! Never decides what a planted bug does: the line that it breaks does.

/// A bug, at the one place where the code asks for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Plant {
    /// A connection that is told to give way does so though its request runs.
    BusyGivesWay,
    /// A connection that comes about to an origin that took none says nothing.
    DeafToConnections,
    /// A connection that still owes a response is kept for the next request (response desync).
    Desync,
    /// A circuit that is half-open lets everybody probe.
    EveryoneProbes,
    /// A copy rescues though it is too old, or its directives forbid to use it stale.
    ForbiddenStale,
    /// A page that is as good as its copy is taken for an error page.
    GoodIsError,
    /// A copy that a write made wrong stays.
    KeptAfterWrite,
    /// An answer that sets a cookie that counts is kept for all whose requests are alike, and handed
    /// to those who wait for the same page.
    KeptWithCookie,
    /// A circuit that is half-open gets the slot of a probe that was given up back only with the
    /// end of its lease.
    LostProbe,
    /// A rescued request keeps its slot at the origin.
    LostSlot,
    /// Users with a session share a partition.
    MixedPartitions,
    /// What is dropped from memory stays where it outlives the process.
    OnDiskAfterDrop,
    /// A circuit that is open lets requests pass.
    OpenLetsPass,
    /// A copy answers as if the origin were full, which is not.
    OverloadWithRoom,
    /// An origin connection that a client has signed in on is kept for the requests of all clients.
    ParkedLogin,
    /// A place in the waiting room is given to two visitors.
    PlaceTwice,
    /// A known visitor is given what a stranger was sent.
    PublicForPersonal,
    /// What a visitor was sent is kept as if a stranger had been.
    PublicOfVisitor,
    /// What a stranger was sent is kept although it holds the value that the stranger was handed.
    PublicWithToken,
    /// A request is sent again although it is not safe.
    RepeatedWrite,
    /// A short answer that came as a whole gives way to the copy.
    RescuedForNothing,
    /// A connection that has had an answer ends at the next request, without a word.
    SilentEnd,
    /// A stranger asks with a visitor's cookie.
    StrangerWithCookie,
    /// A body that broke off is kept as a copy.
    TruncatedCopy,
    /// A body that broke off looks complete to its client.
    TruncatedEnd,
    /// A chain shows the holder of a value what the holder of another one was sent that came of the
    /// same.
    UncutBranch,
    /// The copies of a session stay though it has ended.
    UnendedSession,
    /// A request field of an unknown name does not separate visitors.
    UnknownIsHarmless,
    /// Want of a socket on this side counts as a failure of the origin.
    WantIsFailure,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::BusyGivesWay,
        Self::DeafToConnections,
        Self::Desync,
        Self::EveryoneProbes,
        Self::ForbiddenStale,
        Self::GoodIsError,
        Self::KeptAfterWrite,
        Self::KeptWithCookie,
        Self::LostProbe,
        Self::LostSlot,
        Self::MixedPartitions,
        Self::OnDiskAfterDrop,
        Self::OpenLetsPass,
        Self::OverloadWithRoom,
        Self::ParkedLogin,
        Self::PlaceTwice,
        Self::PublicForPersonal,
        Self::PublicOfVisitor,
        Self::PublicWithToken,
        Self::RepeatedWrite,
        Self::RescuedForNothing,
        Self::SilentEnd,
        Self::StrangerWithCookie,
        Self::TruncatedCopy,
        Self::TruncatedEnd,
        Self::UncutBranch,
        Self::UnendedSession,
        Self::UnknownIsHarmless,
        Self::WantIsFailure,
    ];
}

#[cfg(any(test, feature = "canary"))]
std::thread_local! {
    static PLANTED: std::cell::Cell<Option<Plant>> = const { std::cell::Cell::new(None) };
}

/// Plants one bug for this thread, in place of the one before.
#[cfg(any(test, feature = "canary"))]
pub fn plant(plant: Option<Plant>) {
    PLANTED.set(plant);
}

/// Whether this bug is planted here.
#[cfg(any(test, feature = "canary"))]
pub(crate) fn is_planted(plant: Plant) -> bool {
    PLANTED.get() == Some(plant)
}

/// Whether this bug is planted here: it is not.
#[cfg(not(any(test, feature = "canary")))]
pub(crate) const fn is_planted(_: Plant) -> bool {
    false
}
