//! Identities. Each is a newtype, so that a node can never be taken for an actor.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident($inner:ty), $width:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:0", $width, "x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:0", $width, "x})"), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;

            /// Reads the hexadecimal form that `Display` writes.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                <$inner>::from_str_radix(text, 16).map(Self)
            }
        }
    };
}

identity!(
    /// A set of member nodes that share data; random, minted at bootstrap, checked in every peer handshake.
    ClusterId(u128), "32"
);
identity!(
    /// One process with one data directory; random, minted with the directory. Never a name or an address.
    NodeId(u64), "16"
);
identity!(
    /// The author of dots: one per partition replica and life of the process. Random.
    ActorId(u64), "16"
);
identity!(
    /// A keyspace with its own properties. Prefix of every stored key and part of its hash; the name is a label.
    BucketId(u64), "16"
);
identity!(
    /// One life of a process; random, minted at every start.
    StartId(u64), "16"
);
identity!(
    /// The client's name for one operation: the same on a retry, so that the retry takes effect once.
    OperationId(u128), "32"
);

/// The number of a layout; each layout has one more than the one it succeeds. 0: no layout yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of the equal slices of the hash space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId(pub u16);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
