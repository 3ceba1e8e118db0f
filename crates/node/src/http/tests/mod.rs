//! The surface on a real loop and a real store, over real sockets.

mod bad_input;
mod harness;
mod keys_and_values;
mod node;
