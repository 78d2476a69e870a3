//! Owns who asks and for what, as far as circuits have to know: [`Visitor`] and [`About`].
//! Never knows an address or a cookie: whoever asks gives numbers for them.

/// A client as circuits tell clients apart. Numbers that are the same for the same network or session,
/// and cannot be guessed where others may choose what they are made of. Zero is for what is not known, or is not there.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Visitor {
    /// The network of the client's address: what one customer, office or machine has.
    pub network: u64,
    /// The session. Sessions are free to make: they are told apart only as long as all requests come
    /// from one network, as behind a proxy that tells of no clients.
    pub session: u64,
}

/// Whose request an outcome is of, and for what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct About {
    /// The page, as a number; it matters only where `Trip::paths_min` is
    /// above 1.
    pub page: u64,
    /// Who asked; `None` where nobody did, so that it is no visitor's word.
    pub visitor: Option<Visitor>,
}

impl Default for About {
    /// A call of somebody who cannot be told from others.
    fn default() -> Self {
        Self {
            page: 0,
            visitor: Some(Visitor::default()),
        }
    }
}

impl Visitor {
    /// Whose word it is: the network's, or the session's.
    pub(super) const fn voice(self, by_network: bool) -> Self {
        let Self { network, session } = self;
        let session = if by_network { 0 } else { session };
        Self { network, session }
    }
}
