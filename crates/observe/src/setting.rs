//! What a run was asked for.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// How much goes wrong in a run. What that is in detail, the simulator and the bench say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Faults {
    /// Nothing but delay.
    None,
    /// A little.
    Light,
    /// Much: nodes die and stand still.
    Heavy,
}

/// Which keys the clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keys {
    /// A few hot ones.
    Clustered,
    /// Many, each seldom.
    Spread,
}

/// Who counts when owners cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Owners alone.
    Strict,
    /// Whoever stands in for them, too.
    Sloppy,
}

impl Faults {
    /// All levels, the mildest first.
    pub const ALL: [Self; 3] = [Self::None, Self::Light, Self::Heavy];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Light => "light",
            Self::Heavy => "heavy",
        }
    }
}

impl Keys {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Clustered, Self::Spread];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clustered => "clustered",
            Self::Spread => "spread",
        }
    }

    /// One of the names, or `both`.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        if text == "both" {
            return Ok(Self::ALL.to_vec());
        }
        let known = Self::ALL.into_iter().find(|keys| keys.name() == text);
        known.map(|keys| vec![keys]).ok_or_else(|| format!("{text:?} is not clustered, spread or both"))
    }
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Strict, Self::Sloppy];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Sloppy => "sloppy",
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|mode| mode.name() == text);
        known.ok_or_else(|| format!("{text:?} is not strict or sloppy"))
    }
}

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|faults| faults.name() == text);
        known.ok_or_else(|| format!("{text:?} is not none, light or heavy"))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Serialize for Faults {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Serialize for Keys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One point of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Setting {
    /// Which keys.
    pub keys: Keys,
    /// How much goes wrong.
    pub faults: Faults,
    /// Who counts.
    pub mode: Mode,
    /// Owners of each key.
    pub n: u32,
    /// How many answer a read.
    pub r: u32,
    /// How many acknowledge a write.
    pub w: u32,
}

impl Setting {
    /// Whether R + W > N.
    pub fn quorums_meet(&self) -> bool {
        self.r + self.w > self.n
    }

    /// Whether every read must see every write that was acknowledged before it began: the quorums meet, and in an owner.
    pub fn promises_freshness(&self) -> bool {
        self.quorums_meet() && self.mode == Mode::Strict
    }

    /// All settings of a sweep, in the order of the report; quorums above N are left out.
    pub fn sweep(
        keys: &[Keys],
        faults: &[Faults],
        modes: &[Mode],
        n: &[u32],
        r: Option<&[u32]>,
        w: Option<&[u32]>,
    ) -> Vec<Self> {
        let mut quorums = Vec::new();
        for &n in n {
            let all: Vec<u32> = (1..=n).collect();
            for &r in r.unwrap_or(&all).iter().filter(|&&r| r <= n) {
                quorums.extend(w.unwrap_or(&all).iter().filter(|&&w| w <= n).map(|&w| (n, r, w)));
            }
        }
        Self::of_quorums(keys, faults, modes, &quorums)
    }

    /// These N, R and W with all of the others, in the order of the report.
    pub fn of_quorums(
        keys: &[Keys],
        faults: &[Faults],
        modes: &[Mode],
        quorums: &[(u32, u32, u32)],
    ) -> Vec<Self> {
        let mut settings = Vec::new();
        for &keys in keys {
            for &faults in faults {
                for &mode in modes {
                    settings.extend(quorums.iter().map(|&(n, r, w)| Self { keys, faults, mode, n, r, w }));
                }
            }
        }
        settings
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, faults, mode, n, r, w } = self;
        write!(f, "N{n} R{r} W{w} {mode}, {keys} keys, faults: {faults}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_has_every_quorum_once() {
        let full = Setting::sweep(&Keys::ALL, &Faults::ALL, &Mode::ALL, &[1, 3, 5], None, None);
        assert_eq!(full.len(), 2 * 3 * 2 * (1 + 9 + 25));
        assert!(full.is_sorted());
        assert_eq!(full.iter().filter(|setting| setting.quorums_meet()).count(), 12 * (1 + 6 + 15));
        let fresh: Vec<_> = full.iter().filter(|setting| setting.promises_freshness()).collect();
        assert_eq!(fresh.len(), 6 * (1 + 6 + 15), "stand-ins for owners promise nothing of the kind");
        assert!(fresh.iter().all(|setting| setting.mode == Mode::Strict));
        let (spread, light) = ([Keys::Spread], [Faults::Light]);
        let some = Setting::sweep(&spread, &light, &[Mode::Strict], &[1, 3], Some(&[2]), Some(&[1, 2, 9]));
        let quorums: Vec<_> = some.iter().map(|setting| (setting.n, setting.r, setting.w)).collect();
        assert_eq!(quorums, [(3, 2, 1), (3, 2, 2)], "no quorum is larger than N");
    }

    #[test]
    fn names_are_read_back() {
        for faults in Faults::ALL {
            assert_eq!(faults.name().parse(), Ok(faults));
        }
        for mode in Mode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
        }
        assert_eq!(Keys::list("spread"), Ok(vec![Keys::Spread]));
        assert_eq!(Keys::list("both").map(|list| list.len()), Ok(2));
        assert!(Keys::list("hot").is_err() && "some".parse::<Faults>().is_err());
        assert!("Sloppy".parse::<Mode>().is_err());
    }
}
