//! What can be done.

use quorate_proto::v1;
use quorate_proto::v1::change_layout_request::Order;

/// Something to do. Each can be cut off, and asked for again.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make the rendered objects so, the StatefulSet with so many pods. Nothing is written where nothing is different.
    Apply {
        /// Pods of the StatefulSet.
        pods: i32,
    },
    /// Found the cluster: the same request to the nodes in all these pods.
    Found {
        /// The pods, by ordinal.
        pods: Vec<i32>,
        /// The request, a function of the resource and of the nodes' ids.
        request: v1::BootstrapRequest,
    },
    /// Ask for another layout.
    ChangeLayout {
        /// Whom to ask: the pods by ordinal, and the ids of the nodes in them, the best first.
        ask: Vec<(i32, u64)>,
        /// With another epoch than this one nothing is done.
        expected_epoch: u64,
        /// What to ask for.
        order: Order,
        /// What it is for.
        change: Change,
    },
    /// Delete a pod, so that its StatefulSet makes it anew.
    DeletePod {
        /// Its ordinal.
        ordinal: i32,
        /// Only this very pod.
        uid: String,
        /// Why.
        why: String,
    },
    /// Delete a claim that nobody needs any more.
    DeleteClaim {
        /// The ordinal of its pod.
        ordinal: i32,
        /// Only this very claim.
        uid: String,
    },
    /// Have a claim grow.
    GrowClaim {
        /// The ordinal of its pod.
        ordinal: i32,
        /// Only this very claim.
        uid: String,
        /// The size to ask for, as a Kubernetes quantity.
        size: String,
    },
}

/// What a change of the layout is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nodes become members: the names of their pods.
    Add(Vec<String>),
    /// A member leaves: the name of its pod.
    Remove(String),
    /// New nodes take the places of members that are gone for good: the names of their pods.
    Replace(Vec<String>),
    /// A change need not wait for members that are gone for good: the names of their pods.
    DeclareLost(Vec<String>),
    /// N, R or W.
    Replication {
        /// N afterwards.
        n: u32,
        /// R afterwards.
        r: u32,
        /// W afterwards.
        w: u32,
    },
    /// Members are in other zones: the names of their pods.
    Zones(Vec<String>),
    /// The change under way stands still.
    Pause,
    /// The change under way goes on.
    Resume,
}

/// Something worth an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether people should look.
    pub warning: bool,
    /// In one word.
    pub reason: String,
    /// In a sentence.
    pub message: String,
}

impl Action {
    /// For metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Apply { .. } => "apply",
            Self::Found { .. } => "found",
            Self::ChangeLayout { .. } => "change_layout",
            Self::DeletePod { .. } => "delete_pod",
            Self::DeleteClaim { .. } => "delete_claim",
            Self::GrowClaim { .. } => "grow_claim",
        }
    }

    /// The event that tells people of it, once it is done; none of objects that are applied: who applies them knows what was different.
    pub fn notice(&self, cluster: &str) -> Option<Notice> {
        let (reason, message) = match self {
            Self::Apply { .. } => return None,
            Self::Found { pods, .. } => ("Founded", format!("founded the cluster of {} nodes", pods.len())),
            Self::ChangeLayout { change, .. } => (change.reason(), change.in_words()),
            Self::DeletePod { ordinal, why, .. } => {
                ("RestartingPod", format!("restarts pod {cluster}-{ordinal}: {why}"))
            }
            Self::DeleteClaim { ordinal, .. } => {
                let claim = crate::render::claim_name(cluster, *ordinal);
                (
                    "DeletedClaim",
                    format!("deleted claim {claim}: its node has left, and handed over what it held"),
                )
            }
            Self::GrowClaim { ordinal, size, .. } => {
                let claim = crate::render::claim_name(cluster, *ordinal);
                ("GrowingVolume", format!("asks for {size} for claim {claim}"))
            }
        };
        Some(Notice { warning: false, reason: reason.into(), message })
    }
}

impl Change {
    /// In one word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Add(_) => "AddingMembers",
            Self::Remove(_) => "RemovingMember",
            Self::Replace(_) => "ReplacingLostMembers",
            Self::DeclareLost(_) => "DeclaringMembersLost",
            Self::Replication { .. } => "ChangingReplication",
            Self::Zones(_) => "ChangingZones",
            Self::Pause => "PausingChange",
            Self::Resume => "ResumingChange",
        }
    }

    /// In a sentence.
    pub fn in_words(&self) -> String {
        match self {
            Self::Add(pods) => match pods.as_slice() {
                [pod] => format!("makes {pod} a member"),
                pods => format!("makes {} members", pods.join(", ")),
            },
            Self::Remove(pod) => format!("removes {pod}: it hands over what it holds first"),
            Self::Replace(pods) => match pods.as_slice() {
                [pod] => format!("a new node takes the place of the one that {pod} has lost"),
                pods => format!("new nodes take the places of those that {} have lost", pods.join(", ")),
            },
            Self::DeclareLost(pods) => {
                let volumes = if pods.len() == 1 { "its volume is" } else { "their volumes are" };
                format!("the change need not wait for what {} held: {volumes} gone", pods.join(", "))
            }
            Self::Replication { n, r, w } => format!("changes the replication to N {n}, R {r}, W {w}"),
            Self::Zones(pods) => match pods.as_slice() {
                [pod] => format!("{pod} is in another zone"),
                pods => format!("{} are in other zones", pods.join(", ")),
            },
            Self::Pause => "pauses the change of the layout".into(),
            Self::Resume => "resumes the change of the layout".into(),
        }
    }
}
