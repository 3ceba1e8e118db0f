//! The content of the files CHECKPOINT and CHECKPOINT.2: which parts of the directory count, and how far.
//!
//! Both say the same, one written after the other; what a checkpoint makes superfluous goes only after both. So one that is damaged
//! is no loss: whichever is valid and newer counts.

use crate::values::ledger::{FileNote, KeySet, Totals};

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Rises with each that is written.
    pub(crate) serial: u64,
    /// The number in the name of sled's directory.
    pub(crate) base_id: u64,
    /// All records of the log up to this one are in the files below, and in sled.
    pub(crate) sequence: u64,
    /// How large sled's files were when last rewritten, in percent of the entries' bytes: small entries take several times their
    /// bytes at best.
    pub(crate) fresh_percent: u64,
    pub(crate) totals: Totals,
    /// The keys, where that was known.
    pub(crate) keys: Option<KeySet>,
    /// The number of the next value file.
    pub(crate) next_file: u32,
    /// The value file to append to.
    pub(crate) active: Option<u32>,
    pub(crate) files: Vec<FileNote>,
}

impl Checkpoint {
    /// That of an empty store.
    pub(crate) fn fresh() -> Self {
        Self {
            serial: 0,
            base_id: 1,
            sequence: 0,
            fresh_percent: 0,
            totals: Totals::default(),
            keys: Some(KeySet::default()),
            next_file: 1,
            active: None,
            files: Vec::new(),
        }
    }

    pub(crate) fn encode(&self) -> String {
        let keys = self.keys.map_or("unknown".into(), |set| format!("{} {}", set.keys, set.hash));
        let active = self.active.map_or("none".into(), |id| id.to_string());
        let mut text = format!(
            "serial = {}\nbase = {}\nsequence = {}\nfresh_percent = {}\nlive_bytes = {}\nindex_bytes = {}\nkeys = {keys}\nnext_file = {}\nactive = {active}\n",
            self.serial,
            self.base_id,
            self.sequence,
            self.fresh_percent,
            self.totals.live_bytes,
            self.totals.index_bytes,
            self.next_file,
        );
        for note in &self.files {
            let FileNote { id, salt, extent, birth, tombstone_bytes, tombstone_version } = note;
            text += &format!("file = {id} {salt} {extent} {birth} {tombstone_bytes} {tombstone_version}\n");
        }
        let crc = crc32c::crc32c(text.as_bytes());
        format!("{text}crc32c = {crc:08x}\n")
    }

    pub(crate) fn decode(content: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(content).ok()?;
        let mut lines = text.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(" = ");
        let serial = field("serial")?.parse().ok()?;
        let base_id = field("base")?.parse().ok()?;
        let sequence = field("sequence")?.parse().ok()?;
        let fresh_percent = field("fresh_percent")?.parse().ok()?;
        let live_bytes = field("live_bytes")?.parse().ok()?;
        let index_bytes = field("index_bytes")?.parse().ok()?;
        let keys = match field("keys")? {
            "unknown" => None,
            set => {
                let (keys, hash) = set.split_once(' ')?;
                Some(KeySet { keys: keys.parse().ok()?, hash: hash.parse().ok()? })
            }
        };
        let next_file = field("next_file")?.parse().ok()?;
        let active = match field("active")? {
            "none" => None,
            id => Some(id.parse().ok()?),
        };
        let files = lines.map_while(|line| line.strip_prefix("file = ")).map(file_note);
        let checkpoint = Self {
            serial,
            base_id,
            sequence,
            fresh_percent,
            totals: Totals { live_bytes, index_bytes },
            keys,
            next_file,
            active,
            files: files.collect::<Option<_>>()?,
        };
        // Comparing the whole text includes the checksum.
        (checkpoint.encode() == text).then_some(checkpoint)
    }
}

fn file_note(line: &str) -> Option<FileNote> {
    let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let &[id, salt, extent, birth, tombstone_bytes, tombstone_version] = numbers.as_slice() else {
        return None;
    };
    Some(FileNote { id: id.try_into().ok()?, salt, extent, birth, tombstone_bytes, tombstone_version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_back_and_no_changed_byte_goes_unnoticed() {
        let file = FileNote { extent: 7, tombstone_bytes: 9, ..FileNote::new(4, u64::MAX, 12) };
        let known = Checkpoint {
            serial: 5,
            sequence: 1234,
            keys: Some(KeySet { keys: 3, hash: 1 << 63 }),
            active: Some(4),
            files: vec![file, FileNote::new(5, 1, 2)],
            ..Checkpoint::fresh()
        };
        for checkpoint in [known, Checkpoint { keys: None, ..Checkpoint::fresh() }] {
            let text = checkpoint.encode().into_bytes();
            assert_eq!(Checkpoint::decode(&text), Some(checkpoint));
            for at in 0..text.len() {
                let mut changed = text.clone();
                changed[at] ^= 1;
                assert_eq!(Checkpoint::decode(&changed), None, "byte {at}");
                assert_eq!(Checkpoint::decode(&text[..at]), None, "cut at {at}");
            }
        }
    }
}
