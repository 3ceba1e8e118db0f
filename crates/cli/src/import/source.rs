//! The input: read, hashed and parsed on a thread of its own.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::checkpoint::Mark;
use crate::lines::{self, Line};

const BUFFER_BYTES: usize = 1 << 20;
/// Lines that pass between the threads at once, and how many such groups may wait.
const GROUP_LINES: usize = 64;
const GROUPS: usize = 16;

/// A line and where it ends.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) line: Line,
    pub(super) end: Mark,
}

/// Lines in order; the last item can be an error.
pub(super) type Groups = mpsc::Receiver<Result<Vec<Parsed>>>;

/// The file of this name, or standard input for `-`, and its size if that is known.
pub(super) fn open(path: &Path) -> Result<(Box<dyn BufRead + Send>, Option<u64>)> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin())), None));
    }
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let metadata = file.metadata().with_context(|| format!("opening {}", path.display()))?;
    let size = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(BufReader::with_capacity(BUFFER_BYTES, file)), size))
}

/// Starts reading after what an earlier run has done.
pub(super) fn start(input: Box<dyn BufRead + Send>, done: Mark) -> Groups {
    let (sender, groups) = mpsc::channel(GROUPS);
    std::thread::spawn(move || {
        let mut source = Source { input, at: Mark::default(), text: Vec::new() };
        let skipped = source.skip(done);
        if let Err(error) = skipped.and_then(|()| source.read_all(&sender)) {
            // Whoever no longer listens needs no error.
            let _ = sender.blocking_send(Err(error));
        }
    });
    groups
}

struct Source {
    input: Box<dyn BufRead + Send>,
    at: Mark,
    text: Vec<u8>,
}

impl Source {
    /// Reads a line into `text`, without its end. False: there is none.
    fn next(&mut self) -> Result<bool> {
        self.text.clear();
        let number = self.at.lines + 1;
        let read = self.input.read_until(b'\n', &mut self.text);
        let count = read.with_context(|| format!("reading line {number}"))?;
        if count == 0 {
            return Ok(false);
        }
        if self.text.last() == Some(&b'\n') {
            self.text.pop();
        }
        self.at = Mark {
            lines: number,
            bytes: self.at.bytes + count as u64,
            hash: xxh3_64_with_seed(&self.text, self.at.hash),
        };
        Ok(true)
    }

    fn skip(&mut self, done: Mark) -> Result<()> {
        while self.at.lines < done.lines {
            if !self.next()? {
                break;
            }
        }
        if self.at != done {
            bail!(
                "the input does not begin with the {} lines that the checkpoint has seen: it is another one, or has \
                 changed",
                done.lines
            );
        }
        Ok(())
    }

    fn read_all(&mut self, sender: &mpsc::Sender<Result<Vec<Parsed>>>) -> Result<()> {
        let mut group = Vec::with_capacity(GROUP_LINES);
        let mut more = true;
        while more {
            let parsed = self.next_parsed();
            more = matches!(parsed, Ok(Some(_)));
            let failed = match parsed {
                Ok(line) => {
                    group.extend(line);
                    None
                }
                Err(error) => Some(error),
            };
            if group.len() == GROUP_LINES || (!more && !group.is_empty()) {
                let full = std::mem::replace(&mut group, Vec::with_capacity(GROUP_LINES));
                if sender.blocking_send(Ok(full)).is_err() {
                    return Ok(());
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    fn next_parsed(&mut self) -> Result<Option<Parsed>> {
        // Blank lines are no lines, but they count.
        while self.next()? {
            if self.text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return match lines::read(&self.text) {
                Ok(line) => Ok(Some(Parsed { line, end: self.at })),
                Err(wrong) => bail!("line {}: {wrong}", self.at.lines),
            };
        }
        Ok(None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn read(text: &str, done: Mark) -> (Vec<Parsed>, Option<String>) {
        let mut groups = start(Box::new(Cursor::new(text.to_owned())), done);
        let mut parsed = Vec::new();
        while let Some(group) = groups.blocking_recv() {
            match group {
                Ok(group) => parsed.extend(group),
                Err(error) => return (parsed, Some(format!("{error:#}"))),
            }
        }
        (parsed, None)
    }

    fn input(lines: usize) -> String {
        (0..lines).map(|line| format!("{{\"key\":\"k{line}\",\"value\":{line}}}\n")).collect()
    }

    #[test]
    fn lines_come_in_order_and_say_where_they_end() {
        let (parsed, error) = read(&input(200), Mark::default());
        assert_eq!(error, None);
        assert_eq!(parsed.len(), 200);
        assert_eq!(parsed[150].line.key, "k150");
        assert_eq!(parsed[150].end.lines, 151);
        assert_eq!(parsed[199].end.bytes, input(200).len() as u64);
    }

    #[test]
    fn reading_goes_on_after_what_is_done() {
        let (all, _) = read(&input(100), Mark::default());
        let (rest, error) = read(&input(100), all[69].end);
        assert_eq!(error, None);
        assert_eq!(rest[0].line.key, "k70");
        assert_eq!(rest[0].end, all[70].end);
    }

    #[test]
    fn another_input_is_noticed() {
        let (all, _) = read(&input(100), Mark::default());
        let changed = input(100).replace("k3\"", "K3\"");
        let (_, error) = read(&changed, all[69].end);
        assert!(error.unwrap().contains("has changed"));
        let (_, error) = read(&input(10), all[69].end);
        assert!(error.unwrap().contains("has changed"));
    }

    #[test]
    fn a_bad_line_is_named_and_those_before_it_come() {
        let text = format!("{}\n  \n{{\"key\":\"x\"}}\n", input(3));
        let (parsed, error) = read(&text, Mark::default());
        assert_eq!(parsed.len(), 3);
        assert_eq!(error.unwrap(), "line 6: value: it is missing");
    }

    #[test]
    fn the_last_line_needs_no_end() {
        let (parsed, error) = read(input(2).trim_end(), Mark::default());
        assert_eq!((parsed.len(), error), (2, None));
    }
}
