//! What the API server must refuse, and what it must say: one case at least for every bound and every rule of the schema.

/// Specs that are refused when they are applied, with what the refusal says.
pub(crate) fn cases() -> Vec<(&'static str, String, &'static str)> {
    let beside = |what: &str| format!("{{replicas: 3, image: quorate, storage: {{size: 1Gi}}, {what}}}");
    let replication = |n: i32, r: i32, w: i32| {
        beside(&format!("replication: {{factor: {n}, readQuorum: {r}, writeQuorum: {w}}}"))
    };
    let replicas = |text: &str| format!("{{replicas: {text}, image: quorate, storage: {{size: 1Gi}}}}");
    let size = |text: &str| format!("{{replicas: 3, image: quorate, storage: {{size: {text}}}}}");
    vec![
        ("fewer nodes than N", replicas("2"), "replicas must be replication.factor or more"),
        ("no nodes", replicas("0"), "spec.replicas in body should be greater than or equal to 1"),
        ("too many nodes", replicas("1001"), "spec.replicas in body should be less than or equal to 1000"),
        ("nodes beyond 32 bits", replicas("5000000000"), "spec.replicas"),
        ("nodes as a text", replicas("three"), "spec.replicas in body must be of type integer"),
        ("R above N", replication(3, 4, 3), "readQuorum and writeQuorum must be replication.factor or less"),
        ("W above N", replication(3, 3, 4), "readQuorum and writeQuorum must be replication.factor or less"),
        ("R of 0", replication(3, 0, 3), "readQuorum in body should be greater than or equal to 1"),
        ("W of 0", replication(3, 3, 0), "writeQuorum in body should be greater than or equal to 1"),
        ("N of 0", replication(0, 1, 1), "factor in body should be greater than or equal to 1"),
        ("N of 16", replication(16, 9, 9), "factor in body should be less than or equal to 15"),
        ("quorums that miss each other", replication(3, 1, 2), "reads can miss acknowledged writes"),
        (
            "N without R and W",
            beside("replication: {factor: 3}"),
            "spec.replication.readQuorum: Required value",
        ),
        ("partitions between powers", beside("partitions: 100"), "partitions must be a power of two"),
        ("no partitions", beside("partitions: 0"), "partitions must be a power of two"),
        (
            "too many partitions",
            beside("partitions: 65536"),
            "partitions must be a power of two from 1 to 32768",
        ),
        ("a size in no unit", size("1GB"), "storage.size must be a quantity above zero"),
        ("a size of nothing", size("'0'"), "storage.size must be a quantity above zero"),
        ("a size below nothing", size("'-1Gi'"), "storage.size must be a quantity above zero"),
        ("a size as a number", size("10"), "spec.storage.size in body must be of type string"),
        ("no volume", "{replicas: 3, image: quorate}".into(), "spec.storage: Required value"),
        ("no image", "{replicas: 3, storage: {size: 1Gi}}".into(), "spec.image: Required value"),
        ("an empty image", "{replicas: 3, image: '', storage: {size: 1Gi}}".into(), "at least 1 chars long"),
        ("an odd pull policy", beside("imagePullPolicy: Sometimes"), "must be Always, IfNotPresent or Never"),
        (
            "an odd retention",
            "{replicas: 3, image: quorate, storage: {size: 1Gi, retention: {whenScaled: Keep}}}".into(),
            "supported values: \"Retain\", \"Delete\"",
        ),
        ("a field that is not there", beside("replica: 3"), "unknown field \"spec.replica\""),
        (
            "a nested field that is not there",
            beside("pdb: {enable: true}"),
            "unknown field \"spec.pdb.enable\"",
        ),
        ("a setting with a fraction", beside("settings: {hints_max: 1.5}"), "should be a multiple of 1"),
        ("a setting with a list", beside("settings: {seeds: [a]}"), "spec.settings.seeds: Too many"),
        ("a setting with fields", beside("settings: {seeds: {a: 1}}"), "spec.settings.seeds: Too many"),
        (
            "a variable twice",
            beside("podTemplate: {env: [{name: A, value: a}, {name: A, value: b}]}"),
            "spec.podTemplate.env[1]: Duplicate value",
        ),
        (
            "no time to stop",
            beside("podTemplate: {terminationGracePeriodSeconds: 0}"),
            "terminationGracePeriodSeconds in body should be greater than or equal to 1",
        ),
        (
            "an empty zone key",
            beside("topology: {zoneKey: ''}"),
            "zoneKey in body should be at least 1 chars long",
        ),
    ]
}

/// Names of clusters that are refused, with what the refusal says.
pub(crate) fn names() -> Vec<(String, &'static str)> {
    vec![
        ("n".repeat(41), "metadata.name: at most 40 characters"),
        ("1st".into(), "metadata.name: lower-case letters, digits and '-', a letter first"),
        ("with.dots".into(), "metadata.name: lower-case letters, digits and '-', a letter first"),
    ]
}

/// An edit that is refused: of a resource with `before` as its spec, and with a status where one is named.
pub(crate) struct Edit {
    /// What is tried.
    pub(crate) name: &'static str,
    /// The spec that is there.
    pub(crate) before: &'static str,
    /// The status that is there.
    pub(crate) status: Option<&'static str>,
    /// The spec that is refused.
    pub(crate) after: &'static str,
    /// What the refusal says.
    pub(crate) says: &'static str,
}

const FIVE: &str = "{replicas: 5, image: quorate, storage: {size: 2Gi, storageClassName: fast}}";
const STABLE: &str = "{topology: Stable, effectiveReplication: {factor: 3, readQuorum: 2, writeQuorum: 2}}";

/// Edits that are refused, with what the refusal says.
pub(crate) fn edits() -> Vec<Edit> {
    let edit = |name, status, after, says| Edit { name, before: FIVE, status, after, says };
    vec![
        edit(
            "other partitions",
            None,
            "{replicas: 5, partitions: 512, image: quorate, storage: {size: 2Gi, storageClassName: fast}}",
            "partitions are fixed for good",
        ),
        edit(
            "another storage class",
            None,
            "{replicas: 5, image: quorate, storage: {size: 2Gi, storageClassName: slow}}",
            "storageClassName is fixed for good",
        ),
        edit(
            "no storage class",
            None,
            "{replicas: 5, image: quorate, storage: {size: 2Gi}}",
            "storageClassName is fixed for good",
        ),
        edit(
            "a smaller volume",
            None,
            "{replicas: 5, image: quorate, storage: {size: 2047Mi, storageClassName: fast}}",
            "storage.size only grows",
        ),
        edit(
            "N by two",
            Some(STABLE),
            "{replicas: 5, image: quorate, storage: {size: 2Gi, storageClassName: fast}, \
             replication: {factor: 5, readQuorum: 3, writeQuorum: 3}}",
            "replication.factor moves by one at a time",
        ),
        edit(
            "N together with replicas",
            Some(STABLE),
            "{replicas: 6, image: quorate, storage: {size: 2Gi, storageClassName: fast}, \
             replication: {factor: 4, readQuorum: 3, writeQuorum: 3}}",
            "replication.factor and replicas change one after the other",
        ),
        edit(
            "N while a member joins",
            Some("{topology: Joining, effectiveReplication: {factor: 3, readQuorum: 2, writeQuorum: 2}}"),
            "{replicas: 5, image: quorate, storage: {size: 2Gi, storageClassName: fast}, \
             replication: {factor: 4, readQuorum: 3, writeQuorum: 3}}",
            "replication.factor changes only while the layout is stable",
        ),
        edit(
            "N away from what is in effect",
            Some("{topology: Stable, effectiveReplication: {factor: 2, readQuorum: 2, writeQuorum: 2}}"),
            "{replicas: 5, image: quorate, storage: {size: 2Gi, storageClassName: fast}, \
             replication: {factor: 4, readQuorum: 3, writeQuorum: 3}}",
            "replication.factor moves by one from what is in effect",
        ),
        edit(
            "fewer nodes than N",
            Some(STABLE),
            "{replicas: 2, image: quorate, storage: {size: 2Gi, storageClassName: fast}}",
            "replicas must be replication.factor or more",
        ),
    ]
}

/// Edits of the same resource that are not refused, each on its own, with the status beside it.
pub(crate) fn good_edits() -> Vec<(&'static str, &'static str)> {
    vec![
        ("{replicas: 6, image: quorate, storage: {size: 2Gi, storageClassName: fast}}", STABLE),
        ("{replicas: 5, image: other, storage: {size: 2048Mi, storageClassName: fast}}", STABLE),
        ("{replicas: 5, image: quorate, storage: {size: 3Gi, storageClassName: fast}}", STABLE),
        (
            "{replicas: 5, image: quorate, storage: {size: 2Gi, storageClassName: fast}, \
             replication: {factor: 4, readQuorum: 3, writeQuorum: 3}}",
            STABLE,
        ),
        (
            "{replicas: 5, image: quorate, storage: {size: 2Gi, storageClassName: fast}, \
             replication: {factor: 2, readQuorum: 2, writeQuorum: 1}}",
            STABLE,
        ),
    ]
}
