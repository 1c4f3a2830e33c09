//! A secret that lives in a file and may be replaced while the gateway runs.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::Secret;
use crate::watched::{News, Watched};

/// Largest file that can be a secret. Longer than any header that a server takes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// A secret in a file. White space around it is not part of it, as in Prometheus.
#[derive(Debug)]
pub struct SecretFile {
    path: PathBuf,
    text: Watched<Secret, Secret>,
}

impl SecretFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// If it cannot be read, is empty, is not UTF-8 or is larger than 64 KiB.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let text = read(&path)?;
        Ok(Self { path, text: Watched::new(text.clone(), text) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The secret as the file held it at most a second ago. If the file is gone or has become
    /// unreadable (or empty: a writer that truncates first), the last text stays in use.
    #[must_use]
    pub fn current(&self) -> Secret {
        let path = self.path.display();
        self.text.current(
            || read(&self.path),
            |text| Ok(text.clone()),
            |news| match news {
                News::Changed => tracing::info!(%path, "secret file changed"),
                News::Mended => {}
                News::Unfit(error) => tracing::warn!(
                    %path, %error, "secret file unreadable, its last content stays in use"
                ),
            },
        )
    }
}

fn read(path: &Path) -> io::Result<Secret> {
    let mut text = String::new();
    let length = File::open(path)?.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
    if length as u64 > SECRET_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "larger than 64 KiB"));
    }
    match text.trim() {
        "" => Err(io::Error::new(io::ErrorKind::InvalidData, "empty")),
        secret => Ok(Secret::new(secret)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::watched::FRESH;

    async fn later(file: &SecretFile) -> String {
        tokio::time::advance(FRESH).await;
        file.current().expose().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn follows_the_file_and_outlives_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "first\n").unwrap();
        let file = SecretFile::open(&path).unwrap();
        assert_eq!(file.current().expose(), "first");

        std::fs::write(&path, " other \r\n").unwrap();
        assert_eq!(file.current().expose(), "first", "not looked at again within the second");
        assert_eq!(later(&file).await, "other");

        // The way secrets are replaced by a rename.
        let next = directory.path().join("next");
        std::fs::write(&next, "third").unwrap();
        std::fs::rename(&next, &path).unwrap();
        assert_eq!(later(&file).await, "third");

        for broken in [&b""[..], b"\n", b"\xff\xfe", &[b'x'; SECRET_BYTES_MAX as usize + 1]] {
            std::fs::write(&path, broken).unwrap();
            assert_eq!(later(&file).await, "third");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(later(&file).await, "third");
        std::fs::write(&path, "back").unwrap();
        assert_eq!(later(&file).await, "back");
        assert!(!format!("{file:?}").contains("back"));
    }

    #[test]
    fn opening_needs_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        assert_eq!(SecretFile::open(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(SecretFile::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
