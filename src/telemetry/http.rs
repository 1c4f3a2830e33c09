//! The telemetry listener: `/metrics` and `/config`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::meters::Meters;

/// What the telemetry listener shows.
#[derive(Clone)]
pub struct Exhibit {
    /// Everything counted.
    pub meters: Meters,
    /// The effective configuration as YAML, secrets hidden.
    pub config: watch::Receiver<Arc<str>>,
    /// Brings the gauges up to date; called before each answer of `/metrics`.
    pub refresh: Arc<dyn Fn() + Send + Sync>,
    /// Where `/-/reload` asks for a reload; none if `telemetry.enable_lifecycle` is off.
    pub reload: Option<mpsc::Sender<ReloadAsked>>,
}

/// Someone asks for a reload, and waits for its outcome: what is wrong with the configuration.
pub type ReloadAsked = oneshot::Sender<Result<(), String>>;

/// How long an asker waits for a reload, which takes no longer than reading a few files.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

impl std::fmt::Debug for Exhibit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exhibit")
    }
}

/// `/metrics` in Prometheus's text format, `/config` as YAML, and `/-/reload` as Prometheus has it.
pub fn router(exhibit: Exhibit) -> Router {
    let Exhibit { meters, config, refresh, reload } = exhibit;
    let process = Arc::new(metrics_process::Collector::default());
    meters.with(|| process.describe());
    let metrics = move || {
        refresh();
        meters.with(|| process.collect());
        let text = meters.render();
        async {
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
    };
    let config = move || {
        let text = config.borrow().to_string();
        async { ([(CONTENT_TYPE, "application/yaml; charset=utf-8")], text).into_response() }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/-/reload", post(ask_for_reload).put(ask_for_reload))
        .with_state(reload)
}

/// Answers 200 with an empty body when the new configuration is in force, 500 with every fault if it
/// is not, 403 if nobody may ask.
async fn ask_for_reload(
    State(reload): State<Option<mpsc::Sender<ReloadAsked>>>,
) -> (StatusCode, String) {
    let Some(reload) = reload else {
        let why = "reloading by HTTP is off (telemetry.enable_lifecycle: true turns it on)\n";
        return (StatusCode::FORBIDDEN, why.to_owned());
    };
    let asked = async {
        let (answer, outcome) = oneshot::channel();
        reload.send(answer).await.ok()?;
        outcome.await.ok()
    };
    match timeout(RELOAD_TIMEOUT, asked).await {
        Ok(Some(Ok(()))) => (StatusCode::OK, String::new()),
        Ok(Some(Err(faults))) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the configuration was not reloaded:\n{faults}\n"),
        ),
        Ok(None) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "nobody reloads at the moment\n".to_owned())
        }
    }
}
