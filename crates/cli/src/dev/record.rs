//! What a data directory is of: kept in it, so that the next `dev` goes on with the same cluster.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use quorate_proto::convert::layout::bootstrap_from_wire;
use quorate_proto::v1;
use quorate_protocol::layout::Layout;
use serde::{Deserialize, Serialize};

use crate::args::WrongUsage;
use crate::settings::ClusterSettings;

const VERSION: u32 = 1;
const FILE: &str = "dev.json";
const LOCK: &str = "dev.lock";
const NODES: u16 = 3;
const PORT_BASE: u16 = 7700;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    /// 128 bits in hexadecimal.
    cluster: String,
    /// How many nodes it has ever had: they are numbered from 0, and a number is never used again.
    pub(super) nodes: u16,
    /// The numbers of those that have left.
    #[serde(default)]
    pub(super) removed: BTreeSet<u16>,
    /// With all that has a default filled in.
    pub(super) settings: ClusterSettings,
    /// Of the last run.
    pub(super) port_base: u16,
    /// The members as the bootstrap names them, from the moment before it. A bootstrap that is interrupted can then be
    /// repeated with exactly the same request, which is the only one that the nodes accept.
    pub(super) members: Option<Vec<MemberRecord>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberRecord {
    /// 16 hexadecimal digits.
    pub(super) node: String,
    pub(super) name: String,
    pub(super) peer_address: String,
}

impl Record {
    /// Reads a directory's record and checks that it agrees with what is asked for, or makes one.
    pub(super) fn open(
        directory: &Path,
        nodes: Option<u16>,
        settings: &ClusterSettings,
        port_base: Option<u16>,
    ) -> Result<Self> {
        let path = directory.join(FILE);
        let mut record = match fs::read(&path) {
            Ok(text) => {
                let record: Self = serde_json::from_slice(&text)
                    .with_context(|| format!("{} is not what `quorate dev` has written", path.display()))?;
                ensure!(
                    record.version == VERSION,
                    "{}: version {} is not known",
                    path.display(),
                    record.version
                );
                record.check_unchanged(directory, nodes, settings)?;
                record
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                check_new(directory)?;
                Self::new(nodes.unwrap_or(NODES), settings)?
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        record.port_base = port_base.unwrap_or(record.port_base);
        record.save(directory)?;
        Ok(record)
    }

    fn new(nodes: u16, settings: &ClusterSettings) -> Result<Self> {
        let member = |at: u16| v1::Member {
            node_id: at.into(),
            name: node_name(at.into()),
            peer_address: "unknown yet".into(),
            ..Default::default()
        };
        // What the nodes would refuse is refused before there is anything to clean up.
        let request = settings.bootstrap([0; 16], (0..nodes).map(member).collect());
        let asked = bootstrap_from_wire(request).map_err(|error| WrongUsage(error.to_string()))?;
        Layout::first(&asked).map_err(|error| WrongUsage(error.to_string()))?;
        let settings = ClusterSettings {
            n: Some(asked.n),
            r: Some(asked.r),
            w: Some(asked.w),
            buckets: settings.buckets.clone(),
        };
        let cluster = format!("{:032x}", rand::random::<u128>());
        Ok(Self {
            version: VERSION,
            cluster,
            nodes,
            settings,
            port_base: PORT_BASE,
            members: None,
            removed: BTreeSet::new(),
        })
    }

    /// The numbers of the nodes that it has now.
    pub(super) fn present(&self) -> impl Iterator<Item = u16> {
        (0..self.nodes).filter(|number| !self.removed.contains(number))
    }

    fn check_unchanged(
        &self,
        directory: &Path,
        nodes: Option<u16>,
        settings: &ClusterSettings,
    ) -> Result<()> {
        let numbers = [
            ("nodes", nodes.map(u32::from), u32::try_from(self.present().count()).ok()),
            ("n", settings.n, self.settings.n),
            ("r", settings.r, self.settings.r),
            ("w", settings.w, self.settings.w),
        ];
        for (flag, asked, is) in numbers {
            if let (Some(asked), Some(is)) = (asked, is)
                && asked != is
            {
                // Nodes have come and gone since, perhaps.
                let how = if flag == "nodes" { "has" } else { "was made with" };
                bail!(
                    "--{flag} {asked}: the cluster in {} {how} {is}; leave the flag out, or choose another \
                     directory",
                    directory.display()
                );
            }
        }
        if !settings.buckets.is_empty() && settings.buckets != self.settings.buckets {
            bail!(
                "--bucket: the cluster in {} was made with other buckets; leave the flag out, or choose another \
                 directory",
                directory.display()
            );
        }
        Ok(())
    }

    pub(super) fn cluster_id(&self) -> Result<[u8; 16]> {
        let id = u128::from_str_radix(&self.cluster, 16).context("the record's cluster id is damaged")?;
        Ok(id.to_be_bytes())
    }

    /// Replaces the record as a whole.
    pub(super) fn save(&self, directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        let write = || -> Result<()> {
            let new = directory.join(format!("{FILE}.new"));
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(directory)?.sync_all()?;
            Ok(())
        };
        write().with_context(|| format!("writing {}", path.display()))
    }
}

/// What the node with this index is called.
pub(super) fn node_name(index: usize) -> String {
    format!("node-{}", index + 1)
}

/// Makes the directory this process's own, for as long as the file is open.
pub(super) fn lock(directory: &Path) -> Result<File> {
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    let path = directory.join(LOCK);
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("{} is in use by another `quorate dev`", directory.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

/// A directory with other things in it was hardly meant.
fn check_new(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let name = entry.with_context(|| format!("reading {}", directory.display()))?.file_name();
        ensure!(
            name == LOCK || name == format!("{FILE}.new").as_str(),
            "{} is not empty, and holds no cluster of `quorate dev`",
            directory.display()
        );
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    fn settings(n: Option<u32>, w: Option<u32>) -> ClusterSettings {
        ClusterSettings { n, w, ..ClusterSettings::default() }
    }

    #[test]
    fn a_directory_keeps_what_it_was_made_with() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let made = Record::open(path, Some(2), &settings(None, None), Some(0)).unwrap();
        assert_eq!((made.settings.n, made.settings.r, made.settings.w), (Some(2), Some(2), Some(2)));
        let again = Record::open(path, None, &settings(Some(2), None), None).unwrap();
        assert_eq!(made, again);
        let moved = Record::open(path, None, &settings(None, None), Some(8000)).unwrap();
        assert_eq!((moved.port_base, moved.cluster), (8000, made.cluster));
        for (nodes, settings, flag) in [
            (Some(3), settings(None, None), "--nodes 3: the cluster in"),
            (None, settings(Some(1), None), "--n 1"),
            (None, settings(None, Some(1)), "--w 1"),
            (
                None,
                ClusterSettings { buckets: vec!["b".parse().unwrap()], ..ClusterSettings::default() },
                "--bucket",
            ),
        ] {
            let error = Record::open(path, nodes, &settings, None).unwrap_err().to_string();
            let says_what_is = error.contains("was made with") || error.contains(" has 2;");
            assert!(error.contains(flag) && says_what_is, "{error}");
        }
        // It has grown by one and shrunk by another.
        let grown = Record { nodes: 3, removed: BTreeSet::from([1]), ..again };
        grown.save(path).unwrap();
        let again = Record::open(path, Some(2), &settings(None, None), None).unwrap();
        assert_eq!(again.present().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn impossible_settings_leave_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        for (nodes, settings, field) in [
            (3, settings(Some(4), None), "n:"),
            (3, settings(None, Some(4)), "w:"),
            (1, settings(Some(2), None), "n:"),
        ] {
            let error = Record::open(directory.path(), Some(nodes), &settings, None).unwrap_err();
            assert!(error.to_string().contains(field), "{error:#}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn another_directory_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("thesis.tex"), "").unwrap();
        let error = Record::open(directory.path(), None, &settings(None, None), None).unwrap_err();
        assert!(error.to_string().contains("is not empty"), "{error:#}");
    }

    #[test]
    fn a_directory_has_one_owner() {
        let directory = tempfile::tempdir().unwrap();
        let owner = lock(directory.path()).unwrap();
        assert!(lock(directory.path()).unwrap_err().to_string().contains("in use"));
        drop(owner);
        lock(directory.path()).unwrap();
    }
}
