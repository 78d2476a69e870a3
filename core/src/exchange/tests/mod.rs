//! Tests of exchanges without a client connection.
