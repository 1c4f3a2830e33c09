//! A secret that lives in a file and may be replaced while the gateway runs.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use tokio::time::Instant;

use super::Secret;

/// How long a text is used before the file is looked at again.
const FRESH: Duration = Duration::from_secs(1);

/// Largest file that can be a secret. Longer than any header that a server takes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// A secret in a file. White space around it is not part of it, as in Prometheus.
#[derive(Debug)]
pub struct SecretFile {
    path: PathBuf,
    /// Apart from the looking, so that only one request waits for the file.
    text: RwLock<Secret>,
    look: Mutex<Look>,
}

#[derive(Debug)]
struct Look {
    read_at: Instant,
    /// The last look failed, and the log was told.
    stale: bool,
}

impl SecretFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// If it cannot be read, is empty, is not UTF-8 or is larger than 64 KiB.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let text = read(&path)?;
        let look = Look { read_at: Instant::now(), stale: false };
        Ok(Self { path, text: RwLock::new(text), look: Mutex::new(look) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The secret as the file held it at most a second ago. If the file is gone or has become
    /// unreadable (or empty: a writer that truncates first), the last text stays in use. While one caller looks, the others get what
    /// is there.
    #[must_use]
    pub fn current(&self) -> Secret {
        let look = match self.look.try_lock() {
            Ok(look) => Some(look),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let now = Instant::now();
        if let Some(mut look) = look
            && now.duration_since(look.read_at) >= FRESH
        {
            look.read_at = now;
            // The whole file, not its stamp: a secret is a few bytes, and a stamp misses a
            // replacement of the same length within the file system's clock tick.
            match read(&self.path) {
                Ok(text) => {
                    if self.in_use() != text {
                        tracing::info!(path = %self.path.display(), "secret file changed");
                        *self.text.write().unwrap_or_else(PoisonError::into_inner) = text;
                    }
                    look.stale = false;
                }
                Err(error) => {
                    if !look.stale {
                        tracing::warn!(
                            path = %self.path.display(), %error,
                            "secret file unreadable, its last content stays in use"
                        );
                    }
                    look.stale = true;
                }
            }
        }
        self.in_use()
    }

    fn in_use(&self) -> Secret {
        self.text.read().unwrap_or_else(PoisonError::into_inner).clone()
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
