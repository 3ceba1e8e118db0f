//! `quorate-controller`.

fn main() {}
