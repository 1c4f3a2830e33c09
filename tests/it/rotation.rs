//! Every credential and key replaced under load: those that a destination wants, and those that
//! senders show.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::path::Path;
use std::time::Duration;

use sluicegate::config::{Source, load_within};
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};
use tokio::time::sleep;

use crate::amp_front::{AmpFront, Guard, Key};
use crate::house::Standing;
use crate::rotation_kit::{Load, fresh_minute, once, until};

const QUEUE: &str = "queue_config: { max_shards: 2, min_backoff: 10ms, max_backoff: 100ms }";

/// How a secret reaches the gateway.
#[derive(Clone, Copy, PartialEq)]
enum By {
    /// A file, whose path stands for `FILE`.
    File,
    /// The configuration, where it stands for `SECRET`.
    Reload,
}

/// Who changes first.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    /// The receiver takes both for a while.
    Overlap,
    /// The receiver takes the new one alone before the gateway has it.
    ReceiverFirst,
}

/// A way of proving who sends.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    by: By,
    destination: &'static str,
    old: &'static str,
    new: &'static str,
    guard: fn(&str) -> Guard,
}

fn bearer(token: &str) -> Guard {
    Guard::Authorization(format!("Bearer {token}"))
}

fn basic(password: &str) -> Guard {
    let pair = base64_simd::STANDARD.encode_to_string(format!("gateway:{password}"));
    Guard::Authorization(format!("Basic {pair}"))
}

/// The key's id and its secret are the same here.
fn sigv4(key: &str) -> Guard {
    let key = Key { id: key.to_owned(), secret: key.to_owned(), token: None };
    Guard::Sigv4 { region: "eu-west-1".to_owned(), service: "aps".to_owned(), keys: vec![key] }
}

const WAYS: [Way; 6] = [
    Way {
        name: "credentials file",
        by: By::File,
        destination: "authorization: { credentials_file: FILE }",
        old: "old-token",
        new: "new-token",
        guard: bearer,
    },
    Way {
        name: "bearer token file",
        by: By::File,
        destination: "bearer_token_file: FILE",
        old: "old-token",
        new: "a-much-longer-new-token",
        guard: bearer,
    },
    Way {
        name: "password file",
        by: By::File,
        destination: "basic_auth: { username: gateway, password_file: FILE }",
        old: "old-password",
        new: "pass:word ü",
        guard: basic,
    },
    Way {
        name: "token",
        by: By::Reload,
        destination: "authorization: { credentials: \"SECRET\" }",
        old: "old-token",
        new: "new-token",
        guard: bearer,
    },
    Way {
        name: "password",
        by: By::Reload,
        destination: "basic_auth: { username: gateway, password: \"SECRET\" }",
        old: "old-password",
        new: "new-password",
        guard: basic,
    },
    Way {
        name: "static AWS keys",
        by: By::Reload,
        destination: "sigv4: { region: eu-west-1, access_key: SECRET, secret_key: SECRET }",
        old: "AKIDOLD",
        new: "AKIDNEW",
        guard: sigv4,
    },
];

impl Way {
    fn config(&self, url: &str, file: &Path, secret: &str) -> String {
        let destination = self.destination.replace("FILE", file.to_str().unwrap());
        let destination = destination.replace("SECRET", secret);
        format!("remote_write: [{{ name: there, url: \"{url}\", {destination}, {QUEUE} }}]")
    }

    async fn rotate(self, order: Order) {
        let of = format!("{}, {order:?}", self.name);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, self.old).unwrap();
        let (old, new) = ((self.guard)(self.old), (self.guard)(self.new));
        let front = AmpFront::start(old.clone()).await;
        let url = front.url("/api/v1/remote_write");
        let standing = Standing::start("", &self.config(&url, &file, self.old)).await;
        let load = Load::start(&of, || standing.firehose_once());
        let change = async || match self.by {
            By::File => std::fs::write(&file, self.new).unwrap(),
            By::Reload => standing.reload("", &self.config(&url, &file, self.new)).await.unwrap(),
        };
        let taken = || front.received().iter().filter(|one| one.status == 200).count();
        until(&of, async || taken() > 20).await;
        match order {
            Order::Overlap => {
                front.guard(Guard::Any(vec![old, new.clone()]));
                change().await;
                let first = front.received()[0].headers["authorization"].clone();
                let shows = |proof: &str| proof.split('/').next().unwrap().to_owned();
                let first = shows(first.to_str().unwrap());
                until(&of, async || {
                    let latest = front.received().pop().unwrap();
                    shows(latest.headers["authorization"].to_str().unwrap()) != first
                })
                .await;
                front.guard(new);
            }
            Order::ReceiverFirst => {
                front.guard(new);
                sleep(Duration::from_millis(300)).await;
                change().await;
            }
        }
        let before = taken();
        until(&of, async || taken() > before + 20).await;
        let sent = load.end().await;
        standing.rest().await;
        standing.house.stop().await;
        let refused = front.faults().len();
        assert!(sent > 0 && (order == Order::Overlap || refused > 0), "{of}: nothing was refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_destination_wants_may_change_in_any_order() {
    for order in [Order::Overlap, Order::ReceiverFirst] {
        let [a, b, c, d, e, f] = WAYS;
        let (a, b, c) = (a.rotate(order), b.rotate(order), c.rotate(order));
        tokio::join!(a, b, c, d.rotate(order), e.rotate(order), f.rotate(order));
    }
}

/// Senders change from one access key to another while both are taken.
async fn access_keys(by: By) {
    let folder = tempfile::tempdir().unwrap();
    let files = ["first", "second"].map(|name| folder.path().join(name));
    let front = AmpFront::start(Guard::Open).await;
    let rest =
        format!("remote_write: [{{ name: there, url: \"{}\", {QUEUE} }}]", front.url("/write"));
    let standing = Standing::start("", &rest).await;
    // Brings two keys into force, the way that is tried.
    let set = async |keys: [&str; 2]| {
        for (file, key) in files.iter().zip(keys) {
            std::fs::write(file, key).unwrap();
        }
        let entry = |at: usize| match by {
            By::File => format!("{{ name: k{at}, key_file: {} }}", files[at].display()),
            By::Reload => format!("{{ name: k{at}, key: {} }}", keys[at]),
        };
        let text = format!(
            "server: {{ access_keys: [{}, {}], budget: 256MiB, shutdown_delay: 0s }}\n{rest}",
            entry(0),
            entry(1),
        );
        load_within(Source::Content(&text), &|_| None, None)
    };
    let stream = MetricStream::new(1, 1);
    let status = async |key: &str| {
        let points: Vec<_> = stream.points(fresh_minute(), 0..1).collect();
        let firehose = once(&standing.ingest_url(""), key);
        firehose.deliver(records(Format::Json, &points)).await.statuses[0]
    };
    standing.house.reload(set(["old", "spare"]).await).await.unwrap();
    let old = Load::start("old key", || once(&standing.ingest_url(""), "old"));
    let both = set(["old", "new"]).await;
    if by == By::Reload {
        standing.house.reload(both).await.unwrap();
    }
    until("the new key", async || status("new").await == 200).await;
    let new = Load::start("new key", || once(&standing.ingest_url(""), "new"));
    until("both keys", async || front.received().len() > 30).await;
    assert!(old.end().await > 0);
    let only = set(["other", "new"]).await;
    if by == By::Reload {
        standing.house.reload(only).await.unwrap();
    }
    until("the old key is gone", async || status("old").await == 401).await;
    let before = front.received().len();
    until("the new key alone", async || front.received().len() > before + 20).await;
    assert!(new.end().await > 0);
    standing.rest().await;
    standing.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_keys_change_by_file_and_by_reload() {
    tokio::join!(access_keys(By::File), access_keys(By::Reload));
}
