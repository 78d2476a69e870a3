//! Owns what a program with its own HTTP needs to rescue its users by the policy: a layer for
//! `tower` and a proxy on `hyper`, both over [`guard`].
//! Never is a part of the product: it shows, under test, that embedding takes a few lines.

pub mod guard;
pub mod layer;
pub mod proxy;
