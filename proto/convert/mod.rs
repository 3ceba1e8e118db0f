//! Wire types to protocol types and back.

pub mod layout;
