//! The seed corpus.
