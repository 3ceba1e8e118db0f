//! What is kept between two looks at a resource. All of it can be lost: it saves work, or makes what waits wait longer.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;

use crate::observed::LayoutSeen;

/// Of one resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    uid: String,
    /// The newest layout that a node has shown.
    pub(super) layout: Option<LayoutSeen>,
    /// Since when nodes are seen that are not in the layout, by id.
    pub(super) strangers_since: BTreeMap<u64, Timestamp>,
    /// What the API server has made of the objects that were applied, by kind and name.
    pub(super) applied: BTreeMap<String, Value>,
    /// When objects were last compared with what is wanted, and the hash of that.
    pub(super) compared: Option<(Timestamp, String)>,
    /// Whether the last look has not compared them: the next one is to be soon.
    pub(super) uncompared: bool,
    /// When a claim was refused to grow, and why.
    pub(super) growth_refused: Option<(Timestamp, String)>,
    /// Whether something was under way at the last look, which goes on beside what has failed.
    pub(super) busy: bool,
    /// Looks that have failed one after the other.
    pub(super) failures: u32,
    /// Members that do not answer.
    pub(super) members_absent: i64,
}

impl Memory {
    pub(super) fn of(uid: String) -> Self {
        Self { uid, ..Self::default() }
    }

    /// Whether it is of a resource that had the same name.
    pub(super) fn is_of_another(&self, uid: &str) -> bool {
        self.uid != uid
    }
}

/// Of all resources, by namespace and name.
#[derive(Debug, Default)]
pub(super) struct Memories {
    all: Mutex<BTreeMap<(String, String), Memory>>,
}

impl Memories {
    /// Takes one out: no resource is looked at twice at the same time.
    pub(super) fn take(&self, key: &(String, String), uid: &str) -> Memory {
        let memory = self.all.lock().remove(key);
        memory.unwrap_or_else(|| Memory::of(uid.to_owned()))
    }

    pub(super) fn put(&self, key: (String, String), memory: Memory) {
        self.all.lock().insert(key, memory);
    }

    pub(super) fn failures(&self, key: &(String, String)) -> u32 {
        self.all.lock().get(key).map_or(0, |memory| memory.failures)
    }

    /// Forgets those that are not among these.
    pub(super) fn retain(&self, exists: impl Fn(&(String, String)) -> bool) {
        self.all.lock().retain(|key, _| exists(key));
    }
}
