//! What nodes say to each other.

use bytes::Bytes;

use crate::chain::{Acceptance, Ballot};
use crate::echo::LinkTime;
use crate::id::{ActorId, BucketId, Epoch, NodeId, PartitionId};
use crate::identity::Life;
use crate::operation::{OperationResult, Timed};
use crate::time::Hlc;
use crate::version::{Digest, EncodedContainer};

/// Pairs a reply with its request. Starts at random in every life of a process, so that a reply meant for an
/// earlier life matches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u64);

/// Which key: enough to check the ownership without the layout's hash being trusted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRef {
    /// The partition that the sender's layout puts the key in.
    pub partition: PartitionId,
    /// The keyspace.
    pub bucket: BucketId,
    /// The user's key.
    pub key: Bytes,
}

/// What every batch says of its sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Its hybrid clock.
    pub hlc: Hlc,
    /// Its link clock.
    pub clock: LinkTime,
    /// Its life, unless it cannot be sure that the receiver knows nothing against it.
    pub life: Option<Life>,
}

/// In which of its roles a node holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// As an owner: its replica.
    Replica,
    /// As a fallback: what it keeps for owners that could not be reached.
    Fallback,
}

/// Why a replica did not do what it was asked. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The sender's epoch is not the receiver's, which is this.
    Epoch(Epoch),
    /// The receiver does not own the partition.
    NotOwner,
    /// Too much is under way at the receiver.
    Overloaded,
    /// The receiver's storage could not give or take the container.
    Storage,
    /// The container was read too long ago, by the receiver's clock.
    TooOld,
    /// The receiver is asked as a fallback, and keeps nothing of the key.
    NothingKept,
    /// The receiver's record of the key was damaged, and is not healed yet: the key counts in no quorum there. A container that came
    /// with the request is merged all the same.
    Hole,
}

/// A replica's part of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It holds exactly what the asker said that it has.
    Same,
    /// It holds this (the empty container when it holds nothing).
    Container {
        /// All that it holds.
        container: EncodedContainer,
        /// The asker's newest link time that the replica knew before it read this.
        echo: LinkTime,
    },
}

/// One key in a page of a replica's scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedKey {
    /// The user's key.
    pub key: Bytes,
    /// Of the container.
    pub digest: Digest,
    /// Up to when it shows a value, by the wall clock of whoever lists: milliseconds since the Unix epoch, 0 for a
    /// deleted key, [`u64::MAX`] for a value that stays.
    pub live_until_ms: u64,
    /// Whether the replica cannot say, for its record is damaged: the digest and the time mean nothing then.
    pub doubtful: bool,
}

/// A page of a replica's scan, in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The keys, tombstones included.
    pub keys: Vec<ScannedKey>,
    /// Whether more follow.
    pub more: bool,
}

/// A partition whose Merkle tree differs from the asker's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// Which.
    pub partition: PartitionId,
    /// The hashes of the replica's branches, in order; empty where too many partitions differ for one reply.
    pub branches: Vec<u128>,
}

/// How a replica's Merkle trees compare with the asker's. Of partitions that are in neither list the roots are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// The roots differ.
    pub differing: Vec<Differing>,
    /// The replica cannot compare: it owns no such partition, or builds its tree.
    pub incomplete: Vec<PartitionId>,
}

/// A key, and what is held of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDigest {
    /// Which key.
    pub key: KeyRef,
    /// Of its container.
    pub digest: Digest,
}

/// A page of the keys in some leaves of a partition's Merkle tree, in the store's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysPage {
    /// The keys in these leaves, tombstones included.
    pub keys: Vec<KeyDigest>,
    /// The page speaks of keys up to this one; none: up to the partition's end.
    pub through: Option<KeyRef>,
}

/// What an owner holds of a key that another has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healing {
    /// The empty container when it holds nothing.
    pub container: EncodedContainer,
    /// As in `Replicate`.
    pub echo: LinkTime,
}

/// How an owner's Merkle tree of a partition compares with the asker's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Surveyed {
    /// The roots are equal.
    Same,
    /// They are not, and these are the hashes of its leaves.
    Leaves(Vec<u128>),
    /// Its tree is not complete.
    Unknown,
}

/// A page of an owner's containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulledPage {
    /// In the store's order, tombstones included.
    pub records: Vec<(KeyRef, EncodedContainer)>,
    /// The page speaks of keys up to this one; none: up to the partition's end.
    pub through: Option<KeyRef>,
    /// The asker's newest link time that the owner knew before it read this.
    pub echo: LinkTime,
}

/// How far a member is with the change of the layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Partitions of which it is a new owner and holds all that it must, durably; in order.
    pub caught_up: Vec<PartitionId>,
    /// Partitions that it leaves, all of which is durable at enough new owners; in order.
    pub handed_over: Vec<PartitionId>,
    /// Whether it certainly keeps nothing for other owners as a fallback.
    pub keeps_nothing: bool,
    /// Bytes that it has taken in this change, in this life.
    pub pulled_bytes: u64,
    /// When asked for: the bytes of all that it holds of each partition whose Merkle tree is complete; in order.
    pub sizes: Option<Vec<(PartitionId, u64)>>,
}

/// What a member says about forgetting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Of each key asked about: whether it may be forgotten as far as this member is concerned.
    pub confirmed: Vec<bool>,
    /// Of the actors asked about: those that it writes under.
    pub mine: Vec<ActorId>,
}

/// What a node says to another. Every request to a replica carries the sender's epoch, and the two sides must be equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Merge this container. Acknowledged, when tagged, once the covering state is durable.
    Replicate {
        /// Absent: no acknowledgement is wanted (a read repair).
        tag: Option<Tag>,
        /// The sender's.
        epoch: Epoch,
        /// Whose container it is.
        key: KeyRef,
        /// The merged container, never a bare value.
        container: EncodedContainer,
        /// The receiver's newest link time that the sender knew before it read the oldest part of the container.
        echo: LinkTime,
    },
    /// The state that covers the replicated one is durable here.
    ReplicateReply {
        /// The request's.
        tag: Tag,
        /// The replica's when it sent this.
        epoch: Epoch,
        /// Durable, or refused.
        result: Result<(), Refusal>,
    },
    /// Send the container of a key, unless it is the same as mine.
    Fetch {
        /// For the reply.
        tag: Tag,
        /// The sender's.
        epoch: Epoch,
        /// Which key.
        key: KeyRef,
        /// The digest of what the sender holds.
        have: Option<Digest>,
        /// Whether the receiver is asked as an owner or as a fallback.
        place: Place,
    },
    /// The answer to a fetch.
    FetchReply {
        /// The request's.
        tag: Tag,
        /// The replica's when it sent this.
        epoch: Epoch,
        /// What it holds, or why it does not say.
        result: Result<Fetched, Refusal>,
    },
    /// List the keys that you hold of a bucket in a partition.
    Scan {
        /// For the reply.
        tag: Tag,
        /// The sender's.
        epoch: Epoch,
        /// Which partition.
        partition: PartitionId,
        /// Which keyspace.
        bucket: BucketId,
        /// Keys greater than this one.
        after: Option<Bytes>,
        /// At most this many.
        limit: u32,
    },
    /// The answer to a scan.
    ScanReply {
        /// The request's.
        tag: Tag,
        /// The replica's when it sent this.
        epoch: Epoch,
        /// What it holds, or why it does not say.
        result: Result<Scanned, Refusal>,
    },
    /// Coordinate this operation for me: you are a primary, I am not.
    Forward {
        /// For the reply.
        tag: Tag,
        /// What to do, and the time that is left for it.
        timed: Timed,
    },
    /// How a forwarded operation ended.
    ForwardReply {
        /// The request's.
        tag: Tag,
        /// The answer for the client.
        result: OperationResult,
    },
    /// What do you know of me?
    Recall,
    /// What is known of the receiver.
    Recalled {
        /// The highest life that it has shown.
        life: Option<Life>,
        /// Whether it has left the cluster, or was declared lost.
        departed: bool,
    },
    /// Send me your layout; mine is older.
    LayoutRequest,
    /// A layout, encoded (see [`Layout::encode`](crate::layout::Layout::encode)).
    LayoutOffer(Bytes),
    /// A proposer of the next layout wants a promise (Paxos, phase 1).
    Prepare {
        /// The epoch whose successor is to be chosen.
        epoch: Epoch,
        /// The proposal's number.
        ballot: Ballot,
    },
    /// A voter's promise, with what it had accepted before; or the greater number that it has promised.
    Prepared {
        /// The epoch whose successor is to be chosen.
        epoch: Epoch,
        /// The proposal's number.
        ballot: Ballot,
        /// See above.
        result: Result<Option<Acceptance>, Ballot>,
    },
    /// A proposer wants a layout accepted (phase 2).
    Accept {
        /// The epoch whose successor is to be chosen.
        epoch: Epoch,
        /// The proposal's number.
        ballot: Ballot,
        /// The layout, encoded.
        layout: Bytes,
    },
    /// A voter has accepted it; or the greater number that it has promised.
    Accepted {
        /// The epoch whose successor is to be chosen.
        epoch: Epoch,
        /// The proposal's number.
        ballot: Ballot,
        /// See above.
        result: Result<(), Ballot>,
    },
    /// How far are you with the change of the layout?
    ReportAsk {
        /// The sender's.
        epoch: Epoch,
        /// Whether the sender wants to know how much there is of each partition.
        sizes: bool,
    },
    /// The answer to that. That it comes at all says that the member has persisted this epoch.
    ReportReply {
        /// The member's when it sent this.
        epoch: Epoch,
        /// How far it is.
        report: Report,
    },
    /// Compare this partition with yours, in a change of the layout.
    Survey {
        /// For the reply.
        tag: Tag,
        /// The sender's.
        epoch: Epoch,
        /// Which partition.
        partition: PartitionId,
        /// The root of the sender's Merkle tree, when that is complete.
        root: Option<u128>,
        /// Answer only if you have caught up, and when all that you hold now is durable.
        durable: bool,
    },
    /// The answer to that.
    SurveyReply {
        /// The request's.
        tag: Tag,
        /// The owner's when it sent this.
        epoch: Epoch,
        /// How its tree differs, or why it does not say.
        result: Result<Surveyed, Refusal>,
    },
    /// Send the containers in these leaves of a partition: I become an owner of it.
    Pull {
        /// For the reply.
        tag: Tag,
        /// The sender's.
        epoch: Epoch,
        /// Which partition.
        partition: PartitionId,
        /// Which leaves of its Merkle tree, in order; none: all of them.
        leaves: Vec<u16>,
        /// Only keys after this one, in the store's order.
        after: Option<KeyRef>,
    },
    /// A page of these.
    PullReply {
        /// The request's.
        tag: Tag,
        /// The owner's when it sent this.
        epoch: Epoch,
        /// The page, or why it does not come.
        result: Result<PulledPage, Refusal>,
    },
    /// Keep this container for an owner that cannot be reached. Acknowledged by a `ReplicateReply` once it and the
    /// hint are durable: a hint that has been acknowledged is data.
    StoreHint {
        /// For the reply.
        tag: Tag,
        /// The sender's.
        epoch: Epoch,
        /// Whose container it is.
        key: KeyRef,
        /// The owner to bring it to.
        target: NodeId,
        /// The merged container, never a bare value.
        container: EncodedContainer,
        /// As in `Replicate`.
        echo: LinkTime,
    },
    /// A sign of life that carries the clocks of its batch.
    Beat,
    /// A packet of the membership gossip.
    Gossip(Bytes),
    /// May something of these containers be forgotten?
    PurgeAsk {
        /// For the reply.
        tag: Tag,
        /// The sender's.
        epoch: Epoch,
        /// Whose keys they are.
        partition: PartitionId,
        /// The keys, and what the sender holds.
        keys: Vec<KeyDigest>,
        /// Actors that nobody may write under any more.
        actors: Vec<ActorId>,
    },
    /// The answer to that.
    PurgeVote {
        /// The request's.
        tag: Tag,
        /// The member's when it sent this.
        epoch: Epoch,
        /// What it says, or why it says nothing.
        result: Result<Vote, Refusal>,
    },
    /// All members have confirmed: forget, where the container is still this one.
    Forget {
        /// The sender's.
        epoch: Epoch,
        /// The keys and their containers: tombstones go, others lose the retired actors.
        keys: Vec<KeyDigest>,
        /// Actors that nobody writes under.
        retired: Vec<ActorId>,
        /// As in `Replicate`: from before the first member was asked.
        echo: LinkTime,
    },
    /// I have lost my record of this key: count no acknowledgement of mine for it any more, and send what you hold.
    Heal {
        /// For the reply.
        tag: Tag,
        /// The sender's.
        epoch: Epoch,
        /// Which key.
        key: KeyRef,
    },
    /// The answer to a [`Heal`](Self::Heal).
    HealReply {
        /// The request's.
        tag: Tag,
        /// The owner's when it sent this.
        epoch: Epoch,
        /// What it holds, or why it does not say.
        result: Result<Healing, Refusal>,
    },
    /// Anti-entropy: compare these Merkle trees with yours.
    Compare {
        /// For the reply.
        tag: Tag,
        /// The sender's.
        epoch: Epoch,
        /// Partitions that both own, with the roots of the sender's trees.
        roots: Vec<(PartitionId, u128)>,
    },
    /// The answer to a comparison.
    CompareReply {
        /// The request's.
        tag: Tag,
        /// The replica's when it sent this.
        epoch: Epoch,
        /// What differs, or why it does not say.
        result: Result<Compared, Refusal>,
    },
    /// Show the leaves of these branches of a partition's Merkle tree.
    Leaves {
        /// For the reply.
        tag: Tag,
        /// The sender's.
        epoch: Epoch,
        /// Which partition.
        partition: PartitionId,
        /// Which branches.
        branches: Vec<u8>,
    },
    /// The leaves that were asked for.
    LeavesReply {
        /// The request's.
        tag: Tag,
        /// The replica's when it sent this.
        epoch: Epoch,
        /// The hashes of the leaves of the first branch asked for, then of the next; or why it does not say.
        result: Result<Vec<u128>, Refusal>,
    },
    /// Show a page of the keys in these leaves.
    Keys {
        /// For the reply.
        tag: Tag,
        /// The sender's.
        epoch: Epoch,
        /// Which partition.
        partition: PartitionId,
        /// Which leaves, sorted.
        leaves: Vec<u16>,
        /// Keys after this one, in the store's order.
        after: Option<KeyRef>,
    },
    /// The keys that were asked for.
    KeysReply {
        /// The request's.
        tag: Tag,
        /// The replica's when it sent this.
        epoch: Epoch,
        /// The page, or why it does not say.
        result: Result<KeysPage, Refusal>,
    },
    /// Merge this container, and send the result back as a repair when it is not this.
    Exchange {
        /// The sender's.
        epoch: Epoch,
        /// Whose container it is.
        key: KeyRef,
        /// What the sender holds; the empty container when it holds nothing.
        container: EncodedContainer,
        /// As in `Replicate`.
        echo: LinkTime,
    },
}

impl Message {
    /// Whether it is taken also from a node that has not shown yet that its directory can be trusted.
    pub fn makes_acquaintance(&self) -> bool {
        matches!(
            self,
            Self::Recall
                | Self::Recalled { .. }
                | Self::LayoutRequest
                | Self::LayoutOffer(_)
                | Self::Gossip(_)
                | Self::Beat
        )
    }

    /// Whether it is part of what never ends, on an idle cluster too.
    pub fn is_background(&self) -> bool {
        matches!(self, Self::Gossip(_) | Self::Beat | Self::Recall | Self::Recalled { .. })
            || matches!(self, Self::PurgeAsk { .. } | Self::PurgeVote { .. })
            || self.is_comparison()
    }

    /// Whether this only finds out whether replicas differ: what goes to and fro on an idle cluster.
    pub fn is_comparison(&self) -> bool {
        match self {
            Self::Compare { .. }
            | Self::CompareReply { .. }
            | Self::Leaves { .. }
            | Self::LeavesReply { .. }
            | Self::Keys { .. }
            | Self::KeysReply { .. } => true,
            Self::Replicate { .. }
            | Self::ReplicateReply { .. }
            | Self::Fetch { .. }
            | Self::FetchReply { .. }
            | Self::Scan { .. }
            | Self::ScanReply { .. }
            | Self::Forward { .. }
            | Self::ForwardReply { .. }
            | Self::Recall
            | Self::Recalled { .. }
            | Self::LayoutRequest
            | Self::LayoutOffer(_)
            | Self::Prepare { .. }
            | Self::Prepared { .. }
            | Self::Accept { .. }
            | Self::Accepted { .. }
            | Self::ReportAsk { .. }
            | Self::ReportReply { .. }
            | Self::Survey { .. }
            | Self::SurveyReply { .. }
            | Self::Pull { .. }
            | Self::PullReply { .. }
            | Self::StoreHint { .. }
            | Self::Beat
            | Self::Gossip(_)
            | Self::PurgeAsk { .. }
            | Self::PurgeVote { .. }
            | Self::Forget { .. }
            | Self::Heal { .. }
            | Self::HealReply { .. }
            | Self::Exchange { .. } => false,
        }
    }
}
