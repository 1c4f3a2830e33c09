//! Where tasks are born. `tokio::spawn` is banned elsewhere, so that every task of the house is
//! known, counted and waited for at shutdown.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// A handle to the house's tasks; clones are the same set.
#[derive(Clone, Debug, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task on the current runtime.
    #[allow(clippy::disallowed_methods)]
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.spawn(task)
    }

    /// Runs work that would hold an I/O thread for too long on the blocking pool.
    #[allow(clippy::disallowed_methods)]
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.0.spawn_blocking(work)
    }

    /// Waits until every task has ended. New tasks may still be started meanwhile.
    pub async fn ended(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
