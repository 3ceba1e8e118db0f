//! Wire types to protocol types and back. Keys, values and containers that come in are copied, for nodes keep them in memory;
//! all other bytes are passed on.

mod anti_entropy;
mod chain;
pub mod change;
pub mod failure;
mod forgetting;
pub mod kv;
pub mod layout;
pub mod peer;
pub mod status;
mod transition;

use std::fmt;

use bytes::Bytes;
use quorate_protocol::operation::Failure;

/// Why a message of the wire says nothing that the protocol knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertError {
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl ConvertError {
    fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }

    fn missing(field: &'static str) -> Self {
        Self::new(field, "it is missing")
    }
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl std::error::Error for ConvertError {}

/// For who answers a client: the request breaks a bound.
impl From<ConvertError> for Failure {
    fn from(error: ConvertError) -> Self {
        Self::Invalid { field: error.field, reason: error.reason }
    }
}

/// Bytes of their own. What is decoded is a slice of the buffer that it was received in, and would keep the whole of that
/// for as long as somebody keeps the slice: a small value for hours.
fn own(received: &Bytes) -> Bytes {
    Bytes::copy_from_slice(received)
}

/// 128 bits as they travel: 16 bytes, the greatest first.
fn wide_to_wire(value: u128) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

fn wide_from_wire(field: &'static str, bytes: &[u8]) -> Result<u128, ConvertError> {
    match bytes.try_into() {
        Ok(bytes) => Ok(u128::from_be_bytes(bytes)),
        Err(_) => Err(ConvertError::new(field, format!("{} bytes, and not 16", bytes.len()))),
    }
}

fn narrow<T: TryFrom<u64>>(field: &'static str, value: u64) -> Result<T, ConvertError> {
    T::try_from(value).map_err(|_| ConvertError::new(field, format!("{value} is out of range")))
}
