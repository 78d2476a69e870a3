//! Owns doubly linked lists that run through the slots of a slab: O(1) push and unlink.
//! Never allocates, and never owns the nodes.

use slab::Slab;

/// Which of a node's two lists is meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chain {
    /// The copies of one partition.
    Partition,
    /// The eviction queue.
    Queue,
}

/// A node's neighbours in one list.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Links {
    prev: Option<usize>,
    next: Option<usize>,
}

/// A node that can be in one list of each [`Chain`].
pub(super) trait Linked {
    fn links(&self, chain: Chain) -> &Links;
    fn links_mut(&mut self, chain: Chain) -> &mut Links;
}

/// The two ends of a list.
#[derive(Debug)]
pub(super) struct List {
    chain: Chain,
    ends: Option<(usize, usize)>,
}

impl List {
    pub(super) fn new(chain: Chain) -> Self {
        Self { chain, ends: None }
    }

    /// Appends node `at`, which must not be in a list of this chain.
    pub(super) fn push_back<N: Linked>(&mut self, nodes: &mut Slab<N>, at: usize) {
        debug_assert_eq!(
            *nodes[at].links(self.chain),
            Links::default(),
            "in a list already"
        );
        let (first, prev) = match self.ends {
            Some((first, last)) => {
                nodes[last].links_mut(self.chain).next = Some(at);
                (first, Some(last))
            }
            None => (at, None),
        };
        *nodes[at].links_mut(self.chain) = Links { prev, next: None };
        self.ends = Some((first, at));
    }

    /// Takes node `at` out of this list, which it must be in.
    pub(super) fn unlink<N: Linked>(&mut self, nodes: &mut Slab<N>, at: usize) {
        let Some((mut first, mut last)) = self.ends else {
            debug_assert!(false, "unlinked from an empty list");
            return;
        };
        let Links { prev, next } = std::mem::take(nodes[at].links_mut(self.chain));
        match prev {
            Some(prev) => nodes[prev].links_mut(self.chain).next = next,
            None => first = next.unwrap_or(first),
        }
        match next {
            Some(next) => nodes[next].links_mut(self.chain).prev = prev,
            None => last = prev.unwrap_or(last),
        }
        let was_only = prev.is_none() && next.is_none();
        self.ends = (!was_only).then_some((first, last));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    pub(super) fn first(&self) -> Option<usize> {
        self.ends.map(|(first, _)| first)
    }

    /// The first `count` nodes.
    pub(super) fn front<'a, N: Linked>(
        &self,
        nodes: &'a Slab<N>,
        count: usize,
    ) -> impl Iterator<Item = usize> + use<'a, N> {
        let chain = self.chain;
        let next = move |at: &usize| nodes[*at].links(chain).next;
        std::iter::successors(self.first(), next).take(count)
    }

    /// The first node that is not `spare`.
    pub(super) fn first_except<N: Linked>(&self, nodes: &Slab<N>, spare: usize) -> Option<usize> {
        let first = self.first()?;
        if first == spare {
            nodes[first].links(self.chain).next
        } else {
            Some(first)
        }
    }

    /// All nodes in order, after a check of every link; `None` when one is wrong.
    pub(super) fn checked_nodes<N: Linked>(&self, nodes: &Slab<N>) -> Option<Vec<usize>> {
        let mut seen = Vec::new();
        let mut prev = None;
        let mut next = self.first();
        while let Some(at) = next {
            let links = nodes.get(at)?.links(self.chain);
            if links.prev != prev || seen.len() >= nodes.len() {
                return None;
            }
            seen.push(at);
            prev = Some(at);
            next = links.next;
        }
        (self.ends.map(|(_, last)| last) == prev).then_some(seen)
    }
}
