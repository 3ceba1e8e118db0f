//! Gives back the space of what is dead in value files: copies what is live into a new file, and removes the old ones.
//!
//! The thread that applies generations also compacts, a slice at a time, so nothing happens in between.
//!
//! 1. `Copying`: the live records of the victims go, as they are, to a file that no checkpoint lists yet: a crash leaves nothing of it. A
//!    value that cannot be read goes as a record of its loss, so that it is known and healed whatever happens to the index.
//! 2. The file is made durable and listed, beside the victims. Either holds all.
//! 3. `Installing`: the index is told of the copies, unless it knows of something newer by now.
//! 4. The next checkpoint makes the index durable and no longer lists the victims. Then they are removed.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::{Duration, Instant};

use crate::background::{Background, Trouble};
use crate::base::{Base, IndexError};
use crate::checkpoint_file::Checkpoint;
use crate::disk::is_no_space;
use crate::stats::Counters;
use crate::values::entry::Entry;
use crate::values::ledger::{FileState, Ledger};
use crate::values::record::Kind;
use crate::values::walk::{Step, Walk};
use crate::values::writer::{BUFFER_BYTES, FileWriter};

/// Read at one go, so that generations and checkpoints need not wait long.
const SLICE_BYTES: u64 = 1 << 20;
/// The pause after each slice is this many times as long as the slice took: space is not urgent.
const PAUSE_FACTOR: u32 = 1;
/// So many small files are made one.
const SMALL_FILES: usize = 4;

/// A compaction under way.
pub(crate) struct Compaction {
    victims: BTreeSet<u32>,
    /// Victims not begun.
    waiting: Vec<u32>,
    output: FileWriter,
    stage: Stage,
}

enum Stage {
    Copying(Option<Copying>),
    Installing(Walk),
    /// The next checkpoint ends it.
    Installed,
}

/// A victim being copied.
struct Copying {
    victim: u32,
    walk: Walk,
    unreadable: Vec<(u64, u64)>,
}

impl Compaction {
    /// Files that the next checkpoint is not to list.
    pub(crate) fn finished(&self) -> Option<&BTreeSet<u32>> {
        matches!(self.stage, Stage::Installed).then_some(&self.victims)
    }
}

impl Background {
    /// Files of which nothing is needed any more.
    pub(crate) fn dead_files(&self) -> BTreeSet<u32> {
        let ledger = &self.keep.ledger;
        let spared = self.spared();
        let dead = |file: &&FileState| {
            ledger.is_counted()
                && file.live_bytes == 0
                && !spared.contains(&file.note.id)
                && !needs_tombstones(ledger, file)
        };
        ledger.files.values().filter(dead).map(|file| file.note.id).collect()
    }

    /// Files that are not to be touched: those being written, and those of the compaction under way.
    fn spared(&self) -> BTreeSet<u32> {
        let mut spared = self.keep.active.ids();
        if let Some(compaction) = &self.compaction {
            spared.extend(&compaction.victims);
            spared.insert(compaction.output.note.id);
        }
        spared
    }

    /// Begins a compaction if a file is worth it. One that cannot begin is put off to the next checkpoint.
    pub(crate) fn start_compaction_if_due(&mut self) {
        if self.compaction.is_some() || self.rewrite.is_some() || !self.keep.ledger.is_counted() {
            return;
        }
        let victims = choose(&self.keep.ledger, &self.spared(), self.shared.options.value_file_bytes);
        let files = &self.keep.ledger.files;
        let kept = |id: &u32| files.get(id).map_or(0, |file| file.live_bytes + file.note.tombstone_bytes);
        if victims.is_empty() || !self.shared.room.has_for_values(victims.iter().map(kept).sum()) {
            return;
        }
        let id = self.keep.ledger.next_id;
        self.keep.ledger.next_id += 1;
        if let Ok(output) = FileWriter::create(&self.keep.values, id, self.applied_sequence) {
            let waiting = victims.iter().copied().collect();
            self.compaction = Some(Compaction { victims, waiting, output, stage: Stage::Copying(None) });
            self.look_again_in(Duration::ZERO);
        }
    }

    /// Goes on with the compaction, if one is under way.
    pub(crate) fn compaction_step(&mut self) -> Result<(), Trouble> {
        let Some(mut compaction) = self.compaction.take() else {
            return Ok(());
        };
        let started = Instant::now();
        let stage = std::mem::replace(&mut compaction.stage, Stage::Installed);
        compaction.stage = match stage {
            Stage::Copying(copying) => match self.copy(&mut compaction, copying) {
                Ok(stage) => stage,
                Err(Failure::NoSpace) => {
                    self.give_up(&compaction);
                    return Ok(());
                }
                Err(Failure::Trouble(trouble)) => return Err(trouble),
            },
            Stage::Installing(walk) => self.install(&compaction, walk)?,
            Stage::Installed => {
                // Until the disk has room for a checkpoint.
                self.compaction = Some(compaction);
                return Ok(());
            }
        };
        let is_over = matches!(compaction.stage, Stage::Installed);
        self.look_again_in(if is_over { Duration::ZERO } else { started.elapsed() * PAUSE_FACTOR });
        self.compaction = Some(compaction);
        Ok(())
    }

    /// Takes note that the victims are gone.
    pub(crate) fn finish_compaction(&mut self) {
        if self.compaction.take_if(|compaction| compaction.finished().is_some()).is_some() {
            Counters::add(&self.shared.counters.compactions, 1);
        }
    }

    fn give_up(&mut self, compaction: &Compaction) {
        let id = compaction.output.note.id;
        self.keep.values.forget(id);
        // What stays is removed at the next opening.
        let _ = self.shared.disk.remove(&self.keep.values.path(id));
    }

    /// Copies a slice of a victim, or lists the output when all are copied.
    fn copy(&mut self, compaction: &mut Compaction, copying: Option<Copying>) -> Result<Stage, Failure> {
        let mut copying = match copying {
            Some(copying) => copying,
            None => match compaction.waiting.pop() {
                Some(victim) => match self.begin(victim, &mut compaction.output)? {
                    Some(copying) => copying,
                    None => return Ok(Stage::Copying(None)),
                },
                None => return self.list(compaction),
            },
        };
        let base = &self.base;
        let Compaction { output, victims, .. } = compaction;
        let tombstones_needed_above = self.keep.ledger.oldest_dead_birth(victims);
        let end = copying.walk.at() + SLICE_BYTES;
        let is_done = loop {
            match copying.walk.step() {
                Step::Record { at, header, key, value, whole } => {
                    let indexed = base.get(key).map_err(Trouble::Index)?;
                    let is_live = indexed
                        .is_some_and(|entry| entry.file == copying.victim && u64::from(entry.offset) == at);
                    match header.kind {
                        Kind::Put if is_live && whole => output.push(Kind::Put, key, header.version, value),
                        Kind::Put | Kind::Lost if is_live => {
                            output.push(Kind::Lost, key, header.version, &[])
                        }
                        Kind::Delete if indexed.is_none() && header.version > tombstones_needed_above => {
                            output.push(Kind::Delete, key, header.version, &[])
                        }
                        _ => continue,
                    };
                    if output.buffered_bytes() >= BUFFER_BYTES {
                        flush(output)?;
                    }
                }
                Step::Unreadable { from, to } => copying.unreadable.push((from, to)),
                Step::End => break true,
            }
            if copying.walk.at() >= end {
                break false;
            }
        };
        if is_done {
            rescue(base, copying.victim, &copying.unreadable, output).map_err(Trouble::Index)?;
        }
        flush(output)?;
        Ok(Stage::Copying((!is_done).then_some(copying)))
    }

    /// `None` if the file of the victim is gone: its keys are rescued.
    fn begin(&mut self, victim: u32, output: &mut FileWriter) -> Result<Option<Copying>, Failure> {
        let extent = self.keep.ledger.files.get(&victim).map_or(0, |file| file.note.extent);
        let opened = self.keep.values.open(victim).map_err(|error| {
            let path = self.keep.values.path(victim);
            Trouble::Final(format!("open {}: {error}", path.display()))
        })?;
        if let Some((file, salt)) = opened {
            return Ok(Some(Copying { victim, walk: Walk::new(file, salt, extent), unreadable: Vec::new() }));
        }
        rescue(&self.base, victim, &[(0, u64::MAX)], output).map_err(Trouble::Index)?;
        flush(output)?;
        Ok(None)
    }

    /// Makes the output durable and has the checkpoint list it.
    fn list(&mut self, compaction: &mut Compaction) -> Result<Stage, Failure> {
        let disk = self.shared.disk.as_ref();
        let (values, directory) = (&self.keep.values, &self.shared.directory);
        let output = &mut compaction.output;
        if output.note.extent == 0 {
            self.give_up(compaction);
            return Ok(Stage::Installed);
        }
        let synced = output.sync().and_then(|()| disk.sync_dir(values.directory()));
        let path = values.path(output.note.id);
        synced.map_err(|error| Trouble::Final(format!("sync {}: {error}", path.display())))?;
        let mut checkpoint = Checkpoint {
            serial: self.checkpoint.serial + 1,
            next_file: self.keep.ledger.next_id,
            ..self.checkpoint.clone()
        };
        checkpoint.files.push(output.note);
        self.checkpoint.serial = checkpoint.serial;
        match directory.write_checkpoint(disk, &checkpoint) {
            Ok(()) => self.checkpoint = checkpoint,
            Err(error) if is_no_space(&error) => {
                // One of the two files may list it: it stays, and is listed when there is room.
                std::thread::sleep(self.shared.room.interval());
                return Ok(Stage::Copying(None));
            }
            Err(error) => {
                let root = directory.root().display();
                return Err(Trouble::Final(format!("write CHECKPOINT in {root}: {error}")).into());
            }
        }
        let note = output.note;
        self.keep.ledger.files.insert(note.id, FileState { note, live_bytes: 0 });
        let opened = values.open(note.id);
        let (file, salt) = opened
            .ok()
            .flatten()
            .ok_or_else(|| Trouble::Final(format!("{} cannot be opened", path.display())))?;
        Ok(Stage::Installing(Walk::new(file, salt, note.extent)))
    }

    /// Tells the index of a slice of the output.
    fn install(&mut self, compaction: &Compaction, mut walk: Walk) -> Result<Stage, Trouble> {
        let (victims, output) = (&compaction.victims, compaction.output.note.id);
        let end = walk.at() + SLICE_BYTES;
        loop {
            match walk.step() {
                Step::Record { at, header, key, .. } if header.kind != Kind::Delete => {
                    let old = self.base.get(key)?;
                    let Some(old) =
                        old.filter(|old| victims.contains(&old.file) && old.version == header.version)
                    else {
                        continue;
                    };
                    let new = Entry {
                        file: output,
                        // Outputs are as short as other files.
                        offset: at as u32,
                        kind: header.kind,
                        value_bytes: header.value_bytes,
                        version: header.version,
                    };
                    self.base.put(key, &new)?;
                    self.keep.ledger.changed(key, Some(&old), Some(&new));
                }
                Step::Record { .. } => {}
                // Just written, and damaged already: the victims stay, for the index points to them.
                Step::Unreadable { from, .. } => {
                    let path = self.keep.values.path(output);
                    return Err(Trouble::Final(format!("{} is damaged at byte {from}", path.display())));
                }
                Step::End => return Ok(Stage::Installed),
            }
            if walk.at() >= end {
                return Ok(Stage::Installing(walk));
            }
        }
    }
}

/// What became of a step that needs the disk.
enum Failure {
    NoSpace,
    Trouble(Trouble),
}

impl Failure {
    fn of(error: &std::io::Error, describe: impl FnOnce() -> String) -> Self {
        if is_no_space(error) { Self::NoSpace } else { Self::Trouble(Trouble::Final(describe())) }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

fn flush(output: &mut FileWriter) -> Result<(), Failure> {
    let written = output.flush().and_then(|()| output.sync_portion());
    written
        .map_err(|error| Failure::of(&error, || format!("write value file {:08x}: {error}", output.note.id)))
}

/// Notes the loss of what the index has within the unreadable stretches of a file: only the index knows these keys. Reads all of
/// it, which is long, but damage is rare.
fn rescue(
    base: &Base,
    victim: u32,
    unreadable: &[(u64, u64)],
    output: &mut FileWriter,
) -> Result<(), IndexError> {
    if unreadable.is_empty() {
        return Ok(());
    }
    for indexed in base.range(Bound::Unbounded) {
        let (key, entry) = indexed?;
        let (start, end) = (u64::from(entry.offset), u64::from(entry.offset) + entry.record_bytes(&key));
        if entry.file == victim && unreadable.iter().any(|&(from, to)| start < to && end > from) {
            output.push(Kind::Lost, &key, entry.version, &[]);
        }
    }
    Ok(())
}

/// Whether a deletion in this file has anything to cover.
fn needs_tombstones(ledger: &Ledger, file: &FileState) -> bool {
    file.note.tombstone_bytes > 0
        && file.note.tombstone_version > ledger.oldest_dead_birth(&BTreeSet::from([file.note.id]))
}

/// Files to compact into one.
fn choose(ledger: &Ledger, spared: &BTreeSet<u32>, file_bytes: u64) -> BTreeSet<u32> {
    let kept = |file: &FileState| match needs_tombstones(ledger, file) {
        true => file.live_bytes + file.note.tombstone_bytes,
        false => file.live_bytes,
    };
    let candidates: Vec<&FileState> =
        ledger.files.values().filter(|file| !spared.contains(&file.note.id)).collect();
    let mut chosen: Vec<&FileState> =
        candidates.iter().copied().filter(|file| kept(file) * 2 <= file.note.extent).collect();
    let small: Vec<&FileState> =
        candidates.iter().copied().filter(|file| file.note.extent < file_bytes / 4).collect();
    if !chosen.is_empty() || small.len() >= SMALL_FILES {
        chosen.extend(small.iter().filter(|file| kept(file) * 2 > file.note.extent));
    }
    if chosen.is_empty() {
        // Deletions pile up where the oldest file still has something dead: it is made young.
        let tombstones: u64 = candidates.iter().map(|file| file.note.tombstone_bytes).sum();
        if tombstones > file_bytes.max(ledger.bytes() / 4) {
            let old = candidates.into_iter().filter(|file| file.dead_bytes() > 0);
            chosen.extend(old.min_by_key(|file| file.note.birth));
        }
    }
    chosen.sort_by_key(|file| kept(file));
    let mut bytes = 0;
    let fits = |file: &&FileState| {
        bytes += kept(file);
        bytes <= file_bytes || bytes == kept(file)
    };
    chosen.into_iter().take_while(fits).map(|file| file.note.id).collect()
}
