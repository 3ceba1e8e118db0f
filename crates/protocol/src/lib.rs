//! The Quorate data plane as a pure state machine.
pub mod id;
pub mod store;
