//! The Quorate node: the tokio shell around the pure protocol. The shell obeys; it never decides.

pub mod driver;
