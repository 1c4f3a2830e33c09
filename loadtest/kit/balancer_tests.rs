//! The balancer keeps requests flowing while its targets come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use sluicegate::tasks::Tasks;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

const QUICK: Options = Options {
    idle_timeout: Duration::from_secs(180),
    check_interval: Duration::from_millis(50),
    checks: 2,
};

/// A backend that answers `/readyz` and counts what is posted.
struct Toy {
    port: Port,
    ready: Arc<AtomicBool>,
    posts: Arc<AtomicU64>,
    server: Option<JoinHandle<()>>,
}

impl Toy {
    async fn start() -> Self {
        let port = Port::take().unwrap();
        let mut toy = Self { port, ready: Arc::default(), posts: Arc::default(), server: None };
        toy.restart().await;
        toy
    }

    async fn restart(&mut self) {
        self.ready.store(true, Ordering::Relaxed);
        let (ready, posts) = (Arc::clone(&self.ready), Arc::clone(&self.posts));
        let app = Router::new()
            .route(
                "/readyz",
                get(move || async move {
                    let codes = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK];
                    codes[usize::from(ready.load(Ordering::Relaxed))]
                }),
            )
            .route(
                "/",
                post(move || async move {
                    posts.fetch_add(1, Ordering::Relaxed);
                }),
            );
        let listener = TcpListener::bind(self.port.address).await.unwrap();
        self.server = Some(Tasks::new().spawn(serve(listener, app)));
    }

    async fn stop(&mut self) {
        let server = self.server.take().unwrap();
        server.abort();
        assert!(server.await.is_err());
    }
}

/// One connection after the other, each in its task; all end with this.
async fn serve(listener: TcpListener, app: Router) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(app.clone());
        connections.spawn(async move {
            let io = hyper_util::rt::TokioIo::new(stream);
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        });
    }
}

#[tokio::test]
async fn requests_flow_while_one_of_two_targets_is_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let mut toys = [Toy::start().await, Toy::start().await];
    let addresses = [0, 1].map(|which: usize| toys[which].port.address);
    let balancer = Balancer::start(&addresses, QUICK, folder.path()).await.unwrap();

    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (is_over, count, url) = (Arc::clone(&over), Arc::clone(&sent), balancer.url());
    let load = Tasks::new().spawn(async move {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut bad = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            let answer = client.post(&url).timeout(PATIENCE).body("x").send().await;
            match answer {
                Ok(answer) if answer.status() == 200 => {}
                other => bad.push(format!("{other:?}")),
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
        bad
    });
    let more = async |than: u64| {
        let want = sent.load(Ordering::Relaxed) + than;
        while sent.load(Ordering::Relaxed) < want {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };

    more(20).await;
    assert!(toys.iter().all(|toy| toy.posts.load(Ordering::Relaxed) > 0), "in turn");
    for target in [0, 1] {
        toys[target].ready.store(false, Ordering::Relaxed);
        balancer.until(target, Target::Down, PATIENCE).await.unwrap();
        more(2).await; // What had been given to it by then is answered.
        let before = toys[target].posts.load(Ordering::Relaxed);
        more(20).await;
        assert_eq!(toys[target].posts.load(Ordering::Relaxed), before, "it gets none");
        toys[target].stop().await;
        more(20).await;
        toys[target].restart().await;
        balancer.until(target, Target::Up, PATIENCE).await.unwrap();
        more(20).await;
        assert!(toys[target].posts.load(Ordering::Relaxed) > before, "it gets some again");
    }

    balancer.deregister(0).await.unwrap();
    balancer.until(0, Target::Draining, PATIENCE).await.unwrap();
    more(2).await;
    let before = toys[0].posts.load(Ordering::Relaxed);
    more(20).await;
    assert_eq!(toys[0].posts.load(Ordering::Relaxed), before);
    balancer.register(0).await.unwrap();
    balancer.until(0, Target::Up, PATIENCE).await.unwrap();
    more(20).await;
    assert!(balancer.requests(0).await.unwrap() > before);

    over.store(true, Ordering::Relaxed);
    assert_eq!(load.await.unwrap(), Vec::<String>::new());
    let pid = balancer.pid();
    balancer.stop().await.unwrap();
    assert!(crate::child::tests::gone(pid).await);
}

#[tokio::test]
async fn a_request_that_reached_a_target_is_not_sent_to_another() {
    let folder = tempfile::tempdir().unwrap();
    // Whoever resets in place of an answer has had the request.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let posts = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&posts);
    let bad = Tasks::new().spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            if buffer[..read].starts_with(b"POST") {
                count.fetch_add(1, Ordering::Relaxed);
            } else if read > 0 {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    });
    let good = Toy::start().await;
    let targets = [address, good.port.address];
    let balancer = Balancer::start(&targets, QUICK, folder.path()).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut good_answers = 0;
    for _ in 0..4 {
        // 502, or on a connection that is used again hung up.
        let sent = client.post(balancer.url()).timeout(PATIENCE).body("x").send().await;
        good_answers += u32::from(sent.is_ok_and(|answer| answer.status() == 200));
    }
    assert_eq!(good_answers, 2);
    assert_eq!([&posts, &good.posts].map(|posts| posts.load(Ordering::Relaxed)), [2, 2]);
    bad.abort();
}
