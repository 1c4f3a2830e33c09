//! A gateway that ends with the process that started it, however that ended.

use std::os::fd::AsFd as _;

use anyhow::Context as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

/// Does the work until standard input ends: a pipe whose other end the starting process holds, and
/// which the system closes for it even after SIGKILL. Waits for nothing then: nobody is left.
pub(super) async fn until_input_ends<T>(
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let input = std::io::stdin().as_fd().try_clone_to_owned().context("standard input")?;
    let input = pipe::Receiver::from_owned_fd(input).context("standard input is no pipe")?;
    tokio::select! {
        outcome = work => outcome,
        () = end_of(input) => anyhow::bail!("standard input has ended"),
    }
}

async fn end_of(mut input: pipe::Receiver) {
    let mut ignored = [0; 64];
    while input.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}
