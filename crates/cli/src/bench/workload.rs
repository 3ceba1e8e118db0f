//! What a load does.

use clap::ValueEnum;

use super::keys::Distribution;

/// A mix of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Workload {
    /// Half reads, half writes.
    A,
    /// 95 % reads, 5 % writes.
    B,
    /// Reads.
    C,
    /// Half reads; half read-modify-writes, each measured as one.
    F,
    /// Writes.
    Put,
    /// Reads, of keys that are all alike unless said otherwise.
    #[value(skip)]
    Get,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Get,
    Put,
    ReadModifyWrite,
}

impl Action {
    pub(super) const ALL: [Self; 3] = [Self::Get, Self::Put, Self::ReadModifyWrite];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::ReadModifyWrite => "read-modify-write",
        }
    }
}

impl Workload {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::A => "ycsb-a",
            Self::B => "ycsb-b",
            Self::C => "ycsb-c",
            Self::F => "ycsb-f",
            Self::Put => "put",
            Self::Get => "get",
        }
    }

    /// YCSB's mixes prefer some keys, as YCSB does.
    pub(super) fn usual_distribution(self) -> Distribution {
        match self {
            Self::A | Self::B | Self::C | Self::F => Distribution::Zipf,
            Self::Put | Self::Get => Distribution::Uniform,
        }
    }

    pub(super) fn writes(self) -> bool {
        !matches!(self, Self::C | Self::Get)
    }

    /// The next operation.
    pub(super) fn draw(self) -> Action {
        let (reads, other) = match self {
            Self::A => (0.5, Action::Put),
            Self::B => (0.95, Action::Put),
            Self::F => (0.5, Action::ReadModifyWrite),
            Self::C | Self::Get => return Action::Get,
            Self::Put => return Action::Put,
        };
        if rand::random_bool(reads) { Action::Get } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_are_those_of_ycsb() {
        for (workload, reads, other) in [
            (Workload::A, 0.5, Action::Put),
            (Workload::B, 0.95, Action::Put),
            (Workload::C, 1.0, Action::Put),
            (Workload::F, 0.5, Action::ReadModifyWrite),
            (Workload::Put, 0.0, Action::Put),
        ] {
            let drawn: Vec<Action> = (0..10_000).map(|_| workload.draw()).collect();
            let got = drawn.iter().filter(|&&action| action == Action::Get).count() as f64 / 10_000.0;
            assert!((got - reads).abs() < 0.03, "{workload:?}: {got}");
            assert!(drawn.iter().all(|&action| action == Action::Get || action == other), "{workload:?}");
        }
    }
}
