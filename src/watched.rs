//! What is made of files that may change while it is in use: looked at when it is asked for, at most
//! once a second, and by one caller at a time. There is no watcher to die.

use std::fmt;
use std::sync::{Mutex, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use tokio::time::Instant;

/// How long files are believed before they are looked at again.
pub const FRESH: Duration = Duration::from_secs(1);

/// What `T` was made of the files' content `F`.
pub struct Watched<F, T> {
    /// Apart from the looking, so that only one caller waits for files.
    in_use: RwLock<T>,
    look: Mutex<Look<F>>,
}

struct Look<F> {
    files: F,
    looked_at: Instant,
    /// The last look ended in a fault, and that was told.
    is_stale: bool,
}

/// What a look found, where that is worth a line in the log.
#[derive(Debug)]
pub enum News<E> {
    /// Other content, which is in use now.
    Changed,
    /// After a fault, the content that is in use.
    Mended,
    /// Content that cannot be used, for the first time in a row: the last good one stays in use.
    Unfit(E),
}

/// Files may hold secrets.
impl<F, T> fmt::Debug for Watched<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

impl<F: PartialEq, T: Clone> Watched<F, T> {
    /// What was just made of files.
    #[must_use]
    pub fn new(files: F, made: T) -> Self {
        let look = Look { files, looked_at: Instant::now(), is_stale: false };
        Self { in_use: RwLock::new(made), look: Mutex::new(look) }
    }

    /// What is in use, without a look.
    #[must_use]
    pub fn in_use(&self) -> T {
        self.in_use.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is in use after a look, if one is due. While one caller looks, the others get what is
    /// there. `read` gives the whole content and not stamps, which miss what is written within the
    /// file system's tick.
    pub fn current<E>(
        &self,
        read: impl FnOnce() -> Result<F, E>,
        make: impl FnOnce(&F) -> Result<T, E>,
        tell: impl FnOnce(News<E>),
    ) -> T {
        let look = match self.look.try_lock() {
            Ok(look) => Some(look),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(mut look) = look
            && look.looked_at.elapsed() >= FRESH
        {
            look.looked_at = Instant::now();
            if let Some(news) = self.look(&mut look, read, make) {
                tell(news);
            }
        }
        self.in_use()
    }

    fn look<E>(
        &self,
        look: &mut Look<F>,
        read: impl FnOnce() -> Result<F, E>,
        make: impl FnOnce(&F) -> Result<T, E>,
    ) -> Option<News<E>> {
        let next = read().and_then(|files| {
            let made = (files != look.files).then(|| make(&files)).transpose()?;
            Ok((files, made))
        });
        let was_stale = std::mem::replace(&mut look.is_stale, next.is_err());
        match next {
            Ok((files, Some(made))) => {
                *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = made;
                look.files = files;
                Some(News::Changed)
            }
            Ok((_, None)) => was_stale.then_some(News::Mended),
            Err(fault) => (!was_stale).then_some(News::Unfit(fault)),
        }
    }
}
