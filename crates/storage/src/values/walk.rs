//! Walks through the records of a value file, over damage.

use std::io;
use std::sync::Arc;

use crate::disk::DiskFile;
use crate::values::file::read_up_to;
use crate::values::record::{self, HEADER_BYTES, Header};

/// Read at once.
const PORTION_BYTES: usize = 1 << 20;
const BLOCK_BYTES: u64 = 4096;

/// What is met next.
pub(crate) enum Step<'a> {
    /// A record whose header and key are whole. `whole` says whether the value is too.
    Record { at: u64, header: Header, key: &'a [u8], value: &'a [u8], whole: bool },
    /// Bytes in which no record can be recognised.
    Unreadable { from: u64, to: u64 },
    /// The end of what counts of the file.
    End,
}

/// A walk.
pub(crate) struct Walk {
    file: Arc<dyn DiskFile>,
    salt: u64,
    /// Where the next record is.
    at: u64,
    /// Bytes of the file that count.
    extent: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl Walk {
    pub(crate) fn new(file: Arc<dyn DiskFile>, salt: u64, extent: u64) -> Self {
        Self { file, salt, at: 0, extent, buffer: Vec::new(), buffer_at: 0 }
    }

    /// How far the walk has come.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The next record.
    pub(crate) fn step(&mut self) -> Step<'_> {
        if self.at >= self.extent {
            return Step::End;
        }
        let from = self.at;
        let Ok(Some(header)) = self.header_at(from) else {
            self.at = self.find_header(from);
            return Step::Unreadable { from, to: self.at };
        };
        self.at = from + header.record_bytes();
        let length = usize::try_from(header.record_bytes()).unwrap_or(usize::MAX);
        let record = self.bytes(from, length).unwrap_or_default();
        let key = record.get(HEADER_BYTES..header.value_at()).unwrap_or_default();
        let value = record.get(header.value_at()..).unwrap_or_default();
        Step::Record { at: from, header, key, value, whole: header.matches(value) }
    }

    /// Where the next header is behind this place, which has none.
    fn find_header(&mut self, from: u64) -> u64 {
        let mut at = from + 1;
        while at < self.extent {
            match self.header_at(at) {
                Ok(Some(_)) => return at,
                Ok(None) if self.buffer_at == at && self.buffer.is_empty() => return self.extent,
                Ok(None) => at += 1,
                // What the disk does not give back, it does not give back by the block.
                Err(_) => at = (at / BLOCK_BYTES + 1) * BLOCK_BYTES,
            }
        }
        self.extent
    }

    fn header_at(&mut self, at: u64) -> io::Result<Option<Header>> {
        let (salt, left) = (self.salt, self.extent - at);
        let Some(needed) = record::bytes_to_verify(self.bytes(at, HEADER_BYTES)?, left) else {
            return Ok(None);
        };
        let needed = usize::try_from(needed).map_err(io::Error::other)?;
        Ok(record::read(self.bytes(at, needed)?, salt))
    }

    /// These bytes, or fewer at the end of the file.
    fn bytes(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let buffered =
            at >= self.buffer_at && at + length as u64 <= self.buffer_at + self.buffer.len() as u64;
        if !buffered {
            let left = usize::try_from(self.extent.saturating_sub(at)).unwrap_or(usize::MAX);
            self.buffer.resize(length.max(PORTION_BYTES).min(left), 0);
            self.buffer_at = at;
            let mut read = read_up_to(self.file.as_ref(), &mut self.buffer, at);
            if read.is_err() {
                let length = length.min(left);
                read = read_up_to(self.file.as_ref(), &mut self.buffer[..length], at);
            }
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        let from = usize::try_from(at - self.buffer_at).unwrap_or(usize::MAX);
        let end = from.saturating_add(length).min(self.buffer.len());
        Ok(self.buffer.get(from..end).unwrap_or_default())
    }
}
