//! A file that a result goes to when there is one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A file that is open for writing before the work begins whose result it takes: a path that cannot be written fails at once,
/// and not after minutes. What it held stays until there is something to replace it.
#[derive(Debug)]
pub struct OutputFile {
    file: File,
    path: PathBuf,
}

impl OutputFile {
    /// Opens it, and makes it where it is missing. The error names the path.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        Ok(Self { file: file.map_err(|error| at(path, &error))?, path: path.to_owned() })
    }

    /// Puts this in the place of what it holds. The error names the path.
    pub fn write(mut self, text: &str) -> io::Result<()> {
        // Pipes and terminals have no length to be cut to.
        let is_file = self.file.metadata().is_ok_and(|metadata| metadata.is_file());
        let cut = if is_file { self.file.set_len(0) } else { Ok(()) };
        cut.and_then(|()| self.file.write_all(text.as_bytes())).map_err(|error| at(&self.path, &error))
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("writing {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_what_it_held_until_it_is_written() {
        let path = std::env::temp_dir().join(format!("quorate-output-{}", std::process::id()));
        std::fs::write(&path, "of an earlier run").expect("there is room");
        let file = OutputFile::open(&path).expect("it can be written");
        let read = || std::fs::read_to_string(&path).expect("it is there");
        assert_eq!(read(), "of an earlier run");
        file.write("new").expect("it can be written");
        assert_eq!(read(), "new");
        std::fs::remove_file(&path).expect("it is there");
    }

    #[test]
    fn what_cannot_be_written_is_told_by_its_path() {
        let told = OutputFile::open(Path::new("/no/such/directory/file.csv")).expect_err("there is none");
        assert!(told.to_string().starts_with("writing /no/such/directory/file.csv: "), "{told}");
        assert_eq!(told.kind(), io::ErrorKind::NotFound);
    }
}
