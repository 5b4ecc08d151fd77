//! Where files that come are kept: incomplete ones under a name of their own, complete ones under the sender's.
//!
//! An incomplete file is `NAME.HASH.part`, with the first digits of the hash of the whole, so that two files of one name
//! never mix. Links are not followed, and a file that is there is replaced only when that was agreed.

use std::fs::{self, File, Metadata as Stat, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use countersign::xmpp::file::{Hasher, Metadata, PARTIAL};

use crate::exit::{Exit, Failure};
use crate::output;

/// Octets read at once.
pub(crate) const CHUNK: usize = 64 * 1024;

/// Digits of the hash in the name of an incomplete file.
const DIGITS: usize = 16;

/// A directory that takes files.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

/// What has the name of a file that is offered.
pub(crate) enum Present {
    Nothing,
    /// This very file; with its octets hashed.
    Same(Hasher),
    Other,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let advice = "Name a directory that is there and can be written.";
        match fs::metadata(path) {
            Ok(stat) if stat.is_dir() => Ok(Self(path.to_owned())),
            Ok(_) => {
                Err(Failure::new(Exit::Usage, format!("{} is no directory", output::path(path)), advice))
            }
            Err(error) => {
                let what = format!("cannot use {}: {error}", output::path(path));
                Err(Failure::new(Exit::Local, what, advice))
            }
        }
    }

    /// Where the file is to be in the end.
    pub(crate) fn target(&self, file: &Metadata) -> PathBuf {
        self.0.join(file.name().as_str())
    }

    /// What is there under its name.
    pub(crate) fn present(&self, file: &Metadata) -> io::Result<Present> {
        let path = self.target(file);
        let stat = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Present::Nothing),
            stat => stat?,
        };
        if !stat.is_file() || stat.len() != file.size() {
            return Ok(Present::Other);
        }
        let mut there = open_regular(&path, OpenOptions::new().read(true))?;
        let hasher = hash(&mut there, file.size())?;
        Ok(if hasher.hash() == file.hash() { Present::Same(hasher) } else { Present::Other })
    }

    /// The path of the incomplete file.
    pub(crate) fn part_path(&self, file: &Metadata) -> PathBuf {
        let hash = file.hash().to_string();
        self.0.join(format!("{}.{}{PARTIAL}", file.name(), &hash[..DIGITS]))
    }

    /// The incomplete file, made where there is none. `None` when another process or session writes to it.
    pub(crate) fn part(&self, file: &Metadata) -> io::Result<Option<Part>> {
        let path = self.part_path(file);
        let fresh = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let opened = match fresh {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                open_regular(&path, OpenOptions::new().read(true).write(true))?
            }
            fresh => fresh?,
        };
        match opened.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        Ok(Some(Part { file: opened, path, target: self.target(file) }))
    }
}

/// Opens what must be a regular file with one name: no link to somewhere else.
fn open_regular(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let seen = fs::symlink_metadata(path)?;
    if !seen.is_file() {
        return Err(not_regular());
    }
    let file = options.open(path)?;
    if same_file(&seen, &file.metadata()?) { Ok(file) } else { Err(not_regular()) }
}

fn not_regular() -> io::Error {
    io::Error::other("it is a link or no regular file")
}

/// Whether what was looked at is what was opened.
#[cfg(unix)]
fn same_file(seen: &Stat, opened: &Stat) -> bool {
    use std::os::unix::fs::MetadataExt;
    (seen.dev(), seen.ino()) == (opened.dev(), opened.ino()) && opened.nlink() == 1
}

#[cfg(not(unix))]
fn same_file(_: &Stat, opened: &Stat) -> bool {
    opened.is_file()
}

/// Hashes a file from its beginning, `most` octets of it.
pub(crate) fn hash(file: &mut File, most: u64) -> io::Result<Hasher> {
    let mut hasher = Hasher::new();
    read(file, most, |octets| hasher.update(octets))?;
    Ok(hasher)
}

/// Reads a file from its beginning, `most` octets of it.
pub(crate) fn read(file: &mut File, most: u64, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; CHUNK];
    let mut file = file.take(most);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => take(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// An incomplete file that is ours alone.
#[derive(Debug)]
pub(crate) struct Part {
    file: File,
    path: PathBuf,
    target: PathBuf,
}

impl Part {
    /// What is there already; nothing when that is more than the file has.
    pub(crate) fn held(&mut self, size: u64) -> io::Result<Hasher> {
        if self.file.metadata()?.len() > size { Ok(Hasher::new()) } else { hash(&mut self.file, size) }
    }

    /// Goes on at this octet; what is behind it is forgotten.
    pub(crate) fn start(&mut self, position: u64) -> io::Result<()> {
        self.file.set_len(position)?;
        self.file.seek(SeekFrom::Start(position)).map(drop)
    }

    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.write_all(octets)
    }

    /// Forgets it.
    pub(crate) fn discard(self) {
        // What stays is no more than an incomplete file.
        let _ = fs::remove_file(&self.path);
    }

    /// Gives it its name. Without `overwrite` a file that has appeared there meanwhile is an error of the kind
    /// `AlreadyExists`, and stays what it is.
    pub(crate) fn place(self, overwrite: bool) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        if overwrite {
            fs::rename(&self.path, &self.target)?;
            return Ok(self.target);
        }
        match fs::hard_link(&self.path, &self.target) {
            Ok(()) => fs::remove_file(&self.path)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
            Err(_) => {
                // A file system without second names: the name is taken first, then the file moved there.
                OpenOptions::new().write(true).create_new(true).open(&self.target)?;
                fs::rename(&self.path, &self.target)?;
            }
        }
        Ok(self.target)
    }
}

#[cfg(test)]
mod tests {
    use countersign::xmpp::file::FileName;

    use super::*;

    struct Stage(Folder);

    impl Stage {
        fn set(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("countersign-folder-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(Folder::open(&path).unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.0.join(name)
        }

        fn part(&self, octets: &[u8]) -> Part {
            self.0.part(&file(octets)).unwrap().unwrap()
        }
    }

    impl Drop for Stage {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.0);
        }
    }

    fn file(octets: &[u8]) -> Metadata {
        Metadata::new(FileName::new("x").unwrap(), octets.len() as u64, Hasher::of(octets)).unwrap()
    }

    #[test]
    fn a_file_gets_its_name_when_it_is_complete() {
        let stage = Stage::set("complete");
        let mut part = stage.part(b"abc");
        part.start(0).unwrap();
        part.write(b"abc").unwrap();
        assert!(!stage.path("x").exists() && stage.path("x.ba7816bf8f01cfea.part").exists());
        assert_eq!(part.place(false).unwrap(), stage.path("x"));
        assert_eq!(fs::read(stage.path("x")).unwrap(), b"abc");
        assert_eq!(fs::read_dir(&stage.0.0).unwrap().count(), 1);
        assert!(
            matches!(stage.0.present(&file(b"abc")).unwrap(), Present::Same(hasher) if hasher.octets() == 3)
        );
        assert!(matches!(stage.0.present(&file(b"abd")).unwrap(), Present::Other));
        assert!(matches!(stage.0.present(&file(b"abcd")).unwrap(), Present::Other));
    }

    #[test]
    fn what_came_is_kept_for_the_same_file_only() {
        let stage = Stage::set("kept");
        let mut part = stage.part(b"abc");
        part.write(b"ab").unwrap();
        drop(part);
        assert_eq!(stage.part(b"abc").held(3).unwrap().octets(), 2);
        assert_eq!(stage.part(b"abd").held(3).unwrap().octets(), 0);
        let mut part = stage.part(b"abc");
        // More than there can be.
        assert_eq!(part.held(1).unwrap().octets(), 0);
        part.start(1).unwrap();
        part.write(b"bc").unwrap();
        assert_eq!(fs::read(part.place(false).unwrap()).unwrap(), b"abc");
    }

    #[test]
    fn a_file_that_has_appeared_is_not_replaced() {
        let stage = Stage::set("appeared");
        let mut part = stage.part(b"abc");
        part.write(b"abc").unwrap();
        fs::write(stage.path("x"), "precious").unwrap();
        assert_eq!(part.place(false).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(stage.path("x")).unwrap(), b"precious");
        stage.part(b"abc").place(true).unwrap();
        assert_eq!(fs::read(stage.path("x")).unwrap(), b"abc");
    }

    #[test]
    fn one_writes_at_a_time() {
        let stage = Stage::set("one");
        let first = stage.part(b"abc");
        assert!(stage.0.part(&file(b"abc")).unwrap().is_none());
        drop(first);
        stage.part(b"abc").discard();
        assert!(!stage.path("x.ba7816bf8f01cfea.part").exists());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        use std::os::unix::fs::symlink;
        let stage = Stage::set("links");
        let (elsewhere, part) = (stage.path("elsewhere"), stage.path("x.ba7816bf8f01cfea.part"));
        fs::write(&elsewhere, "precious").unwrap();
        symlink(&elsewhere, &part).unwrap();
        assert!(stage.0.part(&file(b"abc")).is_err());
        fs::remove_file(&part).unwrap();
        // Not even to a place where nothing is.
        symlink(stage.path("nowhere"), &part).unwrap();
        assert!(stage.0.part(&file(b"abc")).is_err());
        assert!(!stage.path("nowhere").exists());
        fs::remove_file(&part).unwrap();
        fs::hard_link(&elsewhere, &part).unwrap();
        assert!(stage.0.part(&file(b"abc")).is_err());
        fs::remove_file(&part).unwrap();
        // A link in the place of the file is another file, and is itself replaced when that was agreed.
        symlink(&elsewhere, stage.path("x")).unwrap();
        assert!(matches!(stage.0.present(&file(b"precious")).unwrap(), Present::Other));
        stage.part(b"abc").place(true).unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"precious");
    }

    #[test]
    fn a_directory_is_never_replaced() {
        let stage = Stage::set("directory");
        fs::create_dir(stage.path("x")).unwrap();
        assert!(matches!(stage.0.present(&file(b"abc")).unwrap(), Present::Other));
        assert!(stage.part(b"abc").place(true).is_err());
        assert!(stage.path("x").is_dir());
    }

    #[test]
    fn only_a_directory_takes_files() {
        let stage = Stage::set("only");
        fs::write(stage.path("y"), "").unwrap();
        assert_eq!(Folder::open(&stage.path("y")).unwrap_err().exit, Exit::Usage);
        assert_eq!(Folder::open(&stage.path("nothing")).unwrap_err().exit, Exit::Local);
    }
}
