//! What can be asked of a layout, and the layout that follows.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::first::{
    BucketSettings, Defaults, InvalidSettings, check_members, check_quorums, check_replicas, invalid,
    make_bucket,
};
use super::voters::voters;
use super::{Change, DEFAULT_BUCKET, Layout, Member, QuorumSizes, Stage};
use crate::id::{BucketId, Epoch, NodeId};
use crate::placement;

/// Other properties of a member; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSettings {
    /// Which member.
    pub node: NodeId,
    /// Its failure zone.
    pub zone: Option<String>,
    /// Its share of the data; at least 1.
    pub weight: Option<u32>,
}

/// Other quorums of a bucket; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketSizes {
    /// Which bucket, by name; empty: the default one.
    pub bucket: String,
    /// Owners that count.
    pub n: Option<u32>,
    /// A read's quorum.
    pub r: Option<u32>,
    /// A write's quorum.
    pub w: Option<u32>,
}

/// What is to be different. Buckets are created and dropped on their own; all else can be one change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alteration {
    /// Nodes that become members.
    pub add: Vec<Member>,
    /// Members that leave, once what they hold is elsewhere.
    pub remove: Vec<NodeId>,
    /// Members that are gone for good with all they held: nobody waits for them.
    pub lost: Vec<NodeId>,
    /// Members with other properties.
    pub set: Vec<MemberSettings>,
    /// Owners of every partition.
    pub n: Option<u32>,
    /// Buckets with other quorums.
    pub sizes: Vec<BucketSizes>,
    /// Buckets to create.
    pub create: Vec<BucketSettings>,
    /// Buckets to drop, with all that is in them, by name.
    pub drop: Vec<String>,
}

/// What can be asked of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Begin a change, or make one that needs no stages.
    Alter(Alteration),
    /// In a change: these members are gone for good, too.
    DeclareLost(Vec<NodeId>),
    /// In a change: what only lost owners held is given up.
    AcceptLoss,
    /// In a change: move nothing for now.
    Pause,
    /// In a change: go on.
    Resume,
    /// In the first stage of a change: back to what was before.
    Cancel,
}

/// Why a layout has no such successor. Nothing was changed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OrderError {
    /// It makes no layout.
    #[error(transparent)]
    Invalid(#[from] InvalidSettings),
    /// One change at a time.
    #[error("a change is under way since epoch {}: wait for its end, or cancel it", .0.0)]
    UnderWay(Epoch),
    /// There is no change to do this to.
    #[error("no change is under way")]
    NothingUnderWay,
    /// Reads have moved to the new owners.
    #[error("the change can no longer be cancelled: reads go to the new owners already")]
    TooLateToCancel,
    /// Nothing would be different.
    #[error("nothing would be different")]
    Nothing,
}

impl Layout {
    /// The layout that follows when this is asked.
    pub fn ordered(&self, order: &Order) -> Result<Self, OrderError> {
        match order {
            Order::Alter(alteration) => self.altered(alteration),
            Order::DeclareLost(nodes) => self.with_lost(nodes),
            Order::AcceptLoss => self.with_accepted_loss(),
            Order::Pause => self.with_change(|change| change.paused = true),
            Order::Resume => self.with_change(|change| change.paused = false),
            Order::Cancel => self.cancelled(),
        }
    }

    /// The layout of the next stage of the change under way, when all that this needs has been done; none without a change.
    pub fn advanced(&self) -> Option<Self> {
        let change = self.change.as_deref()?;
        let mut next = self.successor();
        match change.stage {
            Stage::Gather => {
                next.change.as_mut()?.stage = Stage::HandOver;
            }
            Stage::HandOver => {
                next.departed.extend(self.leaving());
                next.members.clone_from(&change.members);
                next.n = change.n;
                next.owners.clone_from(&change.owners);
                for bucket in &mut next.buckets {
                    if let Some(sizes) = change.sizes.get(&bucket.id) {
                        (bucket.n, bucket.r, bucket.w) = (sizes.n, sizes.r, sizes.w);
                    }
                }
                next.change = None;
            }
        }
        next.choose_voters();
        Some(next)
    }

    /// Members that the change under way removes.
    pub fn leaving(&self) -> impl Iterator<Item = NodeId> {
        let change = self.change.as_deref();
        let members = self.members.iter().map(|member| member.node);
        members.filter(move |&node| change.is_some_and(|change| change.removes(node)))
    }

    fn successor(&self) -> Self {
        Self { epoch: Epoch(self.epoch.0 + 1), ..self.clone() }
    }

    fn choose_voters(&mut self) {
        let eligible: Vec<Member> =
            self.members.iter().filter(|member| self.may_vote(member)).cloned().collect();
        self.voters = voters(&eligible);
    }

    fn altered(&self, wanted: &Alteration) -> Result<Self, OrderError> {
        if let Some(change) = &self.change {
            return Err(OrderError::UnderWay(change.began));
        }
        if !wanted.create.is_empty() || !wanted.drop.is_empty() {
            return self.with_buckets(wanted);
        }
        let members = self.members_after(wanted)?;
        let n = wanted.n.unwrap_or(self.n);
        check_replicas(n, members.len())?;
        let sizes = self.sizes_after(wanted, n)?;
        let owners = placement::replan(&self.owners, &members, n as usize);
        let mut next = self.successor();
        let stays = |member: &Member| members.binary_search_by_key(&member.node, |after| after.node).is_ok();
        if owners == self.owners && sizes.is_empty() && self.members.iter().all(stays) {
            if members == self.members {
                return Err(OrderError::Nothing);
            }
            next.members = members;
            next.choose_voters();
            return Ok(next);
        }
        next.members.extend(wanted.add.iter().cloned());
        next.members.sort_by_key(|member| member.node);
        next.change = Some(Box::new(Change {
            began: next.epoch,
            stage: Stage::Gather,
            paused: false,
            accepts_loss: false,
            n,
            owners,
            members,
            added: wanted.add.iter().map(|member| member.node).collect(),
            sizes,
            lost: wanted.lost.iter().copied().collect(),
        }));
        next.choose_voters();
        Ok(next)
    }

    fn members_after(&self, wanted: &Alteration) -> Result<Vec<Member>, InvalidSettings> {
        let known = |field: &str, node: NodeId| {
            let reason = || invalid(field, format!("{node} is not among the members"));
            self.member(node).map(|_| ()).ok_or_else(reason)
        };
        let mut gone = BTreeSet::new();
        for (field, node) in wanted
            .remove
            .iter()
            .map(|node| ("remove", node))
            .chain(wanted.lost.iter().map(|node| ("lost", node)))
        {
            known(field, *node)?;
            if !gone.insert(*node) {
                return Err(invalid(field, format!("{node} is named twice")));
            }
        }
        let mut members = self.members.clone();
        for settings in &wanted.set {
            known("set", settings.node)?;
            if gone.contains(&settings.node) {
                return Err(invalid("set", format!("{} leaves", settings.node)));
            }
            let found = members.iter_mut().find(|member| member.node == settings.node);
            if let Some(member) = found {
                member.zone = settings.zone.clone().unwrap_or_else(|| member.zone.clone());
                member.weight = settings.weight.unwrap_or(member.weight);
            }
        }
        members.retain(|member| !gone.contains(&member.node));
        for member in &wanted.add {
            if self.departed.contains(&member.node) || gone.contains(&member.node) {
                let reason = format!("{} has left, and an id is never used again", member.node);
                return Err(invalid("add", reason));
            }
            members.push(member.clone());
        }
        members.sort_by_key(|member| member.node);
        check_members(&members)?;
        Ok(members)
    }

    fn sizes_after(
        &self,
        wanted: &Alteration,
        n: u32,
    ) -> Result<BTreeMap<BucketId, QuorumSizes>, InvalidSettings> {
        let mut changed = BTreeMap::new();
        for asked in &wanted.sizes {
            let bucket = self
                .bucket(&asked.bucket)
                .ok_or_else(|| invalid("sizes.bucket", format!("there is none named {:?}", asked.bucket)))?;
            let before = bucket.sizes();
            let sizes = QuorumSizes {
                n: asked.n.unwrap_or(before.n),
                r: asked.r.unwrap_or(before.r),
                w: asked.w.unwrap_or(before.w),
            };
            check_quorums(&format!("buckets.{}.", bucket.name), n, sizes)?;
            if changed.insert(bucket.id, sizes).is_some() {
                return Err(invalid("sizes.bucket", format!("{:?} is named twice", bucket.name)));
            }
        }
        for bucket in &self.buckets {
            let after = changed.get(&bucket.id).copied().unwrap_or(bucket.sizes());
            check_quorums(&format!("buckets.{}.", bucket.name), n, after)?;
        }
        changed.retain(|id, sizes| self.bucket_by_id(*id).is_some_and(|bucket| bucket.sizes() != *sizes));
        Ok(changed)
    }

    fn with_buckets(&self, wanted: &Alteration) -> Result<Self, OrderError> {
        let alone =
            Alteration { create: wanted.create.clone(), drop: wanted.drop.clone(), ..Alteration::default() };
        if alone != *wanted {
            return Err(invalid("create", "buckets are created and dropped on their own".into()).into());
        }
        let mut next = self.successor();
        for name in &wanted.drop {
            let Some(bucket) = next.bucket(name).map(|bucket| (bucket.id, bucket.name.clone())) else {
                return Err(invalid("drop", format!("there is no bucket {name:?}")).into());
            };
            if bucket.1 == DEFAULT_BUCKET {
                return Err(invalid("drop", "every cluster has the default bucket".into()).into());
            }
            next.buckets.retain(|other| other.id != bucket.0);
        }
        let Some(default) = self.bucket("").map(super::Bucket::sizes) else {
            return Err(OrderError::Nothing);
        };
        let (r, w) = (default.r, default.w);
        let defaults = Defaults { cluster: self.cluster, n: self.n, r, w, epoch: next.epoch };
        for asked in &wanted.create {
            let bucket = make_bucket(&defaults, asked)?;
            if next.bucket(&bucket.name).is_some() {
                return Err(invalid("create", format!("there is a bucket {:?} already", bucket.name)).into());
            }
            next.buckets.push(bucket);
            next.buckets.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(next)
    }

    fn with_lost(&self, nodes: &[NodeId]) -> Result<Self, OrderError> {
        for node in nodes {
            if self.member(*node).is_none() {
                return Err(invalid("lost", format!("{node} is not among the members")).into());
            }
        }
        let mut next = self.with_change(|change| change.lost.extend(nodes))?;
        next.choose_voters();
        Ok(next)
    }

    /// Only what is lost can be given up: it would hold for all that are declared lost later in the change.
    fn with_accepted_loss(&self) -> Result<Self, OrderError> {
        if self.change.as_deref().is_some_and(|change| change.lost.is_empty()) {
            return Err(invalid("accept_loss", "no member is declared lost in this change".into()).into());
        }
        self.with_change(|change| change.accepts_loss = true)
    }

    fn with_change(&self, make: impl FnOnce(&mut Change)) -> Result<Self, OrderError> {
        let mut next = self.successor();
        let change = next.change.as_mut().ok_or(OrderError::NothingUnderWay)?;
        make(change);
        if next.change == self.change { Err(OrderError::Nothing) } else { Ok(next) }
    }

    fn cancelled(&self) -> Result<Self, OrderError> {
        let change = self.change.as_deref().ok_or(OrderError::NothingUnderWay)?;
        if change.stage != Stage::Gather {
            return Err(OrderError::TooLateToCancel);
        }
        let mut next = self.successor();
        next.members.retain(|member| !change.added.contains(&member.node));
        next.change = None;
        next.choose_voters();
        Ok(next)
    }
}
