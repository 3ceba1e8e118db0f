//! Versions of one key: dots, contexts, containers, and their merge.
//!
//! A dotted version vector set (Preguiça et al., "Dotted Version Vectors", 2010; Almeida et al., "Scalable and
//! Accurate Causality Tracking", 2014). **The rule that everything rests on: only an actor that holds all of its
//! own history for a key may write its dot into a vector.** A vector entry says "all that this actor ever wrote
//! to this key up to here"; were that not true, a merge would silently drop an acknowledged sibling.

mod container;
mod context;
mod encoded;
mod expiry;
mod token;

pub use container::{Container, ContentType, Merged, Sibling, Siblings};
pub use context::{Context, Dot};
pub use encoded::{DecodeError, Digest, EncodedContainer};
pub(crate) use expiry::Union;
pub use token::{ContextToken, TokenError, TokenKey, peek};
