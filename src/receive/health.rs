//! `/healthz`: the process lives. `/readyz`: it accepts; 503 while draining. Overload changes
//! neither: a load balancer that took a busy task away would make the others busier.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use axum::routing::any;
use metrics::Gauge;

use super::reply::Answer;
use crate::meters::{self, Meters};

/// The methods of the health paths.
const ALLOW: &str = "GET, HEAD";

/// Whether the house accepts.
#[derive(Debug)]
pub struct Health {
    ready: AtomicBool,
    draining: AtomicBool,
    shown: Gauge,
}

impl Health {
    /// Ready from the start: it is made when everything behind the door stands.
    pub(super) fn new(meters: &Meters) -> Self {
        let shown = meters.gauge(&meters::READY, &[]);
        shown.set(1.0);
        Self { ready: AtomicBool::new(true), draining: AtomicBool::new(false), shown }
    }

    /// Whether `/readyz` says 200.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.draining.load(Ordering::Acquire)
    }

    pub(super) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
        self.shown.set(f64::from(u8::from(self.is_ready())));
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.shown.set(0.0);
    }

    /// The answer on a health path; none on any other.
    pub(super) fn answer(&self, method: &Method, path: &str) -> Option<Answer> {
        let ready = match path {
            "/healthz" => true,
            "/readyz" => self.is_ready(),
            _ => return None,
        };
        Some(match *method {
            Method::GET | Method::HEAD if ready => Answer::Done,
            Method::GET | Method::HEAD => Answer::Later("not accepting".to_owned()),
            _ => Answer::NoSuchMethod { allow: ALLOW },
        })
    }
}

/// The health paths, for the telemetry listener.
pub fn health_routes(health: Arc<Health>) -> Router {
    Router::new().route("/healthz", any(probe)).route("/readyz", any(probe)).with_state(health)
}

async fn probe(State(health): State<Arc<Health>>, request: Request) -> Response {
    let answer = health.answer(request.method(), request.uri().path());
    answer.unwrap_or(Answer::NoSuchPath).respond("")
}
